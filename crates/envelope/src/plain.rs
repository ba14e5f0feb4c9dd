//! Plain envelopes: what a producer writes that has a KMS client and AES-GCM and
//! nothing else.
//!
//! ```text
//! "SRP1" ‖ length u16 ‖ encrypted data key ‖ nonce 12 ‖ ciphertext ‖ tag 16      big-endian
//! AAD = all before the ciphertext ‖ encryption context, as the Encryption SDK encodes it
//! ```
//!
//! The encryption context is not in the envelope: the reader's job pins it, and
//! KMS was given the same. The whole content is one AES-256-GCM message, so
//! nothing of it is known to be right, and nothing is released, before its end.
//!
//! There is no key commitment: whoever holds two data keys can make an envelope
//! that opens under both, to different plaintexts. Who may have data keys made
//! under the KMS key is trusted not to; where that does not do, use Encryption
//! SDK messages.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use crate::esdk::{DecryptFailed, EncryptionContext};
use crate::{DataKey, SecretBuf};

/// First bytes of an envelope: a name and the version.
pub const MAGIC: [u8; 4] = *b"SRP1";

/// Longest encrypted data key, in bytes (KMS API, `CiphertextBlob`).
pub const MAX_ENCRYPTED_DATA_KEY: usize = 6144;

/// Bytes that an envelope has beside the encrypted data key and the plaintext.
pub const OVERHEAD: usize = MAGIC.len() + 2 + NONCE_LEN + TAG_LEN;

/// What is wrong with an envelope, found before any key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as an envelope does.
    #[error("it does not begin with \"SRP1\"")]
    Magic,
    /// An encrypted data key that KMS cannot have made.
    #[error("an encrypted data key of {0} bytes: must be 1 to {MAX_ENCRYPTED_DATA_KEY}")]
    DataKeyLength(u16),
    /// The content is longer than the reader holds.
    #[error("its content is longer than {0} bytes")]
    TooLong(usize),
}

/// An envelope's header. Not authenticated yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    encrypted_data_key: Vec<u8>,
    nonce: [u8; NONCE_LEN],
}

impl Header {
    /// Reads the header at the front of `input`: the header and its length in
    /// bytes, or `None` when more bytes have to arrive first.
    ///
    /// # Errors
    /// [`FormatError`], as soon as the bytes that prove it have arrived.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, FormatError> {
        let magic = input.get(..MAGIC.len()).unwrap_or(input);
        if !MAGIC.starts_with(magic) {
            return Err(FormatError::Magic);
        }
        let rest = input.get(MAGIC.len()..).unwrap_or_default();
        let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let announced = u16::from_be_bytes(*len);
        let len = usize::from(announced);
        if !(1..=MAX_ENCRYPTED_DATA_KEY).contains(&len) {
            return Err(FormatError::DataKeyLength(announced));
        }
        let Some((encrypted_data_key, rest)) = rest.split_at_checked(len) else { return Ok(None) };
        let Some((nonce, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let len = input.len().saturating_sub(rest.len());
        let header = Self {
            bytes: input.get(..len).unwrap_or_default().to_vec(),
            encrypted_data_key: encrypted_data_key.to_vec(),
            nonce: *nonce,
        };
        Ok(Some((header, len)))
    }

    /// The encrypted data key: KMS's `CiphertextBlob`.
    #[must_use]
    pub fn encrypted_data_key(&self) -> &[u8] {
        &self.encrypted_data_key
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> &[u8; NONCE_LEN] {
        &self.nonce
    }
}

/// Opens the content of one envelope.
pub struct Opener {
    key: LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: Vec<u8>,
    max_len: usize,
}

impl Opener {
    /// Opens with `key` what belongs to `header` and `context`. The content may
    /// have at most `max_len` bytes of plaintext.
    ///
    /// # Errors
    /// [`DecryptFailed`] when the key is not of 256 bits or the context cannot be
    /// encoded.
    pub fn new(
        header: Header,
        key: &DataKey,
        context: &EncryptionContext,
        max_len: usize,
    ) -> Result<Self, DecryptFailed> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| DecryptFailed)?;
        let aad = aad(header.bytes, context).ok_or(DecryptFailed)?;
        Ok(Self { key: LessSafeKey::new(key), nonce: header.nonce, aad, max_len })
    }

    /// Compares how much of the content has arrived with what may.
    ///
    /// # Errors
    /// [`FormatError::TooLong`].
    pub const fn check_len(&self, arrived: usize) -> Result<(), FormatError> {
        if arrived > self.max_len.saturating_add(TAG_LEN) {
            return Err(FormatError::TooLong(self.max_len));
        }
        Ok(())
    }

    /// Opens `content`, ciphertext and tag, all that follows the header, and
    /// appends the plaintext to `out`.
    ///
    /// # Errors
    /// [`DecryptFailed`], whatever was wrong. Nothing is appended then.
    pub fn finish(self, content: &[u8], out: &mut SecretBuf) -> Result<(), DecryptFailed> {
        let len = content.len().checked_sub(TAG_LEN).filter(|len| *len <= self.max_len);
        let (ciphertext, tag) = content.split_at(len.ok_or(DecryptFailed)?);
        let start = out.len();
        let opened = self.key.open_separate_gather(
            Nonce::assume_unique_for_key(self.nonce),
            Aad::from(self.aad),
            ciphertext,
            tag,
            out.grow(ciphertext.len()),
        );
        if opened.is_err() {
            out.truncate(start);
        }
        opened.map_err(|_| DecryptFailed)
    }
}

/// Why an envelope could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No encrypted data key of a length that KMS makes.
    #[error("the encrypted data key must have 1 to {MAX_ENCRYPTED_DATA_KEY} bytes")]
    DataKeyLength,
    /// An encryption context that cannot be encoded.
    #[error("the encryption context is too long")]
    Context,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// Writes an envelope: appends it to `out`. For producers and tests; the nonce is
/// random, so one data key is good for 2³² envelopes (NIST SP 800-38D §8.3).
///
/// # Errors
/// [`SealError`]. Nothing is appended then.
pub fn seal(
    key: &DataKey,
    encrypted_data_key: &[u8],
    context: &EncryptionContext,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let len = u16::try_from(encrypted_data_key.len()).map_err(|_| SealError::DataKeyLength)?;
    if !(1..=MAX_ENCRYPTED_DATA_KEY).contains(&encrypted_data_key.len()) {
        return Err(SealError::DataKeyLength);
    }
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| SealError::Crypto)?;
    let header = [&MAGIC[..], &len.to_be_bytes(), encrypted_data_key, &nonce].concat();
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| SealError::Crypto)?;
    let aad = aad(header.clone(), context).ok_or(SealError::Context)?;
    let mut content = vec![0; plaintext.len()];
    let mut tag = [0; TAG_LEN];
    LessSafeKey::new(key)
        .seal_out_of_place_scatter(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            plaintext,
            &mut content,
            &[],
            &mut tag,
        )
        .map_err(|_| SealError::Crypto)?;
    out.extend_from_slice(&header);
    out.extend_from_slice(&content);
    out.extend_from_slice(&tag);
    Ok(())
}

fn aad(mut header: Vec<u8>, context: &EncryptionContext) -> Option<Vec<u8>> {
    header.extend_from_slice(&context.encode().ok()?);
    Some(header)
}

const TAG_LEN: usize = 16;
