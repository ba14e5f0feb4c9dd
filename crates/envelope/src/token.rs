//! Tokens: values replaced by others that only the holder of a key can turn
//! back, the same value always by the same token.
//!
//! The operations tokenize and detokenize call it, the operation index through
//! [`crate::index`]. It trusts the secret it is given and nothing else.
//!
//! - [`Siv`] replaces a value of any form by base64url text, and notices a
//!   token that was changed.
//! - [`Ff1`] replaces a value by one of the same length and characters. It
//!   notices nothing: every well-formed value is the token of some other one.
//!
//! Both are deterministic, which is what makes tokens joinable: who sees the
//! tokens sees which values are equal, how often each occurs and how long they
//! are. Each is bound to a field and a tenant, so equality shows within these
//! only.
//!
//! # Keys
//!
//! One secret, as KMS unwraps it, serves every scheme. From the secret `s`:
//!
//! ```text
//! key(label, n) = HKDF-SHA-256 (RFC 5869): salt = none (32 zero bytes), IKM = s,
//!                 info = label in ASCII, L = n bytes
//!
//! AES-SIV       = key("strongroom token siv v1", 64)
//! FF1           = key("strongroom token ff1 v1", 32)
//! blind index   = key("strongroom index v1", 32)
//! ```

mod alphabet;
mod feistel;
mod ff1;
mod siv;

pub use alphabet::Alphabet;
pub use ff1::Ff1;
pub use siv::Siv;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;

use crate::secret::SecretBuf;
use crate::stack;

/// Most bytes of a field's or a tenant's name: what the wire lets an argument
/// have. Either may be empty.
pub const MAX_NAME_LEN: usize = 1024;

/// Why a value has no token, or a token no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The secret is shorter than [`TokenKey::MIN_SECRET_LEN`] or longer than
    /// [`TokenKey::MAX_SECRET_LEN`]: the fault of who made it.
    #[error("a token secret has 32 to 64 bytes")]
    SecretLength,
    /// The name of a field or a tenant exceeds [`MAX_NAME_LEN`].
    #[error("the name of the field or the tenant is too long")]
    NameTooLong,
    /// The value is longer than the scheme takes.
    #[error("the value is too long for a token")]
    TooLong,
    /// Too few values have this value's length for FF1 to hide which one it is.
    #[error("the value is too short for a format-preserving token")]
    DomainTooSmall,
    /// The value has a character that is neither in the alphabet nor a separator.
    #[error("the value has a character outside the alphabet")]
    Character,
    /// The token is not one of this key, field and tenant. Never says why.
    #[error("not a token of this field")]
    DetokenizeFailed,
    /// The cryptographic library failed: nobody's fault outside.
    #[error("making the token failed")]
    Fault,
}

impl From<Unspecified> for TokenError {
    fn from(_: Unspecified) -> Self {
        Self::Fault
    }
}

/// The keys derived from one secret, one for each scheme.
pub struct TokenKey {
    siv: SecretBuf,
    ff1: SecretBuf,
    index: SecretBuf,
}

impl TokenKey {
    /// Fewest bytes of a secret: 256 bits, as GenerateDataKey makes them.
    pub const MIN_SECRET_LEN: usize = 32;

    /// Most bytes of a secret: a block of SHA-256, beyond which HKDF would hash
    /// it first.
    pub const MAX_SECRET_LEN: usize = 64;

    /// Derives the keys from `secret`, which must be random: a password has
    /// nothing to protect it here from being guessed.
    ///
    /// The caller still owns `secret` and must see to its erasure.
    ///
    /// # Errors
    /// [`TokenError::SecretLength`]; [`TokenError::Fault`].
    pub fn new(secret: &[u8]) -> Result<Self, TokenError> {
        if !(Self::MIN_SECRET_LEN..=Self::MAX_SECRET_LEN).contains(&secret.len()) {
            return Err(TokenError::SecretLength);
        }
        let prk = hkdf::Salt::none(hkdf::HKDF_SHA256).extract(secret);
        Ok(Self {
            siv: expand(&prk, LABEL_SIV, SIV_KEY_LEN)?,
            ff1: expand(&prk, LABEL_FF1, FF1_KEY_LEN)?,
            index: expand(&prk, LABEL_INDEX, INDEX_KEY_LEN)?,
        })
    }

    /// Key of the blind index, [`INDEX_KEY_LEN`] bytes.
    pub(crate) fn index_key(&self) -> &[u8] {
        self.index.expose()
    }
}

/// `bytes` behind their number in 8 bytes, big-endian: strings so encoded and
/// put one behind the other can be told apart again.
pub(crate) fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length_prefix(bytes));
    out.extend_from_slice(bytes);
}

/// The length of `bytes` in 8 bytes, big-endian.
pub(crate) fn length_prefix(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes()
}

/// Checks the names a scheme is to be bound to.
fn check_names(field: &str, tenant: &str) -> Result<(), TokenError> {
    if field.len() > MAX_NAME_LEN || tenant.len() > MAX_NAME_LEN {
        return Err(TokenError::NameTooLong);
    }
    Ok(())
}

/// Expands `key`, 32 bytes, for AES-256 in the mode that `mode` sets. On the heap,
/// where it is erased and does not move.
fn aes(
    key: &[u8],
    mode: fn(UnboundCipherKey) -> Result<EncryptingKey, Unspecified>,
) -> Result<Box<EncryptingKey>, Unspecified> {
    stack::erased(|| mode(UnboundCipherKey::new(&AES_256, key)?).map(Box::new))
}

fn expand(prk: &hkdf::Prk, label: &[u8], len: usize) -> Result<SecretBuf, TokenError> {
    let mut key = SecretBuf::with_capacity(len);
    prk.expand(&[label], KeyLen(len))?.fill(key.grow(len))?;
    Ok(key)
}

/// Length of a derived key in bytes.
struct KeyLen(usize);

impl hkdf::KeyType for KeyLen {
    fn len(&self) -> usize {
        self.0
    }
}

const LABEL_SIV: &[u8] = b"strongroom token siv v1";
const LABEL_FF1: &[u8] = b"strongroom token ff1 v1";
/// Also the first string that the blind index authenticates.
pub(crate) const LABEL_INDEX: &[u8] = b"strongroom index v1";

/// AES-SIV-CMAC-512: two AES-256 keys.
const SIV_KEY_LEN: usize = 64;
const FF1_KEY_LEN: usize = 32;
const INDEX_KEY_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_fewer_than_32_or_more_than_64_bytes_is_refused() {
        for len in [0, 1, 16, 31, 65, 128] {
            let refused = TokenKey::new(&vec![7; len]).err();
            assert_eq!(refused, Some(TokenError::SecretLength), "{len} bytes");
        }
        for len in [32, 48, 64] {
            assert!(TokenKey::new(&vec![7; len]).is_ok(), "{len} bytes");
        }
    }

    #[test]
    fn keys_are_those_of_another_hkdf_and_differ() {
        let secret = *b"0123456789abcdef0123456789abcdefXYZ";
        let key = TokenKey::new(&secret).unwrap();
        let other = ::hkdf::Hkdf::<sha2::Sha256>::new(None, &secret);
        let mut siv = [0; 64];
        let mut ff1 = [0; 32];
        let mut index = [0; 32];
        other.expand(b"strongroom token siv v1", &mut siv).unwrap();
        other.expand(b"strongroom token ff1 v1", &mut ff1).unwrap();
        other.expand(b"strongroom index v1", &mut index).unwrap();
        assert_eq!(key.siv.expose(), siv);
        assert_eq!(key.ff1.expose(), ff1);
        assert_eq!(key.index_key(), index);
        assert_ne!(ff1, index);
    }

    #[test]
    fn names_that_read_alike_when_joined_are_encoded_apart() {
        let encoded = |field: &str, tenant: &str| {
            let mut out = Vec::new();
            append_string(&mut out, field.as_bytes());
            append_string(&mut out, tenant.as_bytes());
            out
        };
        assert_ne!(encoded("pan", "acme"), encoded("pana", "cme"));
        assert_ne!(encoded("pan", ""), encoded("", "pan"));
        assert_eq!(encoded("p", ""), [0, 0, 0, 0, 0, 0, 0, 1, b'p', 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
