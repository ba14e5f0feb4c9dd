//! Outputs: the form in which a result leaves.
//!
//! The last place that sees plaintext. What [`Output::protect`] gives for the
//! parent is what the job's manifest allows and nothing else.

mod fields;

use std::sync::Arc;

use strongroom_envelope::esdk::{self, EncryptedDataKey, EncryptionContext, FrameLen, Signer};
use strongroom_envelope::padding::{Padder, Padding, PaddingError};
use strongroom_envelope::seal::{self, Setup};
use strongroom_envelope::{DataKey, SecretBuf};
use strongroom_wire::Protect;

pub use fields::{FieldKey, FieldKeys, FieldSealer};

use crate::keys::Meter;
use crate::shape::RecordError;

/// An output at work on one request.
pub struct Output {
    form: Form,
    padder: Option<Padder>,
    padding: Option<Padding>,
}

enum Form {
    /// In the clear, as the job allows.
    Clear,
    /// An Encryption SDK message.
    Kms(esdk::Sealer, Arc<Meter>),
    /// Some fields of each record, each an Encryption SDK message.
    Fields(Box<FieldSealer>),
    /// A sealed stream.
    Seal(seal::Sealer),
}

/// Why a result cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// As an Encryption SDK message.
    #[error("the result cannot be encrypted: {0}")]
    Kms(#[from] esdk::SealError),
    /// As a sealed stream.
    #[error("the result cannot be sealed: {0}")]
    Seal(#[from] seal::SealError),
    /// With its padding.
    #[error(transparent)]
    Padding(#[from] PaddingError),
    /// Field by field.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// The result itself.
    Clear,
    /// Its protected form.
    Protected,
}

/// A new data key, and what an Encryption SDK message is written with.
pub struct NewKey<'a> {
    /// The data key.
    pub key: &'a DataKey,
    /// The data key, encrypted under the KMS key.
    pub encrypted: EncryptedDataKey,
    /// Where it is noted how much is encrypted under it.
    pub meter: Arc<Meter>,
    /// Encryption context; of a signed message it is the signer's.
    pub context: &'a EncryptionContext,
    /// Signs the message, where it is to be signed.
    pub signer: Option<Signer>,
    /// Plaintext bytes per frame.
    pub frame: FrameLen,
}

impl Output {
    /// Leaves in the clear.
    #[must_use]
    pub const fn clear() -> Self {
        Self { form: Form::Clear, padder: None, padding: None }
    }

    /// Writes an Encryption SDK message; its header goes to `out`.
    ///
    /// # Errors
    /// [`OutputError::Kms`].
    pub fn kms(
        new: NewKey<'_>,
        pad_to: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<Self, OutputError> {
        let keys = [new.encrypted];
        let sealer = match new.signer {
            Some(signer) => esdk::Sealer::signed(new.key, signer, &keys, new.frame, out)?,
            None => esdk::Sealer::new(new.key, new.context, &keys, new.frame, out)?,
        };
        Ok(Self { form: Form::Kms(sealer, new.meter), padder: padder(pad_to)?, padding: None })
    }

    /// Encrypts fields of each record.
    #[must_use]
    pub fn fields(sealer: FieldSealer) -> Self {
        Self { form: Form::Fields(Box::new(sealer)), padder: None, padding: None }
    }

    /// Writes a sealed stream; its header, with the attestation document that
    /// was made over [`Setup::user_data`], goes to `out`.
    ///
    /// # Errors
    /// [`OutputError::Seal`].
    pub fn seal(
        setup: Setup,
        document: &[u8],
        pad_to: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<Self, OutputError> {
        let sealer = setup.start(document, out)?;
        Ok(Self { form: Form::Seal(sealer), padder: padder(pad_to)?, padding: None })
    }

    /// The form, as the caller is told.
    #[must_use]
    pub const fn protects(&self) -> Protect {
        match self.form {
            Form::Clear | Form::Fields(_) => Protect::None,
            Form::Kms(..) => Protect::Kms,
            Form::Seal(_) => Protect::Seal,
        }
    }

    /// What may leave for `result`: itself, where it leaves in the clear, else what
    /// waits in `out` and then its form as appended to it.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn protect(
        &mut self,
        result: &SecretBuf,
        out: &mut Vec<u8>,
    ) -> Result<Leaves, OutputError> {
        if let Some(padder) = &mut self.padder {
            padder.count(u64::try_from(result.len()).unwrap_or(u64::MAX));
        }
        match &mut self.form {
            Form::Clear => return Ok(Leaves::Clear),
            Form::Kms(sealer, meter) => {
                meter.add(result.len());
                sealer.seal(result.expose(), out)?;
            }
            Form::Fields(sealer) => sealer.seal(result, out)?,
            Form::Seal(sealer) => sealer.seal(result.expose(), out)?,
        }
        Ok(Leaves::Protected)
    }

    /// Whether its length is hidden.
    #[must_use]
    pub const fn is_padded(&self) -> bool {
        self.padder.is_some() || self.padding.is_some()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.form {
            Form::Fields(sealer) => sealer.memory(),
            // A frame or a chunk at most, counted in a job's least budget.
            Form::Clear | Form::Kms(..) | Form::Seal(_) => 0,
        }
    }

    /// Appends the next piece of padding, of which there is none where the job
    /// says nothing of it. Whether there was one.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn pad(&mut self, out: &mut Vec<u8>) -> Result<bool, OutputError> {
        if let Some(padder) = self.padder.take() {
            self.padding = Some(padder.finish());
        }
        let Some(padding) = &mut self.padding else { return Ok(false) };
        let mut piece = SecretBuf::new();
        if padding.emit(&mut piece) == 0 {
            return Ok(false);
        }
        match &mut self.form {
            Form::Kms(sealer, meter) => {
                meter.add(piece.len());
                sealer.seal(piece.expose(), out)?;
            }
            Form::Seal(sealer) => sealer.seal(piece.expose(), out)?,
            Form::Clear | Form::Fields(_) => {}
        }
        Ok(true)
    }

    /// Appends what marks the result as complete.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), OutputError> {
        match self.form {
            Form::Clear => {}
            Form::Kms(sealer, _) => sealer.finish(out)?,
            Form::Fields(sealer) => sealer.finish(out)?,
            Form::Seal(sealer) => sealer.finish(out)?,
        }
        Ok(())
    }
}

fn padder(pad_to: Option<usize>) -> Result<Option<Padder>, PaddingError> {
    let padder = |pad_to| Padder::new(u64::try_from(pad_to).unwrap_or(u64::MAX));
    pad_to.map(padder).transpose()
}
