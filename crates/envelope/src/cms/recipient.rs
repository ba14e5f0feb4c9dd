//! The key pair that KMS encrypts its answers to, and opening them.
//!
//! Made by the service once per boot and never stored; its public half travels
//! in attestation documents. Trusts [`super::parse`] for shape, nothing for
//! content.

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use subtle::{ConstantTimeEq, ConstantTimeGreater};

use super::{CmsError, Enveloped, parse};
use crate::secret::{DataKey, SecretBuf};

/// An RSA-2048 key pair that KMS encrypts `CiphertextForRecipient` to.
pub struct RecipientKey {
    private: OaepPrivateDecryptingKey,
    public_der: PublicKeyX509Der<'static>,
    /// How messages name this key: SHA-256 of `public_der`.
    id: [u8; 32],
}

impl RecipientKey {
    /// Makes a new key pair.
    ///
    /// # Errors
    /// [`CmsError::Key`] when the cryptographic library fails.
    pub fn generate() -> Result<Self, CmsError> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048);
        Self::new(private.map_err(|_| CmsError::Key)?)
    }

    /// Reads an RSA-2048 private key from PKCS#8 (RFC 5208) DER.
    ///
    /// # Errors
    /// [`CmsError::Key`] when it is anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CmsError> {
        let private = PrivateDecryptingKey::from_pkcs8(der).map_err(|_| CmsError::Key)?;
        if private.key_size_bits() != KEY_BITS {
            return Err(CmsError::Key);
        }
        Self::new(private)
    }

    fn new(private: PrivateDecryptingKey) -> Result<Self, CmsError> {
        let public_der: PublicKeyX509Der<'static> =
            private.public_key().as_der().map_err(|_| CmsError::Key)?;
        let id = digest(&SHA256, public_der.as_ref());
        let id = id.as_ref().try_into().map_err(|_| CmsError::Key)?;
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| CmsError::Key)?;
        Ok(Self { private, public_der, id })
    }

    /// The public key as a DER `SubjectPublicKeyInfo` of 294 bytes: what the
    /// attestation document's `public_key` must hold.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        self.public_der.as_ref()
    }

    /// Opens a `CiphertextForRecipient`.
    ///
    /// The message is not authenticated; see [`super`].
    ///
    /// # Errors
    /// [`CmsError::Unopenable`] for every reason there is.
    pub fn open(&self, ciphertext_for_recipient: &[u8]) -> Result<SecretBuf, CmsError> {
        let message = parse(ciphertext_for_recipient)?;
        if message.recipient != &self.id {
            return Err(CmsError::Unopenable);
        }
        // A key that does not unwrap is replaced, so that the content is
        // decrypted either way and time does not say which of the two failed.
        let key = self.unwrap_key(message.encrypted_key);
        let stand_in = [0; DataKey::LEN];
        let plaintext =
            decrypt_content(key.as_ref().map_or(&stand_in[..], DataKey::expose), message);
        match (key, plaintext) {
            (Some(_), Some(plaintext)) => Ok(plaintext),
            _ => Err(CmsError::Unopenable),
        }
    }

    fn unwrap_key(&self, encrypted_key: &[u8]) -> Option<DataKey> {
        let mut buffer = SecretBuf::new();
        let room = buffer.grow(self.private.min_output_size());
        let key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted_key, room, None).ok()?;
        // KMS wraps AES-256 keys here, whatever the length of what they encrypt.
        DataKey::from_slice(key).filter(|key| key.expose().len() == DataKey::LEN)
    }
}

/// Decrypts the content in place, where its ciphertext lies.
fn decrypt_content(key: &[u8], message: Enveloped<'_>) -> Option<SecretBuf> {
    let mut content = SecretBuf::from_vec(message.ciphertext);
    let key = DecryptingKey::cbc(UnboundCipherKey::new(&AES_256, key).ok()?).ok()?;
    let iv = DecryptionContext::Iv128(FixedLength::from(message.iv));
    key.decrypt(content.expose_mut(), iv).ok()?;
    let length = unpadded_len(content.expose())?;
    content.truncate(length);
    Some(content)
}

/// Length of `content` without its padding (RFC 5652 section 6.3), in a time
/// that depends on its length only.
fn unpadded_len(content: &[u8]) -> Option<usize> {
    let block: &[u8; BLOCK_LEN] = content.last_chunk()?;
    let [.., padding] = *block;
    let mut valid = padding.ct_gt(&0) & !padding.ct_gt(&MAX_PADDING);
    for (place, byte) in (1..=MAX_PADDING).zip(block.iter().rev()) {
        let is_text = place.ct_gt(&padding);
        valid &= is_text | byte.ct_eq(&padding);
    }
    if !bool::from(valid) {
        return None;
    }
    content.len().checked_sub(usize::from(padding))
}

const KEY_BITS: usize = 2048;
const BLOCK_LEN: usize = 16;
const MAX_PADDING: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_one_to_sixteen_equal_bytes() {
        for padding in 1..=16u8 {
            let mut block = [7; 32];
            block[32 - usize::from(padding)..].fill(padding);
            assert_eq!(unpadded_len(&block), Some(32 - usize::from(padding)));
            if padding > 1 {
                block[32 - usize::from(padding)] ^= 1;
                assert_eq!(unpadded_len(&block), None, "first of {padding} bytes differs");
            }
        }
        for padding in [0, 17, 32, 255] {
            assert_eq!(unpadded_len(&[padding; 32]), None, "{padding}");
        }
        assert_eq!(unpadded_len(&[]), None);
    }
}
