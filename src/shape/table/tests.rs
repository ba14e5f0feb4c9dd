//! Tables do to any input what a plain program does to it: the same calls, the
//! same bytes, the same errors of the same records.

use super::*;
use crate::manifest::fields::{FieldPath, Shape};
use crate::shape::{Counts, MissingFields, RecordError, Records};
use plainly::Plainly;
use proptest::prelude::*;

mod plainly;

/// Notes what it is told, and answers by the value's first byte.
#[derive(Clone, Default)]
struct Notes {
    said: Vec<String>,
    drops: Option<usize>,
}

impl Visitor for Notes {
    fn begin(&mut self) {
        self.said.push("begin".to_owned());
    }

    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        self.said.push(format!("{field}={}", String::from_utf8_lossy(value.text)));
        new.extend_from_slice(value.text);
        match value.text {
            [b'x', ..] => Ok(Edit::Keep),
            [b'y', ..] => Err(FieldError::TooLong),
            [b'z', ..] => Ok(Edit::Drop),
            [b'\r', ..] if field == 0 => Ok(Edit::Keep),
            _ => Ok(Edit::Text),
        }
    }

    fn drops(&self, field: usize) -> bool {
        self.drops == Some(field)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        self.said.push("end".to_owned());
        let refused = self.said.len().is_multiple_of(7);
        if refused { Err((0, FieldError::TooMany)) } else { Ok(()) }
    }
}

/// What there is to compare.
type Outcome = (Result<Counts, RecordError>, Vec<u8>, Vec<String>);

/// Has `process` deal with `input`, handed over in pieces cut at `cuts`.
fn run(
    input: &[u8],
    cuts: &[usize],
    mut process: impl FnMut(&[u8], bool, &mut SecretBuf) -> Result<usize, RecordError>,
) -> (Result<(), RecordError>, Vec<u8>) {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    bounds.push(input.len());
    bounds.sort_unstable();
    let (mut out, mut from) = (SecretBuf::new(), 0);
    let steps = bounds.iter().map(|bound| (*bound, false)).chain([(input.len(), true)]);
    for (bound, at_end) in steps {
        match process(&input[from..bound], at_end, &mut out) {
            Ok(used) => from += used,
            Err(problem) => return (Err(problem), out.expose().to_vec()),
        }
    }
    assert_eq!(from, input.len(), "something was left over");
    (Ok(()), out.expose().to_vec())
}

fn fast(layout: &Layout, writing: bool, notes: &Notes, input: &[u8], cuts: &[usize]) -> Outcome {
    let (mut records, mut notes) = (Records::new(layout.clone()), notes.clone());
    let (done, out) = run(input, cuts, |input, at_end, out| {
        records.process(input, at_end, &mut notes, writing.then_some(out))
    });
    (done.map(|()| records.counts()), out, notes.said)
}

fn plain(layout: &Layout, writing: bool, notes: &Notes, input: &[u8], cuts: &[usize]) -> Outcome {
    let (mut records, mut notes) = (Plainly::new(layout.clone()), notes.clone());
    let (done, out) = run(input, cuts, |input, at_end, out| {
        records.process(input, at_end, &mut notes, writing.then_some(out))
    });
    (done.map(|()| records.counts), out, notes.said)
}

/// Anything, with much of what means something.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let meaning: [&[u8]; 22] = [
        b",",
        b",",
        b",",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\"",
        b"\"",
        b"\"\"",
        b"\",\"",
        b"\"\n",
        b"1,2,3\n",
        b"x,\"4,\"\"\",5\r\n",
        b",,\n",
        b"\"\",,\"x\"\n",
        b"x",
        b"y",
        b"z",
        b"\xef\xbb\xbf",
        b"\xff",
        b"-",
    ];
    prop_oneof![
        8 => prop::sample::select(meaning.to_vec()).prop_map(<[u8]>::to_vec),
        2 => "[a-w]{1,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

/// Mostly right header rows; rows as they come.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let headers: [&[u8]; 8] = [
        b"a,b,c\n",
        b"a,b,c\n",
        b"\xef\xbb\xbfb,c,a\r\n",
        b"\n\"a\",b,d,e,c,f\n",
        b"b,a\n",
        b"a\n",
        b"d,e,a,f,g,\"b\",h\n",
        b"",
    ];
    let rows = prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat());
    (prop::sample::select(headers.to_vec()), rows)
        .prop_map(|(header, rows)| [header, &rows].concat())
}

fn layout() -> impl Strategy<Value = Layout> {
    let names: [&[&str]; 6] =
        [&["a"], &["b", "a"], &["a", "b", "a"], &["c", "a"], &["a", "a"], &[]];
    let max_record = prop_oneof![Just(1000usize), 1usize..60];
    (prop::sample::select(names.to_vec()), any::<bool>(), any::<bool>(), max_record).prop_map(
        |(names, keep, drop, max_record)| Layout {
            shape: Shape::Csv,
            fields: names.iter().map(|name| FieldPath::Column((*name).to_owned())).collect(),
            unknown: if keep { UnknownFields::Keep } else { UnknownFields::Drop },
            missing: MissingFields::Refuse,
            bad_records: if drop { BadRecords::Drop } else { BadRecords::Refuse },
            max_record,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_table_does_to_any_input_what_a_plain_program_does(
        input in input(),
        layout in layout(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        drops in prop::option::of(0usize..3),
        writing: bool,
    ) {
        let notes = Notes { said: Vec::new(), drops };
        let ours = fast(&layout, writing, &notes, &input, &cuts);
        prop_assert_eq!(&ours, &plain(&layout, writing, &notes, &input, &cuts));
    }

    #[test]
    fn rows_longer_than_any_block_are_cut_as_a_plain_program_cuts_them(
        rows in prop::collection::vec(prop::array::uniform3(("[a-w]{0,100}", any::<bool>())), 0..20),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        writing: bool,
        keep: bool,
    ) {
        let mut input = b"a,b,c\n".to_vec();
        for row in rows {
            let field = |(text, quoted): &(String, bool)| {
                if *quoted { format!("\"{text},\"\"\n\"") } else { text.clone() }
            };
            input.extend_from_slice(row.each_ref().map(field).join(",").as_bytes());
            input.push(b'\n');
        }
        let layout = Layout {
            shape: Shape::Csv,
            fields: vec![FieldPath::Column("b".to_owned())],
            unknown: if keep { UnknownFields::Keep } else { UnknownFields::Drop },
            missing: MissingFields::Refuse,
            bad_records: BadRecords::Drop,
            max_record: 1000,
        };
        let notes = Notes::default();
        let ours = fast(&layout, writing, &notes, &input, &cuts);
        prop_assert!(ours.0.is_ok());
        prop_assert_eq!(&ours, &plain(&layout, writing, &notes, &input, &cuts));
    }
}
