use proptest::prelude::*;

use super::*;

fn written(number: Decimal) -> String {
    let mut out = SecretBuf::new();
    number.write(&mut out);
    String::from_utf8(out.expose().to_vec()).unwrap()
}

fn read(text: &str) -> Option<String> {
    Decimal::parse(text.as_bytes()).map(written)
}

/// Made with Python's `decimal` (`quantize` to 1e-9, ROUND_HALF_EVEN).
const PYTHON: [(&str, &str); 26] = [
    ("0.0000000005", "0"),
    ("0.0000000015", "0.000000002"),
    ("0.00000000149999", "0.000000001"),
    ("-0.0000000005", "0"),
    ("-0.0000000015", "-0.000000002"),
    ("0.1234567895", "0.12345679"),
    ("0.12345678949999999999", "0.123456789"),
    ("2.5e-9", "0.000000002"),
    ("1.5e-9", "0.000000002"),
    ("25e-10", "0.000000002"),
    ("0.5e-9", "0"),
    ("1.50000000000001e-9", "0.000000002"),
    ("123456789012345678.123456789", "123456789012345678.123456789"),
    ("999999999999999999.9999999994", "999999999999999999.999999999"),
    ("1E+3", "1000"),
    ("-1.5E-3", "-0.0015"),
    ("1e-07", "0.0000001"),
    ("1e17", "100000000000000000"),
    ("12e16", "120000000000000000"),
    ("0.30000000000000004", "0.3"),
    ("1e-30", "0"),
    ("0e300", "0"),
    ("-0", "0"),
    ("-0.0", "0"),
    ("0.1e1", "1"),
    ("999999999999999999e0", "999999999999999999"),
];

#[test]
fn numbers_are_read_and_rounded_as_pythons_decimal_does() {
    for (text, expected) in PYTHON {
        assert_eq!(read(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn numbers_of_csv_files_that_json_does_not_have_are_read() {
    for (text, expected) in
        [("+1", "1"), (".5", "0.5"), ("5.", "5"), ("007", "7"), ("-.50", "-0.5")]
    {
        assert_eq!(read(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn what_is_not_one_plain_number_is_refused() {
    let bad = [
        "",
        " ",
        " 1",
        "1 ",
        "-",
        "+",
        ".",
        "-.",
        "--1",
        "+-1",
        "1-",
        "1,5",
        "1.000,5",
        "1_000",
        "1..2",
        "1.2.3",
        "e5",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "1e5e5",
        "1e0001",
        "1e1000",
        "0x10",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "true",
        "null",
        "٣",
        "1\0",
        "½",
        "1e 5",
    ];
    for text in bad {
        assert_eq!(read(text), None, "{text:?}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused_and_not_cut() {
    for text in [
        "1000000000000000000",
        "-1000000000000000000",
        "999999999999999999.9999999996",
        "1e18",
        "1e300",
        "0.1e19",
        "1111111111111111111111111111111111111",
        "0.1111111111111111111111111111111111111",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    assert!(read(&format!("{}1", "0".repeat(1000))).is_some());
}

#[test]
fn the_sum_of_as_many_of_the_largest_as_may_be_does_not_overflow() {
    assert!((LIMIT - 1).checked_mul(i128::from(MAX_TERMS)).is_some());
}

#[test]
fn the_mean_of_none_is_none() {
    assert!(Decimal(5).mean(0).is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(value in -LIMIT + 1..LIMIT) {
        let text = written(Decimal(value));
        prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']));
        prop_assert!(Decimal::parse(text.as_bytes()) == Some(Decimal(value)), "{text}");
    }

    #[test]
    fn an_exponent_moves_the_point(value in -1_000_000_i64..1_000_000, by in 0_u32..9) {
        let moved = written(Decimal(i128::from(value) * 10_i128.pow(9 - by)));
        prop_assert_eq!(read(&format!("{value}e-{by}")), Some(moved.clone()));
        prop_assert_eq!(read(&format!("{moved}E+{by}")), Some(value.to_string()));
    }

    #[test]
    fn a_mean_is_the_nearest_number_and_even_between_two(
        sum in -LIMIT * 1000..LIMIT * 1000,
        count in 1_u64..1_000_000,
    ) {
        let mean = Decimal(sum).mean(count).unwrap().0;
        let count = i128::from(count);
        // Twice how far it is off, in counts.
        let off = 2 * (mean * count - sum).abs();
        prop_assert!(off < count || (off == count && mean % 2 == 0));
    }

    #[test]
    fn ties_go_to_the_even_number(half in -1_000_000_i128..1_000_000) {
        let mean = Decimal(2 * half + 1).mean(2).unwrap().0;
        prop_assert_eq!(mean % 2, 0);
        prop_assert_eq!((2 * mean - (2 * half + 1)).abs(), 1);
    }

    #[test]
    fn order_is_that_of_the_numbers(a in -LIMIT + 1..LIMIT, b in -LIMIT + 1..LIMIT) {
        prop_assert_eq!(Decimal(a) < Decimal(b), a < b);
    }

    #[test]
    fn a_short_number_is_read_as_any_is(text in "-?[0-9]{0,10}[.]?[0-9]{0,10}|[-+0-9.eE]{0,20}") {
        let short = Decimal::parse_short(text.as_bytes());
        prop_assert!(short.is_none() || short == Decimal::parse_any(text.as_bytes()), "{text}");
        let plain = text.trim_start_matches('-');
        let digits = plain.bytes().filter(u8::is_ascii_digit).count();
        let point = plain.split_once('.').map_or(0, |(_, behind)| behind.len());
        let usual = plain.len() <= SHORT && point <= 9;
        if usual && digits + plain.matches('.').count() == plain.len() && digits > 0 {
            prop_assert!(short.is_some() || text.starts_with("--") || plain.matches('.').count() > 1, "{text}");
        }
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE]{0,60}|.{0,20}") {
        let _ = Decimal::parse(text.as_bytes());
    }
}
