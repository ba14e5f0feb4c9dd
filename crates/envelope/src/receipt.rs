//! Receipts: what an enclave did, signed by a key that its attestation document
//! vouches for.
//!
//! Every result comes with one: COSE_Sign1 (RFC 9052) with ES256 over a CBOR map
//! in deterministic encoding (RFC 8949 §4.2.1). The key is made at boot and named
//! in the `user_data` of attestation documents:
//!
//! ```text
//! user_data = {"receipt_key": 65 bytes, an uncompressed P-256 point}
//! receipt   = 84 ‖ protected {1: -7} ‖ {} ‖ payload ‖ signature 64
//! ```

use std::collections::BTreeMap;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use serde_cbor::Value;

/// Longest receipt, in bytes.
pub const MAX_LEN: usize = 16 << 10;

/// Length of a receipt key: an uncompressed P-256 point.
pub const KEY_LEN: usize = 65;

/// What an enclave says that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The client's id for the request.
    pub request_id: [u8; 16],
    /// SHA-256 of the payload of the request's first frame, as it arrived.
    pub request: [u8; 32],
    /// Name of the job.
    pub job: String,
    /// SHA-256 of the manifest.
    pub manifest: [u8; 32],
    /// ARNs of the KMS keys that the job uses.
    pub keys: Vec<String>,
    /// SHA-256 of each input as it arrived, in order.
    pub inputs: Vec<[u8; 32]>,
    /// SHA-256 of the result as it left.
    pub result: [u8; 32],
    /// Number of the receipt since the enclave's boot, from 1.
    pub counter: u64,
    /// When it was signed, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    /// Who signed the request, if somebody did.
    pub caller: Option<String>,
    /// Records that were processed, of operations on records.
    pub records: Option<u64>,
    /// Malformed records that were left out.
    pub dropped: Option<u64>,
}

/// Why a receipt, or a key for one, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is longer than [`MAX_LEN`].
    #[error("the receipt is longer than {MAX_LEN} bytes")]
    TooLong,
    /// Not a receipt as an enclave writes it.
    #[error("this is not a receipt")]
    Format,
    /// Its signature is not of this key.
    #[error("the receipt is not signed by this enclave's receipt key")]
    Signature,
    /// The attestation document names no receipt key.
    #[error("the attestation document names no receipt key")]
    NoKey,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// The key that signs the receipts of one boot.
pub struct ReceiptKey(EcdsaKeyPair);

impl ReceiptKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`ReceiptError::Crypto`].
    pub fn generate() -> Result<Self, ReceiptError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Ok(Self(pair.map_err(|_| ReceiptError::Crypto)?))
    }

    /// The public key: an uncompressed P-256 point.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_LEN] {
        // aws-lc-rs gives P-256 keys in this form only.
        self.0.public_key().as_ref().try_into().unwrap_or([0; KEY_LEN])
    }

    /// The `user_data` of an attestation document that vouches for the key.
    #[must_use]
    pub fn user_data(&self) -> Vec<u8> {
        let vouched = UserData { receipt_key: ByteArray::new(self.public_key()) };
        // A map of one entry, which always encodes.
        serde_cbor::to_vec(&vouched).unwrap_or_default()
    }

    /// Signs a receipt.
    ///
    /// # Errors
    /// [`ReceiptError::Crypto`]; [`ReceiptError::TooLong`].
    pub fn sign(&self, receipt: &Receipt) -> Result<Vec<u8>, ReceiptError> {
        let payload = Payload::of(receipt).encode()?;
        let signature = self.0.sign(&SystemRandom::new(), &to_be_signed(&payload)?);
        let signature = signature.map_err(|_| ReceiptError::Crypto)?;
        let cose = encode(&payload, signature.as_ref())?;
        if cose.len() > MAX_LEN { Err(ReceiptError::TooLong) } else { Ok(cose) }
    }
}

/// Reads a receipt that `key` has signed.
///
/// Only the one encoding that an enclave writes is accepted.
///
/// # Errors
/// [`ReceiptError`].
pub fn verify(receipt: &[u8], key: &[u8; KEY_LEN]) -> Result<Receipt, ReceiptError> {
    if receipt.len() > MAX_LEN {
        return Err(ReceiptError::TooLong);
    }
    let parts: (ByteBuf, BTreeMap<Value, Value>, ByteBuf, ByteBuf) =
        serde_cbor::from_slice(receipt).map_err(|_| ReceiptError::Format)?;
    let (_, _, payload, signature) = parts;
    // One encoding per receipt: refuses other headers, duplicate keys, long
    // integers and indefinite lengths in one stroke.
    if encode(&payload, &signature)? != receipt {
        return Err(ReceiptError::Format);
    }
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    let public = public.map_err(|_| ReceiptError::Signature)?;
    public.verify_sig(&to_be_signed(&payload)?, &signature).map_err(|_| ReceiptError::Signature)?;
    let parsed: Payload = serde_cbor::from_slice(&payload).map_err(|_| ReceiptError::Format)?;
    if parsed.version != VERSION || parsed.encode()? != payload.as_slice() {
        return Err(ReceiptError::Format);
    }
    Ok(parsed.into_receipt())
}

/// The receipt key that the `user_data` of a verified attestation document
/// vouches for.
///
/// # Errors
/// [`ReceiptError::NoKey`].
pub fn key_of(user_data: &[u8]) -> Result<[u8; KEY_LEN], ReceiptError> {
    let vouched: UserData = serde_cbor::from_slice(user_data).map_err(|_| ReceiptError::NoKey)?;
    if serde_cbor::to_vec(&vouched).is_ok_and(|encoded| encoded == user_data) {
        Ok(*vouched.receipt_key)
    } else {
        Err(ReceiptError::NoKey)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserData {
    receipt_key: ByteArray<KEY_LEN>,
}

/// The payload, its keys in the order of their deterministic encoding: shorter
/// ones first, then by their bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    #[serde(rename = "n")]
    counter: u64,
    #[serde(rename = "t")]
    time_ms: u64,
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "id")]
    request_id: ByteArray<16>,
    job: String,
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    inputs: Vec<ByteArray<32>>,
    result: ByteArray<32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    request: ByteArray<32>,
    manifest: ByteArray<32>,
}

impl Payload {
    fn of(receipt: &Receipt) -> Self {
        Self {
            counter: receipt.counter,
            time_ms: receipt.time_ms,
            version: VERSION,
            request_id: ByteArray::new(receipt.request_id),
            job: receipt.job.clone(),
            keys: receipt.keys.clone(),
            caller: receipt.caller.clone(),
            inputs: receipt.inputs.iter().copied().map(ByteArray::new).collect(),
            result: ByteArray::new(receipt.result),
            dropped: receipt.dropped,
            records: receipt.records,
            request: ByteArray::new(receipt.request),
            manifest: ByteArray::new(receipt.manifest),
        }
    }

    fn into_receipt(self) -> Receipt {
        Receipt {
            request_id: *self.request_id,
            request: *self.request,
            job: self.job,
            manifest: *self.manifest,
            keys: self.keys,
            inputs: self.inputs.iter().map(|digest| **digest).collect(),
            result: *self.result,
            counter: self.counter,
            time_ms: self.time_ms,
            caller: self.caller,
            records: self.records,
            dropped: self.dropped,
        }
    }

    fn encode(&self) -> Result<Vec<u8>, ReceiptError> {
        serde_cbor::to_vec(self).map_err(|_| ReceiptError::Format)
    }
}

/// RFC 9052 §4.4: `["Signature1", protected, external_aad, payload]`.
fn to_be_signed(payload: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    let bytes = serde_bytes::Bytes::new;
    let structure = ("Signature1", bytes(PROTECTED), bytes(&[]), bytes(payload));
    serde_cbor::to_vec(&structure).map_err(|_| ReceiptError::Format)
}

fn encode(payload: &[u8], signature: &[u8]) -> Result<Vec<u8>, ReceiptError> {
    let bytes = serde_bytes::Bytes::new;
    let empty: BTreeMap<u8, u8> = BTreeMap::new();
    let cose = (bytes(PROTECTED), empty, bytes(payload), bytes(signature));
    serde_cbor::to_vec(&cose).map_err(|_| ReceiptError::Format)
}

/// `{1: -7}`: the algorithm is ES256.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x26];

const VERSION: u8 = 1;
