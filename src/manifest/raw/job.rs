//! Jobs as they are written: what comes in, and who may ask.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{RawAggregate, RawJoin, RawMatch, RawOutput, RawRule, RawSign, UnknownWord};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawJob {
    pub(in crate::manifest) name: String,
    pub(in crate::manifest) operation: Verb,
    pub(in crate::manifest) input: Option<RawInput>,
    pub(in crate::manifest) inputs: Option<Vec<RawInput>>,
    #[serde(default)]
    pub(in crate::manifest) args: RawArgs,
    #[serde(default)]
    pub(in crate::manifest) callers: Vec<String>,
    pub(in crate::manifest) output: RawOutput,
    // Of the operations; which of them may stand depends on the verb.
    pub(in crate::manifest) fields: Option<BTreeMap<String, RawRule>>,
    pub(in crate::manifest) unknown_fields: Option<UnknownWord>,
    pub(in crate::manifest) secret: Option<String>,
    pub(in crate::manifest) tenant: Option<String>,
    #[serde(rename = "match")]
    pub(in crate::manifest) matches: Option<RawMatch>,
    pub(in crate::manifest) aggregate: Option<RawAggregate>,
    pub(in crate::manifest) join: Option<RawJoin>,
    pub(in crate::manifest) sign: Option<RawSign>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum Verb {
    Mask,
    Reencrypt,
    Tokenize,
    Detokenize,
    Index,
    Match,
    Aggregate,
    JoinCount,
    Sign,
    Open,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of names, or a table of names with pattern and max_length")]
pub(in crate::manifest) enum RawArgs {
    Listed(Vec<String>),
    Typed(BTreeMap<String, RawArg>),
}

impl Default for RawArgs {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawArg {
    pub(in crate::manifest) pattern: Option<String>,
    pub(in crate::manifest) max_length: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawInput {
    pub(in crate::manifest) format: Option<ShapeWord>,
    pub(in crate::manifest) bad_records: Option<BadWord>,
    pub(in crate::manifest) encryption: Option<CiphertextWord>,
    pub(in crate::manifest) key: Option<String>,
    pub(in crate::manifest) context: Option<BTreeMap<String, String>>,
    pub(in crate::manifest) required_context: Option<BTreeMap<String, String>>,
    pub(in crate::manifest) commitment: Option<CommitmentWord>,
    pub(in crate::manifest) signatures: Option<SignaturesWord>,
    pub(in crate::manifest) fields: Option<BTreeMap<String, RawCiphertext>>,
}

/// A field that is a ciphertext of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawCiphertext {
    #[serde(default)]
    pub(in crate::manifest) format: CiphertextWord,
    pub(in crate::manifest) key: Option<String>,
    #[serde(default)]
    pub(in crate::manifest) context: BTreeMap<String, String>,
    #[serde(default)]
    pub(in crate::manifest) required_context: BTreeMap<String, String>,
    pub(in crate::manifest) commitment: Option<CommitmentWord>,
    pub(in crate::manifest) signatures: Option<SignaturesWord>,
}

/// Shape of the plaintext.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum ShapeWord {
    Csv,
    Ndjson,
    Json,
    Bytes,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum BadWord {
    Refuse,
    Drop,
}

/// Format of a ciphertext.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum CiphertextWord {
    #[default]
    AwsEncryptionSdk,
    PlainEnvelope,
    None,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum CommitmentWord {
    Require,
    AllowLegacy,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum SignaturesWord {
    Accept,
    Refuse,
}
