//! What a receipt says.
//!
//! Written by the service, read by whoever verifies. Reading happens behind the
//! signature only, and accepts one encoding per receipt.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{ReceiptError, cbor};

/// What the enclave did for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The client's id for the request.
    pub request_id: [u8; 16],
    /// SHA-256 of the request as it arrived.
    pub request_digest: [u8; 32],
    /// Name of the job.
    pub job: String,
    /// SHA-256 of the manifest.
    pub manifest: [u8; 32],
    /// ARNs of the KMS keys that the job may use.
    pub keys: Vec<String>,
    /// SHA-256 of each input's body as it arrived.
    pub inputs: Vec<[u8; 32]>,
    /// SHA-256 of the result's bytes as sent.
    pub result: [u8; 32],
    /// Number of this receipt since the enclave's boot.
    pub counter: u64,
    /// Unix time in milliseconds, by the enclave's clock.
    pub time_ms: u64,
    /// Who signed the request, where somebody did.
    pub caller: Option<String>,
    /// Records in the result, where the job counts them.
    pub records: Option<u64>,
    /// Records left out of the result, where the job counts them.
    pub dropped: Option<u64>,
}

impl Receipt {
    pub(super) fn encode(&self) -> Result<Vec<u8>, ReceiptError> {
        let payload = Payload {
            n: self.counter,
            t: self.time_ms,
            v: VERSION,
            job: self.job.clone(),
            req: ByteArray::new(self.request_id),
            keys: self.keys.clone(),
            input: self.inputs.iter().copied().map(ByteArray::new).collect(),
            caller: self.caller.clone(),
            digest: ByteArray::new(self.request_digest),
            result: ByteArray::new(self.result),
            dropped: self.dropped,
            records: self.records,
            manifest: ByteArray::new(self.manifest),
        };
        cbor::encode(&payload).ok_or(ReceiptError::Fault)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let payload: Payload = cbor::decode(bytes).ok_or(ReceiptError::Payload)?;
        if payload.v != VERSION {
            return Err(ReceiptError::Payload);
        }
        Ok(Self {
            request_id: *payload.req,
            request_digest: *payload.digest,
            job: payload.job,
            manifest: *payload.manifest,
            keys: payload.keys,
            inputs: payload.input.iter().map(|digest| **digest).collect(),
            result: *payload.result,
            counter: payload.n,
            time_ms: payload.t,
            caller: payload.caller,
            records: payload.records,
            dropped: payload.dropped,
        })
    }
}

/// The map as encoded. The order of the fields is the deterministic order of
/// RFC 8949 section 4.2.1: shorter keys first, then by their bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    n: u64,
    t: u64,
    v: u64,
    job: String,
    req: ByteArray<16>,
    keys: Vec<String>,
    input: Vec<ByteArray<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    digest: ByteArray<32>,
    result: ByteArray<32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    manifest: ByteArray<32>,
}

const VERSION: u64 = 1;
