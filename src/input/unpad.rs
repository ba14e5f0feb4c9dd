//! Padding that a message says it has, taken off as it is opened.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::esdk::EncryptionContext;
use strongroom_envelope::padding::{CONTEXT_KEY, CONTEXT_VALUE, PaddingError, Unpadder};

/// Takes the padding off one message.
#[derive(Default)]
pub struct Unpad {
    unpadder: Unpadder,
    padded: SecretBuf,
}

impl Unpad {
    /// For a message of this encryption context, if that says that it is padded.
    #[must_use]
    pub fn of(context: &EncryptionContext) -> Option<Self> {
        (context.get(CONTEXT_KEY) == Some(CONTEXT_VALUE)).then(Self::default)
    }

    /// Where what has been opened goes.
    pub fn padded(&mut self) -> &mut SecretBuf {
        &mut self.padded
    }

    /// Moves what cannot be padding to `plaintext`.
    pub fn take(&mut self, plaintext: &mut SecretBuf) {
        let mut rest = self.padded.expose();
        while !rest.is_empty() {
            let taken = self.unpadder.feed(rest, plaintext);
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.padded.clear();
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`PaddingError::NotPadded`].
    pub fn finish(self) -> Result<(), PaddingError> {
        self.unpadder.finish()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.padded.capacity()
    }
}
