//! The plain envelope: one AES-256-GCM message with its encrypted data key in
//! front, as producers write it that have a KMS client and AES and nothing else.
//!
//! The service reads with [`Header::parse`] and [`Opener`]; [`seal`] is for the
//! command line and for tests. Nothing that arrives is trusted. The body is one
//! GCM message, so it has to be held whole before its tag can be checked:
//! nothing is released before the end, and [`Limits::max_len`] bounds memory.
//!
//! ```text
//! +--------------+-----------------------------------------------------------+
//! | 4 bytes      | magic "SRP1"                                              |
//! | 2 bytes      | n, length of the encrypted data key, big-endian, 1 to 6144 |
//! | n bytes      | encrypted data key: KMS's CiphertextBlob                  |
//! | 12 bytes     | nonce, random                                             |
//! | the rest     | AES-256-GCM ciphertext, its last 16 bytes the tag         |
//! +--------------+-----------------------------------------------------------+
//!
//! key = the data key, 32 bytes         (KMS GenerateDataKey, KeySpec AES_256)
//! AAD = all bytes in front of the ciphertext ‖ the encryption context as
//!       EncryptionContext::encode writes it: nothing when it is empty
//! ```
//!
//! The encryption context is not in the message. The reader knows it, and KMS
//! gets the same one, so it is checked twice: by KMS and by the tag.
//!
//! # No key commitment
//!
//! AES-GCM does not commit to its key: whoever knows two data keys can make one
//! body that opens under both, to two different plaintexts. Here one message
//! holds one encrypted data key, and the tag covers it, so for the two plaintexts
//! to come out, KMS would have to give two data keys for the same encrypted data
//! key: its holders would need power over KMS itself. What is left: whoever may
//! call `GenerateDataKey` or `Encrypt` for the KMS key is trusted not to make such
//! bodies. Where that trust is too much, use AWS Encryption SDK messages
//! ([`crate::esdk`]), which commit.
//!
//! # One nonce per message
//!
//! A data key is meant for one message. With random nonces it may serve up to
//! 2³² (NIST SP 800-38D, section 8.3); a repeated nonce reveals plaintext and
//! lets anyone forge.

mod header;
mod opener;
mod sealer;

pub use crate::esdk::DecryptFailed;
use crate::esdk::{ContextError, EncryptionContext};
pub use header::Header;
pub use opener::Opener;
pub use sealer::seal;

/// First bytes of a plain envelope: name and version of the format.
pub const MAGIC: [u8; 4] = *b"SRP1";

/// Most bytes of an encrypted data key: what KMS's `Decrypt` takes as
/// `CiphertextBlob`.
pub const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 6144;

/// Bytes that a body is longer than its plaintext.
pub const TAG_LEN: usize = 16;

/// Bounds on what a message may make its reader hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest encrypted data key, in bytes; KMS makes them of about 200, and
    /// none is longer than [`MAX_ENCRYPTED_DATA_KEY_LEN`], whatever this says.
    pub max_encrypted_data_key: usize,
    /// Longest plaintext, in bytes. The whole of it, and its ciphertext, are in
    /// memory at once.
    pub max_len: usize,
}

impl Limits {
    /// What [`Limits::default`] returns.
    pub const DEFAULT: Self =
        Self { max_encrypted_data_key: MAX_ENCRYPTED_DATA_KEY_LEN, max_len: 16 * 1024 * 1024 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is wrong with a message, found without any key; the sender's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not start with [`MAGIC`].
    #[error("not a plain envelope of version 1")]
    Magic,
    /// The encrypted data key is empty.
    #[error("the message holds no encrypted data key")]
    NoEncryptedDataKey,
    /// The encrypted data key is longer than [`Limits::max_encrypted_data_key`].
    #[error("an encrypted data key of {0} bytes is too long")]
    EncryptedDataKeyTooLong(u16),
    /// The plaintext would be longer than [`Limits::max_len`].
    #[error("the message holds more than {0} bytes")]
    TooLong(usize),
}

/// Why nothing was sealed; the caller's fault, but for [`SealError::Crypto`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The context can not be encoded.
    #[error("encryption context: {0}")]
    Context(#[from] ContextError),
    /// The encrypted data key is not 1 to [`MAX_ENCRYPTED_DATA_KEY_LEN`] bytes.
    #[error("an encrypted data key of {0} bytes can not be written")]
    EncryptedDataKeyLen(usize),
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// The AAD: `prefix` is what stands in front of the ciphertext.
fn aad(prefix: &[u8], context: &EncryptionContext) -> Result<Vec<u8>, ContextError> {
    let mut aad = prefix.to_vec();
    aad.extend_from_slice(&context.encode()?);
    Ok(aad)
}

/// Length of the encrypted data key's length.
/// Most bytes of a header.
pub const MAX_HEADER_LEN: usize = MAGIC.len() + LENGTH_LEN + MAX_ENCRYPTED_DATA_KEY_LEN + NONCE_LEN;

const LENGTH_LEN: usize = 2;
const NONCE_LEN: usize = 12;
