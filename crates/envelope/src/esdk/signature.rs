//! The signature of a signed suite: ECDSA over a hash of header and body.
//!
//! Used by the opener and the sealer, which hash as they go. The verification
//! key comes with the message, in its context: the signature says that whoever
//! asked KMS for the data key also wrote the body, not who that is. P-384 with
//! SHA-384, in one suite of message format 1 P-256 with SHA-256; only the former
//! is written.
//!
//! ```text
//! footer = signature length u16 ‖ signature, DER
//! ```

use aws_lc_rs::digest::{self, SHA384};
use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyCompressedBin};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::context::{ContextError, EncryptionContext, PUBLIC_KEY};
use super::frame::Scan;
use super::suite::Curve;
use super::{DecryptFailed, SealError};

/// Longest footer in bytes: a length and the longest signature.
pub(super) const fn max_footer_len(curve: Curve) -> usize {
    2 + max_signature_len(curve)
}

/// Checks the signature of a message that is read.
pub(super) struct Verifier {
    key: ParsedPublicKey,
    hash: digest::Context,
}

impl Verifier {
    pub(super) fn new(curve: Curve, context: &EncryptionContext) -> Result<Self, DecryptFailed> {
        let public_key = context.get(PUBLIC_KEY).ok_or(DecryptFailed)?;
        let point = decode_point(curve, public_key).ok_or(DecryptFailed)?;
        let key = ParsedPublicKey::new(curve.verification(), point).map_err(|_| DecryptFailed)?;
        Ok(Self { key, hash: digest::Context::new(curve.hash()) })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    pub(super) fn verify(self, signature: &[u8]) -> Result<(), DecryptFailed> {
        self.key.verify_digest_sig(&self.hash.finish(), signature).map_err(|_| DecryptFailed)
    }
}

/// Signs one message that is written: holds its private key, used once.
///
/// Made before the data key is asked for, because KMS has to be given the
/// context with the verification key in it.
pub struct Signer {
    key: EcdsaKeyPair,
    hash: digest::Context,
    context: EncryptionContext,
}

impl Signer {
    /// Makes a key pair and adds its verification key to a caller's context.
    ///
    /// # Errors
    /// A context with a reserved key or no room left; a failing random source.
    pub fn new(context: &EncryptionContext) -> Result<Self, SealError> {
        if context.has_reserved_key() {
            return Err(ContextError::ReservedKey.into());
        }
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)
            .map_err(|_| SealError::Crypto)?;
        let point: EcPublicKeyCompressedBin<'_> =
            key.public_key().as_be_bytes().map_err(|_| SealError::Crypto)?;
        let context = context.with_public_key(&STANDARD.encode(point.as_ref()))?;
        Ok(Self { key, hash: digest::Context::new(&SHA384), context })
    }

    /// The context of the message, with the verification key: what KMS has to be
    /// given when the data key is generated.
    #[must_use]
    pub const fn encryption_context(&self) -> &EncryptionContext {
        &self.context
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Appends the footer.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), SealError> {
        let signature = self.key.sign_digest(&self.hash.finish()).map_err(|_| SealError::Crypto)?;
        let signature = signature.as_ref();
        let len = u16::try_from(signature.len()).map_err(|_| SealError::Crypto)?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(signature);
        Ok(())
    }
}

/// The compressed point that a context's [`PUBLIC_KEY`] encodes. That it lies on
/// the curve is seen when a [`Verifier`] is made, after the header's tag.
pub(super) fn decode_point(curve: Curve, public_key: &str) -> Option<Vec<u8>> {
    let mut point = [0; MAX_POINT_LEN];
    let len = STANDARD.decode_slice(public_key, &mut point).ok()?;
    let compressed = matches!(point, [2 | 3, ..]);
    let point = point.get(..len)?;
    (len == 1 + curve.field_len() && compressed).then(|| point.to_vec())
}

/// Finds the footer at the front of `input`: its signature and whole length.
pub(super) fn scan_footer(
    curve: Curve,
    input: &[u8],
) -> Result<Scan<(&[u8], usize)>, DecryptFailed> {
    //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-footer.md#structure
    let Some((len, rest)) = input.split_first_chunk() else {
        return Ok(Scan::Needs(2));
    };
    let len = usize::from(u16::from_be_bytes(*len));
    if len > max_signature_len(curve) {
        return Err(DecryptFailed);
    }
    let footer_len = len.saturating_add(2);
    Ok(match rest.get(..len) {
        Some(signature) => Scan::Whole((signature, footer_len)),
        None => Scan::Needs(footer_len),
    })
}

/// Longest signature in DER: a sequence of two integers, each one byte longer
/// than a coordinate. All lengths fit one byte.
const fn max_signature_len(curve: Curve) -> usize {
    2 + 2 * (2 + 1 + curve.field_len())
}

/// A compressed P-384 point: 02 or 03, then x.
const MAX_POINT_LEN: usize = 49;
