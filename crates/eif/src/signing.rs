//! Signing an image with a PEM key, as `nitro-cli build-enclave
//! --private-key --signing-certificate` does.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};
use serde::Serialize;

use crate::error::EifError;
use crate::image::MAX_SIGNATURE_LEN;
use crate::pem;
use crate::signature::{Certificate, Curve, Payload, Section, to_be_signed};

/// A private key and the certificate of its public key.
pub struct SigningKey {
    key: EcdsaKeyPair,
    certificate_pem: Vec<u8>,
    certificate: Certificate,
}

/// Why an image cannot be signed, or not be built.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The certificate file.
    #[error("the signing certificate cannot be used: {0}")]
    Certificate(&'static str),
    /// The key file.
    #[error(
        "the private key cannot be used: it must be an EC key (P-256, P-384 or P-521) in PEM, PKCS #8 or SEC1, not encrypted"
    )]
    Key,
    /// They do not belong together.
    #[error("the private key is not the one that the signing certificate was made for")]
    Mismatch,
    /// The certificate's time.
    #[error("the signing certificate {0}: an image signed with it would not start")]
    Validity(&'static str),
    /// The image.
    #[error(transparent)]
    Image(#[from] EifError),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a PEM certificate and a PEM private key. `now` is in seconds since
    /// 1970: Nitro does not start an image whose certificate is not valid.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn from_pem(certificate: &[u8], key: &[u8], now: u64) -> Result<Self, SigningError> {
        let parsed = Certificate::from_pem(certificate).map_err(SigningError::Certificate)?;
        parsed.check_validity(now).map_err(SigningError::Validity)?;
        let key = private_key(key, parsed.curve())?;
        if key.public_key().as_ref() != parsed.public_key() {
            return Err(SigningError::Mismatch);
        }
        Ok(Self { key, certificate_pem: certificate.to_vec(), certificate: parsed })
    }

    /// The certificate, DER: what PCR8 measures.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The signature section over PCR0.
    pub(crate) fn sign(&self, pcr0: &[u8; 48]) -> Result<Vec<u8>, SigningError> {
        let curve: Curve = self.certificate.curve();
        let payload = cbor(&Payload { register_index: 0, register_value: pcr0.to_vec() })?;
        let protected = curve.protected_header();
        let signed = self
            .key
            .sign(&SystemRandom::new(), &to_be_signed(&protected, &payload))
            .map_err(|_| SigningError::Key)?;
        let bytes = |bytes: &[u8]| serde_cbor::Value::Bytes(bytes.to_vec());
        let cose = cbor(&serde_cbor::Value::Array(vec![
            bytes(&protected),
            serde_cbor::Value::Map(std::collections::BTreeMap::new()),
            bytes(&payload),
            bytes(signed.as_ref()),
        ]))?;
        let section = cbor(&[Section {
            signing_certificate: self.certificate_pem.clone(),
            signature: cose,
        }])?;
        if section.len() > MAX_SIGNATURE_LEN {
            return Err(EifError::TooLarge("signature section").into());
        }
        Ok(section)
    }
}

fn cbor<T: Serialize>(value: &T) -> Result<Vec<u8>, SigningError> {
    serde_cbor::to_vec(value).map_err(|_| EifError::TooLarge("signature section").into())
}

/// The key in a PEM file; `openssl ecparam -genkey` puts the curve's name before it.
fn private_key(file: &[u8], curve: Curve) -> Result<EcdsaKeyPair, SigningError> {
    let der = ["EC PRIVATE KEY", "PRIVATE KEY"].iter().find_map(|label| pem::block(file, label));
    let der = der.ok_or(SigningError::Key)?;
    let read = |curve: Curve| EcdsaKeyPair::from_private_key_der(curve.signing(), &der);
    read(curve).map_err(|_| {
        let sound = [Curve::P256, Curve::P384, Curve::P521].map(read).iter().any(Result::is_ok);
        if sound { SigningError::Mismatch } else { SigningError::Key }
    })
}
