//! The key that signs receipts, and how an attestation document vouches for it.
//!
//! Made by the service at boot and never leaving it: it has no encoding. The
//! library erases it when dropped.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use serde_cbor::Value;

use super::sign1::{self, SIGNATURE_LEN};
use super::{MAX_USER_DATA_LEN, PUBLIC_KEY_LEN, Receipt, ReceiptError, cbor};

/// An enclave's signing key for receipts: ECDSA over P-256.
pub struct ReceiptKey {
    pair: EcdsaKeyPair,
    public_key: [u8; PUBLIC_KEY_LEN],
}

impl ReceiptKey {
    /// A new key, from the library's random source.
    ///
    /// # Errors
    /// [`ReceiptError::Fault`] when that source or the library fails.
    pub fn generate() -> Result<Self, ReceiptError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| ReceiptError::Fault)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| ReceiptError::Fault)?;
        Ok(Self { pair, public_key })
    }

    /// The public key: an uncompressed point.
    #[must_use]
    pub const fn public_key(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.public_key
    }

    /// What goes into the attestation document's `user_data`: 80 bytes.
    ///
    /// It is a CBOR map, so it never starts with the magic of other attested
    /// user data. The service must let no caller choose a `user_data`.
    #[must_use]
    pub fn user_data(&self) -> Vec<u8> {
        [USER_DATA_PREFIX, &self.public_key].concat()
    }

    /// Signs `receipt`.
    ///
    /// # Errors
    /// [`ReceiptError::TooLong`] above [`super::MAX_RECEIPT_LEN`],
    /// [`ReceiptError::Fault`] when the library fails.
    pub fn sign(&self, receipt: &Receipt) -> Result<Vec<u8>, ReceiptError> {
        let payload = receipt.encode()?;
        let message = sign1::to_be_signed(&payload)?;
        let signature =
            self.pair.sign(&SystemRandom::new(), &message).map_err(|_| ReceiptError::Fault)?;
        let signature: &[u8; SIGNATURE_LEN] =
            signature.as_ref().try_into().map_err(|_| ReceiptError::Fault)?;
        sign1::join(&payload, signature)
    }
}

/// The receipt key that a **verified** attestation document's `user_data` names.
///
/// The user data is a deterministically encoded CBOR map with text keys. Keys
/// other than "receipt_key" are for later versions and are passed over.
///
/// # Errors
/// [`ReceiptError::UserData`] for anything else, [`ReceiptError::Key`] when the
/// key is no point of P-256.
pub fn receipt_key_of(user_data: &[u8]) -> Result<[u8; PUBLIC_KEY_LEN], ReceiptError> {
    if user_data.len() > MAX_USER_DATA_LEN {
        return Err(ReceiptError::UserData);
    }
    let value: Value = cbor::decode(user_data).ok_or(ReceiptError::UserData)?;
    let Value::Map(map) = value else { return Err(ReceiptError::UserData) };
    if !map.keys().all(|key| matches!(key, Value::Text(_))) {
        return Err(ReceiptError::UserData);
    }
    match map.get(&Value::Text("receipt_key".to_owned())) {
        Some(Value::Bytes(key)) => check_public_key(key),
        _ => Err(ReceiptError::UserData),
    }
}

/// Whether `key` is an uncompressed point of P-256.
pub(super) fn check_public_key(key: &[u8]) -> Result<[u8; PUBLIC_KEY_LEN], ReceiptError> {
    let key: [u8; PUBLIC_KEY_LEN] = key.try_into().map_err(|_| ReceiptError::Key)?;
    if key.first() != Some(&UNCOMPRESSED) {
        return Err(ReceiptError::Key);
    }
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).map_err(|_| ReceiptError::Key)?;
    Ok(key)
}

/// Map of one entry, text of 11, byte string of 65.
const USER_DATA_PREFIX: &[u8] = b"\xA1\x6Breceipt_key\x58\x41";
/// First byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
