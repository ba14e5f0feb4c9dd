use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::aggregate::tests::{column, feed, spec, texts};
use super::*;
use crate::manifest::fields::Normalise;
use crate::manifest::operations::AggregateSpec;

fn join(min_group_size: u64, aggregate: Option<AggregateSpec>) -> JoinSpec {
    JoinSpec {
        on: [column("mail"), column("email")],
        normalise: vec![Normalise::Trim, Normalise::Lowercase],
        max_keys: 1000,
        min_group_size,
        aggregate,
    }
}

fn rows(join: JoinCount, form: Rows) -> String {
    let mut out = SecretBuf::new();
    join.finish(&mut out, form).unwrap();
    String::from_utf8(out.expose().to_vec()).unwrap()
}

/// Both inputs, of records that are all good.
fn joined(spec: &JoinSpec, first: &[&str], second: &[&[&str]]) -> String {
    let mut join = JoinCount::new(spec, 1000).unwrap();
    let first: Vec<_> = first.iter().map(|key| texts(&[key])).collect();
    assert!(feed(&mut join, &first).iter().all(Result::is_ok));
    join.next_input();
    let second: Vec<_> = second.iter().map(|record| texts(record)).collect();
    assert!(feed(&mut join, &second).iter().all(Result::is_ok));
    rows(join, Rows::Csv)
}

/// `pay` by `city` of who has an address in common.
fn paid(min_common: u64, min_group_size: u64) -> JoinSpec {
    join(min_common, Some(spec(&["city"], min_group_size)))
}

const PAID: &str = "suppressed,city,max,mean,min,people,sum\n";

#[test]
fn a_value_in_common_counts_once_however_often_either_input_has_it() {
    let result = joined(
        &join(1, None),
        &["ann@x", "bob@x", "ann@x", "cyd@x"],
        &[&[" Ann@X"], &["ann@x"], &["bob@x"], &["dan@x"], &["bob@x"]],
    );
    assert_eq!(result, "suppressed,count\nfalse,2\n");
}

#[test]
fn what_has_no_value_has_nothing_in_common() {
    let mut join = JoinCount::new(&join(1, None), 10).unwrap();
    let nothing =
        [texts(&[""]), texts(&[" \t"]), vec![], vec![(0, Kind::Null, &b"null"[..])], texts(&["a"])];
    assert_eq!(feed(&mut join, &nothing), vec![Ok(()); 5]);
    join.next_input();
    assert_eq!(feed(&mut join, &nothing[..4]), vec![Ok(()); 4]);
    assert_eq!(feed(&mut join, &[texts(&["null"])]), [Ok(())]);
    assert_eq!(rows(join, Rows::Csv), "suppressed,count\nfalse,0\n");
}

#[test]
fn one_value_in_common_short_of_the_threshold_looks_like_none() {
    let first = ["a", "b", "c", "d"];
    let result = |second: &[&[&str]]| joined(&join(3, None), &first, second);
    let withheld = "suppressed,count\ntrue,\n";
    assert_eq!(result(&[]), withheld);
    assert_eq!(result(&[&["a"], &["b"], &["a"], &["x"]]), withheld);
    assert_eq!(result(&[&["a"], &["b"], &["c"]]), "suppressed,count\nfalse,3\n");

    let mut json = JoinCount::new(&join(3, None), 10).unwrap();
    json.next_input();
    assert_eq!(rows(json, Rows::Ndjson), "{\"suppressed\":true,\"count\":null}\n");
}

#[test]
fn an_aggregate_is_over_the_records_in_common_only() {
    let spec = paid(2, 1);
    assert_eq!(
        JoinCount::fields(&spec),
        [vec![column("mail")], vec![column("city"), column("pay"), column("email")]]
    );
    let second: &[&[&str]] = &[
        &["A", "1", "ann@x"],
        &["A", "900", "dan@x"],
        &["A", "2", "ANN@x"],
        &["B", "5", "bob@x"],
        &["C", "900", ""],
    ];
    assert_eq!(
        joined(&spec, &["ann@x", "bob@x"], second),
        PAID.to_owned() + "false,A,2,1.5,1,2,3\nfalse,B,5,5,5,1,5\n"
    );
    // One in common is one short.
    assert_eq!(joined(&spec, &["bob@x"], second), PAID.to_owned() + "true,,,,,,\n");
    assert_eq!(joined(&spec, &[], second), PAID.to_owned() + "true,,,,,,\n");
}

#[test]
fn many_records_of_one_person_do_not_make_a_large_group() {
    let mut second: Vec<&[&str]> = vec![&["A", "7", "ann@x"]; 50];
    let first = ["ann@x", "bob@x", "cyd@x"];
    second.extend([&["B", "1", "ann@x"][..], &["B", "1", "bob@x"], &["B", "1", "cyd@x"]]);
    let result = |second: &[&[&str]]| joined(&paid(3, 3), &first, second);
    assert_eq!(result(&second), PAID.to_owned() + "false,B,1,1,1,3,3\ntrue,,,,,,\n");
    // Nor a number of a group that is large: only one person's pay is known.
    second.extend([&["A", "", "bob@x"][..], &["A", "", "cyd@x"]]);
    assert_eq!(result(&second), PAID.to_owned() + "false,A,,,,52,\nfalse,B,1,1,1,3,3\n");
    // Nor several small groups of the same two.
    let second: &[&[&str]] = &[
        &["A", "7", "ann@x"],
        &["B", "7", "ann@x"],
        &["C", "7", "bob@x"],
        &["D", "7", "bob@x"],
        &["E", "7", "cyd@x"],
    ];
    let two = joined(&paid(2, 3), &first[..2], second);
    assert_eq!(two, PAID.to_owned() + "true,,,,,,\n");
    assert_eq!(result(second), PAID.to_owned() + "true,,7,7,7,5,35\n");
}

#[test]
fn the_compared_field_can_be_one_of_the_aggregates() {
    let mut spec = join(1, Some(spec(&["email"], 1)));
    spec.on = [column("mail"), column("email")];
    assert_eq!(JoinCount::fields(&spec)[1], [column("email"), column("pay")]);
    assert_eq!(
        joined(&spec, &["a", "b"], &[&["A", "1"], &["c", "2"], &["b", "3"]]),
        "suppressed,email,max,mean,min,people,sum\nfalse,A,1,1,1,1,1\nfalse,b,3,3,3,1,3\n"
    );
}

#[test]
fn a_bad_record_does_not_tell_whether_its_value_is_in_common() {
    let mut join = JoinCount::new(&paid(1, 1), 10).unwrap();
    feed(&mut join, &[texts(&["ann@x"])]);
    join.next_input();
    let outcome = feed(&mut join, &[texts(&["A", "x", "ann@x"]), texts(&["A", "x", "dan@x"])]);
    assert_eq!(outcome, [Err(FieldError::NotANumber), Err(FieldError::NotANumber)]);
    // And is not counted.
    assert_eq!(rows(join, Rows::Csv), PAID);
}

#[test]
fn a_value_that_cannot_be_compared_makes_a_bad_record() {
    let cases = [
        (vec![(0, Kind::Nested, &b"[]"[..])], FieldError::Nested),
        (vec![(0, Kind::Text, b"a"), (0, Kind::Text, b"b")], FieldError::Several),
        (vec![(0, Kind::Null, b"null"), (0, Kind::Text, b"b")], FieldError::Several),
        (vec![(0, Kind::Text, b"\xff")], FieldError::NotUtf8),
    ];
    for (record, expected) in cases {
        let mut join = JoinCount::new(&join(0, None), 10).unwrap();
        let bad = std::slice::from_ref(&record);
        assert_eq!(feed(&mut join, bad), [Err(expected.clone())]);
        assert_eq!(join.memory(), 0);
        feed(&mut join, &[texts(&["a"]), texts(&["b"])]);
        join.next_input();
        assert_eq!(feed(&mut join, bad), [Err(expected)]);
        assert_eq!(rows(join, Rows::Csv), "suppressed,count\nfalse,0\n");
    }
}

#[test]
fn one_value_more_than_may_be_kept_spoils_the_result_and_not_the_memory() {
    let mut spec = join(0, None);
    spec.max_keys = 2;
    let mut join = JoinCount::new(&spec, 10).unwrap();
    let outcome = feed(&mut join, &["a", "b", "A ", "c", "b", "d"].map(|key| texts(&[key])));
    let full = Err(FieldError::TooMany);
    assert_eq!(outcome, [Ok(()), Ok(()), Ok(()), full.clone(), Ok(()), full.clone()]);
    assert_eq!(join.memory(), 2 * KEY_MEMORY);
    join.next_input();
    assert_eq!(feed(&mut join, &[texts(&["a"])]), [Ok(())]);
    let mut out = SecretBuf::new();
    assert_eq!(join.finish(&mut out, Rows::Csv), full);
    assert!(out.is_empty());
}

#[test]
fn no_more_people_of_a_group_are_kept_than_tell_that_it_is_large() {
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let mut join = JoinCount::new(&paid(2, 5), 10).unwrap();
    feed(&mut join, &names.iter().map(|name| texts(&[name])).collect::<Vec<_>>());
    join.next_input();
    let records: Vec<_> = names.iter().map(|name| texts(&["A", "1", name])).collect();
    feed(&mut join, &records[..5]);
    let memory = join.memory();
    feed(&mut join, &records);
    assert_eq!(join.memory(), memory);
}

#[test]
fn hashes_of_two_requests_differ() {
    let hash = || {
        let mut join = JoinCount::new(&join(0, None), 10).unwrap();
        feed(&mut join, &[texts(&["a"])]);
        join.keys.into_keys().next().unwrap()
    };
    assert_ne!(hash(), hash());
}

proptest! {
    #[test]
    fn counts_are_those_of_sets(
        first in proptest::collection::vec("[a-c]{0,2}", 0..30),
        second in proptest::collection::vec("[a-c]{0,2}", 0..30),
        threshold in 0..5_usize,
    ) {
        let set = |keys: &[String]| -> BTreeSet<String> {
            keys.iter().filter(|key| !key.is_empty()).cloned().collect()
        };
        let common = set(&first).intersection(&set(&second)).count();
        let expected = if common < threshold && threshold > 1 { "true,".to_owned() } else { format!("false,{common}") };
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let second: Vec<[&str; 1]> = second.iter().map(|key| [key.as_str()]).collect();
        let second: Vec<&[&str]> = second.iter().map(|record| &record[..]).collect();
        let spec = join(u64::try_from(threshold).unwrap(), None);
        prop_assert_eq!(joined(&spec, &first, &second), format!("suppressed,count\n{expected}\n"));
    }

    #[test]
    fn groups_are_as_large_as_their_sets_of_people(
        records in proptest::collection::vec(("[AB]", "[a-f]"), 0..40),
        threshold in 2..5_usize,
    ) {
        let people = |city: &str| -> BTreeSet<&str> {
            let of = records.iter().filter(|(one, _)| one == city);
            of.map(|(_, person)| person.as_str()).filter(|person| *person != "f").collect()
        };
        let second: Vec<[&str; 3]> =
            records.iter().map(|(city, person)| [city.as_str(), "1", person.as_str()]).collect();
        let second: Vec<&[&str]> = second.iter().map(|record| &record[..]).collect();
        let spec = paid(0, u64::try_from(threshold).unwrap());
        let result = joined(&spec, &["a", "b", "c", "d", "e"], &second);
        for city in ["A", "B"] {
            let shown = result.contains(&format!("false,{city},"));
            prop_assert_eq!(shown, people(city).len() >= threshold);
        }
    }
}

/// `cargo test --release --lib -- --ignored a_million_keys --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement is for whoever asks for it")]
fn a_million_keys() {
    let resident = || -> usize {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let mut spec = join(1, None);
    spec.max_keys = 1_000_000;
    let mut join = JoinCount::new(&spec, 10).unwrap();
    let keys: Vec<String> = (0..1_500_000).map(|n| format!("person-{n}@example.org")).collect();
    let mut new = SecretBuf::new();
    let mut read = |join: &mut JoinCount, keys: &[String]| {
        let start = std::time::Instant::now();
        for key in keys {
            let value = Value { kind: Kind::Text, text: key.as_bytes() };
            join.begin();
            join.field(0, value, &mut new).unwrap();
            join.end().unwrap();
        }
        start.elapsed() / u32::try_from(keys.len()).unwrap()
    };
    let before = resident();
    let first = read(&mut join, &keys[..1_000_000]);
    let (counted, measured) = (join.memory(), resident() - before);
    join.next_input();
    let second = read(&mut join, &keys[500_000..]);
    eprintln!("{first:?} and {second:?} a record, {counted} bytes counted, {measured} measured");
    assert_eq!(rows(join, Rows::Csv), "suppressed,count\nfalse,500000\n");
}
