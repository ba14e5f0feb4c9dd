//! The manifest as it is written; [`super::check`] makes a [`super::Manifest`] of it.
//! What jobs do is in [`job`].
//!
//! Every table refuses unknown keys. Variants of a tagged enum are never unit
//! variants: serde lets any extra key pass beside those, and
//! `output = { protect = "none", key = "…" }` would let data leave in the clear.

mod job;
mod operation;
mod output;

use std::collections::BTreeMap;

pub(super) use job::{
    BadWord, CiphertextWord, CommitmentWord, RawArgs, RawCiphertext, RawInput, RawJob, ShapeWord,
    SignaturesWord, Verb,
};
pub(super) use operation::{
    AlgorithmWord, AlphabetWord, AsWord, ComputeTable, MaskWord, NormaliseWord, RawAggregate,
    RawCompute, RawCondition, RawIndex, RawJoin, RawMatch, RawRule, RawRuleTable, RawSign,
    SchemeWord, SignsWord, UnknownWord,
};
pub(super) use output::{AnyWord, RawFields, RawOutput, RawRecipients, RawReuse};
use serde::Deserialize;

use super::ByteCount;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) enclave: Enclave,
    pub(super) listen: Listen,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) cache: RawCache,
    pub(super) kms: RawKms,
    #[serde(default)]
    pub(super) secret: Vec<RawSecret>,
    #[serde(default)]
    pub(super) caller: Vec<RawCaller>,
    #[serde(default)]
    pub(super) job: Vec<RawJob>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) context: BTreeMap<String, String>,
    pub(super) wrapped: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCaller {
    pub(super) name: String,
    pub(super) public_key: String,
}

/// How nitro-cli runs the enclave; of the service's concern is only the last key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read by the tools on the parent; named here so that a typo is refused"
)]
pub(super) struct Enclave {
    pub(super) name: String,
    pub(super) cpu_count: u32,
    pub(super) memory_mib: u32,
    #[serde(default)]
    pub(super) allow_debug: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) vsock_port: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) max_connections: usize,
    pub(super) max_in_flight_bytes: ByteCount,
    pub(super) request_deadline_secs: u64,
    pub(super) idle_timeout_secs: u64,
    pub(super) max_header: ByteCount,
    pub(super) max_frame: ByteCount,
    pub(super) max_encrypted_data_keys: usize,
    pub(super) max_record: ByteCount,
    pub(super) max_data_keys: usize,
    pub(super) max_groups: usize,
    pub(super) max_kms_calls: usize,
    pub(super) max_kms_calls_per_job: usize,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_in_flight_bytes: ByteCount(256 << 20),
            request_deadline_secs: 600,
            idle_timeout_secs: 60,
            max_header: ByteCount(64 << 10),
            max_frame: ByteCount(8 << 20),
            max_encrypted_data_keys: 8,
            max_record: ByteCount(1 << 20),
            max_data_keys: 1000,
            max_groups: 10_000,
            max_kms_calls: 8,
            max_kms_calls_per_job: 4,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCache {
    pub(super) max_keys: usize,
    pub(super) max_age_secs: u64,
    pub(super) max_uses: u64,
    pub(super) max_bytes: ByteCount,
}

impl Default for RawCache {
    fn default() -> Self {
        Self {
            max_keys: 1000,
            max_age_secs: 60,
            max_uses: 1_000_000,
            max_bytes: ByteCount(64 << 30),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKms {
    pub(super) region: String,
    #[serde(default)]
    pub(super) proxy: Proxy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) cid: u32,
    pub(super) port: u32,
}

impl Default for Proxy {
    fn default() -> Self {
        // Where AWS's vsock-proxy service listens for KMS.
        Self { cid: 3, port: 8000 }
    }
}
