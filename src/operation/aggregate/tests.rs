use proptest::prelude::*;

use super::*;
use crate::manifest::operations::{Compute, Condition, Test};

/// A record: values by number of the field.
pub(in crate::operation) type Values<'a> = Vec<(usize, Kind, &'a [u8])>;

/// Drives a visitor as a shape does; the outcome of each record.
pub(in crate::operation) fn feed(
    visitor: &mut dyn Visitor,
    records: &[Values<'_>],
) -> Vec<Result<(), FieldError>> {
    let mut new = SecretBuf::new();
    let mut one = |record: &Values<'_>| {
        visitor.begin();
        for (field, kind, text) in record {
            new.clear();
            let edit = visitor.field(*field, Value { kind: *kind, text }, &mut new)?;
            assert_eq!((edit, new.len()), (Edit::Keep, 0));
        }
        visitor.end().map_err(|(_, error)| error)
    };
    records.iter().map(&mut one).collect()
}

/// A record of a CSV file: every value is text.
pub(in crate::operation) fn texts<'a>(values: &[&'a str]) -> Values<'a> {
    values.iter().enumerate().map(|(at, text)| (at, Kind::Text, text.as_bytes())).collect()
}

pub(in crate::operation) fn column(name: &str) -> FieldPath {
    FieldPath::Column(name.to_owned())
}

/// `people`, and `sum`, `mean`, `min`, `max` of `pay` (the last field), by
/// `group_by`.
pub(in crate::operation) fn spec(group_by: &[&str], min_group_size: u64) -> AggregateSpec {
    let pay = column("pay");
    let compute = [
        ("people", Compute::Count),
        ("sum", Compute::Sum(pay.clone())),
        ("mean", Compute::Mean(pay.clone())),
        ("min", Compute::Min(pay.clone())),
        ("max", Compute::Max(pay)),
    ];
    AggregateSpec {
        group_by: group_by.iter().map(|name| column(name)).collect(),
        compute: compute.map(|(name, compute)| (name.to_owned(), compute)).into(),
        conditions: Vec::new(),
        min_group_size,
        per: None,
    }
}

fn condition(field: &str, test: Test) -> Condition {
    Condition { field: column(field), test }
}

fn rows(aggregator: Aggregator, form: Rows) -> String {
    let mut out = SecretBuf::new();
    aggregator.finish(&mut out, form).unwrap();
    String::from_utf8(out.expose().to_vec()).unwrap()
}

fn aggregate(spec: &AggregateSpec, records: &[Values<'_>]) -> String {
    let mut aggregator = Aggregator::new(spec, 1000);
    assert!(feed(&mut aggregator, records).iter().all(Result::is_ok));
    rows(aggregator, Rows::Csv)
}

const HEADER: &str = "suppressed,city,max,mean,min,people,sum\n";

fn towns() -> Vec<Values<'static>> {
    [["B", "1"], ["A", "2.50"], ["A", "-1"], ["B", "2"], ["C", "7"], ["A", "0.1"], ["B", "2"]]
        .map(|record| texts(&record))
        .to_vec()
}

#[test]
fn each_group_has_its_numbers_in_the_order_of_its_values() {
    assert_eq!(
        aggregate(&spec(&["city"], 1), &towns()),
        HEADER.to_owned()
            + "false,A,2.5,0.533333333,-1,3,1.6\nfalse,B,2,1.666666667,1,3,5\nfalse,C,7,7,7,1,7\n"
    );
    assert_eq!(
        aggregate(&spec(&[], 1), &{
            let pays = towns();
            pays.iter().map(|record| vec![(0, record[1].1, record[1].2)]).collect::<Vec<_>>()
        }),
        "suppressed,max,mean,min,people,sum\nfalse,7,1.942857143,-1,7,13.6\n"
    );
}

#[test]
fn rows_are_written_as_json_too() {
    let mut aggregator = Aggregator::new(&spec(&["city"], 3), 10);
    feed(&mut aggregator, &towns());
    assert_eq!(
        rows(aggregator, Rows::Ndjson),
        concat!(
            r#"{"suppressed":false,"city":"A","max":2.5,"mean":0.533333333,"min":-1,"people":3,"sum":1.6}"#,
            "\n",
            r#"{"suppressed":false,"city":"B","max":2,"mean":1.666666667,"min":1,"people":3,"sum":5}"#,
            "\n",
            r#"{"suppressed":true,"city":null,"max":null,"mean":null,"min":null,"people":null,"sum":null}"#,
            "\n"
        )
    );
}

#[test]
fn a_group_one_short_of_the_threshold_is_never_shown_and_one_at_it_is() {
    for size in 2..6_u64 {
        let short = usize::try_from(size).unwrap() - 1;
        let mut records = vec![texts(&["Short", "1"]); short];
        records.extend(vec![texts(&["Full", "2"]); short + 1]);
        let result = aggregate(&spec(&["city"], size), &records);
        assert!(!result.contains("Short"), "{result}");
        assert!(result.contains(&format!("false,Full,2,2,2,{size},{}\n", 2 * size)), "{result}");
        assert!(result.ends_with("\ntrue,,,,,,\n"), "{result}");
    }
}

#[test]
fn many_records_of_few_persons_are_no_group() {
    let spec = AggregateSpec { per: Some(column("person")), ..spec(&["city"], 3) };
    assert_eq!(Aggregator::fields(&spec), ["city", "pay", "person"].map(column));
    let mut records = Vec::new();
    for person in ["p", "q", "r"] {
        records.extend(vec![texts(&["Few", "1", if person == "r" { "q" } else { person }]); 4]);
        records.push(texts(&["Enough", "2", person]));
        // Whoever is not named is one person, however often.
        records.push(vec![(0, Kind::Text, b"Nameless"), (1, Kind::Number, b"5")]);
        records.push(texts(&["Nameless", "5", ""]));
        records.push(vec![(0, Kind::Text, b"Nameless"), (2, Kind::Null, b"null")]);
    }
    let key = || hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    let mut aggregator = Aggregator::new(&spec, 10).with_key(key());
    assert!(feed(&mut aggregator, &records).iter().all(Result::is_ok));
    let shown = rows(aggregator, Rows::Csv);
    // The two small groups have three persons together.
    assert_eq!(shown, HEADER.to_owned() + "false,Enough,2,2,2,3,6\ntrue,,5,2.333333333,1,21,42\n");

    let few: Vec<_> = records.into_iter().filter(|record| record[0].2 == b"Few").collect();
    let mut aggregator = Aggregator::new(&spec, 10).with_key(key());
    feed(&mut aggregator, &few);
    assert_eq!(rows(aggregator, Rows::Csv), HEADER.to_owned() + "true,,,,,,\n");
    // Without a key to tell persons apart there is no result at all.
    let mut aggregator = Aggregator::new(&spec, 10);
    feed(&mut aggregator, &few);
    assert_eq!(aggregator.finish(&mut SecretBuf::new(), Rows::Csv), Err(FieldError::TooMany));
}

#[test]
fn small_groups_are_merged_and_their_number_does_not_show() {
    let two = ["A", "A", "B", "B"].map(|city| texts(&[city, "3"]));
    let four = ["A", "B", "C", "D"].map(|city| texts(&[city, "3"]));
    let expected = HEADER.to_owned() + "true,,3,3,3,4,12\n";
    assert_eq!(aggregate(&spec(&["city"], 3), &two), expected);
    assert_eq!(aggregate(&spec(&["city"], 3), &four), expected);
}

#[test]
fn merged_groups_below_the_threshold_show_no_number_and_none_of_how_many() {
    let withheld = HEADER.to_owned() + "true,,,,,,\n";
    let records = ["A", "B", "C"].map(|city| texts(&[city, "3"]));
    assert_eq!(aggregate(&spec(&["city"], 4), &records), withheld);
    assert_eq!(aggregate(&spec(&["city"], 4), &records[..1]), withheld);
}

#[test]
fn one_group_of_all_below_the_threshold_looks_like_one_of_nobody() {
    let withheld = "suppressed,max,mean,min,people,sum\ntrue,,,,,\n";
    let records = vec![texts(&["3"]); 4];
    assert_eq!(aggregate(&spec(&[], 5), &records), withheld);
    assert_eq!(aggregate(&spec(&[], 5), &[]), withheld);
    assert_eq!(aggregate(&spec(&[], 1), &[]), "suppressed,max,mean,min,people,sum\nfalse,,,,0,0\n");
    assert_eq!(aggregate(&spec(&["city"], 5), &[]), HEADER);
}

#[test]
fn a_number_of_few_records_in_a_large_group_is_withheld() {
    let mut records = vec![texts(&["A", ""]); 10];
    records.extend([texts(&["A", "1000"]), texts(&["A", "2000"])]);
    assert_eq!(aggregate(&spec(&["city"], 3), &records), HEADER.to_owned() + "false,A,,,,12,\n");
    records.push(texts(&["A", "3000"]));
    assert_eq!(
        aggregate(&spec(&["city"], 3), &records),
        HEADER.to_owned() + "false,A,3000,2000,1000,13,6000\n"
    );
}

#[test]
fn many_values_of_one_record_do_not_make_up_for_records() {
    let many: Values<'_> =
        [vec![(0, Kind::Text, &b"A"[..])], vec![(1, Kind::Number, b"5"); 9]].concat();
    let records = [many.clone(), texts(&["A", ""]), texts(&["A", ""])];
    assert_eq!(aggregate(&spec(&["city"], 3), &records), HEADER.to_owned() + "false,A,,,,3,\n");
    // With a value each, all values count.
    let records = [many.clone(), many.clone(), many];
    assert_eq!(
        aggregate(&spec(&["city"], 3), &records),
        HEADER.to_owned() + "false,A,5,5,5,3,135\n"
    );
}

#[test]
fn absent_null_and_empty_are_one_group_and_no_number() {
    let records = [
        texts(&["", ""]),
        vec![(0, Kind::Null, &b"null"[..]), (1, Kind::Null, b"null")],
        vec![],
        vec![(1, Kind::Number, b"6")],
    ];
    assert_eq!(aggregate(&spec(&["city"], 1), &records), HEADER.to_owned() + "false,,6,6,6,4,6\n");
    assert_eq!(
        aggregate(&spec(&["city"], 1), &records[..3]),
        HEADER.to_owned() + "false,,,,,3,0\n"
    );
}

#[test]
fn no_value_can_pass_for_a_suppressed_row() {
    let forged = ["true", "true,,,,,,", "x\ntrue,,,,,,\n", "\"\ntrue", "x\r\ntrue"];
    let records: Vec<_> = forged.iter().map(|city| texts(&[city, "1"])).collect();
    let result = aggregate(&spec(&["city"], 1), &records);
    let mut reader = csv::Reader::from_reader(result.as_bytes());
    let mut read: Vec<String> = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        assert_eq!((&record[0], record.len()), ("false", 7));
        read.push(record[1].to_owned());
    }
    let mut forged = forged.map(str::to_owned);
    forged.sort();
    assert_eq!(read, forged);
}

#[test]
fn values_side_by_side_are_not_moved_against_each_other() {
    let records =
        [["ab", "c", "1"], ["a", "bc", "1"], ["a", "", "1"], ["", "a", "1"], ["ab", "b", "1"]];
    let result = aggregate(&spec(&["city", "area"], 1), &records.map(|record| texts(&record)));
    let groups: Vec<&str> = result.lines().skip(1).collect();
    assert_eq!(
        groups,
        [",a", "a,", "a,bc", "ab,b", "ab,c"].map(|group| format!("false,{group},1,1,1,1,1"))
    );
}

#[test]
fn nothing_of_a_bad_record_is_counted() {
    let mut aggregator = Aggregator::new(&spec(&["city"], 1), 10);
    let records = [
        texts(&["A", "1"]),
        vec![(1, Kind::Text, &b"900"[..]), (1, Kind::Text, b"x"), (0, Kind::Text, b"A")],
        vec![(0, Kind::Text, b"B"), (1, Kind::Text, b"800"), (0, Kind::Text, b"C")],
        texts(&["A", "2"]),
    ];
    let outcome = feed(&mut aggregator, &records);
    assert_eq!(outcome, [Ok(()), Err(FieldError::NotANumber), Err(FieldError::Several), Ok(())]);
    assert_eq!(rows(aggregator, Rows::Csv), HEADER.to_owned() + "false,A,2,1.5,1,2,3\n");
}

#[test]
fn values_that_cannot_be_judged_make_a_bad_record() {
    let long = "x".repeat(MAX_GROUP_VALUE + 1);
    for (field, kind, text, expected) in [
        (0, Kind::Nested, &b"[]"[..], FieldError::Nested),
        (0, Kind::Text, long.as_bytes(), FieldError::TooLong),
        (0, Kind::Text, b"\xff", FieldError::NotUtf8),
        (1, Kind::Nested, b"{}", FieldError::Nested),
        (1, Kind::Bool, b"true", FieldError::NotANumber),
        (1, Kind::Text, b"twelve", FieldError::NotANumber),
        (1, Kind::Text, b"1000000000000000000", FieldError::NotANumber),
    ] {
        let mut aggregator = Aggregator::new(&spec(&["city"], 1), 10);
        assert_eq!(feed(&mut aggregator, &[vec![(field, kind, text)]]), [Err(expected)]);
        assert_eq!(rows(aggregator, Rows::Csv), HEADER);
    }
}

#[test]
fn a_bad_record_is_bad_whether_or_not_it_fulfils_the_conditions() {
    let mut spec = spec(&["city"], 1);
    spec.conditions.push(condition("city", Test::Equals("A".to_owned())));
    let mut aggregator = Aggregator::new(&spec, 10);
    let bad = FieldError::NotANumber;
    let outcome = feed(&mut aggregator, &[texts(&["A", "x"]), texts(&["B", "x"])]);
    assert_eq!(outcome, [Err(bad.clone()), Err(bad)]);
}

#[test]
fn conditions_hold_for_what_they_say_only() {
    let text = str::to_owned;
    let cases = [
        (Test::Equals(text("5")), vec!["5"]),
        (Test::Not(text("5")), vec!["", "5.0", "10", "-3", "4.999999999"]),
        (Test::OneOf(vec![text("10"), text("-3")]), vec!["10", "-3"]),
        (Test::AtLeast(text("5")), vec!["5", "5.0", "10"]),
        (Test::Below(text("5")), vec!["-3", "4.999999999"]),
        (Test::AtLeast(text("five")), vec![]),
        (Test::Below(text("five")), vec![]),
        (Test::OneOf(vec![]), vec![]),
    ];
    for (test, fulfilling) in cases {
        let mut spec = spec(&[], 1);
        spec.compute = [("people".to_owned(), Compute::Count)].into();
        spec.conditions.push(condition("age", test.clone()));
        assert_eq!(Aggregator::fields(&spec), [column("age")]);
        for age in ["", "5", "5.0", "10", "-3", "4.999999999"] {
            let expected = u64::from(fulfilling.contains(&age));
            let result = aggregate(&spec, &[texts(&[age])]);
            assert_eq!(result, format!("suppressed,people\nfalse,{expected}\n"), "{test:?} {age}");
        }
        // What is not there fulfils nothing, not even `not`.
        for absent in [vec![], vec![(0, Kind::Null, &b"null"[..])]] {
            assert_eq!(aggregate(&spec, &[absent]), "suppressed,people\nfalse,0\n");
        }
    }
}

#[test]
fn all_conditions_have_to_hold() {
    let mut spec = spec(&["city"], 1);
    spec.conditions.push(condition("city", Test::Not("A".to_owned())));
    spec.conditions.push(condition("city", Test::Not("B".to_owned())));
    spec.conditions.push(condition("pay", Test::AtLeast("2".to_owned())));
    assert_eq!(Aggregator::fields(&spec), [column("city"), column("pay")]);
    let mut records = towns();
    records.push(texts(&["C", "1.99"]));
    assert_eq!(aggregate(&spec, &records), HEADER.to_owned() + "false,C,7,7,7,1,7\n");
}

#[test]
fn one_group_more_than_may_be_spoils_the_result_and_not_the_memory() {
    let mut aggregator = Aggregator::new(&spec(&["city"], 1), 2);
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let records: Vec<_> = names.iter().map(|name| texts(&[name, "1"])).collect();
    let outcome = feed(&mut aggregator, &records);
    assert!(outcome[..2].iter().all(Result::is_ok));
    assert!(outcome[2..].iter().all(|one| *one == Err(FieldError::TooMany)));
    assert!(aggregator.memory() < 2000, "{}", aggregator.memory());
    let mut out = SecretBuf::new();
    assert_eq!(aggregator.finish(&mut out, Rows::Csv), Err(FieldError::TooMany));
    assert!(out.is_empty());
}

#[test]
fn memory_grows_with_groups_and_not_with_records() {
    let mut aggregator = Aggregator::new(&spec(&["city"], 1), 10);
    feed(&mut aggregator, &towns());
    let memory = aggregator.memory();
    assert!(memory >= 3 * size_of::<Group>(), "{memory}");
    feed(&mut aggregator, &towns());
    assert_eq!(aggregator.memory(), memory);
}

/// Numbers of a group, in thousandths, as anyone would write them down.
fn naive(records: &[(String, String, Option<i64>)], threshold: usize) -> Vec<Vec<String>> {
    let mut groups: std::collections::BTreeMap<(&str, &str), Vec<Option<i64>>> = [].into();
    for (city, area, pay) in records {
        groups.entry((city, area)).or_default().push(*pay);
    }
    let number = |thousandths: i64| {
        let text = format!("{}.{:03}", thousandths.abs() / 1000, thousandths.abs() % 1000);
        let sign = if thousandths < 0 { "-" } else { "" };
        format!("{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let row = |suppressed: bool, key: (&str, &str), pays: &[Option<i64>]| {
        let known: Vec<i64> = pays.iter().flatten().copied().collect();
        let shown = |text: String| {
            if known.len() < threshold && threshold > 1 { String::new() } else { text }
        };
        let some = |value: Option<i64>| shown(value.map(number).unwrap_or_default());
        let sum = known.iter().sum();
        let mut row = vec![suppressed.to_string(), key.0.to_owned(), key.1.to_owned()];
        row.extend([some(known.iter().max().copied()), some(known.iter().min().copied())]);
        row.extend([pays.len().to_string(), shown(number(sum))]);
        row
    };
    let (large, small): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(_, pays)| pays.len() >= threshold);
    let mut rows: Vec<_> = large.iter().map(|(key, pays)| row(false, *key, pays)).collect();
    let rest: Vec<Option<i64>> = small.into_iter().flat_map(|(_, pays)| pays).collect();
    if rest.len() >= threshold {
        rows.push(row(true, ("", ""), &rest));
    } else if !rest.is_empty() {
        let withheld = std::iter::repeat_n(String::new(), 6);
        rows.push(std::iter::once("true".to_owned()).chain(withheld).collect());
    }
    rows
}

fn result_of(
    records: &[(String, String, Option<i64>)],
    threshold: u64,
    reversed: bool,
    form: Rows,
) -> String {
    let mut spec = spec(&["city", "area"], threshold);
    spec.compute.remove("mean");
    let pays: Vec<String> = records
        .iter()
        .map(|(_, _, pay)| pay.map(|pay| format!("{pay}e-3")).unwrap_or_default())
        .collect();
    let mut values: Vec<_> =
        records.iter().zip(&pays).map(|((city, area, _), pay)| texts(&[city, area, pay])).collect();
    if reversed {
        values.reverse();
    }
    let mut aggregator = Aggregator::new(&spec, 1000);
    assert!(feed(&mut aggregator, &values).iter().all(Result::is_ok));
    rows(aggregator, form)
}

/// Few cities, so that there are groups; any text, so that it has to be escaped.
fn records() -> impl Strategy<Value = Vec<(String, String, Option<i64>)>> {
    let city = prop_oneof![6 => "[ab]{0,2}", 1 => "\\PC{0,4}", 1 => "[\"\\\\,\n\r\0\u{1f}]{0,3}"];
    let pay = proptest::option::of(-100_000_000_000..100_000_000_000_i64);
    proptest::collection::vec((city, "[xy]?", pay), 0..60)
}

proptest! {
    #[test]
    fn results_are_those_of_a_naive_computation(records in records(), threshold in 1..8_usize) {
        let size = u64::try_from(threshold).unwrap();
        let result = result_of(&records, size, false, Rows::Csv);
        let mut reader = csv::ReaderBuilder::new().from_reader(result.as_bytes());
        let read: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(read, naive(&records, threshold));
    }

    #[test]
    fn the_order_of_records_does_not_show(records in records(), threshold in 1..8_u64) {
        let result = |reversed| result_of(&records, threshold, reversed, Rows::Csv);
        prop_assert_eq!(result(false), result(true));
    }

    #[test]
    fn json_rows_say_what_csv_rows_say(records in records(), threshold in 1..8_usize) {
        let size = u64::try_from(threshold).unwrap();
        let result = result_of(&records, size, false, Rows::Ndjson);
        let read: Vec<Vec<String>> = result
            .lines()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let names = ["suppressed", "city", "area", "max", "min", "people", "sum"];
                let text = |name| match &row[name] {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text.clone(),
                    // Reading 0.1 as a double and writing it gives 0.1 again.
                    serde_json::Value::Number(number) if number.is_f64() => number.to_string(),
                    other => other.to_string(),
                };
                names.map(text).to_vec()
            })
            .collect();
        prop_assert_eq!(read, naive(&records, threshold));
    }
}

/// `cargo test --release --lib -- --ignored time_per_record --nocapture`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement is for whoever asks for it")]
fn time_per_record() {
    let pays: Vec<String> =
        (0..1000).map(|n| format!("{}.{:02}", n * 7919 % 100_000, n % 100)).collect();
    for groups in [1, 100, 10_000] {
        let cities: Vec<String> =
            (0..groups).map(|n| format!("city-{}", n * 7919 % groups)).collect();
        let mut aggregator = Aggregator::new(&spec(&["city"], 10), 100_000);
        let mut new = SecretBuf::new();
        let start = std::time::Instant::now();
        let records = 2_000_000_u32;
        let values = cities.iter().cycle().zip(pays.iter().cycle()).take(2_000_000);
        for (city, pay) in values {
            aggregator.begin();
            for (field, text) in [city, pay].into_iter().enumerate() {
                let value = Value { kind: Kind::Text, text: text.as_bytes() };
                aggregator.field(field, value, &mut new).unwrap();
            }
            aggregator.end().unwrap();
        }
        let per_record = start.elapsed() / records;
        let memory = aggregator.memory();
        eprintln!("{groups} groups: {per_record:?} a record, {memory} bytes");
    }
}
