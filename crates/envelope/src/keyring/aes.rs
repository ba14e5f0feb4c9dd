//! Data keys under a local AES key, bound to the encryption context.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::rand;

use super::{KeyName, KeyringError};
use crate::esdk::{EncryptedDataKey, EncryptionContext};
use crate::secret::{DataKey, SecretBuf};

/// Wraps and unwraps data keys with AES-GCM.
pub struct RawAes {
    id: KeyName,
    key: LessSafeKey,
}

impl RawAes {
    /// Takes an AES key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`KeyringError::Key`] for any other length,
    /// [`KeyringError::ReservedNamespace`] for KMS's.
    pub fn new(namespace: &str, name: &str, key: &[u8]) -> Result<Self, KeyringError> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return Err(KeyringError::Key),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyringError::Key)?;
        Ok(Self { id: KeyName::new(namespace, name)?, key: LessSafeKey::new(key) })
    }

    /// Decrypts a data key that was encrypted under `context`.
    ///
    /// # Errors
    /// [`KeyringError::OtherKey`], [`KeyringError::Unwrap`]
    pub fn unwrap(
        &self,
        encrypted: &EncryptedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KeyringError> {
        let iv = self.iv_of(encrypted).ok_or(KeyringError::OtherKey)?;
        let ciphertext_len =
            encrypted.ciphertext.len().checked_sub(TAG_LEN).ok_or(KeyringError::Unwrap)?;
        let (ciphertext, tag) = encrypted
            .ciphertext
            .split_at_checked(ciphertext_len)
            .filter(|(ciphertext, _)| ciphertext.len() <= DataKey::LEN)
            .ok_or(KeyringError::Unwrap)?;
        let aad = Aad::from(context.encode().map_err(|_| KeyringError::Unwrap)?);
        let mut opened = SecretBuf::new();
        let nonce = Nonce::assume_unique_for_key(iv);
        self.key
            .open_separate_gather(nonce, aad, ciphertext, tag, opened.grow(ciphertext_len))
            .map_err(|_| KeyringError::Unwrap)?;
        DataKey::from_slice(opened.expose()).ok_or(KeyringError::Unwrap)
    }

    /// Encrypts a data key under `context`.
    ///
    /// # Errors
    /// [`KeyringError::Wrap`]
    pub fn wrap(
        &self,
        key: &DataKey,
        context: &EncryptionContext,
    ) -> Result<EncryptedDataKey, KeyringError> {
        let mut iv = [0; NONCE_LEN];
        rand::fill(&mut iv).map_err(|_| KeyringError::Wrap)?;
        let aad = Aad::from(context.encode().map_err(|_| KeyringError::Wrap)?);
        let mut ciphertext = vec![0; key.expose().len()];
        let mut tag = [0; TAG_LEN];
        let nonce = Nonce::assume_unique_for_key(iv);
        self.key
            .seal_out_of_place_scatter(nonce, aad, key.expose(), &mut ciphertext, &[], &mut tag)
            .map_err(|_| KeyringError::Wrap)?;
        ciphertext.extend_from_slice(&tag);
        let provider_info = [self.id.name.as_bytes(), &PARAMETERS, &iv].concat();
        Ok(EncryptedDataKey { provider_id: self.id.namespace.clone(), provider_info, ciphertext })
    }

    /// The IV of an encrypted data key that is under this key.
    fn iv_of(&self, encrypted: &EncryptedDataKey) -> Option<[u8; NONCE_LEN]> {
        if encrypted.provider_id != self.id.namespace {
            return None;
        }
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-aes-keyring.md#key-provider-information
        let info = encrypted.provider_info.strip_prefix(self.id.name.as_bytes())?;
        info.strip_prefix(&PARAMETERS)?.try_into().ok()
    }
}

const TAG_LEN: usize = 16;
/// Length of the tag in bits and of the IV in bytes, as an encrypted data key
/// says them: 128 and 12.
const PARAMETERS: [u8; 8] = [0, 0, 0, 128, 0, 0, 0, 12];
