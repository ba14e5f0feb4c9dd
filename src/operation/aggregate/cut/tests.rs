use proptest::prelude::*;

use super::*;

#[test]
fn csv_is_cut_behind_the_last_line_end_outside_of_quotes() {
    for (whole, rest) in [
        ("", ""),
        ("", "a,b"),
        ("a,b\n", ""),
        ("a,b\r\n", "c,d\r"),
        ("a,\"b\"\n", "c,\"d\ne\n"),
        ("a,\"b\n\"\n", "c"),
        ("\"\"\"\n\"\n", "\"\"\"\n\"\",x"),
        ("", "\"a\nb\n"),
    ] {
        let bytes = [whole, rest].concat();
        assert_eq!(Cut::Csv.whole(bytes.as_bytes()), whole.len(), "{bytes:?}");
    }
}

#[test]
fn lines_are_cut_behind_the_last_line_feed_whatever_quotes_there_are() {
    assert_eq!(Cut::Lines.whole(b"{\"a\":1}\n\"\n{"), 10);
    assert_eq!(Cut::Lines.whole(b"{\"a\":1}"), 0);
    assert_eq!(Cut::Lines.preface(b"{\"a\""), Some(b"\n".to_vec()));
}

#[test]
fn a_csv_preface_is_the_header_row() {
    for start in ["", "\u{feff}", "\r\n\n", "\u{feff}\n"] {
        let bytes = format!("{start}a,\"b\n\"\"\"\r\n1,2\r\n");
        assert_eq!(Cut::Csv.preface(bytes.as_bytes()), Some(b"\na,\"b\n\"\"\"\r\n".to_vec()));
    }
    for bytes in ["", "\u{feff}", "\n\n", "a,b", "a,\"b\n"] {
        assert_eq!(Cut::Csv.preface(bytes.as_bytes()), None, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn quotes_are_counted_right(bytes in proptest::collection::vec(32..36_u8, 0..2000)) {
        let quotes = bytes.iter().filter(|byte| **byte == b'"').count();
        prop_assert_eq!(is_odd(&bytes), quotes % 2 == 1);
    }
}
