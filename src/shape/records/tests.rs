//! Records for visitors that only read, and what a visitor can say.

use super::*;
use crate::manifest::fields::{FieldPath, Pointer, UnknownFields};
use crate::shape::{Edit, MissingFields, Value};

/// Notes what it is told.
#[derive(Default)]
struct Notes {
    said: Vec<String>,
    edit: Option<Edit>,
    refuse_end: bool,
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
        // Whatever came before is not the visitor's.
        assert!(new.expose().last().is_none_or(|last| b"\n,\"".contains(last)));
        new.extend_from_slice(b"a,\"b");
        self.said.push(format!("{field}{:?}={}", value.kind, String::from_utf8_lossy(value.text)));
        Ok(self.edit.unwrap_or(Edit::Keep))
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        self.said.push("end".to_owned());
        if self.refuse_end { Err((1, FieldError::TooMany)) } else { Ok(()) }
    }
}

fn records(shape: Shape, names: &[&str], bad_records: BadRecords) -> Records {
    let path = |name: &&str| match shape {
        Shape::Csv => FieldPath::Column((*name).to_owned()),
        _ => FieldPath::Pointer(Pointer::parse(name).unwrap()),
    };
    let fields = names.iter().map(path).collect();
    let unknown = UnknownFields::Keep;
    let missing = MissingFields::Allow;
    Records::new(Layout { shape, fields, unknown, missing, bad_records, max_record: 100 })
}

#[test]
fn a_reader_gets_every_field_under_each_of_its_numbers_whatever_it_answers() {
    for edit in [Edit::Keep, Edit::Drop, Edit::Text] {
        let mut notes = Notes { edit: Some(edit), ..Notes::default() };
        let input = b"x,b,a\n1,\"2\"\"\",3\n";
        let mut read = records(Shape::Csv, &["a", "b", "a"], BadRecords::Refuse);
        assert_eq!(read.process(input, true, &mut notes, None), Ok(input.len()));
        assert_eq!(notes.said, ["begin", "1Text=2\"", "0Text=3", "2Text=3", "end"]);

        let mut notes = Notes { edit: Some(edit), ..Notes::default() };
        let names = ["/a", "/a/*", "/a", "/b", "/none"];
        let mut read = records(Shape::Json, &names, BadRecords::Refuse);
        let input = br#"[{"b":"\u0031","a":[null,true]}, {"a":-1.5e3}]"#;
        assert_eq!(read.process(input, true, &mut notes, None), Ok(input.len()));
        let want = [
            "begin",
            "3Text=1",
            "0Nested=[null,true]",
            "2Nested=[null,true]",
            "1Null=null",
            "1Bool=true",
            "end",
            "begin",
            "0Number=-1.5e3",
            "2Number=-1.5e3",
            "end",
        ];
        assert_eq!(notes.said, want);
        assert_eq!(read.counts(), Counts { records: 2, dropped: 0 });
    }
}

#[test]
fn a_record_refused_at_its_end_is_bad() {
    for (shape, input, header) in [
        (Shape::Csv, &b"a,b\n1,2\n3,4\n"[..], 1),
        (Shape::Ndjson, b"{\"/a\":1}\n[]\n", 0),
        (Shape::Json, b"[{},[]]", 0),
    ] {
        let names: &[&str] = if header == 1 { &["a", "b"] } else { &["/a", "/b"] };
        let mut notes = Notes { refuse_end: true, ..Notes::default() };
        let mut read = records(shape, names, BadRecords::Refuse);
        let field = names[1].to_owned();
        let problem = RecordProblem::Field { field, problem: FieldError::TooMany };
        let refused = Err(RecordError { record: header + 1, problem });
        assert_eq!(read.process(input, true, &mut notes, None), refused);
        let mut read = records(shape, names, BadRecords::Drop);
        assert_eq!(read.process(input, true, &mut notes, None), Ok(input.len()));
        assert_eq!(read.counts(), Counts { records: 0, dropped: 2 });
    }
}

#[test]
fn what_takes_a_values_place_is_written_as_the_shape_needs_it() {
    let mut notes = Notes { edit: Some(Edit::Text), ..Notes::default() };
    let mut out = SecretBuf::new();
    let mut csv = records(Shape::Csv, &["a"], BadRecords::Refuse);
    assert_eq!(csv.process(b"a,b\n1,2", true, &mut notes, Some(&mut out)), Ok(7));
    assert_eq!(out.expose(), b"a,b\n\"a,\"\"b\",2\n");
    out.clear();
    let mut lines = records(Shape::Ndjson, &["/a"], BadRecords::Refuse);
    assert_eq!(lines.process(b"{\"a\":1}", true, &mut notes, Some(&mut out)), Ok(7));
    assert_eq!(out.expose(), b"{\"a\":\"a,\\\"b\"}\n");
}

#[test]
fn a_value_cannot_be_left_out_of_one_row_alone() {
    let mut notes = Notes { edit: Some(Edit::Drop), ..Notes::default() };
    let mut out = SecretBuf::new();
    let mut csv = records(Shape::Csv, &["a"], BadRecords::Refuse);
    let problem = RecordProblem::Csv(CsvError::DroppedValue);
    let refused = Err(RecordError { record: 2, problem });
    assert_eq!(csv.process(b"a,b\n1,2\n", true, &mut notes, Some(&mut out)), refused);
}
