//! The mask: what each rule leaves, what is refused and where, and that the
//! way the bytes arrive does not matter.

use super::*;
use proptest::prelude::*;

fn rules(rules: &[(&str, MaskRule)]) -> BTreeMap<String, MaskRule> {
    rules.iter().map(|(name, rule)| ((*name).to_owned(), *rule)).collect()
}

/// Masks `input` handed over in pieces cut at `cuts`.
fn run(mut mask: Mask, input: &[u8], cuts: &[usize]) -> Result<(String, u64), RecordError> {
    let mut bounds: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
    bounds.push(input.len());
    bounds.sort_unstable();
    let (mut pending, mut out, mut at) = (SecretBuf::new(), SecretBuf::new(), 0);
    for bound in bounds {
        pending.extend_from_slice(&input[at..bound]);
        at = bound;
        mask.process(&mut pending, &mut out)?;
    }
    let rows = mask.finish(&mut pending, &mut out)?;
    Ok((String::from_utf8_lossy(out.expose()).into_owned(), rows))
}

fn customers() -> Mask {
    let rules = rules(&[
        ("pan", MaskRule::Last4),
        ("email", MaskRule::Redact),
        ("name", MaskRule::Initials),
        ("city", MaskRule::Keep),
        ("ssn", MaskRule::Drop),
    ]);
    Mask::new(rules, UnknownColumns::Drop, 200)
}

const HEADER: &str = "name,pan,email,city,ssn,note\n";

#[test]
fn each_rule_leaves_what_it_says_and_unknown_columns_are_dropped() {
    let input = format!(
        "{HEADER}Ada Lovelace,4111111111111111,ada@x.org,\"Paris, 5e\",123,secret\n\
         ,1234567,,,,\nÉmile  Zola,éééé5678,,\"say \"\"hi\"\"\",9,\n"
    );
    let want = "name,pan,email,city\nA.L.,****1111,***,\"Paris, 5e\"\n,****,***,\n\
                É.Z.,****5678,***,\"say \"\"hi\"\"\"\n";
    assert_eq!(run(customers(), input.as_bytes(), &[]), Ok((want.to_owned(), 3)));
}

#[test]
fn unknown_columns_are_kept_only_where_the_job_says_so() {
    let keep = Mask::new(rules(&[("pan", MaskRule::Redact)]), UnknownColumns::Keep, 200);
    let got = run(keep, b"a,pan,b\r\n1,2,3\r\n", &[]);
    assert_eq!(got, Ok(("a,pan,b\n1,***,3\n".to_owned(), 1)));
}

#[test]
fn a_renamed_column_is_an_error_and_never_passes_as_unknown() {
    let keep = Mask::new(rules(&[("pan", MaskRule::Redact)]), UnknownColumns::Keep, 200);
    let error = run(keep, b"a,PAN\n1,4111111111111111\n", &[]);
    assert_eq!(
        error,
        Err(RecordError { record: 1, problem: CsvError::MissingColumn("pan".into()) })
    );
}

#[test]
fn malformed_rows_are_refused_with_their_number() {
    let good = "A B,4111111111111111,a@b.c,X,1,n\n";
    for (row, problem) in [
        ("A B,4111111111111111,a@b.c,X,1\n", CsvError::FieldCount),
        ("A B,4111111111111111,a@b.c,X,1,n,extra\n", CsvError::FieldCount),
        ("A B,41\"11,a@b.c,X,1,n\n", CsvError::BareQuote),
        ("A B,\"4111\"1,a@b.c,X,1,n\n", CsvError::AfterQuote),
        ("A B,4111,a@b.c,X,1,\"open\n", CsvError::OpenQuote),
        ("A\rB,4111,a@b.c,X,1,n\n", CsvError::BareCarriageReturn),
    ] {
        let input = format!("{HEADER}{good}{good}{row}");
        let error = RecordError { record: 4, problem };
        assert_eq!(run(customers(), input.as_bytes(), &[]), Err(error), "{row}");
    }
    let mut bytes = format!("{HEADER}{good}").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe Z,4111111111111111,e,X,1,n\n");
    let error = RecordError { record: 3, problem: CsvError::NotUtf8 };
    assert_eq!(run(customers(), &bytes, &[]), Err(error));
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let error = run(customers(), b"name,pan,pan,email,city,ssn\n", &[]);
    assert_eq!(error, Err(RecordError { record: 1, problem: CsvError::DuplicateColumn }));
}

#[test]
fn an_empty_file_is_refused_for_want_of_a_header_row() {
    for input in [&b""[..], b"\n\r\n"] {
        let error = RecordError { record: 1, problem: CsvError::NoHeader };
        assert_eq!(run(customers(), input, &[]), Err(error));
    }
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_column() {
    let input = format!("\u{feff}{HEADER}A B,4111111111111111,e,X,1,n\n");
    for cut in 0..6 {
        let got = run(customers(), input.as_bytes(), &[cut]).unwrap();
        assert_eq!(got.0, "name,pan,email,city\nA.B.,****1111,***,X\n");
    }
}

#[test]
fn a_record_is_accepted_at_the_limit_and_refused_one_past() {
    let row =
        |len: usize| format!("{HEADER}A,1,e,{},1,n\n", "x".repeat(len - "A,1,e,,1,n\n".len()));
    assert!(run(customers(), row(200).as_bytes(), &[]).is_ok());
    let error = Err(RecordError { record: 2, problem: CsvError::TooLong });
    assert_eq!(run(customers(), row(201).as_bytes(), &[]), error);
    // Refused before it has ended: an endless record takes no more than the limit.
    let endless = format!("{HEADER}\"{}", "x".repeat(400));
    assert_eq!(run(customers(), endless.as_bytes(), &[240]), error);
}

proptest! {
    #[test]
    fn the_way_the_bytes_arrive_does_not_matter(
        body in "[ab\",\r\né]{0,60}",
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let input = format!("name,pan\n{body}");
        let mask = || Mask::new(
            rules(&[("name", MaskRule::Initials), ("pan", MaskRule::Keep)]), UnknownColumns::Drop, 40);
        // What is refused may be refused sooner, but for the same record.
        match (run(mask(), input.as_bytes(), &cuts), run(mask(), input.as_bytes(), &[])) {
            (Err(split), Err(whole)) => prop_assert_eq!(split.record, whole.record),
            (split, whole) => prop_assert_eq!(split, whole),
        }
    }

    #[test]
    fn a_dropped_or_redacted_value_never_shows(canary in "[A-Z]{12}", quoted: bool) {
        let value = if quoted { format!("\"{canary},\"\"x\"") } else { canary.clone() };
        let input = format!("{HEADER}N,4,{value},c,{value},{value}\n");
        let (out, _) = run(customers(), input.as_bytes(), &[]).unwrap();
        prop_assert!(!out.contains(&canary));
    }
}
