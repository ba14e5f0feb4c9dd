use super::*;
use crate::shape::CsvError;

fn ledger(max_groups: usize, bad_records: BadRecords) -> Ledger {
    let rules = Rules { max_groups, bad_records, field: "city".to_owned(), headers: 1 };
    Ledger::new(rules, 10, [&b"a"[..]].into_iter())
}

fn outcome(records: u64, opened: &[(u64, &str)], error: Option<u64>) -> Outcome {
    let key = |key: &str| SecretBuf::from_vec(key.as_bytes().to_vec());
    Outcome {
        records,
        opened: opened
            .iter()
            .map(|(record, text)| Opened { record: *record, key: key(text) })
            .collect(),
        error: error.map(|record| RecordError { record, problem: CsvError::BareQuote.into() }),
    }
}

fn too_many(record: u64) -> RecordError {
    let problem = RecordProblem::Field { field: "city".to_owned(), problem: FieldError::TooMany };
    RecordError { record, problem }
}

#[test]
fn the_first_error_of_the_stream_counts_and_not_the_first_that_is_found() {
    let mut ledger = ledger(5, BadRecords::Refuse);
    assert_eq!(ledger.settle(2, outcome(0, &[], Some(2))), Ok(()));
    assert_eq!(ledger.settle(1, outcome(1, &[], Some(3))), Ok(()));
    let error = ledger.settle(0, outcome(7, &[], None)).unwrap_err();
    assert_eq!(error.record, 10 + 7 + 3);
}

#[test]
fn one_group_too_many_is_an_error_of_the_record_that_has_it() {
    let mut ledger = ledger(3, BadRecords::Refuse);
    // Known, new, and known again to the other reader.
    assert_eq!(ledger.settle(1, outcome(5, &[(2, "b"), (3, "c"), (4, "d")], None)), Ok(()));
    assert_eq!(
        ledger.settle(0, outcome(7, &[(1, "a"), (4, "b")], None)),
        Err(too_many(10 + 7 + 4 + 1))
    );
}

#[test]
fn a_group_too_many_comes_before_an_error_behind_it() {
    let mut ledger = ledger(1, BadRecords::Refuse);
    let error = ledger.settle(0, outcome(5, &[(5, "b")], Some(7)));
    assert_eq!(error, Err(too_many(10 + 5 + 1)));
}

#[test]
fn where_bad_records_are_left_out_a_group_too_many_spoils_the_result() {
    let mut ledger = ledger(1, BadRecords::Drop);
    assert_eq!(ledger.settle(0, outcome(5, &[(1, "a")], None)), Ok(()));
    assert!(!ledger.is_incomplete());
    assert_eq!(ledger.settle(1, outcome(5, &[(1, "b")], None)), Ok(()));
    assert!(ledger.is_incomplete());
    assert!(ledger.memory() < 1000);
}

#[test]
fn what_waits_for_an_earlier_part_is_counted_until_it_is_settled() {
    let mut ledger = ledger(10, BadRecords::Refuse);
    let before = ledger.memory();
    let key = |byte| {
        let mut key = SecretBuf::new();
        key.extend_from_slice(&[byte; 1000]);
        key
    };
    let opened = vec![Opened { record: 1, key: key(1) }, Opened { record: 2, key: key(2) }];
    ledger.settle(1, Outcome { records: 2, opened, error: None }).unwrap();
    assert!(ledger.memory() >= before + 2000, "{} bytes", ledger.memory() - before);
}
