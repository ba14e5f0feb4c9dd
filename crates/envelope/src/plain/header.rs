//! What stands in front of the ciphertext.
//!
//! Parsed before any key is there, from bytes that the parent sent: trusts none
//! of them, and takes memory for a length only after comparing it.

use super::{
    FormatError, LENGTH_LEN, Limits, MAGIC, MAX_ENCRYPTED_DATA_KEY_LEN, NONCE_LEN, TAG_LEN,
};

/// A plain envelope's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header as it arrived, nonce included: the first part of the AAD.
    bytes: Vec<u8>,
    encrypted_data_key: Vec<u8>,
    nonce: [u8; NONCE_LEN],
    max_len: usize,
}

impl Header {
    /// Reads the header at the start of `input` and says how many bytes it took;
    /// `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FormatError`] as soon as the bytes can no longer become a header.
    pub fn parse(input: &[u8], limits: &Limits) -> Result<Option<(Self, usize)>, FormatError> {
        let magic = input.get(..MAGIC.len()).unwrap_or(input);
        if !MAGIC.starts_with(magic) {
            return Err(FormatError::Magic);
        }
        let Some((&len, rest)) =
            input.get(MAGIC.len()..).and_then(<[u8]>::split_first_chunk::<LENGTH_LEN>)
        else {
            return Ok(None);
        };
        let len = u16::from_be_bytes(len);
        if len == 0 {
            return Err(FormatError::NoEncryptedDataKey);
        }
        if usize::from(len) > limits.max_encrypted_data_key.min(MAX_ENCRYPTED_DATA_KEY_LEN) {
            return Err(FormatError::EncryptedDataKeyTooLong(len));
        }
        let Some((key, rest)) = rest.split_at_checked(usize::from(len)) else { return Ok(None) };
        let Some((&nonce, rest)) = rest.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
        let (bytes, _) = input.split_at(input.len().saturating_sub(rest.len()));
        let header = Self {
            bytes: bytes.to_vec(),
            encrypted_data_key: key.to_vec(),
            nonce,
            max_len: limits.max_len,
        };
        Ok(Some((header, bytes.len())))
    }

    /// The encrypted data key: KMS's `CiphertextBlob`.
    #[must_use]
    pub fn encrypted_data_key(&self) -> &[u8] {
        &self.encrypted_data_key
    }

    /// Most bytes that the body, tag included, may have.
    #[must_use]
    pub const fn max_body_len(&self) -> usize {
        self.max_len.saturating_add(TAG_LEN)
    }

    /// To be asked before memory is taken for a body of `len` bytes, tag
    /// included.
    ///
    /// # Errors
    /// [`FormatError::TooLong`] above [`max_body_len`](Self::max_body_len).
    pub const fn check_body_len(&self, len: usize) -> Result<(), FormatError> {
        if len > self.max_body_len() {
            return Err(FormatError::TooLong(self.max_len));
        }
        Ok(())
    }

    /// The header as it arrived.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }
}
