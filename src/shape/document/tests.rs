//! The walk against its oracle: the same output, the same values handed over and
//! the same errors, on any bytes and however they arrive.

use super::*;
use crate::manifest::fields::{BadRecords, Pointer, Shape};
use crate::shape::records::Step;
use crate::shape::{Edit, FieldError, Kind, Value, array, lines};
use proptest::prelude::*;

/// Edits by field and value, and remembers what it was given.
#[derive(Default)]
struct Scribe {
    record: Vec<(usize, Kind, Vec<u8>)>,
    records: Vec<Vec<(usize, Kind, Vec<u8>)>>,
    edits: Vec<Option<Edit>>,
}

impl Visitor for Scribe {
    fn begin(&mut self) {
        self.record.clear();
    }

    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        self.record.push((field, value.kind, value.text.to_vec()));
        let edit = self.edits[field % self.edits.len()].ok_or(FieldError::TooLong)?;
        match edit {
            Edit::Text => {
                new.extend_from_slice(b"new \"\n\xc3\xa9");
                new.extend_from_slice(value.text);
            }
            Edit::Json => new.extend_from_slice(b"[ {} ]"),
            Edit::Keep | Edit::Drop => {}
        }
        Ok(edit)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        if self.record.len() > 6 {
            return Err((0, FieldError::TooMany));
        }
        self.records.push(std::mem::take(&mut self.record));
        Ok(())
    }
}

/// A shape, ours or the oracle's.
enum Form {
    Lines(lines::Lines),
    Array(array::Array),
    OracleLines(oracle::lines::Lines),
    OracleArray(oracle::array::Array),
}

/// What came of an input.
#[derive(Debug, PartialEq)]
struct Outcome {
    out: String,
    records: Vec<Vec<(usize, Kind, Vec<u8>)>>,
    dropped: usize,
    problem: Option<RecordProblem>,
}

#[derive(Clone, Debug)]
struct Plan {
    layout: Layout,
    edits: Vec<Option<Edit>>,
    written: bool,
}

impl Plan {
    fn outcome(&self, oracle: bool, input: &[u8], cuts: &[usize]) -> Outcome {
        let layout = &self.layout;
        let mut form = match (oracle, layout.shape == Shape::Ndjson) {
            (false, true) => Form::Lines(lines::Lines::new(layout)),
            (false, false) => Form::Array(array::Array::new(layout)),
            (true, true) => Form::OracleLines(oracle::lines::Lines::new(layout)),
            (true, false) => Form::OracleArray(oracle::array::Array::new(layout)),
        };
        let mut scribe = Scribe { edits: self.edits.clone(), ..Scribe::default() };
        let mut out = SecretBuf::new();
        let mut dropped = 0;
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(input.len());
        let mut at = 0;
        let mut problem = None;
        'all: for (piece, end) in ends.iter().enumerate() {
            let at_end = piece + 1 == ends.len();
            loop {
                let mark = out.len();
                let written = self.written.then_some(&mut out);
                let mut target = Target { visitor: &mut scribe, out: written };
                let rest = &input[at..*end];
                let step = match &mut form {
                    Form::Lines(form) => form.step(layout, rest, at_end, &mut target),
                    Form::Array(form) => form.step(layout, rest, at_end, &mut target),
                    Form::OracleLines(form) => form.step(layout, rest, at_end, &mut target),
                    Form::OracleArray(form) => form.step(layout, rest, at_end, &mut target),
                };
                match step {
                    Ok(Step::None) => {
                        assert_eq!(mark, out.len(), "part of a record was left behind");
                        break;
                    }
                    Ok(Step::Between(len) | Step::Record(len)) => at += len,
                    Ok(Step::Bad(len, _)) if layout.bad_records == BadRecords::Drop => {
                        out.truncate(mark);
                        dropped += 1;
                        at += len;
                    }
                    Ok(Step::Bad(_, bad)) | Err(bad) => {
                        out.truncate(mark);
                        problem = Some(bad);
                        break 'all;
                    }
                }
            }
        }
        assert!(problem.is_some() || at == input.len(), "something was left over");
        let out = String::from_utf8(out.expose().to_vec()).unwrap();
        Outcome { out, records: scribe.records, dropped, problem }
    }

    fn same(&self, input: &[u8], cuts: &[usize]) -> Outcome {
        let ours = self.outcome(false, input, cuts);
        let theirs = self.outcome(true, input, cuts);
        assert_eq!(ours, theirs, "{self:?} of {:?}", String::from_utf8_lossy(input));
        ours
    }
}

const PATHS: [&str; 12] = [
    "/a",
    "/b/a",
    "/b/*",
    "/c/b/c",
    "/0",
    "/*/a",
    "/1/b",
    "/long-name/a",
    "/long-name-2",
    "/é",
    "/a/b",
    "/",
];

prop_compose! {
    fn any_plan()(
        paths in prop::sample::subsequence(&PATHS[..], 1..6),
        edits in prop::collection::vec(prop_oneof![
            8 => Just(Some(Edit::Keep)), 4 => Just(Some(Edit::Text)), 2 => Just(Some(Edit::Drop)),
            2 => Just(Some(Edit::Json)), 1 => Just(None),
        ], 1..4),
        ndjson: bool, keep: bool, refuse: bool, drop: bool, written: bool,
        max_record in prop_oneof![Just(40_usize), Just(1 << 16)],
    ) -> Plan {
        Plan {
            layout: Layout {
                shape: if ndjson { Shape::Ndjson } else { Shape::Json },
                fields: paths.iter().map(|p| FieldPath::Pointer(Pointer::parse(p).unwrap())).collect(),
                unknown: if keep { UnknownFields::Keep } else { UnknownFields::Drop },
                missing: if refuse { MissingFields::Refuse } else { MissingFields::Allow },
                bad_records: if drop { BadRecords::Drop } else { BadRecords::Refuse },
                max_record,
            },
            edits,
            written,
        }
    }
}

/// JSON text as a producer may write it: with white space, escapes, names that
/// occur twice, numbers of any size, halves of surrogate pairs.
fn any_text() -> impl Strategy<Value = String> {
    let string = r#"([a-c0é😀 /]|\\["\\/bfnrt]|\\u00(61|e9|0a)|\\ud83d\\ude00|\\ud800){0,9}"#;
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        string.prop_map(|inner| format!("\"{inner}\"")),
    ];
    let name = prop_oneof![
        12 => "[abc01]",
        2 => Just("long-name".to_owned()),
        2 => Just("long-name-2".to_owned()),
        1 => Just("\\u0061".to_owned()),
        1 => Just("é".to_owned()),
        1 => Just("\\u00e9".to_owned()),
        1 => "[a-e]{7,9}",
        1 => Just(String::new()),
        1 => string,
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let space = "( |  |\t|\r){0,1}";
        let member = (name.clone(), inner.clone(), space, space)
            .prop_map(|(name, value, a, b)| format!("{a}\"{name}\"{b}:{a}{value}{b}"));
        let element = (inner, space).prop_map(|(value, a)| format!("{a}{value}{a}"));
        prop_oneof![
            prop::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
            prop::collection::vec(element, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
        ]
    })
}

/// Records as the shape has them.
fn joined(records: &[String], shape: Shape, feed: &str) -> Vec<u8> {
    match shape {
        Shape::Ndjson => records.join(feed).into_bytes(),
        _ => format!("{feed}[{}]{feed}", records.join(&format!("{feed},"))).into_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_records_come_out_as_from_the_oracle(
        plan in any_plan(),
        records in prop::collection::vec(any_text(), 0..5),
        feed in "(\n|\r\n|\n\n)",
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let input = joined(&records, plan.layout.shape, &feed);
        plan.same(&input, &cuts);
        plan.same(&records.concat().into_bytes(), &cuts);
    }

    #[test]
    fn changed_bytes_come_out_as_from_the_oracle(
        plan in any_plan(),
        records in prop::collection::vec(any_text(), 1..4),
        feed in "(\n|\r\n)",
        cuts in prop::collection::vec(any::<usize>(), 0..3),
        changes in prop::collection::vec((any::<usize>(), 0..4_u8, prop_oneof![
            any::<u8>(), prop::sample::select(&b"{}[]\",:\\ \n\r\t019-+.eEutfn\0\x1f\x7f\x80\xc3\xa9\xed\xf0"[..])]), 1..3),
    ) {
        let mut input = joined(&records, plan.layout.shape, &feed);
        for (at, how, byte) in changes {
            let at = at % (input.len() + 1);
            match how {
                0 => input.insert(at, byte),
                1 if at < input.len() => input[at] = byte,
                2 if at < input.len() => { input.remove(at); }
                3 if at < input.len() => input[at] ^= 1 << (byte % 8),
                _ => {}
            }
        }
        plan.same(&input, &cuts);
    }

    #[test]
    fn any_bytes_come_out_as_from_the_oracle(
        plan in any_plan(), input in prop::collection::vec(any::<u8>(), 0..64),
        soup in "[\\[\\]{}\",:\\\\a10\n \\-.eu]{0,40}",
    ) {
        plan.same(&input, &[]);
        plan.same(soup.as_bytes(), &[]);
    }
}

/// The place of a flaw in a record, and of the first that is reported.
#[test]
fn what_is_wrong_first_is_what_the_oracle_says() {
    let path = |path: &&str| FieldPath::Pointer(Pointer::parse(path).unwrap());
    let records = [
        r#"{"a":1,"a":2,"x"}"#,
        r#"{"b":{"a":1,"a":2,"x"}}"#,
        r#"{"b":{"a":1,"a":2},"x"}"#,
        r#"{"b":{"a":"\ud800"},"x":01}"#,
        r#"{"b":{"a":"\ud800","x":01}}"#,
        r#"{"b":{"\ud800":01}}"#,
        r#"{"\ud800":01}"#,
        r#"{"\ud800":1,01}"#,
        r#"{"b":{"c":1}01}"#,
        r#"{"b":{}}x"#,
        r#"{}x"#,
        "{\"a\":1,\"a\":2,\"\u{e9}\"}",
        r#"[{"a":1,"a":2},01]"#,
        r#"[{"a":1,"a":2,01}]"#,
        r#"[1,[2]x]"#,
        r#"1 "#,
        r#"1 2"#,
        r#""" x"#,
    ];
    for shape in [Shape::Ndjson, Shape::Json] {
        for unknown in [UnknownFields::Keep, UnknownFields::Drop] {
            for missing in [MissingFields::Allow, MissingFields::Refuse] {
                let layout = Layout {
                    shape,
                    fields: ["/a", "/b/a", "/*/a"].iter().map(path).collect(),
                    unknown,
                    missing,
                    bad_records: BadRecords::Refuse,
                    max_record: 100,
                };
                let plan = Plan { layout, edits: vec![Some(Edit::Text)], written: true };
                for record in records {
                    for tail in [&b""[..], b"\xff", b"\xc3"] {
                        plan.same(&[record.as_bytes(), tail].concat(), &[]);
                        let listed = [b"[", record.as_bytes(), tail, b"]\n"].concat();
                        plan.same(&listed, &[]);
                    }
                }
            }
        }
    }
}

#[test]
fn many_names_are_told_apart_by_every_byte() {
    let names: Vec<String> = (0..40)
        .map(|n| format!("{}{}", "name-of-a-member"[..n % 17].to_owned(), n))
        .chain(["\0".into(), "\0\0".into(), String::new()])
        .collect();
    for count in [3, 16, 17, names.len()] {
        let paths: Vec<FieldPath> = names[..count]
            .iter()
            .map(|name| FieldPath::Pointer(Pointer::parse(&format!("/{name}")).unwrap()))
            .collect();
        let layout = Layout {
            shape: Shape::Ndjson,
            fields: paths,
            unknown: UnknownFields::Keep,
            missing: MissingFields::Allow,
            bad_records: BadRecords::Refuse,
            max_record: 4096,
        };
        let plan = Plan { layout, edits: vec![Some(Edit::Keep)], written: false };
        for name in &names {
            let json = serde_json::json!({ name: 1 }).to_string();
            for record in [json.clone(), json.replace("\"}", "x\"}"), json.replace("{\"", "{\"x")] {
                plan.same(record.as_bytes(), &[]);
            }
        }
    }
}
