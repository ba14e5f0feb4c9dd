//! Opens the body of a plain envelope.
//!
//! Called by the service once the data key and the whole body are there. Trusts
//! the data key and the context only, which come from KMS and from the job.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{DecryptFailed, Header, TAG_LEN, aad};
use crate::esdk::EncryptionContext;
use crate::{DataKey, SecretBuf};

/// Opens one message.
pub struct Opener {
    key: LessSafeKey,
    nonce: Nonce,
    aad: Vec<u8>,
    max_body_len: usize,
}

impl Opener {
    /// An opener for the body behind `header`. Nothing is checked yet: `key` and
    /// `context` show themselves to be the right ones in [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`DecryptFailed`] for a context that can not be encoded; nothing was ever
    /// written under one.
    pub fn new(
        header: Header,
        key: &DataKey,
        context: &EncryptionContext,
    ) -> Result<Self, DecryptFailed> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| DecryptFailed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonce: Nonce::assume_unique_for_key(header.nonce()),
            aad: aad(header.bytes(), context).map_err(|_| DecryptFailed)?,
            max_body_len: header.max_body_len(),
        })
    }

    /// Opens `body`, everything behind the header, and appends its plaintext to
    /// `out`.
    ///
    /// Whoever collects the body asks [`Header::check_body_len`] on the way;
    /// a longer body is refused here as well.
    ///
    /// # Errors
    /// [`DecryptFailed`], whatever was wrong. Nothing is appended to `out` then.
    pub fn finish(self, body: &[u8], out: &mut SecretBuf) -> Result<(), DecryptFailed> {
        if body.len() > self.max_body_len {
            return Err(DecryptFailed);
        }
        let (ciphertext, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(DecryptFailed)?;
        let start = out.len();
        let room = out.grow(ciphertext.len());
        let aad = Aad::from(&self.aad);
        self.key.open_separate_gather(self.nonce, aad, ciphertext, tag, room).map_err(|_| {
            out.truncate(start);
            DecryptFailed
        })
    }
}
