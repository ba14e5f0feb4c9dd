//! Deterministic tokens: AES-SIV (RFC 5297) with AES-SIV-CMAC-512.
//!
//! The operations tokenize and detokenize call it for fields whose form need
//! not stay. Trusts its key only.
//!
//! # Token
//!
//! ```text
//! token = base64url(V ‖ C)       (RFC 4648 section 5, without padding)
//!
//! V ‖ C = SIV-ENCRYPT(key, value, field, tenant)       (RFC 5297 section 2.6)
//! ```
//!
//! V, 16 bytes, is the synthetic IV; C is as long as the value. `field` and
//! `tenant`, UTF-8, are the two associated strings in this order. Any library's
//! AES-SIV makes and opens the same tokens: in Python,
//! `cryptography.hazmat.primitives.ciphers.aead.AESSIV(key).encrypt(value, [field, tenant])`.
//!
//! Equal values have equal tokens, and a token shows the length of its value.

use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::cmac;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{SIV_KEY_LEN, TokenError, TokenKey, aes, check_names};
use crate::secret::SecretBuf;

/// Deterministic tokens of one field of one tenant.
///
/// Made once for a request: it holds the expanded AES keys, and what S2V makes
/// of the two names.
pub struct Siv(AesSiv);

impl Siv {
    /// Most bytes of a value. It may be empty.
    pub const MAX_VALUE_LEN: usize = 64 * 1024;

    /// Most bytes of a token: that of the longest value.
    pub const MAX_TOKEN_LEN: usize = token_len(Self::MAX_VALUE_LEN);

    /// Binds the scheme to `field` and `tenant`.
    ///
    /// # Errors
    /// [`TokenError::NameTooLong`]; [`TokenError::Fault`].
    pub fn new(key: &TokenKey, field: &str, tenant: &str) -> Result<Self, TokenError> {
        check_names(field, tenant)?;
        Ok(Self(AesSiv::new(key.siv.expose(), &[field.as_bytes(), tenant.as_bytes()])?))
    }

    /// Appends the token of `value` to `out`.
    ///
    /// # Errors
    /// [`TokenError::TooLong`], [`TokenError::Fault`]; `out` is then as it was.
    pub fn tokenize(&self, value: &[u8], out: &mut SecretBuf) -> Result<(), TokenError> {
        if value.len() > Self::MAX_VALUE_LEN {
            return Err(TokenError::TooLong);
        }
        let mut sealed = SecretBuf::with_capacity(IV_LEN + value.len());
        self.0.seal(value, &mut sealed)?;
        let start = out.len();
        let text = out.grow(token_len(value.len()));
        if URL_SAFE_NO_PAD.encode_slice(sealed.expose(), text).is_err() {
            out.truncate(start);
            return Err(TokenError::Fault);
        }
        Ok(())
    }

    /// Appends the value of `token` to `out`.
    ///
    /// # Errors
    /// [`TokenError::DetokenizeFailed`], whatever is wrong with the token; `out`
    /// is then as it was.
    pub fn detokenize(&self, token: &[u8], out: &mut SecretBuf) -> Result<(), TokenError> {
        if token.len() > Self::MAX_TOKEN_LEN {
            return Err(TokenError::DetokenizeFailed);
        }
        let mut sealed = SecretBuf::new();
        let len = URL_SAFE_NO_PAD
            .decode_slice(token, sealed.grow(base64::decoded_len_estimate(token.len())))
            .map_err(|_| TokenError::DetokenizeFailed)?;
        sealed.truncate(len);
        let value = self.0.open(sealed.expose_mut()).ok_or(TokenError::DetokenizeFailed)?;
        out.extend_from_slice(value);
        Ok(())
    }
}

/// Length of the token of a value of `len` bytes: four characters for three
/// bytes, and no padding.
const fn token_len(len: usize) -> usize {
    ((IV_LEN + len) * 4).div_ceil(3)
}

/// AES-SIV-CMAC-512 with a key and the associated strings.
struct AesSiv {
    mac: cmac::Key,
    ctr: Box<EncryptingKey>,
    /// D of S2V once it has taken in the associated strings.
    strings: Zeroizing<u128>,
}

impl AesSiv {
    /// `key` is [`SIV_KEY_LEN`] bytes: that of the MAC, then that of the cipher.
    fn new(key: &[u8], strings: &[&[u8]]) -> Result<Self, Unspecified> {
        let (mac, ctr) = key.split_at_checked(SIV_KEY_LEN / 2).ok_or(Unspecified)?;
        let mac = cmac::Key::new(cmac::AES_256, mac)?;
        let ctr = aes(ctr, EncryptingKey::ctr)?;
        let mut d = Zeroizing::new(block(cmac::sign(&mac, &[0; IV_LEN])?)?);
        for string in strings {
            *d = double(*d) ^ block(cmac::sign(&mac, string)?)?;
        }
        Ok(Self { mac, ctr, strings: d })
    }

    /// Appends V ‖ C of `value`.
    fn seal(&self, value: &[u8], out: &mut SecretBuf) -> Result<(), Unspecified> {
        let iv = self.s2v(value)?;
        out.extend_from_slice(&iv);
        let start = out.len();
        out.extend_from_slice(value);
        self.apply_ctr(iv, out.expose_mut().get_mut(start..).unwrap_or_default())
    }

    /// Opens V ‖ C in place; `None` when it is not of this key and strings, and
    /// then what stands in `sealed` is worthless but must be erased.
    fn open<'a>(&self, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (iv, value) = sealed.split_first_chunk_mut::<IV_LEN>()?;
        self.apply_ctr(*iv, value).ok()?;
        let expected = self.s2v(value).ok()?;
        bool::from(expected.ct_eq(iv)).then_some(value)
    }

    /// S2V of the associated strings and `value`: RFC 5297, section 2.4.
    fn s2v(&self, value: &[u8]) -> Result<[u8; IV_LEN], Unspecified> {
        let mut mac = cmac::Context::with_key(&self.mac);
        let mut last = [0; IV_LEN];
        let d = if let Some((head, tail)) = value.split_last_chunk::<IV_LEN>() {
            mac.update(head)?;
            last.copy_from_slice(tail);
            *self.strings
        } else {
            let padded = value.iter().chain(std::iter::once(&0x80));
            last.iter_mut().zip(padded).for_each(|(to, from)| *to = *from);
            double(*self.strings)
        };
        let mut t = (u128::from_be_bytes(last) ^ d).to_be_bytes();
        mac.update(&t)?;
        last.zeroize();
        t.zeroize();
        Ok(block(mac.sign()?)?.to_be_bytes())
    }

    /// AES-CTR from the counter that `iv` makes: RFC 5297, section 2.5.
    fn apply_ctr(&self, iv: [u8; IV_LEN], in_out: &mut [u8]) -> Result<(), Unspecified> {
        let q = u128::from_be_bytes(iv) & !((1 << 63) | (1 << 31));
        let iv = FixedLength::from(&q.to_be_bytes());
        self.ctr.less_safe_encrypt(in_out, EncryptionContext::Iv128(iv))?;
        Ok(())
    }
}

/// Multiplication by x in GF(2^128): RFC 5297, section 2.3.
const fn double(block: u128) -> u128 {
    (block << 1) ^ ((block >> 127) * 0x87)
}

fn block(tag: cmac::Tag) -> Result<u128, Unspecified> {
    let bytes = tag.as_ref().try_into().map_err(|_| Unspecified)?;
    Ok(u128::from_be_bytes(bytes))
}

/// Length of the synthetic IV in bytes.
const IV_LEN: usize = 16;

#[cfg(test)]
mod tests;
