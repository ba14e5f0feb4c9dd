//! Records with encrypted fields are looked at twice, and a third time where the
//! fields are encrypted anew. All looks see the same records and the same fields:
//! else what one opens another would not find, and leave in the clear.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use strongroom::manifest::fields::{BadRecords, FieldPath, Pointer, Shape, UnknownFields};
use strongroom::shape::{Edit, FieldError, Layout, MissingFields, Records, Value, Visitor};
use strongroom_envelope::SecretBuf;

/// What fields open to: secrets around all that could be taken for their end.
const OPENED: &[&[u8]] = &[b"P", b"P,P", b"P\nP", b"P\r\nP", b"P\"P", b"P\",\"P", b"P\\\"P"];

/// The look that finds data keys; `!` is no ciphertext.
struct Seek;

/// The look that opens; `?` does not.
struct Open(&'static [u8]);

/// The look that encrypts anew.
struct Encrypt;

impl Visitor for Seek {
    fn field(&mut self, _: usize, value: Value<'_>, _: &mut SecretBuf) -> Result<Edit, FieldError> {
        match value.text.contains(&b'!') {
            true => Err(FieldError::NotACiphertext),
            false => Ok(Edit::Keep),
        }
    }
}

impl Visitor for Open {
    fn field(
        &mut self,
        _: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        match value.text {
            text if text.contains(&b'!') => Err(FieldError::NotACiphertext),
            text if text.contains(&b'?') => Err(FieldError::NotOpened),
            [] => Ok(Edit::Keep),
            _ => {
                new.extend_from_slice(self.0);
                Ok(Edit::Text)
            }
        }
    }
}

impl Visitor for Encrypt {
    fn field(
        &mut self,
        _: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        if value.text.is_empty() || value.text == b"null" {
            return Ok(Edit::Keep);
        }
        new.extend_from_slice(b"C");
        Ok(Edit::Text)
    }
}

const CSV: &[&str] = &[
    "a", "b", ",", "\n", "\r\n", "\"", "\"\"", "!", "?", "\u{feff}", "x", "\r", "\0", "a,b\n",
    "\"a\",", "1,2\n",
];

const JSON: &[&str] = &[
    "{\"a\":\"x\"}",
    "{\"a\":{\"b\":\"y\"}}",
    "{\"a\":\"?\"}",
    "{\"a\":\"!\"}",
    "{\"c\":1}",
    "{\"d\":[{\"e\":\"x\"},2]}",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"\\u0061\"",
    "\"?\"",
    "\"!\"",
    "\"b\"",
    "\"",
    "\\",
    "null",
    "1",
    " ",
    "\n",
    "\r",
    "\u{feff}",
];

const ROWS: &[&str] = &["x,1", "\"x\",y", "?,1", "!,1", ",1", "\"x,\ny\",1", "1", "x,1,2"];

/// Whole documents, which hardly come about by chance.
const DOCUMENTS: &[&str] = &[
    "{\"a\":\"x\"}",
    "{\"a\":\"?\"}",
    "{\"a\":\"!\"}",
    "{\"\\u0061\":\"x\"}",
    "{\"d\":[{\"e\":\"x\"},2]}",
    "{\"d\":[{\"e\":\"x\"},{\"e\":\"\"}],\"a\":\"x\"}",
    "{\"a\":{\"b\":\"y\"}}",
    "{\"a\":null}",
    "{\"c\":1}",
    "{\"a\":\"x\",}",
];

fn text() -> impl Strategy<Value = (Shape, String)> {
    let any_of = |shape, starts: &'static [&'static str], words: &'static [&'static str]| {
        (select(starts), prop::collection::vec(select(words), 0..14))
            .prop_map(move |(start, words)| (shape, start.to_owned() + &words.concat()))
    };
    let records = |shape, around: [&'static str; 3], words: &'static [&'static str]| {
        let [start, between, end] = around;
        prop::collection::vec(select(words), 0..6)
            .prop_map(move |words| (shape, start.to_owned() + &words.join(between) + end))
    };
    prop_oneof![
        any_of(Shape::Csv, &["", "a,b\n", "\u{feff}\"a\",b\n"], CSV),
        any_of(Shape::Ndjson, &[""], JSON),
        any_of(Shape::Json, &["", "[", "["], JSON),
        records(Shape::Csv, ["b,a\n", "\n", "\n"], ROWS),
        records(Shape::Csv, ["a,b\n", "\r\n", ""], ROWS),
        records(Shape::Ndjson, ["", "\n", "\n"], DOCUMENTS),
        records(Shape::Json, ["[", ",", "]"], DOCUMENTS),
    ]
}

fn layout(shape: Shape, bad_records: BadRecords, max_record: usize) -> Layout {
    let pointer = |text: &&str| FieldPath::Pointer(Pointer::parse(text).unwrap());
    let fields = match shape {
        Shape::Csv => vec![FieldPath::Column("a".into())],
        _ => ["/a", "/d/*/e"].iter().map(pointer).collect(),
    };
    let (unknown, missing) = (UnknownFields::Keep, MissingFields::Allow);
    Layout { shape, fields, unknown, missing, bad_records, max_record }
}

/// What the first two looks make of a stream, which must be cut alike; `None`
/// where either refuses it.
fn opened(layout: &Layout, bytes: &[u8], to: &'static [u8], pieces: &[Index]) -> Option<SecretBuf> {
    let drop = Layout { bad_records: BadRecords::Drop, ..layout.clone() };
    let (mut seeking, mut opening) = (Records::new(drop), Records::new(layout.clone()));
    let (mut held, mut out, mut rest) = (Vec::new(), SecretBuf::new(), bytes);
    let mut pieces = pieces.iter();
    loop {
        let at_end = rest.is_empty();
        let seen = seeking.process(&held, at_end, &mut Seek, None).ok()?;
        let used = opening.process(&held, at_end, &mut Open(to), Some(&mut out)).ok()?;
        assert_eq!(seen, used, "the looks are cut differently");
        held.drain(..used);
        if at_end {
            return Some(out);
        }
        let len = pieces.next().map_or(rest.len(), |piece| 1 + piece.index(rest.len().min(9)));
        let (piece, behind) = rest.split_at(len);
        held.extend_from_slice(piece);
        rest = behind;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_one_look_opens_the_next_ones_find(
        (shape, text) in text(),
        bad_records in select(&[BadRecords::Drop, BadRecords::Refuse][..]),
        max_record in select(&[8_usize, 20, 1000][..]),
        to in select(OPENED),
        pieces in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let layout = layout(shape, bad_records, max_record);
        let Some(clear) = opened(&layout, text.as_bytes(), to, &pieces) else { return Ok(()) };
        let layout = Layout { bad_records: BadRecords::Refuse, max_record: 4000, ..layout };
        let mut last = SecretBuf::new();
        let done = Records::new(layout).process(clear.expose(), true, &mut Encrypt, Some(&mut last));
        if done.is_ok() {
            let left = last.expose().contains(&b'P');
            prop_assert!(!left, "{}", String::from_utf8_lossy(last.expose()));
        }
    }
}
