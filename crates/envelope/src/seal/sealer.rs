//! Seals a result as it is made. Runs in the enclave, once per request whose
//! job says `protect = "seal"`.
//!
//! Two steps, because the attestation document must name the encapsulated key
//! before anything is written: [`Setup`], then [`Sealer`].

use super::binding::{self, Binding};
use super::header::StreamHeader;
use super::hpke::{self, Context, TAG_LEN};
use super::keys::RecipientPublicKey;
use super::{FINAL, MAX_CHUNK_LEN, SealError, USER_DATA_LEN, aad};
use crate::secret::SecretBuf;

/// A sealed stream whose attestation document is still to be had.
pub struct Setup {
    context: Context,
    header: StreamHeader,
    user_data: [u8; USER_DATA_LEN],
}

impl Setup {
    /// Draws an ephemeral key and derives the stream's key from it.
    ///
    /// # Errors
    /// [`SealError::Input`] when the binding's `input` is empty or too long,
    /// [`SealError::RecipientKey`] when `to` is a key of low order.
    pub fn new(to: &RecipientPublicKey, binding: &Binding<'_>) -> Result<Self, SealError> {
        if !binding::is_input_id(binding.input) {
            return Err(SealError::Input);
        }
        let info = binding.info();
        let sender = hpke::setup_sender(to, &info);
        let (enc, context) = sender.map_err(|hpke::Failed| SealError::RecipientKey)?;
        let user_data = binding::user_data(&enc, to, &info);
        Ok(Self { context, header: StreamHeader::new(binding, enc), user_data })
    }

    /// What the attestation document must carry as `user_data`.
    #[must_use]
    pub const fn user_data(&self) -> [u8; USER_DATA_LEN] {
        self.user_data
    }

    /// Appends the stream's header to `out`.
    ///
    /// `attestation_document` is the NSM's, over [`Self::user_data`]. It is
    /// carried, not read: a wrong one makes a stream that no client opens.
    ///
    /// # Errors
    /// [`SealError::HeaderTooLong`] beyond [`super::MAX_HEADER_LEN`].
    pub fn start(
        mut self,
        attestation_document: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Sealer, SealError> {
        self.header.write(attestation_document, out)?;
        Ok(Sealer { context: self.context, pending: SecretBuf::with_capacity(MAX_CHUNK_LEN) })
    }
}

/// Seals plaintext, chunk by chunk. Dropped without [`Self::finish`], it leaves
/// a stream that nobody accepts.
pub struct Sealer {
    context: Context,
    /// Plaintext short of a chunk.
    pending: SecretBuf,
}

impl Sealer {
    /// Appends to `out` the chunks that `plaintext` completes; the rest waits.
    ///
    /// # Errors
    /// [`SealError::Fault`] when the cryptographic library fails.
    pub fn seal(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        loop {
            let room = MAX_CHUNK_LEN.saturating_sub(self.pending.len());
            let Some((fill, rest)) = plaintext.split_at_checked(room) else {
                self.pending.extend_from_slice(plaintext);
                return Ok(());
            };
            self.pending.extend_from_slice(fill);
            self.write_chunk(false, out)?;
            plaintext = rest;
        }
    }

    /// Appends the final chunk, which may be empty, to `out`.
    ///
    /// # Errors
    /// [`SealError::Fault`] when the cryptographic library fails.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.write_chunk(true, out)
    }

    fn write_chunk(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), SealError> {
        let length = self.pending.len().saturating_add(TAG_LEN);
        let length = u32::try_from(length).map_err(|_| SealError::Fault)?;
        let head = if last { length | FINAL } else { length };
        out.extend_from_slice(&head.to_be_bytes());
        let aad = aad(self.context.sequence(), last);
        let sealed = self.context.seal(&aad, self.pending.expose(), out);
        sealed.map_err(|hpke::Failed| SealError::Fault)?;
        self.pending.clear();
        Ok(())
    }
}
