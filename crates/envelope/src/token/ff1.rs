//! Format-preserving tokens: FF1 (NIST SP 800-38G) over an [`Alphabet`].
//!
//! The operations tokenize and detokenize call it for fields whose form must
//! stay: card numbers, account numbers, identifiers. Trusts its key only.
//!
//! # Tweak
//!
//! ```text
//! tweak = u64(field) ‖ field ‖ u64(tenant) ‖ tenant
//! ```
//!
//! `u64(x)` is the length of `x` in 8 bytes, big-endian; names are UTF-8.
//!
//! Separators are no part of what is encrypted: `4111 1111` and `41111111` have
//! the same digits in their tokens.
//!
//! # What it does not do
//!
//! There is no integrity: every well-formed value decrypts to something. Length
//! and separators of a value show in its token. Equal values have equal tokens,
//! and who can have values tokenized can try them all where there are few. Time
//! depends on the values; constant time is not claimed.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::alphabet::{Alphabet, is_separator};
use super::feistel::Feistel;
use super::{TokenError, TokenKey, append_string, check_names};
use crate::secret::SecretBuf;

/// Format-preserving tokens of one field of one tenant.
///
/// Made once for a request: it holds the expanded AES key.
pub struct Ff1 {
    feistel: Feistel,
    alphabet: Alphabet,
}

impl Ff1 {
    /// Most bytes of a value, separators included. How many characters of the
    /// alphabet a value has is bounded by the alphabet: [`Alphabet`].
    pub const MAX_VALUE_LEN: usize = 256;

    /// Binds the scheme to `field` and `tenant`.
    ///
    /// # Errors
    /// [`TokenError::NameTooLong`]; [`TokenError::Fault`].
    pub fn new(
        key: &TokenKey,
        field: &str,
        tenant: &str,
        alphabet: Alphabet,
    ) -> Result<Self, TokenError> {
        check_names(field, tenant)?;
        let mut tweak = Vec::new();
        append_string(&mut tweak, field.as_bytes());
        append_string(&mut tweak, tenant.as_bytes());
        let feistel = Feistel::new(key.ff1.expose(), &tweak, alphabet.radix())?;
        Ok(Self { feistel, alphabet })
    }

    /// Appends the token of `value` to `out`: as long as `value`, with `-`,
    /// space, `.` and `/` where they stand in `value`.
    ///
    /// # Errors
    /// [`TokenError::TooLong`], [`TokenError::DomainTooSmall`] (fewer than
    /// 1 000 000 values have this length), [`TokenError::Character`],
    /// [`TokenError::Fault`]. `out` is then as it was.
    pub fn encrypt(&self, value: &str, out: &mut SecretBuf) -> Result<(), TokenError> {
        let mut numerals = self.numerals(value)?;
        self.feistel.encrypt(numerals.expose_mut())?;
        self.write(value, &numerals, out);
        Ok(())
    }

    /// Appends the value of `token` to `out`.
    ///
    /// # Errors
    /// Those of [`Ff1::encrypt`]: a token has the form of a value.
    pub fn decrypt(&self, token: &str, out: &mut SecretBuf) -> Result<(), TokenError> {
        let mut numerals = self.numerals(token)?;
        self.feistel.decrypt(numerals.expose_mut())?;
        self.write(token, &numerals, out);
        Ok(())
    }

    /// The numerals of `value` without its separators.
    fn numerals(&self, value: &str) -> Result<Numerals, TokenError> {
        if value.len() > Self::MAX_VALUE_LEN {
            return Err(TokenError::TooLong);
        }
        let mut numerals = Numerals { bytes: [0; MAX_NUMERALS], len: 0 };
        for byte in value.bytes().filter(|byte| !is_separator(*byte)) {
            let numeral = self.alphabet.numeral(byte).ok_or(TokenError::Character)?;
            *numerals.bytes.get_mut(numerals.len).ok_or(TokenError::TooLong)? = numeral;
            numerals.len += 1;
        }
        Ok(numerals)
    }

    /// Appends `like` to `out`, with `numerals` in place of its own.
    fn write(&self, like: &str, numerals: &Numerals, out: &mut SecretBuf) {
        let mut numerals = numerals.bytes.iter();
        for (to, from) in out.grow(like.len()).iter_mut().zip(like.bytes()) {
            *to = if is_separator(from) {
                from
            } else {
                self.alphabet.character(numerals.next().copied().unwrap_or_default())
            };
        }
    }
}

/// A value's numerals, erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Numerals {
    bytes: [u8; MAX_NUMERALS],
    len: usize,
}

impl Numerals {
    fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

/// Numerals of the longest value: of [`Alphabet::Digits`], the smallest radix.
const MAX_NUMERALS: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_tweak_are_the_documented_ones() {
        let key = TokenKey::new(&[9; 32]).unwrap();
        let mut derived = [0; 32];
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, &[9; 32]);
        hkdf.expand(b"strongroom token ff1 v1", &mut derived).unwrap();
        let tweak = b"\0\0\0\0\0\0\0\x03pan\0\0\0\0\0\0\0\x04acme";
        let mut numerals = [4, 1, 1, 1, 1, 1, 1, 1];
        Feistel::new(&derived, tweak, 10).unwrap().encrypt(&mut numerals).unwrap();

        let mut out = SecretBuf::new();
        let ff1 = Ff1::new(&key, "pan", "acme", Alphabet::Digits).unwrap();
        ff1.encrypt("4111-1111", &mut out).unwrap();
        let expected: Vec<u8> = numerals.iter().map(|numeral| b'0' + numeral).collect();
        assert_eq!(out.expose(), [&expected[..4], b"-", &expected[4..]].concat());
    }
}
