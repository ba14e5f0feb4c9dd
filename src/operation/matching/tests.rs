use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::aggregate::tests::{Values, feed, texts};
use super::*;

fn with_value(value: &[u8]) -> Match {
    Match::new(Comparand::Value(SecretBuf::from_vec(value.to_vec()))).unwrap()
}

fn answer(matching: Match) -> Vec<u8> {
    let mut out = SecretBuf::new();
    matching.finish(&mut out);
    out.expose().to_vec()
}

fn is_found(value: &str, records: &[Values<'_>]) -> bool {
    let mut matching = with_value(value.as_bytes());
    assert!(feed(&mut matching, records).iter().all(Result::is_ok));
    answer(matching) == Match::YES
}

#[test]
fn an_answer_is_one_byte_either_way() {
    assert_eq!((Match::YES.len(), Match::NO.len()), (1, 1));
    assert_eq!(answer(with_value(b"")), Match::NO);
}

#[test]
fn a_value_matches_in_any_record_and_only_as_a_whole() {
    let records = ["first", "middle", "last"].map(|value| texts(&[value]));
    for value in ["first", "middle", "last"] {
        assert!(is_found(value, &records), "{value}");
    }
    for value in ["", "mid", "middle ", "Middle", "iddle", "middlemiddle", "firstmiddle"] {
        assert!(!is_found(value, &records), "{value:?}");
    }
    assert!(is_found("", &[texts(&["x"]), texts(&[""])]));
    assert!(is_found("5", &[vec![(0, Kind::Number, &b"5"[..])]]));
}

#[test]
fn any_of_several_values_of_a_record_matches() {
    let record: Values<'_> = ["a", "b", "c"].map(|text| (0, Kind::Text, text.as_bytes())).into();
    assert!(is_found("a", std::slice::from_ref(&record)));
    assert!(!is_found("d", &[record]));
}

#[test]
fn nothing_does_not_equal_anything() {
    let records = [vec![], vec![(0, Kind::Null, &b"null"[..])], vec![(0, Kind::Null, b"")]];
    assert!(!is_found("null", &records));
    assert!(!is_found("", &records));
}

#[test]
fn a_bad_record_does_not_match() {
    let record = vec![(0, Kind::Text, &b"a"[..]), (0, Kind::Nested, b"[]")];
    let mut matching = with_value(b"a");
    assert_eq!(feed(&mut matching, &[record, texts(&["b"])]), [Err(FieldError::Nested), Ok(())]);
    assert_eq!(answer(matching), Match::NO);
}

#[test]
fn every_value_is_compared_even_after_a_match() {
    let compared = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&compared);
    let index = Comparand::Index(Box::new(move |value| {
        counter.fetch_add(1, Ordering::Relaxed);
        if value == b"bad" { Err(FieldError::NotUtf8) } else { Ok(value == b"yes") }
    }));
    let mut matching = Match::new(index).unwrap();
    let outcome = feed(&mut matching, &["yes", "no", "bad", "no"].map(|value| texts(&[value])));
    assert_eq!(outcome, [Ok(()), Ok(()), Err(FieldError::NotUtf8), Ok(())]);
    assert_eq!(compared.load(Ordering::Relaxed), 4);
    assert_eq!(answer(matching), Match::YES);
}

proptest! {
    #[test]
    fn a_match_is_equality(value in "[ab]{0,3}", others in proptest::collection::vec("[ab]{0,3}", 0..6)) {
        let records: Vec<_> = others.iter().map(|other| texts(&[other])).collect();
        prop_assert_eq!(is_found(&value, &records), others.contains(&value));
    }
}
