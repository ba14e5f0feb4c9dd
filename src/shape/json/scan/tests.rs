//! The scanner against `serde_json`.

use super::*;
use proptest::prelude::*;
use serde::de::IgnoredAny;

/// Length of the value at the front of `text`.
fn value_len(text: &[u8]) -> Option<usize> {
    let mut scan = Scanner::new(text, false);
    scan.value(&mut Nesting::default()).map(|()| scan.at())
}

fn is_json(text: &[u8]) -> bool {
    let mut scan = Scanner::new(text, false);
    scan.space();
    let value = scan.value(&mut Nesting::default());
    scan.space();
    value.is_some() && scan.ended()
}

fn serde_says(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[test]
fn strings_end_at_their_quote_whatever_stands_at_each_place_in_a_word() {
    for before in 0..20 {
        for behind in 0..20 {
            for byte in 0..=255_u8 {
                let text = [&b"\""[..], &b"a".repeat(before), &[byte], &b"b".repeat(behind), b"\""];
                let text = text.concat();
                assert_eq!(is_json(&text), serde_says(&text), "{text:?}");
            }
            let text = format!("\"{}é\\n{}\" ,\"x\"", "x".repeat(before), "é".repeat(behind));
            assert_eq!(value_len(text.as_bytes()), text.len().checked_sub(5), "{text}");
        }
    }
}

#[test]
fn nesting_is_remembered_beyond_a_word() {
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 200] {
        // The kind at each depth, by a number's bits.
        for seed in [0_u64, u64::MAX, 0x5555_5555_5555_5555, 0x9d5c_11f0_7a3e_b264] {
            let object = |at: usize| seed.rotate_left(u32::try_from(at * 7).unwrap()) & 1 == 1;
            let open = |at| if object(at) { "{\"a\":" } else { "[" };
            let close = |at| if object(at) { "}" } else { "]" };
            let opened: String = (0..depth).map(open).collect();
            let closed: String = (0..depth).rev().map(close).collect();
            assert!(is_json(format!("{opened}1{closed}").as_bytes()), "{depth} {seed:x}");
            for flaw in 0..depth {
                let flawed: String =
                    (0..depth)
                        .rev()
                        .map(|at| {
                            if at == flaw { if object(at) { "]" } else { "}" } } else { close(at) }
                        })
                        .collect();
                assert!(!is_json(format!("{opened}1{flawed}").as_bytes()), "{depth} {seed:x}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn it_passes_what_serde_json_passes(
        text in "[ \t\r\n]?(-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?|tru?e?|fals?e|nul?l|\"([a-z\"é]|\\\\[\"\\\\/bfnrtuxU]|\\\\u[0-9a-fgA-F]{3,4}|[\0-\u{1f}]){0,6}\"?|[\\[\\]{},:\"a1 ]{0,12}){1,3}[ \t\r\n]?",
    ) {
        prop_assert_eq!(is_json(text.as_bytes()), serde_says(text.as_bytes()), "{}", text);
    }

    #[test]
    fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(is_json(&text), serde_says(&text));
    }
}
