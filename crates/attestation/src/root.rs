//! The certificate that every document must lead to. A value, handed in by
//! whoever composes: nothing here has a default.

use aws_lc_rs::digest::{SHA256, digest};

use crate::certificate::Certificate;

/// A trusted root: one self-signed P-384 certificate authority.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    der: Vec<u8>,
    sha256: [u8; 32],
    certificate: Certificate,
}

impl TrustRoot {
    /// Amazon's root for Nitro, `aws.nitro-enclaves` (G1), valid until 2049.
    ///
    /// The SHA-256 of its DER is
    /// `641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b`, as
    /// published by AWS ("Verifying the root of trust").
    #[must_use]
    #[expect(clippy::expect_used, reason = "a constant; `amazons_root_is_the_published_one`")]
    pub fn aws_nitro() -> Self {
        Self::from_der(AWS_NITRO_G1).expect("the embedded root is a root")
    }

    /// From a certificate in DER.
    ///
    /// # Errors
    /// [`RootError`] when the bytes are no certificate that could be a root.
    pub fn from_der(der: &[u8]) -> Result<Self, RootError> {
        let certificate = Certificate::parse(der).map_err(RootError::Unfit)?;
        certificate.check_authority(0).map_err(RootError::Unfit)?;
        certificate.check_issued_by(&certificate).map_err(|_| RootError::NotSelfSigned)?;
        Ok(Self { der: der.to_vec(), sha256: fingerprint(der), certificate })
    }

    /// From one PEM block labelled `CERTIFICATE` (RFC 7468).
    ///
    /// # Errors
    /// [`RootError`] when the text is no such block, or not of a root.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootError> {
        match der::pem::decode_vec(pem) {
            Ok(("CERTIFICATE", der)) => Self::from_der(&der),
            _ => Err(RootError::NotPem),
        }
    }

    /// From a file's bytes, PEM or DER. DER begins with 0x30, which no PEM does.
    ///
    /// # Errors
    /// [`RootError`] as the two above.
    pub fn from_der_or_pem(bytes: &[u8]) -> Result<Self, RootError> {
        if bytes.first() == Some(&DER_SEQUENCE) {
            Self::from_der(bytes)
        } else {
            Self::from_pem(bytes)
        }
    }

    /// SHA-256 of the certificate's DER, its usual fingerprint.
    #[must_use]
    pub const fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Whether `der` is this very certificate, byte for byte.
    pub(crate) fn is(&self, der: &[u8]) -> bool {
        self.der == der
    }

    pub(crate) const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// Why something cannot be a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Not a PEM block of a certificate.
    #[error("the trust root is not one PEM block labelled CERTIFICATE")]
    NotPem,
    /// Not a certificate that can issue others.
    #[error("the trust root {0}")]
    Unfit(&'static str),
    /// Issued by another certificate.
    #[error("the trust root is not self-signed")]
    NotSelfSigned,
}

pub(crate) fn fingerprint(der: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, der).as_ref());
    out
}

/// From <https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip>,
/// converted from PEM.
const AWS_NITRO_G1: &[u8] = include_bytes!("aws_nitro_root_g1.der");
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_root_is_the_published_one() {
        assert_eq!(
            hex::encode(TrustRoot::aws_nitro().sha256()),
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
    }

    #[test]
    fn pem_and_der_of_one_certificate_are_one_root() {
        let pem =
            der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, AWS_NITRO_G1).unwrap();
        let root = TrustRoot::from_der_or_pem(pem.as_bytes()).unwrap();
        assert!(root.is(AWS_NITRO_G1));
        assert!(TrustRoot::from_der_or_pem(AWS_NITRO_G1).unwrap().is(AWS_NITRO_G1));
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        for bytes in [&b""[..], b"\x30", b"\x30\x00", b"hello", &AWS_NITRO_G1[1..]] {
            assert!(TrustRoot::from_der_or_pem(bytes).is_err(), "{bytes:02x?}");
        }
        let mut trailing = AWS_NITRO_G1.to_vec();
        trailing.push(0);
        assert!(TrustRoot::from_der(&trailing).is_err());
        let key =
            der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, AWS_NITRO_G1).unwrap();
        assert_eq!(TrustRoot::from_pem(key.as_bytes()).unwrap_err(), RootError::NotPem);
    }

    #[test]
    fn a_root_with_any_bit_flipped_is_no_root() {
        for bit in 0..AWS_NITRO_G1.len() * 8 {
            let mut bytes = AWS_NITRO_G1.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(TrustRoot::from_der(&bytes).is_err(), "bit {bit}");
        }
    }
}
