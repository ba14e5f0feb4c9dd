//! What each rule leaves, of values of every kind.

use super::*;
use proptest::prelude::*;

fn masked(rule: &MaskRule, kind: Kind, text: &[u8]) -> Result<String, FieldError> {
    let mut new = SecretBuf::new();
    let edit = mask(rule, Value { kind, text }, &mut new)?;
    assert_eq!(edit, Edit::Text);
    Ok(String::from_utf8(new.expose().to_vec()).unwrap())
}

#[track_caller]
fn leaves(rule: &MaskRule, cases: &[(&str, &str)]) {
    for (value, want) in cases {
        let got = masked(rule, Kind::Text, value.as_bytes());
        assert_eq!(got.as_deref(), Ok(*want), "{value:?}");
    }
}

#[track_caller]
fn refuses(rule: &MaskRule, problem: &FieldError, values: &[&str]) {
    for value in values {
        let got = masked(rule, Kind::Text, value.as_bytes());
        assert_eq!(got.as_ref(), Err(problem), "{value:?}");
    }
}

#[test]
fn last4_shows_four_characters_of_eight_or_more() {
    let cases = [
        ("4111111111111234", "****1234"),
        ("12345678", "****5678"),
        ("1234567", "****"),
        ("", "****"),
        ("éééé5678", "****5678"),
        ("ééé5678", "****"),
        ("12345😀é𝄞", "****5😀é𝄞"),
        ("😀😀😀😀😀😀😀", "****"),
    ];
    leaves(&MaskRule::Last4, &cases);
}

#[test]
fn first6last4_shows_ten_characters_of_thirteen_or_more() {
    let cases = [
        ("4111112222221234", "411111******1234"),
        ("1234567890123", "123456******0123"),
        ("123456789012", "****"),
        ("", "****"),
        ("éééééé1111😀😀😀", "éééééé******1😀😀😀"),
        ("éééééé111😀😀😀", "****"),
    ];
    leaves(&MaskRule::First6Last4, &cases);
}

#[test]
fn initials_are_the_first_character_of_each_word() {
    let cases = [
        ("Ada Lovelace", "A.L."),
        ("  émile\u{a0}zola\t", "é.z."),
        ("", ""),
        ("张 伟", "张.伟."),
        ("a.b c", "a.c."),
    ];
    leaves(&MaskRule::Initials, &cases);
}

#[test]
fn email_keeps_the_domain_of_an_address_and_nothing_of_anything_else() {
    let cases = [
        ("ada@example.org", "***@example.org"),
        ("a.b+c@mail.bücher.example", "***@mail.bücher.example"),
        ("ada", "***"),
        ("", "***"),
        ("@example.org", "***"),
        ("ada@", "***"),
        ("a@b@c.org", "***"),
        ("\"a@b\"@c.org", "***"),
        ("ada@example.org, bob@example.org", "***"),
        ("ada@example.org 4111111111111111", "***"),
        ("Ada <ada@example.org>", "***"),
        ("ada@example.org\n", "***"),
    ];
    leaves(&MaskRule::Email, &cases);
}

#[test]
fn year_of_date_is_the_year_of_what_begins_with_one() {
    let cases = [
        ("2026-11-24", "2026"),
        ("1999-12-31T23:59:59Z", "1999"),
        ("20240229", "2024"),
        ("1999-12", "1999"),
        ("", "***"),
    ];
    leaves(&MaskRule::YearOfDate, &cases);
    let bad = [
        " ",
        "2024-W05-1",
        "4111-1111-1111-1111",
        "2024-13-01",
        "2026",
        "202",
        "24/11/2026",
        "20261324",
        "20260100",
        "20260132",
        "202601011",
        "99-01-01",
        " 2026-11-24",
        "²026-11-24",
        "２０２６-11-24",
        "202é-01",
        "2026–11–24",
        "12345678",
    ];
    refuses(&MaskRule::YearOfDate, &FieldError::NotADate, &bad);
}

#[test]
fn generalise_gives_the_range_that_a_number_lies_in() {
    let tens = [
        ("", "***"),
        ("0", "0-9"),
        ("29", "20-29"),
        ("29.99", "20-29"),
        ("30", "30-39"),
        ("007", "0-9"),
        ("-0", "0-9"),
        ("-0.0", "0-9"),
        ("-0.5", "-10 to -1"),
        ("-1", "-10 to -1"),
        ("-10", "-10 to -1"),
        ("-10.5", "-20 to -11"),
        ("-11", "-20 to -11"),
        ("99999999999999999999", "99999999999999999990-99999999999999999999"),
    ];
    leaves(&MaskRule::Generalise(10), &tens);
    leaves(&MaskRule::Generalise(1), &[("7", "7-7"), ("-7", "-7 to -7")]);
    leaves(&MaskRule::Generalise(u32::MAX), &[("1", "0-4294967294")]);
    let bad = [
        " ",
        "-",
        "+1",
        "1e3",
        "1e999",
        ".5",
        "5.",
        "1.2.3",
        "1,5",
        " 1",
        "0x10",
        "NaN",
        "--1",
        "1.-5",
        "٣",
        "170141183460469231731687303715884105727",
        "-170141183460469231731687303715884105728",
        "999999999999999999999999999999999999999999",
    ];
    refuses(&MaskRule::Generalise(10), &FieldError::NotANumber, &bad);
    refuses(&MaskRule::Generalise(0), &FieldError::NotANumber, &["1"]);
}

const READING: [MaskRule; 6] = [
    MaskRule::Last4,
    MaskRule::First6Last4,
    MaskRule::Initials,
    MaskRule::Email,
    MaskRule::YearOfDate,
    MaskRule::Generalise(10),
];

#[test]
fn redact_shows_nothing_of_any_kind() {
    for kind in [Kind::Text, Kind::Number, Kind::Bool, Kind::Null, Kind::Nested] {
        assert_eq!(masked(&MaskRule::Redact, kind, b"\xff{x").as_deref(), Ok("***"));
    }
}

#[test]
fn a_rule_that_reads_shows_nothing_of_null_and_truth_values_and_refuses_the_nested() {
    for rule in READING {
        let nothing = masked(&rule, Kind::Null, b"null").unwrap();
        assert!(nothing.bytes().all(|b| b == b'*') && !nothing.is_empty());
        assert_eq!(masked(&rule, Kind::Bool, b"true").as_deref(), Ok(nothing.as_str()));
        assert_eq!(masked(&rule, Kind::Bool, b"false").as_deref(), Ok(nothing.as_str()));
        assert_eq!(masked(&rule, Kind::Nested, b"[\"1\"]"), Err(FieldError::Nested));
        assert_eq!(masked(&rule, Kind::Text, b"\xff"), Err(FieldError::NotUtf8));
    }
}

#[test]
fn numbers_are_read_as_they_are_written() {
    let number = |rule, text: &str| masked(&rule, Kind::Number, text.as_bytes());
    assert_eq!(number(MaskRule::Last4, "4111111111111234").as_deref(), Ok("****1234"));
    assert_eq!(number(MaskRule::YearOfDate, "20240131").as_deref(), Ok("2024"));
    assert_eq!(number(MaskRule::Generalise(5), "-3").as_deref(), Ok("-5 to -1"));
}

#[test]
fn keep_and_drop_read_nothing() {
    for kind in [Kind::Text, Kind::Number, Kind::Bool, Kind::Null, Kind::Nested] {
        let mut new = SecretBuf::new();
        let value = Value { kind, text: b"\xff" };
        assert_eq!(mask(&MaskRule::Keep, value, &mut new), Ok(Edit::Keep));
        assert_eq!(mask(&MaskRule::Drop, value, &mut new), Ok(Edit::Drop));
        assert!(new.is_empty());
    }
}

/// What `last4` leaves, character by character.
fn last4_plainly(value: &str) -> String {
    let chars: Vec<char> = value.chars().collect();
    let shown = if chars.len() < 8 { &[] } else { &chars[chars.len() - 4..] };
    format!("****{}", shown.iter().collect::<String>())
}

/// What `first6last4` leaves, character by character.
fn first6last4_plainly(value: &str) -> String {
    let chars: Vec<char> = value.chars().collect();
    match chars.len() {
        0..13 => "****".to_owned(),
        len => {
            let text = |chars: &[char]| chars.iter().collect::<String>();
            format!("{}******{}", text(&chars[..6]), text(&chars[len - 4..]))
        }
    }
}

/// What `email` leaves, character by character.
fn email_plainly(value: &str) -> String {
    let in_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    match value.split_once('@') {
        Some((local, domain))
            if !local.is_empty() && !domain.is_empty() && domain.chars().all(in_domain) =>
        {
            format!("***@{domain}")
        }
        _ => "***".to_owned(),
    }
}

proptest! {
    #[test]
    fn ascii_is_masked_as_any_other_text_is(
        value in "([0-9]{0,20}|[a1é😀]{0,16}|[a@.é -]{0,12}|[a-z]{0,8}@[a-zé0-9.-]{0,9})",
    ) {
        let got = |rule| masked(&rule, Kind::Text, value.as_bytes()).unwrap();
        prop_assert_eq!(got(MaskRule::Last4), last4_plainly(&value));
        prop_assert_eq!(got(MaskRule::First6Last4), first6last4_plainly(&value));
        prop_assert_eq!(got(MaskRule::Email), email_plainly(&value));
    }
}
