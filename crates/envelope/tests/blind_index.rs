//! Blind indexes: what anyone can recompute, what they are bound to, and how
//! values are normalised.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use hmac::{KeyInit, Mac};
use proptest::prelude::*;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::{BlindIndex, IndexError, Normalise};
use strongroom_envelope::token::{MAX_NAME_LEN, TokenKey};

const SECRET: [u8; 32] = *b"a secret of thirty-two bytes len";

fn key() -> TokenKey {
    TokenKey::new(&SECRET).unwrap()
}

fn index(field: &str, tenant: &str, steps: &[Normalise], value: &str) -> String {
    let index = BlindIndex::new(&key(), field, tenant, steps, 32).unwrap();
    let mut out = SecretBuf::new();
    index.index(value, &mut out).unwrap();
    assert!(index.matches(value, out.expose()).unwrap());
    String::from_utf8(out.expose().to_vec()).unwrap()
}

/// The index by the documentation, with another HKDF and another HMAC.
fn recomputed(field: &str, tenant: &str, normalised: &str) -> String {
    let mut key = [0; 32];
    let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, &SECRET);
    hkdf.expand(b"strongroom index v1", &mut key).unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    for text in ["strongroom index v1", field, tenant, normalised] {
        mac.update(&u64::try_from(text.len()).unwrap().to_be_bytes());
        mac.update(text.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

#[test]
fn each_step_does_what_it_says() {
    use Normalise::{CollapseSpaces, Digits, Lowercase, Trim};
    let cases: [(&[Normalise], &str, &str); 16] = [
        (&[], " A  b ", " A  b "),
        (&[Trim], " \t\u{a0}A  b\r\n", "A  b"),
        (&[Lowercase], "ÅNNA Weiß", "ånna weiß"),
        (&[Lowercase], "ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
        (&[Lowercase], "İ", "i\u{307}"),
        (&[Lowercase], "ȺȾ", "ⱥⱦ"),
        (&[Digits], "+49 (0)30 / 123-456", "49030123456"),
        (&[Digits], "１2³٤", "2"),
        (&[CollapseSpaces], "  a \t\n b\u{2003}c ", " a b c "),
        (&[CollapseSpaces, Trim], "  a   b  ", "a b"),
        (&[Trim, CollapseSpaces, Lowercase], "  Anna   VAN  Dyk ", "anna van dyk"),
        (&[Lowercase, Lowercase], "AbC", "abc"),
        (&[Trim, Trim], " a ", "a"),
        (&[Lowercase], "e\u{301}", "e\u{301}"),
        (&[Trim], "\u{200b}a", "\u{200b}a"),
        (&[Digits, Trim], " 12 34 ", "1234"),
    ];
    for (steps, value, normalised) in cases {
        let expected = recomputed("name", "acme", normalised);
        assert_eq!(index("name", "acme", steps, value), expected, "{value:?} {steps:?}");
    }
}

#[test]
fn an_index_is_bound_to_field_tenant_and_secret() {
    let one = index("email", "acme", &[], "anna@example.org");
    for (field, tenant) in
        [("email", "globex"), ("phone", "acme"), ("acme", "email"), ("emaila", "cme"), ("", "")]
    {
        assert_ne!(index(field, tenant, &[], "anna@example.org"), one, "{field} {tenant}");
    }
    assert_ne!(index("email", "acmea", &[], "nna@example.org"), one);
    let other = TokenKey::new(&[1; 32]).unwrap();
    let other = BlindIndex::new(&other, "email", "acme", &[], 32).unwrap();
    assert!(!other.matches("anna@example.org", one.as_bytes()).unwrap());
}

#[test]
fn a_shorter_index_is_the_start_of_the_longest() {
    let whole = index("email", "acme", &[], "anna@example.org");
    for bytes in 8..=32 {
        let short = BlindIndex::new(&key(), "email", "acme", &[], bytes).unwrap();
        let mut out = SecretBuf::new();
        out.extend_from_slice(b"before ");
        short.index("anna@example.org", &mut out).unwrap();
        assert_eq!(out.expose(), format!("before {}", &whole[..2 * bytes]).as_bytes());
    }
    for bytes in [0, 1, 7, 33, 64, usize::MAX] {
        let refused = BlindIndex::new(&key(), "email", "acme", &[], bytes).err();
        assert_eq!(refused, Some(IndexError::Length), "{bytes}");
    }
}

#[test]
fn only_the_whole_index_of_the_value_matches() {
    let index = BlindIndex::new(&key(), "email", "acme", &[Normalise::Lowercase], 16).unwrap();
    let mut out = SecretBuf::new();
    index.index("anna", &mut out).unwrap();
    let right = out.expose();
    assert!(index.matches("ANNA", right).unwrap());
    assert!(!index.matches("anne", right).unwrap());
    for len in 0..right.len() {
        assert!(!index.matches("anna", &right[..len]).unwrap(), "{len}");
    }
    assert!(!index.matches("anna", &[right, b"0"].concat()).unwrap());
    assert!(!index.matches("anna", &right.to_ascii_uppercase()).unwrap());
    for bit in 0..right.len() * 8 {
        let mut flipped = right.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!index.matches("anna", &flipped).unwrap(), "bit {bit}");
    }
}

#[test]
fn a_value_of_which_nothing_is_left_has_no_index() {
    use Normalise::{Digits, Trim};
    for (steps, value) in
        [(&[][..], ""), (&[Trim], " \t "), (&[Digits], "unknown"), (&[Trim, Digits], " - ")]
    {
        let index = BlindIndex::new(&key(), "phone", "acme", steps, 16).unwrap();
        let mut out = SecretBuf::new();
        assert_eq!(index.index(value, &mut out), Err(IndexError::Empty), "{value:?}");
        assert!(out.is_empty());
        assert_eq!(index.matches(value, b""), Err(IndexError::Empty));
    }
}

#[test]
fn values_and_names_beyond_their_limits_are_refused() {
    let long = "n".repeat(MAX_NAME_LEN + 1);
    for (field, tenant) in [(long.as_str(), "acme"), ("email", long.as_str())] {
        let refused = BlindIndex::new(&key(), field, tenant, &[], 16).err();
        assert_eq!(refused, Some(IndexError::NameTooLong));
    }
    let index = BlindIndex::new(&key(), "email", "acme", &[Normalise::Trim], 16).unwrap();
    let mut out = SecretBuf::new();
    let longest = "x".repeat(BlindIndex::MAX_VALUE_LEN);
    assert_eq!(index.index(&longest, &mut out), Ok(()));
    out.clear();
    assert_eq!(index.index(&(longest + " "), &mut out), Err(IndexError::TooLong));
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn any_index_can_be_recomputed(field in ".{0,20}", tenant in ".{0,20}", value in ".{1,80}") {
        prop_assert_eq!(index(&field, &tenant, &[], &value), recomputed(&field, &tenant, &value));
        let lowered: String = value.chars().flat_map(char::to_lowercase).collect();
        let steps = [Normalise::Lowercase];
        let expected = recomputed(&field, &tenant, &lowered);
        prop_assert_eq!(index(&field, &tenant, &steps, &value), expected);
    }

    #[test]
    fn normalising_twice_is_normalising_once(value in "\\PC{0,20}[ \t]{0,3}[A-Z ]{0,9}x") {
        use Normalise::{CollapseSpaces, Lowercase, Trim};
        let once = [Trim, Lowercase, CollapseSpaces];
        let twice = [once, once].concat();
        prop_assert_eq!(index("name", "", &once, &value), index("name", "", &twice, &value));
    }
}
