//! A PCR's value, as documents carry it and people write it.

use std::fmt;
use std::str::FromStr;

/// A PCR's value under SHA-384: 48 bytes.
///
/// Written as 96 hex digits; read in either case, shown in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PcrValue(pub [u8; Self::LEN]);

impl PcrValue {
    /// Length in bytes: SHA-384, the only digest of the Nitro Secure Module.
    pub const LEN: usize = 48;
    /// The value of a PCR that nothing was measured into.
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// Whether nothing was measured into it. PCR0 is zero only in debug mode.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Debug for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PcrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PcrValue {
    type Err = ParsePcrError;

    fn from_str(text: &str) -> Result<Self, ParsePcrError> {
        let mut value = [0; Self::LEN];
        hex::decode_to_slice(text, &mut value).map_err(|_| ParsePcrError)?;
        Ok(Self(value))
    }
}

/// The text is no PCR value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PCR value is 96 hex digits (48 bytes)")]
pub struct ParsePcrError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_of_either_case_is_read_and_lower_case_is_shown() {
        let value: PcrValue = "aB".repeat(48).parse().unwrap();
        assert_eq!(value, PcrValue([0xab; 48]));
        assert_eq!(value.to_string(), "ab".repeat(48));
        assert_eq!(value.to_string().parse(), Ok(value));
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_no_pcr() {
        for text in
            ["", "ab", &"ab".repeat(47), &"ab".repeat(49), &"a".repeat(95), &"xy".repeat(48)]
        {
            assert_eq!(text.parse::<PcrValue>(), Err(ParsePcrError), "{text:?}");
        }
    }

    #[test]
    fn only_all_zeros_is_zero() {
        assert!(PcrValue::ZERO.is_zero());
        let mut value = [0; 48];
        value[47] = 1;
        assert!(!PcrValue(value).is_zero());
    }
}
