//! Tokens as the operations make them: form, binding, determinism, and what a
//! hostile caller may hand in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::token::{Alphabet, Ff1, MAX_NAME_LEN, Siv, TokenError, TokenKey};

const SECRET: &[u8] = b"a secret of thirty-two bytes len";

fn key() -> TokenKey {
    TokenKey::new(SECRET).unwrap()
}

fn siv(field: &str, tenant: &str) -> Siv {
    Siv::new(&key(), field, tenant).unwrap()
}

fn ff1(alphabet: Alphabet) -> Ff1 {
    Ff1::new(&key(), "pan", "acme", alphabet).unwrap()
}

fn tokenize(siv: &Siv, value: &[u8]) -> Vec<u8> {
    let mut out = SecretBuf::new();
    siv.tokenize(value, &mut out).unwrap();
    out.expose().to_vec()
}

fn detokenize(siv: &Siv, token: &[u8]) -> Result<Vec<u8>, TokenError> {
    let mut out = SecretBuf::new();
    out.extend_from_slice(b"before");
    let result = siv.detokenize(token, &mut out);
    assert_eq!(&out.expose()[..6], b"before");
    if result.is_err() {
        assert_eq!(out.len(), 6, "a refused token left something behind");
    }
    result.map(|()| out.expose()[6..].to_vec())
}

type Ff1Direction = fn(&Ff1, &str, &mut SecretBuf) -> Result<(), TokenError>;

fn run(ff1: &Ff1, direction: Ff1Direction, value: &str) -> Result<String, TokenError> {
    let mut out = SecretBuf::new();
    out.extend_from_slice(b"before");
    let result = direction(ff1, value, &mut out);
    if result.is_err() {
        assert_eq!(out.len(), 6, "a refused value left something behind");
    }
    result.map(|()| String::from_utf8(out.expose()[6..].to_vec()).unwrap())
}

mod siv {
    use aes_siv::KeyInit;
    use aes_siv::siv::Aes256Siv;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// A token of field `email` and tenant `acme`, by the documentation.
    fn computed(value: &[u8]) -> String {
        let mut key = [0; 64];
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, SECRET);
        hkdf.expand(b"strongroom token siv v1", &mut key).unwrap();
        let mut other = Aes256Siv::new_from_slice(&key).unwrap();
        URL_SAFE_NO_PAD.encode(other.encrypt([b"email".as_slice(), b"acme"], value).unwrap())
    }

    #[test]
    fn a_token_is_what_the_documentation_lets_anyone_compute() {
        for value in [&b""[..], b"x", b"anna@example.org", &[0xff; 1000]] {
            assert_eq!(tokenize(&siv("email", "acme"), value), computed(value).as_bytes());
        }
    }

    #[test]
    fn a_token_of_another_field_tenant_or_secret_is_refused() {
        let token = tokenize(&siv("email", "acme"), b"anna@example.org");
        let other_key = TokenKey::new(&[1; 32]).unwrap();
        let others = [
            siv("email", "globex"),
            siv("phone", "acme"),
            siv("acme", "email"),
            siv("emaila", "cme"),
            siv("email", ""),
            siv("", "acme"),
            Siv::new(&other_key, "email", "acme").unwrap(),
        ];
        for other in others {
            assert_eq!(detokenize(&other, &token), Err(TokenError::DetokenizeFailed));
            assert_ne!(tokenize(&other, b"anna@example.org"), token);
        }
        assert_eq!(detokenize(&siv("email", "acme"), &token).unwrap(), b"anna@example.org");
    }

    #[test]
    fn every_other_character_in_every_place_is_refused() {
        let siv = siv("email", "acme");
        for value in [&b""[..], b"x", b"ab", b"anna@example.org"] {
            let token = tokenize(&siv, value);
            for place in 0..token.len() {
                for byte in (0..=255).filter(|byte| *byte != token[place]) {
                    let mut changed = token.clone();
                    changed[place] = byte;
                    let refused = Err(TokenError::DetokenizeFailed);
                    assert_eq!(detokenize(&siv, &changed), refused, "{place} {byte}");
                }
            }
        }
    }

    #[test]
    fn a_token_cut_short_padded_or_wrapped_is_refused() {
        let siv = siv("email", "acme");
        let token = tokenize(&siv, b"anna@example.org!");
        let refused = Err(TokenError::DetokenizeFailed);
        for len in 0..token.len() {
            assert_eq!(detokenize(&siv, &token[..len]), refused, "{len}");
        }
        for (before, after) in [("", "="), ("", "=="), ("", "A"), ("", "\n"), (" ", ""), ("", "\0")]
        {
            let wrapped = [before.as_bytes(), &token, after.as_bytes()].concat();
            assert_eq!(detokenize(&siv, &wrapped), refused, "{before:?} {after:?}");
        }
        assert_eq!(detokenize(&siv, &vec![b'A'; Siv::MAX_TOKEN_LEN]), refused);
        assert_eq!(detokenize(&siv, &vec![b'A'; Siv::MAX_TOKEN_LEN + 1]), refused);
        assert_eq!(detokenize(&siv, &vec![b'A'; 10_000_000]), refused);
    }

    #[test]
    fn the_longest_value_has_the_longest_token_and_a_longer_one_none() {
        let siv = siv("email", "acme");
        let longest = vec![7; Siv::MAX_VALUE_LEN];
        let token = tokenize(&siv, &longest);
        assert_eq!(token.len(), Siv::MAX_TOKEN_LEN);
        assert_eq!(detokenize(&siv, &token).unwrap(), longest);
        let mut out = SecretBuf::new();
        let refused = siv.tokenize(&vec![7; Siv::MAX_VALUE_LEN + 1], &mut out);
        assert_eq!(refused, Err(TokenError::TooLong));
        assert!(out.is_empty());
        let longer = computed(&vec![7; Siv::MAX_VALUE_LEN + 1]);
        let refused = detokenize(&siv, longer.as_bytes());
        assert_eq!(refused, Err(TokenError::DetokenizeFailed));
    }

    proptest! {
        #[test]
        fn a_value_comes_back_and_its_token_is_always_the_same(
            field in ".{0,20}",
            tenant in ".{0,20}",
            value in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let token = tokenize(&siv(&field, &tenant), &value);
            prop_assert_eq!(&tokenize(&siv(&field, &tenant), &value), &token);
            prop_assert_eq!(detokenize(&siv(&field, &tenant), &token).unwrap(), value);
        }

        #[test]
        fn no_token_panics(token in prop::collection::vec(any::<u8>(), 0..200)) {
            let refused = Err(TokenError::DetokenizeFailed);
            prop_assert_eq!(detokenize(&siv("email", "acme"), &token), refused);
        }
    }
}

mod ff1 {
    use super::*;

    #[test]
    fn separators_stay_where_they_stand_and_do_not_count() {
        let ff1 = ff1(Alphabet::Digits);
        let plain = run(&ff1, Ff1::encrypt, "4111111111111111").unwrap();
        let spaced = run(&ff1, Ff1::encrypt, "4111-1111 1111.1111/").unwrap();
        assert_eq!(spaced.replace(['-', ' ', '.', '/'], ""), plain);
        let places: Vec<_> = spaced.match_indices(['-', ' ', '.', '/']).collect();
        assert_eq!(places, [(4, "-"), (9, " "), (14, "."), (19, "/")]);
        assert_eq!(run(&ff1, Ff1::decrypt, &spaced).unwrap(), "4111-1111 1111.1111/");
    }

    #[test]
    fn a_character_outside_the_alphabet_is_refused() {
        let cases = [
            (
                Alphabet::Digits,
                ["411111111111111a", "4111_1111_1111", "41111111１11111", "123456\n"],
            ),
            (Alphabet::Lowercase, ["annA", "anna1234", "annaäb", "anna\0anna"]),
            (Alphabet::Alphanumeric, ["DE89+370400", "DE89\u{a0}370400", "ß", "DE89,3704"]),
            (Alphabet::HexLowercase, ["DEADBEEF", "deadbeeg", "0xdeadbeef", "dead:beef"]),
        ];
        for (alphabet, values) in cases {
            for value in values {
                let refused = Err(TokenError::Character);
                assert_eq!(run(&ff1(alphabet), Ff1::encrypt, value), refused, "{value:?}");
                assert_eq!(run(&ff1(alphabet), Ff1::decrypt, value), refused, "{value:?}");
            }
        }
    }

    #[test]
    fn too_few_characters_are_refused_however_many_separators_stand_between() {
        let cases = [
            (Alphabet::Digits, ["", "-", "12345", "1 2-3.4/5"]),
            (Alphabet::Lowercase, ["", "/", "anna", "a-n-n-a"]),
            (Alphabet::Alphanumeric, ["", " ", "abc", "a.b.c"]),
            (Alphabet::HexLowercase, ["", ".", "beef", "b e e f"]),
        ];
        for (alphabet, values) in cases {
            for value in values {
                let refused = Err(TokenError::DomainTooSmall);
                assert_eq!(run(&ff1(alphabet), Ff1::encrypt, value), refused, "{value:?}");
                assert_eq!(run(&ff1(alphabet), Ff1::decrypt, value), refused, "{value:?}");
            }
        }
    }

    #[test]
    fn the_longest_value_of_an_alphabet_has_a_token_and_a_longer_one_none() {
        let cases = [
            (Alphabet::Digits, "9", 72),
            (Alphabet::Lowercase, "z", 50),
            (Alphabet::Alphanumeric, "z", 40),
            (Alphabet::HexLowercase, "f", 60),
        ];
        for (alphabet, last, longest) in cases {
            let value = last.repeat(longest);
            let token = run(&ff1(alphabet), Ff1::encrypt, &value).unwrap();
            assert_eq!(run(&ff1(alphabet), Ff1::decrypt, &token).unwrap(), value);
            let refused = Err(TokenError::TooLong);
            assert_eq!(run(&ff1(alphabet), Ff1::encrypt, &last.repeat(longest + 1)), refused);
            assert_eq!(run(&ff1(alphabet), Ff1::encrypt, &last.repeat(5000)), refused);
        }
        let separators = "-".repeat(Ff1::MAX_VALUE_LEN - 6);
        assert!(
            run(&ff1(Alphabet::Digits), Ff1::encrypt, &(separators.clone() + "123456")).is_ok()
        );
        let more = separators + "-123456";
        assert_eq!(run(&ff1(Alphabet::Digits), Ff1::encrypt, &more), Err(TokenError::TooLong));
    }

    #[test]
    fn another_field_tenant_secret_or_alphabet_makes_another_token() {
        let other_key = TokenKey::new(&[1; 64]).unwrap();
        let bound = [
            (&key(), "pan", "acme", Alphabet::Digits),
            (&key(), "pan", "globex", Alphabet::Digits),
            (&key(), "iban", "acme", Alphabet::Digits),
            (&key(), "acme", "pan", Alphabet::Digits),
            (&key(), "pana", "cme", Alphabet::Digits),
            (&key(), "", "panacme", Alphabet::Digits),
            (&key(), "pan", "acme", Alphabet::Alphanumeric),
            (&key(), "pan", "acme", Alphabet::HexLowercase),
            (&other_key, "pan", "acme", Alphabet::Digits),
        ];
        let tokens: BTreeSet<_> = bound
            .iter()
            .map(|(key, field, tenant, alphabet)| {
                let ff1 = Ff1::new(key, field, tenant, *alphabet).unwrap();
                run(&ff1, Ff1::encrypt, "4111111111111111").unwrap()
            })
            .collect();
        assert_eq!(tokens.len(), bound.len());
    }

    #[test]
    fn no_two_values_share_a_token() {
        let ff1 = ff1(Alphabet::Alphanumeric);
        let tokens: BTreeSet<_> = (0..20_000)
            .map(|value| run(&ff1, Ff1::encrypt, &format!("AB-{value:05}")).unwrap())
            .collect();
        assert_eq!(tokens.len(), 20_000);
    }

    fn value() -> impl Strategy<Value = (Alphabet, String)> {
        prop_oneof![
            ("[0-9]{6,72}").prop_map(|value| (Alphabet::Digits, value)),
            ("([0-9][-/. ]{0,2}){6,30}").prop_map(|value| (Alphabet::Digits, value)),
            ("[a-z]{5,50}").prop_map(|value| (Alphabet::Lowercase, value)),
            ("[ ./-]?([0-9A-Za-z][ ./-]?){4,40}").prop_map(|v| (Alphabet::Alphanumeric, v)),
            ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
                .prop_map(|value| (Alphabet::HexLowercase, value)),
        ]
    }

    proptest! {
        #[test]
        fn a_value_comes_back_and_its_token_has_its_form(
            (alphabet, value) in value(),
            field in ".{0,20}",
            tenant in ".{0,20}",
        ) {
            let ff1 = Ff1::new(&key(), &field, &tenant, alphabet).unwrap();
            let token = run(&ff1, Ff1::encrypt, &value).unwrap();
            prop_assert_eq!(token.len(), value.len());
            for (is, was) in token.chars().zip(value.chars()) {
                if "-/. ".contains(was) {
                    prop_assert_eq!(is, was);
                } else {
                    let in_alphabet = match alphabet {
                        Alphabet::Digits => is.is_ascii_digit(),
                        Alphabet::Lowercase => is.is_ascii_lowercase(),
                        Alphabet::Alphanumeric => is.is_ascii_alphanumeric(),
                        Alphabet::HexLowercase => matches!(is, '0'..='9' | 'a'..='f'),
                    };
                    prop_assert!(in_alphabet);
                }
            }
            prop_assert_eq!(run(&ff1, Ff1::decrypt, &token).unwrap(), value);
        }

        #[test]
        fn no_value_panics(value in any::<String>(), decrypt: bool) {
            let direction: Ff1Direction = if decrypt { Ff1::decrypt } else { Ff1::encrypt };
            let _ = run(&ff1(Alphabet::Alphanumeric), direction, &value);
        }
    }
}

#[test]
fn names_longer_than_the_wire_lets_them_be_are_refused() {
    let long = "n".repeat(MAX_NAME_LEN + 1);
    let longest = "n".repeat(MAX_NAME_LEN);
    let refused = Some(TokenError::NameTooLong);
    for (field, tenant) in [(long.as_str(), "acme"), ("pan", long.as_str())] {
        assert_eq!(Siv::new(&key(), field, tenant).err(), refused);
        assert_eq!(Ff1::new(&key(), field, tenant, Alphabet::Digits).err(), refused);
    }
    assert!(Siv::new(&key(), &longest, &longest).is_ok());
    assert!(Ff1::new(&key(), &longest, &longest, Alphabet::Digits).is_ok());
}
