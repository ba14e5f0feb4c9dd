//! Blind index: a keyed hash of a normalised value, by which equal values can be
//! found without being seen.
//!
//! The operations index and match call it. Trusts its key only.
//!
//! # Index
//!
//! ```text
//! index = lowercase hex of the first `bytes` bytes of
//!         HMAC-SHA-256( key, u64(label)  ‖ label  ‖ u64(field) ‖ field
//!                          ‖ u64(tenant) ‖ tenant ‖ u64(value) ‖ value )
//!
//! label = "strongroom index v1"
//! ```
//!
//! `u64(x)` is the length of `x` in 8 bytes, big-endian; everything is UTF-8;
//! `value` is normalised; `key` is derived as [`crate::token`] says. In Python:
//!
//! ```python
//! label = b"strongroom index v1"
//! key = HKDF(SHA256(), length=32, salt=None, info=label).derive(secret)
//! mac = HMAC(key, SHA256())
//! for text in (label, field, tenant, value):
//!     mac.update(len(text).to_bytes(8, "big") + text)
//! index = mac.finalize()[:bytes].hex()
//! ```
//!
//! An index shows which values are equal and how often each occurs. Who can have
//! values indexed can guess those of a small set; fewer bytes make distinct
//! values share an index, which blurs both.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::secret::SecretBuf;
use crate::stack;
use crate::token::{LABEL_INDEX, MAX_NAME_LEN, TokenKey, length_prefix};

/// Why a value has no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// An index has [`BlindIndex::MIN_BYTES`] to [`BlindIndex::MAX_BYTES`] bytes.
    #[error("an index has 8 to 32 bytes")]
    Length,
    /// The name of a field or a tenant exceeds [`MAX_NAME_LEN`].
    #[error("the name of the field or the tenant is too long")]
    NameTooLong,
    /// The value exceeds [`BlindIndex::MAX_VALUE_LEN`].
    #[error("the value is too long for an index")]
    TooLong,
    /// Nothing is left of the value once normalised: all such values would be
    /// equal.
    #[error("nothing is left of the value to be indexed")]
    Empty,
}

/// One step of making values that mean the same the same bytes.
///
/// None applies a Unicode normalisation form: `é` as one character and as two
/// have different indexes. White space is what Unicode's property White_Space
/// says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalise {
    /// Drops white space at the start and the end.
    Trim,
    /// Lowers each character by itself, by Unicode's full mapping: a final sigma
    /// becomes `σ` too. In Python: `"".join(c.lower() for c in value)`.
    Lowercase,
    /// Keeps `0`–`9` and drops everything else.
    Digits,
    /// Puts one space in place of every run of white space.
    CollapseSpaces,
}

/// The index of one field of one tenant.
///
/// Made once for a request: it holds the HMAC's state after the names.
pub struct BlindIndex {
    names: Box<hmac::Context>,
    steps: Vec<Normalise>,
    bytes: usize,
}

impl BlindIndex {
    /// Fewest bytes of an index.
    pub const MIN_BYTES: usize = 8;

    /// Most bytes of an index: all that HMAC-SHA-256 gives.
    pub const MAX_BYTES: usize = 32;

    /// Most bytes of a value, before it is normalised.
    pub const MAX_VALUE_LEN: usize = 64 * 1024;

    /// Binds the index to `field` and `tenant`; `steps` are applied to each value
    /// in their order.
    ///
    /// # Errors
    /// [`IndexError::Length`], [`IndexError::NameTooLong`].
    pub fn new(
        key: &TokenKey,
        field: &str,
        tenant: &str,
        steps: &[Normalise],
        bytes: usize,
    ) -> Result<Self, IndexError> {
        if !(Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes) {
            return Err(IndexError::Length);
        }
        if field.len() > MAX_NAME_LEN || tenant.len() > MAX_NAME_LEN {
            return Err(IndexError::NameTooLong);
        }
        let names = stack::erased(|| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.index_key());
            let mut names = Box::new(hmac::Context::with_key(&key));
            for string in [LABEL_INDEX, field.as_bytes(), tenant.as_bytes()] {
                update(&mut names, string);
            }
            names
        });
        Ok(Self { names, steps: steps.to_vec(), bytes })
    }

    /// Appends the index of `value` to `out`: twice as many characters as an
    /// index has bytes.
    ///
    /// # Errors
    /// [`IndexError::TooLong`], [`IndexError::Empty`]; `out` is then as it was.
    pub fn index(&self, value: &str, out: &mut SecretBuf) -> Result<(), IndexError> {
        let tag = self.tag(value)?;
        for byte in tag.as_ref().iter().take(self.bytes) {
            out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        Ok(())
    }

    /// Whether `index` is the index of `value`, compared in constant time.
    ///
    /// # Errors
    /// Those of [`BlindIndex::index`], of the value.
    pub fn matches(&self, value: &str, index: &[u8]) -> Result<bool, IndexError> {
        let mut expected = SecretBuf::with_capacity(2 * Self::MAX_BYTES);
        self.index(value, &mut expected)?;
        Ok(expected.expose().ct_eq(index).into())
    }

    fn tag(&self, value: &str) -> Result<hmac::Tag, IndexError> {
        if value.len() > Self::MAX_VALUE_LEN {
            return Err(IndexError::TooLong);
        }
        let value = normalise(value, &self.steps);
        if value.is_empty() {
            return Err(IndexError::Empty);
        }
        // The library hands HMAC's state, as good as the key, over by value.
        Ok(stack::erased(|| {
            let mut mac = hmac::Context::clone(&self.names);
            update(&mut mac, value.expose());
            mac.sign()
        }))
    }
}

/// Applies `steps` to `value`, one after the other.
fn normalise(value: &str, steps: &[Normalise]) -> SecretBuf {
    let mut text = SecretBuf::with_capacity(value.len());
    text.extend_from_slice(value.as_bytes());
    for step in steps {
        let mut next = SecretBuf::with_capacity(text.len());
        step.apply(utf8(&text), &mut next);
        text = next;
    }
    text
}

#[expect(clippy::expect_used, reason = "starts as a str, and every step writes whole characters")]
fn utf8(text: &SecretBuf) -> &str {
    std::str::from_utf8(text.expose()).expect("a normalised value is UTF-8")
}

impl Normalise {
    /// Appends to `out` what the step makes of `text`.
    pub fn apply(self, text: &str, out: &mut SecretBuf) {
        match self {
            Self::Trim => out.extend_from_slice(text.trim().as_bytes()),
            Self::Lowercase => append(out, text.chars().flat_map(char::to_lowercase)),
            Self::Digits => append(out, text.chars().filter(char::is_ascii_digit)),
            Self::CollapseSpaces => {
                let mut in_space = false;
                let kept = text.chars().filter_map(|c| {
                    let repeated = c.is_whitespace() && in_space;
                    in_space = c.is_whitespace();
                    (!repeated).then_some(if in_space { ' ' } else { c })
                });
                append(out, kept);
            }
        }
    }
}

fn append(out: &mut SecretBuf, characters: impl Iterator<Item = char>) {
    let mut utf8 = [0; 4];
    for character in characters {
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    utf8.zeroize();
}

fn update(mac: &mut hmac::Context, string: &[u8]) {
    mac.update(&length_prefix(string));
    mac.update(string);
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble).wrapping_sub(10) }
}
