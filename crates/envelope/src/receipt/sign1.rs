//! COSE_Sign1 (RFC 9052) in the one shape that receipts have.
//!
//! Everything around the payload is a constant or a length, so it is compared,
//! not parsed. Called by [`super::ReceiptKey`] and by whoever verifies; trusts
//! the public key only.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::key::check_public_key;
use super::{MAX_RECEIPT_LEN, Receipt, ReceiptError};

/// Length of r ‖ s in bytes.
pub(super) const SIGNATURE_LEN: usize = 64;

/// Verifies `receipt` under `public_key` and reads it.
///
/// `public_key` is what [`super::receipt_key_of`] found in the user data of a
/// **verified** attestation document. The signature is checked before the
/// payload is read.
///
/// # Errors
/// [`ReceiptError`]; nothing of the receipt may be used then.
pub fn verify(receipt: &[u8], public_key: &[u8]) -> Result<Receipt, ReceiptError> {
    let public_key = check_public_key(public_key)?;
    if receipt.len() > MAX_RECEIPT_LEN {
        return Err(ReceiptError::TooLong);
    }
    let (payload, signature) = split(receipt).ok_or(ReceiptError::NotAReceipt)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
        .verify(&to_be_signed(payload)?, signature)
        .map_err(|_| ReceiptError::Signature)?;
    Receipt::decode(payload)
}

/// What the signature covers: `Sig_structure` (RFC 9052 section 4.4).
pub(super) fn to_be_signed(payload: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    Ok([SIG_STRUCTURE, &bytes_head(payload.len())?, payload].concat())
}

/// The receipt made of `payload` and its signature.
pub(super) fn join(
    payload: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<Vec<u8>, ReceiptError> {
    let head = bytes_head(payload.len())?;
    let receipt = [PREFIX, &head, payload, SIGNATURE_HEAD, signature].concat();
    if receipt.len() > MAX_RECEIPT_LEN {
        return Err(ReceiptError::TooLong);
    }
    Ok(receipt)
}

/// The inverse of [`join`]; `None` for anything that it does not write.
fn split(receipt: &[u8]) -> Option<(&[u8], &[u8; SIGNATURE_LEN])> {
    let (rest, signature) = receipt.split_last_chunk::<SIGNATURE_LEN>()?;
    let rest = rest.strip_suffix(SIGNATURE_HEAD)?.strip_prefix(PREFIX)?;
    // The head's length follows from its first byte, and the payload is what is
    // left; then the head must be the one for that payload.
    let head_len = match *rest.first()? {
        0x40..=0x57 => 1,
        0x58 => 2,
        0x59 => 3,
        _ => return None,
    };
    let (head, payload) = rest.split_at_checked(head_len)?;
    (bytes_head(payload.len()).ok()? == head).then_some((payload, signature))
}

/// The head of a byte string of `len` bytes, in its shortest form (RFC 8949
/// section 3).
fn bytes_head(len: usize) -> Result<Vec<u8>, ReceiptError> {
    let len = u16::try_from(len).map_err(|_| ReceiptError::TooLong)?;
    let [high, low] = len.to_be_bytes();
    Ok(match len {
        0..=23 => vec![0x40 | low],
        24..=0xFF => vec![0x58, low],
        _ => vec![0x59, high, low],
    })
}

/// Array of 4, protected header {1: -7}, empty unprotected header.
const PREFIX: &[u8] = b"\x84\x43\xA1\x01\x26\xA0";
/// Byte string of 64.
const SIGNATURE_HEAD: &[u8] = b"\x58\x40";
/// Array of 4: "Signature1", the protected header, empty external data; the
/// payload follows.
const SIG_STRUCTURE: &[u8] = b"\x84\x6ASignature1\x43\xA1\x01\x26\x40";
