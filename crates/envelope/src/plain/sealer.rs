//! Writes a plain envelope.
//!
//! Called by the command line and by tests; producers have their own, ten lines
//! in any language that has AES-GCM.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{MAGIC, MAX_ENCRYPTED_DATA_KEY_LEN, NONCE_LEN, SealError, TAG_LEN, aad};
use crate::DataKey;
use crate::esdk::EncryptionContext;

/// Appends `plaintext`, sealed, to `out`.
///
/// `encrypted_data_key` is `data_key` as KMS encrypted it under `context`. The
/// nonce is random: see the module's page on how often a data key may be used.
///
/// # Errors
/// [`SealError`]; nothing is appended to `out` then.
pub fn seal(
    data_key: &DataKey,
    encrypted_data_key: &[u8],
    context: &EncryptionContext,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let start = out.len();
    let sealed = append(data_key, encrypted_data_key, context, plaintext, out);
    if sealed.is_err() {
        out.truncate(start);
    }
    sealed
}

fn append(
    data_key: &DataKey,
    encrypted_data_key: &[u8],
    context: &EncryptionContext,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Crypto)?;
    let prefix = prefix(encrypted_data_key, nonce)?;
    let aad = aad(&prefix, context)?;
    let key = UnboundKey::new(&AES_256_GCM, data_key.expose()).map_err(|_| SealError::Crypto)?;

    out.extend_from_slice(&prefix);
    let body = out.len();
    out.resize(body.saturating_add(plaintext.len()), 0);
    let room = out.get_mut(body..).ok_or(SealError::Crypto)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let mut tag = [0; TAG_LEN];
    LessSafeKey::new(key)
        .seal_out_of_place_scatter(nonce, Aad::from(&aad), plaintext, room, &[], &mut tag)
        .map_err(|_| SealError::Crypto)?;
    out.extend_from_slice(&tag);
    Ok(())
}

/// What stands in front of the ciphertext.
fn prefix(encrypted_data_key: &[u8], nonce: [u8; NONCE_LEN]) -> Result<Vec<u8>, SealError> {
    let len = encrypted_data_key.len();
    if len == 0 || len > MAX_ENCRYPTED_DATA_KEY_LEN {
        return Err(SealError::EncryptedDataKeyLen(len));
    }
    let len = u16::try_from(len).map_err(|_| SealError::EncryptedDataKeyLen(len))?;
    Ok([&MAGIC[..], &len.to_be_bytes(), encrypted_data_key, &nonce].concat())
}
