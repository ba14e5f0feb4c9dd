//! `sign`: a signature over the plaintext, by a key that never leaves.
//!
//! What a parent learns: the signature; its own bytes are the whole result.

use std::sync::Arc;

use strongroom_envelope::SecretBuf;
use strongroom_envelope::signing::{MessageSigner, SigningError, SigningKey};

use crate::manifest::operations::Signs;

/// The operation at work on one message or digest.
pub struct Sign(State);

enum State {
    Message(MessageSigner),
    Digest(Arc<SigningKey>, SecretBuf),
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The digest is not one.
    #[error("the plaintext is not a SHA-256 digest of 32 bytes")]
    NotADigest,
    /// It cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Sign {
    /// Signs with `key`; a message that has to be held whole has at most
    /// `whole_limit` bytes.
    #[must_use]
    pub fn new(key: SigningKey, signs: Signs, whole_limit: usize) -> Self {
        let key = Arc::new(key);
        Self(match signs {
            Signs::Message => State::Message(key.sign_message(whole_limit)),
            Signs::Digest => State::Digest(key, SecretBuf::new()),
        })
    }

    pub(super) fn memory(&self) -> usize {
        match &self.0 {
            State::Message(signer) => signer.memory(),
            State::Digest(_, digest) => digest.capacity(),
        }
    }

    pub(super) fn process(&mut self, input: &mut SecretBuf) -> Result<(), SignError> {
        match &mut self.0 {
            State::Message(signer) => signer.update(input.expose())?,
            State::Digest(_, digest) => {
                if digest.len().saturating_add(input.len()) > DIGEST_LEN {
                    return Err(SignError::NotADigest);
                }
                digest.extend_from_slice(input.expose());
            }
        }
        input.clear();
        Ok(())
    }

    pub(super) fn finish(self, out: &mut SecretBuf) -> Result<(), SignError> {
        let signature = match self.0 {
            State::Message(signer) => signer.finish()?,
            State::Digest(key, digest) => {
                let digest = digest.expose().try_into().map_err(|_| SignError::NotADigest)?;
                key.sign_digest(digest)?
            }
        };
        out.extend_from_slice(&signature);
        Ok(())
    }
}

const DIGEST_LEN: usize = 32;
