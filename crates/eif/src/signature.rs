//! The signature section: a certificate, and a COSE_Sign1 over PCR0.
//!
//! CBOR as AWS's tools write it: byte strings are arrays of integers there.
//! Only the first entry counts, as in nitro-cli.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use serde::{Deserialize, Serialize};
use serde_cbor::Value;

use crate::measure::pcr;
use crate::pem;

/// A signature section that was read. Verify it before believing it.
#[derive(Clone, Debug)]
pub struct Signature {
    certificate: Certificate,
    protected: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form that AWS's tools write.
    #[error("the signature section cannot be read: {0}")]
    Malformed(&'static str),
    /// Its certificate.
    #[error("the signing certificate {0}")]
    Certificate(&'static str),
    /// Not made by the certificate's key.
    #[error("the signature was not made by the signing certificate's key")]
    Forged,
    /// Made over another image.
    #[error("the signature is over another image: its PCR0 is not this image's")]
    OtherImage,
}

impl Signature {
    pub(crate) fn read(section: &[u8]) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Malformed;
        let entries: Vec<Section> = serde_cbor::from_slice(section)
            .map_err(|_| malformed("it is no list of signatures"))?;
        let first = entries.into_iter().next().ok_or(malformed("it is empty"))?;
        let certificate = Certificate::from_pem(&first.signing_certificate)
            .map_err(SignatureError::Certificate)?;
        let cose: Value = serde_cbor::from_slice(&first.signature)
            .map_err(|_| malformed("it holds no COSE_Sign1"))?;
        // Untagged, as AWS's tools write it.
        let Value::Array(parts) = cose else { return Err(malformed("it holds no COSE_Sign1")) };
        let [
            Value::Bytes(protected),
            Value::Map(open),
            Value::Bytes(payload),
            Value::Bytes(signature),
        ] = parts.as_slice()
        else {
            return Err(malformed("it holds no COSE_Sign1"));
        };
        if !open.is_empty() || *protected != certificate.curve.protected_header() {
            return Err(malformed("its algorithm is not that of the certificate's key"));
        }
        let (protected, payload, signature) =
            (protected.clone(), payload.clone(), signature.clone());
        Ok(Self { certificate, protected, payload, signature })
    }

    /// The signing certificate, DER: what PCR8 measures.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The certificate's subject, as RFC 4514 writes it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.certificate.subject
    }

    /// From when to when the certificate is valid, seconds since 1970. Nitro
    /// does not start an image outside that time.
    #[must_use]
    pub const fn validity(&self) -> (u64, u64) {
        (self.certificate.not_before, self.certificate.not_after)
    }

    /// Verifies it over an image with this PCR0, at the time `now` (seconds
    /// since 1970), as nitro-cli does before it starts the image.
    ///
    /// # Errors
    /// [`SignatureError`] with what does not hold.
    pub fn verify(&self, pcr0: &[u8; 48], now: u64) -> Result<(), SignatureError> {
        let key = UnparsedPublicKey::new(
            self.certificate.curve.verification(),
            &self.certificate.public_key,
        );
        key.verify(&to_be_signed(&self.protected, &self.payload), &self.signature)
            .map_err(|_| SignatureError::Forged)?;
        let payload: Payload = serde_cbor::from_slice(&self.payload)
            .map_err(|_| SignatureError::Malformed("it signs something that is no PCR"))?;
        if payload.register_index != 0 || payload.register_value != pcr0 {
            return Err(SignatureError::OtherImage);
        }
        self.certificate.check_validity(now).map_err(SignatureError::Certificate)
    }
}

/// PCR8 of images that are signed with this certificate, PEM.
///
/// # Errors
/// [`SignatureError::Certificate`].
pub fn certificate_pcr(certificate_pem: &[u8]) -> Result<[u8; 48], SignatureError> {
    let certificate =
        Certificate::from_pem(certificate_pem).map_err(SignatureError::Certificate)?;
    Ok(pcr(&[certificate.der()]))
}

/// The bytes that a COSE_Sign1 signs (RFC 9052 §4.4).
pub(crate) fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let structure = Value::Array(vec![
        Value::Text("Signature1".to_owned()),
        bytes(protected),
        bytes(&[]),
        bytes(payload),
    ]);
    // A value of these kinds always encodes; nothing would verify otherwise.
    serde_cbor::to_vec(&structure).unwrap_or_default()
}

/// One entry of the section.
#[derive(Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) signing_certificate: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// What is signed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) register_index: i32,
    pub(crate) register_value: Vec<u8>,
}

/// The curves that nitro-cli signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// `{1: alg}` with ES256, ES384 or ES512.
    pub(crate) fn protected_header(self) -> Vec<u8> {
        match self {
            Self::P256 => vec![0xA1, 0x01, 0x26],
            Self::P384 => vec![0xA1, 0x01, 0x38, 0x22],
            Self::P521 => vec![0xA1, 0x01, 0x38, 0x23],
        }
    }

    pub(crate) const fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }

    const fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }
}

/// What is needed of a signing certificate. It is judged by its PCR8, not by a
/// chain: it may be self-signed.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    subject: String,
    public_key: Vec<u8>,
    curve: Curve,
    not_before: u64,
    not_after: u64,
}

impl Certificate {
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        // OpenSSL takes the first certificate, by whichever of its three labels.
        let der = pem::first_block(pem, "CERTIFICATE")
            .ok_or("is not in PEM, or not the first thing in its file")?;
        let certificate =
            x509_cert::Certificate::from_der(&der).map_err(|_| "is no X.509 certificate")?;
        // PCR8 is over the DER as AWS's tools write it: the encoding itself.
        if certificate.to_der().ok().as_ref() != Some(&*der) {
            return Err("is not in DER");
        }
        let tbs = certificate.tbs_certificate();
        let key = tbs.subject_public_key_info();
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
        let curve = match curve.filter(|_| key.algorithm.oid == EC_PUBLIC_KEY) {
            Some(P256) => Curve::P256,
            Some(P384) => Curve::P384,
            Some(P521) => Curve::P521,
            _ => return Err("has no EC key on P-256, P-384 or P-521"),
        };
        let public_key = key.subject_public_key.as_bytes().ok_or("has a malformed public key")?;
        let validity = tbs.validity();
        Ok(Self {
            subject: tbs.subject().to_string(),
            public_key: public_key.to_vec(),
            curve,
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
            der: der.to_vec(),
        })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(crate) const fn curve(&self) -> Curve {
        self.curve
    }

    pub(crate) const fn check_validity(&self, now: u64) -> Result<(), &'static str> {
        if now < self.not_before {
            Err("is not valid yet")
        } else if now > self.not_after {
            Err("has expired")
        } else {
            Ok(())
        }
    }
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
