//! Writes a message: from plaintext to header, frames and footer.
//!
//! Called by the service for results that leave under a KMS key, and by
//! producers that use the client library. Plaintext is encrypted from the
//! caller's slice or from one erased buffer of a frame's length; it never stands
//! in `out`.

use super::context::{ContextError, EncryptionContext};
use super::frame::{self, FrameAad};
use super::header::{EncryptedDataKey, NewHeader};
use super::keys::{self, FrameCounter, FrameKind, MessageId, MessageKey, TAG_LEN};
use super::signature::Signer;
use super::{Limits, SealError, Suite};
use crate::{DataKey, SecretBuf};

/// Length of the plaintext in each frame but the last, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLen(u32);

impl FrameLen {
    /// 64 KiB: long enough for AES-GCM to run at its full speed, short enough
    /// to hold one per stream.
    pub const DEFAULT: Self = Self(64 * 1024);

    /// From 1 byte to the [`Limits::max_frame_len`] of [`Limits::DEFAULT`];
    /// `None` for any other length.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        let len = Some(len).filter(|len| (1..=Limits::DEFAULT.max_frame_len).contains(len))?;
        u32::try_from(len).ok().map(Self)
    }

    fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(Limits::DEFAULT.max_frame_len)
    }
}

impl Default for FrameLen {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Writes one message.
pub struct Sealer {
    message_id: MessageId,
    frame_len: usize,
    key: MessageKey,
    numbers: FrameCounter,
    signer: Option<Signer>,
    /// Plaintext that no frame holds yet, at most one frame: a whole one waits
    /// here to learn whether it is the last.
    pending: SecretBuf,
    failed: bool,
}

impl Sealer {
    /// Starts a message of [`Suite::HkdfSha512Commit`]: appends its header to
    /// `out`.
    ///
    /// `encrypted_data_keys` are encryptions of `key` under `context`, any one
    /// of which opens the message.
    ///
    /// # Errors
    /// A context with reserved keys, a data key of another length than
    /// [`DataKey::LEN`], a header that a reader with [`Limits::DEFAULT`] would
    /// refuse, a failing random source. Nothing is appended to `out` then.
    pub fn new(
        key: &DataKey,
        context: &EncryptionContext,
        encrypted_data_keys: &[EncryptedDataKey],
        frame_len: FrameLen,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        if context.has_reserved_key() {
            return Err(ContextError::ReservedKey.into());
        }
        Self::start(key, context, encrypted_data_keys, frame_len, None, out)
    }

    /// Starts a message of [`Suite::HkdfSha512CommitEcdsaP384`]: appends its
    /// header, with the signer's context, to `out`.
    ///
    /// # Errors
    /// As for [`Sealer::new`].
    pub fn signed(
        key: &DataKey,
        signer: Signer,
        encrypted_data_keys: &[EncryptedDataKey],
        frame_len: FrameLen,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        let context = signer.encryption_context().clone();
        Self::start(key, &context, encrypted_data_keys, frame_len, Some(signer), out)
    }

    /// Takes more plaintext and appends the frames that are full to `out`.
    ///
    /// # Errors
    /// A message of more than 2³² − 1 frames, a failing cryptographic library;
    /// [`SealError::Failed`] after that. Nothing is appended to `out` then.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        self.check()?;
        let start = out.len();
        let result = self.put_full_frames(plaintext, out);
        if result.is_err() {
            self.failed = true;
            out.truncate(start);
        }
        result
    }

    /// Ends the message: appends the final frame, and the footer of a signed
    /// suite, to `out`.
    ///
    /// # Errors
    /// As for [`Sealer::seal`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        self.check()?;
        let start = out.len();
        let result = self.put_end(out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn start(
        key: &DataKey,
        context: &EncryptionContext,
        encrypted_data_keys: &[EncryptedDataKey],
        frame_len: FrameLen,
        mut signer: Option<Signer>,
        out: &mut Vec<u8>,
    ) -> Result<Self, SealError> {
        let suite = match signer {
            Some(_) => Suite::HkdfSha512CommitEcdsaP384,
            None => Suite::HkdfSha512Commit,
        };
        let message_id = keys::random_message_id()?;
        let (key, commitment) = MessageKey::committing(key, suite, &message_id)?;
        let mut header = NewHeader {
            suite,
            message_id: &message_id,
            context,
            encrypted_data_keys,
            frame_len: frame_len.0,
            commitment: &commitment,
        }
        .encode()?;
        header.extend_from_slice(&key.tag_header(&header)?);
        if let Some(signer) = &mut signer {
            signer.update(&header);
        }
        out.extend_from_slice(&header);
        Ok(Self {
            message_id,
            frame_len: frame_len.get(),
            key,
            numbers: FrameCounter::new(),
            signer,
            pending: SecretBuf::new(),
            failed: false,
        })
    }

    const fn check(&self) -> Result<(), SealError> {
        if self.failed { Err(SealError::Failed) } else { Ok(()) }
    }

    /// Writes every frame that is full and followed by at least one byte: what
    /// is left, and might be the last frame, waits in `pending`.
    fn put_full_frames(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/encrypt.md#construct-the-body
        let room = self.frame_len.saturating_sub(self.pending.len());
        let Some((fill, mut rest)) =
            plaintext.split_at_checked(room).filter(|(_, rest)| !rest.is_empty())
        else {
            self.pending.extend_from_slice(plaintext);
            return Ok(());
        };
        if self.pending.is_empty() {
            rest = plaintext;
        } else {
            self.pending.extend_from_slice(fill);
            let mut full = std::mem::take(&mut self.pending);
            self.put_frame(FrameKind::Regular, full.expose(), out)?;
            full.clear();
            self.pending = full;
        }
        while let Some((full, behind)) =
            rest.split_at_checked(self.frame_len).filter(|(_, behind)| !behind.is_empty())
        {
            self.put_frame(FrameKind::Regular, full, out)?;
            rest = behind;
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn put_end(&mut self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let last = std::mem::take(&mut self.pending);
        self.put_frame(FrameKind::Final, last.expose(), out)?;
        match self.signer.take() {
            Some(signer) => signer.finish(out),
            None => Ok(()),
        }
    }

    fn put_frame(
        &mut self,
        kind: FrameKind,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let number = self.numbers.take(kind).ok_or(SealError::MessageTooLong)?;
        let len = u32::try_from(plaintext.len()).map_err(|_| SealError::Crypto)?;
        let aad = FrameAad::new(&self.message_id, kind.into(), number.get(), u64::from(len));
        let start = out.len();
        frame::put_head(out, kind, number.get(), len);
        let head_end = out.len();
        out.resize(head_end.saturating_add(plaintext.len()).saturating_add(TAG_LEN), 0);
        let (ciphertext, tag) = out
            .get_mut(head_end..)
            .and_then(|room| room.split_at_mut_checked(plaintext.len()))
            .ok_or(SealError::Crypto)?;
        self.key.seal_frame(number, aad, plaintext, ciphertext, tag)?;
        if let Some(signer) = &mut self.signer {
            signer.update(out.get(start..).unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn message_that_runs_out_of_frame_numbers_is_never_completed() {
        let key = DataKey::from_slice(&[1; 32]).unwrap();
        let edk =
            EncryptedDataKey { provider_id: "p".into(), provider_info: vec![], ciphertext: vec![] };
        let context = EncryptionContext::default();
        let frame_len = FrameLen::new(4).unwrap();
        let mut out = Vec::new();
        let mut sealer = Sealer::new(&key, &context, &[edk], frame_len, &mut out).unwrap();
        sealer.numbers = FrameCounter::starting_at(NonZeroU32::new(u32::MAX - 1).unwrap());
        sealer.seal(&[0; 8], &mut out).unwrap();
        let len = out.len();
        assert_eq!(sealer.seal(&[0; 8], &mut out), Err(SealError::MessageTooLong));
        assert_eq!(sealer.seal(&[], &mut out), Err(SealError::Failed));
        assert_eq!(sealer.finish(&mut out), Err(SealError::Failed));
        assert_eq!(out.len(), len, "nothing of a refused frame may be sent");
    }
}
