use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;
use crate::manifest::fields::{BadRecords, Shape, UnknownFields};
use crate::manifest::operations::AggregateSpec;
use crate::operation::aggregate::tests::{column, spec};
use crate::shape::MissingFields;

/// An aggregate, and how it comes.
#[derive(Clone, Debug)]
struct Case {
    per: bool,
    threshold: u64,
    max_groups: usize,
    bad_records: BadRecords,
    max_record: usize,
    shape: Shape,
    /// Lengths of the pieces.
    pieces: Vec<usize>,
    parts: [usize; 2],
}

const CASE: Case = Case {
    per: false,
    threshold: 1,
    max_groups: 100,
    bad_records: BadRecords::Refuse,
    max_record: 1 << 20,
    shape: Shape::Csv,
    pieces: Vec::new(),
    parts: [1, 64],
};

impl Case {
    fn aggregation(&self, helpers: Option<&Helpers>) -> Aggregation {
        let per = self.per.then(|| column("person"));
        let spec = AggregateSpec { per, ..spec(&["city", "area"], self.threshold) };
        let layout = Layout {
            shape: self.shape,
            fields: Aggregator::fields(&spec),
            unknown: UnknownFields::Drop,
            missing: MissingFields::Allow,
            bad_records: self.bad_records,
            max_record: self.max_record,
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let aggregator = Aggregator::new(&spec, self.max_groups).with_key(key);
        let mut aggregation = Aggregation::new(layout, aggregator, self.max_groups);
        aggregation.parts = self.parts;
        if let Some(helpers) = helpers {
            aggregation.help(helpers);
        }
        aggregation
    }

    /// The result, and what there was; or what was wrong.
    fn run(&self, text: &str, helpers: Option<&Helpers>) -> Result<(String, Counts), String> {
        let mut aggregation = self.aggregation(helpers);
        let (mut input, mut rest) = (SecretBuf::new(), text.as_bytes());
        for len in self.pieces.iter().chain(std::iter::repeat(&100)) {
            let (piece, behind) = rest.split_at((*len).min(rest.len()));
            input.extend_from_slice(piece);
            rest = behind;
            aggregation.process(&mut input, false).map_err(|error| error.to_string())?;
            if rest.is_empty() {
                break;
            }
        }
        aggregation.process(&mut input, true).map_err(|error| error.to_string())?;
        assert!(input.is_empty());
        let mut out = SecretBuf::new();
        let counts = aggregation.finish(&mut out, Rows::Csv).map_err(|error| error.to_string())?;
        Ok((String::from_utf8(out.expose().to_vec()).unwrap(), counts))
    }

    /// With a helper it is what it is without.
    fn check(&self, text: &str) -> Result<(String, Counts), String> {
        let helpers = Helpers::new(1);
        let alone = self.run(text, None);
        assert_eq!(self.run(text, Some(&helpers)), alone, "{self:?} {text:?}");
        assert!(helpers.take().is_some(), "the helper is still there");
        alone
    }
}

const HEADER: &str = "city,area,pay,person\n";

/// So many rows of so many groups.
fn rows(count: usize, groups: usize) -> String {
    let row = |n: usize| format!("city-{},\"x\ny\",{}.5,p{}\n", n % groups, n, n % 7);
    HEADER.to_owned() + &(0..count).map(row).collect::<String>()
}

#[test]
fn both_readers_read_and_the_result_is_that_of_one() {
    let case = Case { threshold: 3, ..CASE };
    let (_, counts) = case.check(&rows(1000, 30)).unwrap();
    assert_eq!(counts, Counts { records: 1000, dropped: 0 });

    let helpers = Helpers::new(1);
    let mut aggregation = case.aggregation(Some(&helpers));
    let mut input = SecretBuf::new();
    input.extend_from_slice(rows(1000, 30).as_bytes());
    aggregation.process(&mut input, false).unwrap();
    let team = aggregation.team.as_ref().unwrap();
    assert!(team.parts > 100 && helpers.take().is_none());
    assert!(aggregation.memory() > aggregation.own.memory());
    aggregation.process(&mut input, true).unwrap();
    assert!(helpers.take().is_some());
}

#[test]
fn persons_that_both_readers_have_seen_are_counted_once() {
    // Seven persons, each with many records in every group.
    let text = rows(3000, 3);
    for (threshold, shown) in [(7, true), (8, false)] {
        let case = Case { per: true, threshold, ..CASE };
        let (result, _) = case.check(&text).unwrap();
        assert_eq!(result.contains("city-1"), shown, "{result}");
    }
}

#[test]
fn an_error_has_the_number_of_its_record_whoever_reads_it() {
    for at in [0, 1, 7, 100, 499, 500] {
        for bad in ["a,b,many,p", "a,b,1", "a,b\"c,1,p", "a,\"b\"c,1,p", "a,b,1\r,p"] {
            let behind = rows(500 - at, 5);
            let text = rows(at, 5) + bad + "\n" + behind.strip_prefix(HEADER).unwrap();
            let error = CASE.check(&text).unwrap_err();
            assert!(error.starts_with(&format!("record {}: ", at + 2)), "{error}");
        }
    }
}

#[test]
fn bad_records_that_are_left_out_are_counted_by_both() {
    let case = Case { bad_records: BadRecords::Drop, ..CASE };
    let text: String = (0..600).map(|n| format!("a,b,{},p\n", ["1", "x"][n % 2])).collect();
    let (_, counts) = case.check(&(HEADER.to_owned() + &text)).unwrap();
    assert_eq!(counts, Counts { records: 300, dropped: 300 });
}

#[test]
fn one_group_more_than_may_be_is_an_error_of_its_first_record() {
    for groups in [1, 2, 40, 41, 300] {
        let text = rows(groups, groups);
        let exact = Case { max_groups: groups, ..CASE };
        exact.check(&text).unwrap();
        for fewer in [groups / 2, groups - 1] {
            let case = Case { max_groups: fewer.max(1), ..CASE };
            if fewer >= 1 {
                let error = case.check(&text).unwrap_err();
                assert!(error.starts_with(&format!("record {}: ", fewer + 2)), "{error}");
                let case = Case { bad_records: BadRecords::Drop, ..case };
                assert_eq!(case.check(&text), Err(FieldError::TooMany.to_string()));
            }
        }
    }
}

#[test]
fn records_longer_than_a_part_are_read_whole_and_those_too_long_are_refused() {
    let long = format!("city,\"{}\",1,p\n", "y\n".repeat(400));
    let text = rows(50, 5) + &long + rows(50, 5).strip_prefix(HEADER).unwrap();
    let (_, counts) = CASE.check(&text).unwrap();
    assert_eq!(counts.records, 101);
    let case = Case { max_record: 500, ..CASE };
    let error = case.check(&text).unwrap_err();
    assert!(error.starts_with("record 52: the record is longer"), "{error}");
}

#[test]
fn lines_that_are_too_long_are_left_out_however_they_come() {
    let line = |n: usize| {
        format!("{{\"city\":\"c{}\",\"area\":\"\",\"pay\":{n},\"person\":\"p\"}}\n", n % 5)
    };
    let lines = |count: usize| (0..count).map(line).collect::<String>();
    let text = lines(50) + &"x".repeat(900) + "\n" + &lines(50);
    let fields = |case: Case| Case { shape: Shape::Ndjson, ..case };
    let case = fields(Case { max_record: 300, bad_records: BadRecords::Drop, ..CASE });
    let (helpers, alone) = (Helpers::new(1), case.run(&text, None));
    assert_eq!(case.run(&text, Some(&helpers)), alone);
    let case = fields(CASE);
    assert_eq!(case.run(&text, Some(&helpers)), case.run(&text, None));
}

#[test]
fn who_gets_no_helper_does_it_alone() {
    let text = rows(500, 30);
    assert_eq!(CASE.run(&text, Some(&Helpers::new(0))), CASE.run(&text, None));
    for start in ["", "\n\r\n", "\u{feff}", "\u{feff}\n"] {
        CASE.check(&(start.to_owned() + &text)).unwrap();
    }
    // A second mark is part of a name, to both.
    assert!(CASE.check(&format!("\u{feff}\u{feff}{text}")).is_err());
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ab]{0,2}",
        2 => "\"([ab\n,]|\"\"){0,4}\"",
        1 => "[\"\r\n,]{0,3}",
    ]
}

fn row() -> impl Strategy<Value = String> {
    let pay = prop_oneof![20 => "-?[0-9]{1,5}(\\.[0-9]{1,2})?", 1 => "[a-z]?"];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")];
    (field(), "[xy]?", pay, "[pqr]", end)
        .prop_map(|(city, area, pay, person, end)| format!("{city},{area},{pay},{person}{end}"))
}

fn case() -> impl Strategy<Value = Case> {
    (
        any::<bool>(),
        1..5_u64,
        prop_oneof![1..12_usize, Just(1000)],
        prop_oneof![Just(BadRecords::Refuse), Just(BadRecords::Drop)],
        proptest::collection::vec(1..200_usize, 0..8),
        (1..40_usize, 1..80_usize),
    )
        .prop_map(|(per, threshold, max_groups, bad_records, pieces, (min, max))| Case {
            per,
            threshold,
            max_groups,
            bad_records,
            pieces,
            parts: [min, max.max(min)],
            ..CASE
        })
}

proptest! {
    /// Well-formed rows and others: the result, or the error with its number.
    #[test]
    fn two_readers_say_what_one_says(
        case in case(),
        rows in proptest::collection::vec(row(), 0..60),
    ) {
        let _ = case.check(&(HEADER.to_owned() + &rows.concat()));
    }
}
