//! A caller's private key: on the client's side only, never in the enclave.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};

use super::{CallerError, CallerKey, SIGNATURE_LEN};
use crate::SecretBuf;

/// A caller's private key; the library erases it when dropped.
pub struct CallerSecret(Kind);

enum Kind {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl CallerSecret {
    /// A new Ed25519 key.
    ///
    /// # Errors
    /// [`CallerError::Fault`]
    pub fn generate_ed25519() -> Result<Self, CallerError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| CallerError::Fault)?;
        Ok(Self(Kind::Ed25519(pair)))
    }

    /// A new ECDSA P-256 key.
    ///
    /// # Errors
    /// [`CallerError::Fault`]
    pub fn generate_p256() -> Result<Self, CallerError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| CallerError::Fault)?;
        Ok(Self(Kind::P256(pair)))
    }

    /// An Ed25519 key in unencrypted PKCS#8 DER (RFC 8410), as
    /// `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`CallerError::SecretKey`]
    pub fn ed25519(pkcs8: &[u8]) -> Result<Self, CallerError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| CallerError::SecretKey)?;
        Ok(Self(Kind::Ed25519(pair)))
    }

    /// An ECDSA P-256 key in unencrypted PKCS#8 DER (RFC 5915 in RFC 5958).
    ///
    /// # Errors
    /// [`CallerError::SecretKey`]
    pub fn p256(pkcs8: &[u8]) -> Result<Self, CallerError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| CallerError::SecretKey)?;
        Ok(Self(Kind::P256(pair)))
    }

    /// The key in PKCS#8 DER of version 1, which OpenSSL and Python read.
    ///
    /// # Errors
    /// [`CallerError::Fault`]
    pub fn to_pkcs8(&self) -> Result<SecretBuf, CallerError> {
        let document = match &self.0 {
            Kind::Ed25519(pair) => pair.to_pkcs8v1(),
            Kind::P256(pair) => pair.to_pkcs8v1(),
        };
        // The library's own copy is erased when dropped.
        let document = document.map_err(|_| CallerError::Fault)?;
        let mut out = SecretBuf::new();
        out.extend_from_slice(document.as_ref());
        Ok(out)
    }

    /// The public key, for the manifest.
    ///
    /// # Errors
    /// [`CallerError::PublicKey`]; not for keys made here.
    pub fn public_key(&self) -> Result<CallerKey, CallerError> {
        match &self.0 {
            Kind::Ed25519(pair) => CallerKey::ed25519(pair.public_key().as_ref()),
            Kind::P256(pair) => CallerKey::p256(pair.public_key().as_ref()),
        }
    }

    /// Signs `message` (see [`super::message`]).
    ///
    /// # Errors
    /// [`CallerError::Fault`]
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], CallerError> {
        let signature = match &self.0 {
            Kind::Ed25519(pair) => pair.sign(message),
            Kind::P256(pair) => {
                pair.sign(&SystemRandom::new(), message).map_err(|_| CallerError::Fault)?
            }
        };
        signature.as_ref().try_into().map_err(|_| CallerError::Fault)
    }
}
