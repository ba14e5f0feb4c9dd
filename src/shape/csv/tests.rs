//! CSV records: what is refused, that splits do not matter, and agreement with
//! the `csv` crate on what both accept.

use super::*;
use proptest::prelude::*;

const MAX: usize = 100;

/// A field as it stands in the input, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    raw: Vec<u8>,
    value: Vec<u8>,
}

/// The record at the front of `input`, as the scanner cuts it.
fn next_record(
    input: &[u8],
    at_end: bool,
    max_fields: usize,
    fields: &mut Vec<Field>,
) -> Result<Option<usize>, CsvError> {
    fields.clear();
    let mut cuts = Cuts::default();
    let cut = Scanner::new(input, 0, at_end).record(max_fields, Excess::Refuse, &mut cuts);
    assert!(cuts.starts.len() <= max_fields + 1, "more than expected is held");
    for field in cuts.fields() {
        let mut room = SecretBuf::new();
        let raw = cuts.raw(input, &(field..field + 1));
        let value = cuts.value(raw, &mut room).to_vec();
        fields.push(Field { raw: raw.to_vec(), value });
    }
    cut
}

fn line_end(input: &[u8]) -> usize {
    Scanner::new(input, 0, true).empty_line()
}

/// All records of `input`, as values.
fn records(input: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, CsvError> {
    let mut at = 0;
    let mut fields = Vec::new();
    let mut records = Vec::new();
    while at < input.len() {
        let rest = &input[at..];
        let skip = line_end(rest);
        if skip > 0 {
            at += skip;
            continue;
        }
        let len = next_record(rest, true, MAX, &mut fields)?.expect("at the end every record ends");
        records.push(fields.iter().map(|field| field.value.clone()).collect());
        at += len;
    }
    Ok(records)
}

#[test]
fn malformed_records_are_refused_for_what_they_are() {
    for (input, problem) in [
        (&b"a,b\"c,d\n"[..], CsvError::BareQuote),
        (b"a, \"b\"\n", CsvError::BareQuote),
        (b"\"a\"b,c\n", CsvError::AfterQuote),
        (b"\"a\" ,c\n", CsvError::AfterQuote),
        (b"\"a\"\rb\n", CsvError::AfterQuote),
        (b"a\rb\n", CsvError::BareCarriageReturn),
        (b"a\r", CsvError::BareCarriageReturn),
        (b"a,\"b\nc,d\n", CsvError::OpenQuote),
        (b"\"", CsvError::OpenQuote),
        (b"\"a\"\"", CsvError::OpenQuote),
    ] {
        assert_eq!(records(input), Err(problem), "{:?}", String::from_utf8_lossy(input));
    }
}

#[test]
fn fields_beyond_the_number_expected_are_refused_before_they_are_gathered() {
    let mut fields = Vec::new();
    assert!(next_record(b"a,b,c\n", true, 3, &mut fields).is_ok());
    let endless = vec![b','; 1 << 20];
    assert_eq!(next_record(&endless, false, 3, &mut fields), Err(CsvError::FieldCount));
    assert!(fields.capacity() < 100);
}

#[test]
fn well_formed_records_come_out_as_their_values() {
    let input = b"id,note\r\n1,\"a,b\"\n\n2,\"say \"\"hi\"\"\"\r\n3,\"two\r\nlines\"\n4,";
    let want: Vec<Vec<&[u8]>> = vec![
        vec![b"id", b"note"],
        vec![b"1", b"a,b"],
        vec![b"2", b"say \"hi\""],
        vec![b"3", b"two\r\nlines"],
        vec![b"4", b""],
    ];
    assert_eq!(records(input).unwrap(), want);
}

proptest! {
    #[test]
    fn a_record_is_found_only_when_it_has_ended_and_then_as_in_the_whole(
        input in "[a\",\r\n]{1,24}",
        cut in any::<prop::sample::Index>(),
    ) {
        let input = input.as_bytes();
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        let cut = cut.index(input.len() + 1);
        // Whatever is decided before the end holds at the end.
        if let Ok(Some(len)) = next_record(&input[..cut], false, MAX, &mut part) {
            prop_assert_eq!(next_record(input, true, MAX, &mut whole), Ok(Some(len)));
            prop_assert_eq!(&whole, &part);
        }
        if let Err(problem) = next_record(&input[..cut], false, MAX, &mut part) {
            prop_assert_eq!(next_record(input, true, MAX, &mut whole), Err(problem));
        }
    }

    #[test]
    fn accepted_input_reads_as_the_csv_crate_reads_it(input in "[ab\",\r\n]{0,30}") {
        if let Ok(ours) = records(input.as_bytes()) {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false).flexible(true).from_reader(input.as_bytes());
            let theirs: Vec<Vec<Vec<u8>>> = reader
                .byte_records()
                .map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect())
                .collect();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn an_escaped_value_reads_back_as_itself(values in prop::collection::vec("[a\",\r\né]{0,8}", 2..5)) {
        let mut out = SecretBuf::new();
        for (i, value) in values.iter().enumerate() {
            if i > 0 { out.push(b','); }
            escape(value.as_bytes(), &mut out);
        }
        out.push(b'\n');
        let want: Vec<Vec<u8>> = values.iter().map(|v| v.as_bytes().to_vec()).collect();
        prop_assert_eq!(records(out.expose()).unwrap(), vec![want]);
    }

    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..60), at_end: bool) {
        let _ = next_record(&input, at_end, MAX, &mut Vec::new());
    }
}
