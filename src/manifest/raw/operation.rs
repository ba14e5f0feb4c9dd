//! Parameters of operations as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A rule for a field: a word, or a table where it has parameters.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a rule: \"redact\", \"last4\", \"first6last4\", \"initials\", \"email\", \"year-of-date\", \"keep\", \"drop\", { generalise = 10 }, { token = \"siv\" }, { token = \"ff1\", alphabet = \"digits\" } or { index = { normalise = [\"trim\"] } }"
)]
pub(in crate::manifest) enum RawRule {
    Word(MaskWord),
    Table(RawRuleTable),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum MaskWord {
    Redact,
    Last4,
    First6last4,
    Initials,
    Email,
    YearOfDate,
    Keep,
    Drop,
}

/// One key of it names the rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawRuleTable {
    pub(in crate::manifest) generalise: Option<u32>,
    pub(in crate::manifest) token: Option<SchemeWord>,
    pub(in crate::manifest) alphabet: Option<AlphabetWord>,
    /// What a token is bound to.
    pub(in crate::manifest) name: Option<String>,
    pub(in crate::manifest) index: Option<RawIndex>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum SchemeWord {
    Siv,
    Ff1,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum AlphabetWord {
    Digits,
    Lowercase,
    Alphanumeric,
    Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::manifest) struct RawIndex {
    /// What the index is bound to.
    pub(in crate::manifest) name: Option<String>,
    pub(in crate::manifest) normalise: Vec<NormaliseWord>,
    pub(in crate::manifest) bytes: usize,
}

impl Default for RawIndex {
    fn default() -> Self {
        Self { name: None, normalise: Vec::new(), bytes: 32 }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum NormaliseWord {
    Trim,
    Lowercase,
    Digits,
    CollapseSpaces,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum UnknownWord {
    Drop,
    Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawMatch {
    pub(in crate::manifest) field: String,
    pub(in crate::manifest) arg: String,
    #[serde(rename = "as")]
    pub(in crate::manifest) form: AsWord,
    pub(in crate::manifest) index: Option<RawIndex>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum AsWord {
    Indexed,
    Encrypted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawAggregate {
    #[serde(default)]
    pub(in crate::manifest) group_by: Vec<String>,
    pub(in crate::manifest) compute: BTreeMap<String, RawCompute>,
    #[serde(default, rename = "where")]
    pub(in crate::manifest) conditions: Vec<RawCondition>,
    pub(in crate::manifest) min_group_size: Option<u64>,
    pub(in crate::manifest) per: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "\"count\", { sum = \"FIELD\" }, { mean = \"FIELD\" }, { min = \"FIELD\" } or { max = \"FIELD\" }"
)]
pub(in crate::manifest) enum RawCompute {
    Count(CountWord),
    Of(ComputeTable),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum CountWord {
    Count,
}

/// An externally tagged enum: exactly one key.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum ComputeTable {
    Sum(String),
    Mean(String),
    Min(String),
    Max(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawCondition {
    pub(in crate::manifest) field: String,
    pub(in crate::manifest) equals: Option<String>,
    pub(in crate::manifest) not: Option<String>,
    pub(in crate::manifest) one_of: Option<Vec<String>>,
    pub(in crate::manifest) at_least: Option<String>,
    pub(in crate::manifest) below: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawJoin {
    pub(in crate::manifest) on: [String; 2],
    #[serde(default)]
    pub(in crate::manifest) normalise: Vec<NormaliseWord>,
    #[serde(default = "default_max_keys")]
    pub(in crate::manifest) max_keys: usize,
    pub(in crate::manifest) min_group_size: u64,
}

const fn default_max_keys() -> usize {
    2_000_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::manifest) struct RawSign {
    pub(in crate::manifest) algorithm: AlgorithmWord,
    #[serde(default)]
    pub(in crate::manifest) signs: SignsWord,
}

#[derive(Clone, Copy, Deserialize)]
pub(in crate::manifest) enum AlgorithmWord {
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    #[serde(rename = "ecdsa-secp256k1")]
    EcdsaSecp256k1,
    #[serde(rename = "ed25519")]
    Ed25519,
    #[serde(rename = "rsa-pss")]
    RsaPss,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::manifest) enum SignsWord {
    #[default]
    Message,
    Digest,
}
