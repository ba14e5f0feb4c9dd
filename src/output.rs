//! Outputs: the form in which a result leaves.
//!
//! The last place that sees plaintext. What [`Output::protect`] gives for the
//! parent is what the job's manifest allows and nothing else.

use strongroom_envelope::esdk::{self, EncryptedDataKey, EncryptionContext, FrameLen};
use strongroom_envelope::seal::{self, Setup};
use strongroom_envelope::{DataKey, SecretBuf};
use strongroom_wire::Protect;

/// An output at work on one request.
pub enum Output {
    /// In the clear, as the job allows.
    Clear,
    /// An Encryption SDK message.
    Kms(esdk::Sealer),
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
}

impl Output {
    /// Writes an Encryption SDK message under `key`; its header goes to `out`.
    ///
    /// # Errors
    /// [`OutputError::Kms`].
    pub fn kms(
        key: &DataKey,
        encrypted: EncryptedDataKey,
        context: &EncryptionContext,
        frame: FrameLen,
        out: &mut Vec<u8>,
    ) -> Result<Self, OutputError> {
        Ok(Self::Kms(esdk::Sealer::new(key, context, &[encrypted], frame, out)?))
    }

    /// Writes a sealed stream; its header, with the attestation document that
    /// was made over [`Setup::user_data`], goes to `out`.
    ///
    /// # Errors
    /// [`OutputError::Seal`].
    pub fn seal(setup: Setup, document: &[u8], out: &mut Vec<u8>) -> Result<Self, OutputError> {
        Ok(Self::Seal(setup.start(document, out)?))
    }

    /// The form, as the caller is told.
    #[must_use]
    pub const fn form(&self) -> Protect {
        match self {
            Self::Clear => Protect::None,
            Self::Kms(_) => Protect::Kms,
            Self::Seal(_) => Protect::Seal,
        }
    }

    /// The bytes that may leave for `result`: itself where it leaves in the
    /// clear, else what waits in `out` and then its form as appended to it.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn protect<'a>(
        &mut self,
        result: &'a SecretBuf,
        out: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], OutputError> {
        match self {
            Self::Clear => return Ok(result.expose()),
            Self::Kms(sealer) => sealer.seal(result.expose(), out)?,
            Self::Seal(sealer) => sealer.seal(result.expose(), out)?,
        }
        Ok(out)
    }

    /// Appends what marks the result as complete.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), OutputError> {
        match self {
            Self::Clear => {}
            Self::Kms(sealer) => sealer.finish(out)?,
            Self::Seal(sealer) => sealer.finish(out)?,
        }
        Ok(())
    }
}
