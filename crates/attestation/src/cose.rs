//! COSE_Sign1 (RFC 9052 §4.2) in the one shape that Nitro emits.
//!
//! ```text
//! D2?  84  44 A1013822  A0  bstr payload  58 60 r(48) ‖ s(48)
//! tag  of4 {1: -35}     {}  1..16384      ES384, RFC 9053 §2.1
//! ```
//!
//! Called by [`crate::verify()`]; trusts nothing. [`Sign1::parse`] proves shape
//! only, [`Sign1::verify`] proves the signature.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use crate::cbor::{Item, Reader};
use crate::error::VerifyError;

/// Largest attestation document taken, in bytes: a payload of 16384 and room
/// for the heads and the signature. The NSM itself answers with at most 12288.
pub const MAX_DOCUMENT_LEN: usize = MAX_PAYLOAD_LEN + 256;

/// A COSE_Sign1 of the right shape, borrowed from the received bytes.
pub(crate) struct Sign1<'a> {
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Splits a document.
    pub(crate) fn parse(document: &'a [u8]) -> Result<Self, VerifyError> {
        if document.len() > MAX_DOCUMENT_LEN {
            return Err(VerifyError::CoseStructure("it is longer than any attestation document"));
        }
        let mut reader = Reader::new(document);
        reader.skip_if(TAG_18);
        let Item::Array(4) = reader.item()? else {
            return Err(VerifyError::CoseStructure("it is not an array of four"));
        };
        let Item::Bytes(protected) = reader.item()? else {
            return Err(VerifyError::CoseStructure("the protected header is not a byte string"));
        };
        if protected != PROTECTED_ES384 {
            return Err(VerifyError::CoseAlgorithm);
        }
        let Item::Map(0) = reader.item()? else {
            return Err(VerifyError::CoseStructure("the unprotected header is not an empty map"));
        };
        let Item::Bytes(payload) = reader.item()? else {
            return Err(VerifyError::CoseStructure("the payload is not a byte string"));
        };
        if payload.is_empty() || payload.len() > MAX_PAYLOAD_LEN {
            return Err(VerifyError::CoseStructure("the payload is not of 1 to 16384 bytes"));
        }
        let Item::Bytes(signature) = reader.item()? else {
            return Err(VerifyError::CoseStructure("the signature is not a byte string"));
        };
        if signature.len() != SIGNATURE_LEN {
            return Err(VerifyError::CoseStructure("the signature is not of 96 bytes"));
        }
        reader.finish()?;
        Ok(Self { payload, signature })
    }

    pub(crate) const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Verifies the signature under a P-384 public key (uncompressed point).
    ///
    /// A high s is fine: half of Nitro's own documents have one. It follows
    /// that document bytes are no unique name for a document.
    pub(crate) fn verify(&self, leaf_key: &[u8]) -> Result<(), VerifyError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, leaf_key)
            .verify(&sig_structure(self.payload), self.signature)
            .map_err(|_| VerifyError::CoseSignature)
    }
}

/// `["Signature1", protected, h'', payload]`, RFC 9052 §4.4, over the payload
/// bytes as received.
fn sig_structure(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len().saturating_add(32));
    out.extend_from_slice(b"\x84\x6aSignature1\x44");
    out.extend_from_slice(PROTECTED_ES384);
    out.push(0x40);
    // The shortest head (RFC 8949 §4.2.1); a payload is at most 16384 bytes.
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..24) => out.push(0x40 | low),
        (0, _) => out.extend_from_slice(&[0x58, low]),
        _ => out.extend_from_slice(&[0x59, high, low]),
    }
    out.extend_from_slice(payload);
    out
}

/// CBOR tag 18, COSE_Sign1. Nitro leaves it out; AWS's description shows it.
const TAG_18: u8 = 0xd2;
/// `{1: -35}`: algorithm ES384, nothing else.
const PROTECTED_ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];
/// AWS "Nitro Enclaves attestation process" §3.1, in bytes.
const MAX_PAYLOAD_LEN: usize = 16_384;
/// r ‖ s, 48 bytes each.
const SIGNATURE_LEN: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_bytes_are_those_of_another_implementation() {
        for len in [0, 1, 23, 24, 255, 256, MAX_PAYLOAD_LEN] {
            let payload = vec![7; len];
            let protected = coset::ProtectedHeader {
                original_data: Some(PROTECTED_ES384.to_vec()),
                header: coset::HeaderBuilder::new()
                    .algorithm(coset::iana::Algorithm::ES384)
                    .build(),
            };
            let expected = coset::sig_structure_data(
                coset::SignatureContext::CoseSign1,
                protected,
                None,
                &[],
                &payload,
            );
            assert_eq!(sig_structure(&payload), expected, "{len}");
        }
    }
}
