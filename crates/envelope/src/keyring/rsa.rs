//! Data keys under a local RSA key. The encryption context is not bound.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey,
    Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};

use super::{KeyName, KeyringError};
use crate::esdk::{EncryptedDataKey, EncryptionContext};
use crate::secret::{DataKey, SecretBuf};

/// How a data key is padded before it is encrypted (RFC 8017).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaPadding {
    /// PKCS#1 v1.5, section 7.2.
    Pkcs1,
    /// OAEP, section 7.1, with SHA-1 and MGF1 of it.
    OaepSha1,
    /// OAEP with SHA-256 and MGF1 of it.
    OaepSha256,
    /// OAEP with SHA-384 and MGF1 of it.
    OaepSha384,
    /// OAEP with SHA-512 and MGF1 of it.
    OaepSha512,
}

/// Wraps data keys with an RSA public key, and unwraps them with the private one.
pub struct RawRsa {
    id: KeyName,
    padding: RsaPadding,
    public: PublicEncryptingKey,
    private: Option<PrivateDecryptingKey>,
}

impl RawRsa {
    /// Takes a private key in PKCS#8 DER (RFC 5208), of 2048 to 8192 bits.
    ///
    /// # Errors
    /// [`KeyringError::Key`], [`KeyringError::ReservedNamespace`]
    pub fn from_private(
        namespace: &str,
        name: &str,
        pkcs8_der: &[u8],
        padding: RsaPadding,
    ) -> Result<Self, KeyringError> {
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8_der).map_err(|_| KeyringError::Key)?;
        let (id, public) = (KeyName::new(namespace, name)?, private.public_key());
        Ok(Self { id, padding, public, private: Some(private) })
    }

    /// Takes a public key as `SubjectPublicKeyInfo` DER (RFC 5280), of 2048 to
    /// 8192 bits: it can only wrap.
    ///
    /// # Errors
    /// [`KeyringError::Key`], [`KeyringError::ReservedNamespace`]
    pub fn from_public(
        namespace: &str,
        name: &str,
        spki_der: &[u8],
        padding: RsaPadding,
    ) -> Result<Self, KeyringError> {
        let public = PublicEncryptingKey::from_der(spki_der).map_err(|_| KeyringError::Key)?;
        Ok(Self { id: KeyName::new(namespace, name)?, padding, public, private: None })
    }

    /// Decrypts a data key. The context is not compared: RSA does not bind it,
    /// only the message's own tags do.
    ///
    /// # Errors
    /// [`KeyringError::OtherKey`], [`KeyringError::Unwrap`]
    pub fn unwrap(
        &self,
        encrypted: &EncryptedDataKey,
        _context: &EncryptionContext,
    ) -> Result<DataKey, KeyringError> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-rsa-keyring.md#ondecrypt
        if encrypted.provider_id != self.id.namespace
            || encrypted.provider_info != self.id.name.as_bytes()
        {
            return Err(KeyringError::OtherKey);
        }
        let private = self.private.as_ref().ok_or(KeyringError::Unwrap)?.clone();
        let mut buffer = SecretBuf::new();
        let room = buffer.grow(private.key_size_bytes());
        let opened = match self.padding.oaep() {
            Some(oaep) => OaepPrivateDecryptingKey::new(private)
                .and_then(|key| key.decrypt(oaep, &encrypted.ciphertext, room, None)),
            None => Pkcs1PrivateDecryptingKey::new(private)
                .and_then(|key| key.decrypt(&encrypted.ciphertext, room)),
        };
        let opened = opened.map_err(|_| KeyringError::Unwrap)?;
        DataKey::from_slice(opened).ok_or(KeyringError::Unwrap)
    }

    /// Encrypts a data key. The context is not bound.
    ///
    /// # Errors
    /// [`KeyringError::Wrap`]
    pub fn wrap(
        &self,
        key: &DataKey,
        _context: &EncryptionContext,
    ) -> Result<EncryptedDataKey, KeyringError> {
        let public = self.public.clone();
        let mut ciphertext = vec![0; public.key_size_bytes()];
        let len = match self.padding.oaep() {
            Some(oaep) => OaepPublicEncryptingKey::new(public)
                .and_then(|to| Ok(to.encrypt(oaep, key.expose(), &mut ciphertext, None)?.len())),
            None => Pkcs1PublicEncryptingKey::new(public)
                .and_then(|to| Ok(to.encrypt(key.expose(), &mut ciphertext)?.len())),
        };
        ciphertext.truncate(len.map_err(|_| KeyringError::Wrap)?);
        Ok(EncryptedDataKey {
            provider_id: self.id.namespace.clone(),
            provider_info: self.id.name.clone().into_bytes(),
            ciphertext,
        })
    }
}

impl RsaPadding {
    const fn oaep(self) -> Option<&'static OaepAlgorithm> {
        match self {
            Self::Pkcs1 => None,
            Self::OaepSha1 => Some(&OAEP_SHA1_MGF1SHA1),
            Self::OaepSha256 => Some(&OAEP_SHA256_MGF1SHA256),
            Self::OaepSha384 => Some(&OAEP_SHA384_MGF1SHA384),
            Self::OaepSha512 => Some(&OAEP_SHA512_MGF1SHA512),
        }
    }
}
