//! Outputs as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::manifest::ByteCount;

#[derive(Deserialize)]
#[serde(tag = "protect", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::manifest) enum RawOutput {
    None {
        pad_to: Option<ByteCount>,
    },
    Kms {
        key: String,
        context: BTreeMap<String, String>,
        #[serde(default = "default_frame")]
        frame: ByteCount,
        #[serde(default)]
        signed: bool,
        fields: Option<RawFields>,
        pad_to: Option<ByteCount>,
        reuse: Option<RawReuse>,
    },
    Seal {
        to: RawRecipients,
        pad_to: Option<ByteCount>,
    },
}

/// How often one data key may be that of another result.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawReuse {
    pub(in crate::manifest) max_results: u64,
    pub(in crate::manifest) max_bytes: ByteCount,
    pub(in crate::manifest) max_age_secs: u64,
}

/// Fields that are encrypted one by one, with contexts of their own where given.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a list of fields, or a table of fields with an encryption context each"
)]
pub(in crate::manifest) enum RawFields {
    Listed(Vec<String>),
    Each(BTreeMap<String, BTreeMap<String, String>>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"any\", or a list of X25519 public keys of 64 hex digits each")]
pub(in crate::manifest) enum RawRecipients {
    Word(AnyWord),
    Listed(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::manifest) enum AnyWord {
    Any,
}

const fn default_frame() -> ByteCount {
    ByteCount(64 << 10)
}
