//! The encryption context: public key-value pairs that a ciphertext is bound to.
//!
//! Read from headers and written into them; the service compares it with what
//! the job pins and hands it to KMS. Contexts are not secret.
//!
//! ```text
//! nothing when empty, else
//! count u16 ‖ count × (key length u16 ‖ key ‖ value length u16 ‖ value), by key
//! ```

use std::collections::BTreeMap;

use super::cursor::{Cursor, Short};

/// Keys that start with this belong to the format; callers may not set them.
pub const RESERVED_PREFIX: &str = "aws-crypto-";

/// The key under which a signed message carries its verification key.
pub const PUBLIC_KEY: &str = "aws-crypto-public-key";

/// Longest encoding, in bytes: the header gives its length in a u16.
const MAX_ENCODED_LEN: usize = 0xFFFF;

/// What is wrong with an encryption context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// The encoding ends too early or too late, or counts no pairs.
    #[error("malformed encoding")]
    Malformed,
    /// A key or value is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A key occurs twice.
    #[error("duplicate key")]
    DuplicateKey,
    /// A key starts with [`RESERVED_PREFIX`].
    #[error("key with a reserved prefix")]
    ReservedKey,
    /// The encoding would be longer than 65 535 bytes.
    #[error("too long")]
    TooLong,
}

/// An encryption context, ordered by the UTF-8 bytes of its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// A caller's context.
    ///
    /// # Errors
    /// A key that starts with [`RESERVED_PREFIX`] or occurs twice; an encoding
    /// longer than 65 535 bytes.
    pub fn new<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, ContextError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let mut context = Self::default();
        for (key, value) in pairs {
            context.insert(key.into(), value.into())?;
        }
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/encrypt.md#encryption-context
        if context.has_reserved_key() {
            return Err(ContextError::ReservedKey);
        }
        context.check_len()?;
        Ok(context)
    }

    /// Reads an encoded context: all of `bytes`, none for an empty context.
    ///
    /// Any order of keys is accepted, and so are reserved keys.
    ///
    /// # Errors
    /// Anything but [`ContextError::ReservedKey`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContextError> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#serialization
        if bytes.len() > MAX_ENCODED_LEN {
            return Err(ContextError::TooLong);
        }
        let mut context = Self::default();
        if bytes.is_empty() {
            return Ok(context);
        }
        let mut cursor = Cursor::new(bytes);
        let count = cursor.u16()?;
        for _ in 0..count {
            let key = text(cursor.field()?)?;
            let value = text(cursor.field()?)?;
            context.insert(key, value)?;
        }
        if count == 0 || !cursor.rest().is_empty() {
            return Err(ContextError::Malformed);
        }
        Ok(context)
    }

    /// The encoding: what headers hold and what raw keyrings authenticate.
    ///
    /// # Errors
    /// [`ContextError::TooLong`]
    pub fn encode(&self) -> Result<Vec<u8>, ContextError> {
        self.check_len()?;
        let mut bytes = Vec::with_capacity(self.encoded_len());
        if self.0.is_empty() {
            return Ok(bytes);
        }
        put_len(&mut bytes, self.0.len())?;
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            put_len(&mut bytes, text.len())?;
            bytes.extend_from_slice(text.as_bytes());
        }
        Ok(bytes)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All pairs, ordered by key, reserved ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some key starts with [`RESERVED_PREFIX`].
    #[must_use]
    pub fn has_reserved_key(&self) -> bool {
        self.0.keys().any(|key| key.starts_with(RESERVED_PREFIX))
    }

    /// This context with the verification key of a signed message.
    pub(super) fn with_public_key(&self, public_key: &str) -> Result<Self, ContextError> {
        self.with(PUBLIC_KEY, public_key)
    }

    /// This context with one more pair, whose key may be reserved.
    pub(super) fn with(&self, key: &str, value: &str) -> Result<Self, ContextError> {
        let mut context = self.clone();
        context.insert(key.to_owned(), value.to_owned())?;
        context.check_len()?;
        Ok(context)
    }

    fn insert(&mut self, key: String, value: String) -> Result<(), ContextError> {
        match self.0.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(ContextError::DuplicateKey),
        }
    }

    fn check_len(&self) -> Result<(), ContextError> {
        if self.encoded_len() > MAX_ENCODED_LEN {
            return Err(ContextError::TooLong);
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let pairs = self.0.iter();
        pairs.fold(2, |len, (key, value)| len.saturating_add(4 + key.len() + value.len()))
    }
}

impl From<Short> for ContextError {
    fn from(Short: Short) -> Self {
        Self::Malformed
    }
}

fn text(bytes: &[u8]) -> Result<String, ContextError> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| ContextError::NotUtf8)
}

fn put_len(bytes: &mut Vec<u8>, len: usize) -> Result<(), ContextError> {
    let len = u16::try_from(len).map_err(|_| ContextError::TooLong)?;
    bytes.extend_from_slice(&len.to_be_bytes());
    Ok(())
}
