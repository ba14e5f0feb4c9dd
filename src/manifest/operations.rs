//! Operations: what a job can do, with every parameter fixed.

use std::collections::BTreeMap;

use strongroom_envelope::signing;

use super::fields::{FieldPath, FieldRule, IndexRule, Normalise, UnknownFields};
use super::types::Template;

/// Name of a wrapped key of the manifest.
pub type SecretName = String;

/// What a job does.
#[derive(Debug)]
pub enum OperationSpec {
    /// Fields of each record are masked, tokenized, detokenized or indexed.
    Fields(FieldsSpec),
    /// Encrypt anew, unchanged.
    Reencrypt,
    /// The plaintext itself.
    Open,
    /// Whether a field equals a given value.
    Match(MatchSpec),
    /// Numbers about groups of records.
    Aggregate(AggregateSpec),
    /// Numbers about the records that two inputs have in common.
    JoinCount(JoinSpec),
    /// A signature over the plaintext.
    Sign(SignSpec),
}

/// The verb that a job of [`OperationSpec::Fields`] was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldsVerb {
    /// `mask`
    Mask,
    /// `tokenize`
    Tokenize,
    /// `detokenize`
    Detokenize,
    /// `index`
    Index,
}

/// Parameters of `mask`, `tokenize`, `detokenize` and `index`.
#[derive(Debug)]
pub struct FieldsSpec {
    /// Which of them it is.
    pub verb: FieldsVerb,
    /// A rule per field.
    pub rules: BTreeMap<FieldPath, FieldRule>,
    /// What becomes of fields without a rule.
    pub unknown: UnknownFields,
    /// The wrapped key of tokens and indexes; there is one where a rule needs it.
    pub secret: Option<SecretName>,
    /// Whose data they are: bound into tokens and indexes. Empty when not said.
    pub tenant: Option<Template>,
}

/// Parameters of `match`.
#[derive(Debug)]
pub struct MatchSpec {
    /// The field.
    pub field: FieldPath,
    /// The argument that holds the value it is compared with.
    pub arg: String,
    /// How the argument holds it.
    pub form: MatchForm,
}

/// How a value to compare with is given: never in the clear.
#[derive(Debug)]
pub enum MatchForm {
    /// As its blind index, in hex.
    Indexed {
        /// The wrapped key of the index.
        secret: SecretName,
        /// How it was made.
        rule: IndexRule,
        /// Whose data it is.
        tenant: Option<Template>,
    },
    /// As an Encryption SDK message in base64, under the KMS key and context of
    /// the job's input.
    Encrypted,
}

/// Parameters of `aggregate`.
#[derive(Debug)]
pub struct AggregateSpec {
    /// Fields whose values make the groups; none for one group of all.
    pub group_by: Vec<FieldPath>,
    /// What is computed for each group, by the name of the result's column.
    pub compute: BTreeMap<String, Compute>,
    /// What a record must fulfil to be counted, all of it.
    pub conditions: Vec<Condition>,
    /// Records that a group must have to be shown; smaller ones are merged.
    pub min_group_size: u64,
    /// The field that says whose a record is: with it, the size of a group is the
    /// number of its distinct values.
    pub per: Option<FieldPath>,
}

/// A number about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compute {
    /// How many records it has.
    Count,
    /// Sum of a field's values.
    Sum(FieldPath),
    /// Their mean.
    Mean(FieldPath),
    /// The smallest.
    Min(FieldPath),
    /// The largest.
    Max(FieldPath),
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: FieldPath,
    /// What its value must be.
    pub test: Test,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// This text.
    Equals(String),
    /// Any text but this.
    Not(String),
    /// One of these texts.
    OneOf(Vec<String>),
    /// A number of at least this (written as a decimal).
    AtLeast(String),
    /// A number below this.
    Below(String),
}

/// Parameters of `join-count`.
#[derive(Debug)]
pub struct JoinSpec {
    /// The field that is compared, in the first input and in the second.
    pub on: [FieldPath; 2],
    /// What is done to both before.
    pub normalise: Vec<Normalise>,
    /// Most distinct values of the first input.
    pub max_keys: usize,
    /// Keys in common that there must be for a result to be shown.
    pub min_group_size: u64,
    /// What is computed over the second input's records that have a key in
    /// common; without it, the number of distinct keys in common.
    pub aggregate: Option<AggregateSpec>,
}

/// Parameters of `sign`.
#[derive(Debug)]
pub struct SignSpec {
    /// The wrapped private key.
    pub secret: SecretName,
    /// How it signs.
    pub algorithm: SignatureAlgorithm,
    /// What the plaintext is.
    pub signs: Signs,
}

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA over P-256 with SHA-256, in DER.
    EcdsaP256,
    /// ECDSA over secp256k1 with SHA-256, in DER.
    EcdsaSecp256k1,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes (RFC 8017).
    RsaPss,
}

impl From<SignatureAlgorithm> for signing::SignatureAlgorithm {
    fn from(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaP256 => Self::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaSecp256k1 => Self::EcdsaSecp256k1Sha256,
            SignatureAlgorithm::Ed25519 => Self::Ed25519,
            SignatureAlgorithm::RsaPss => Self::RsaPssSha256,
        }
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// The plaintext.
    Message,
    /// The plaintext is a SHA-256 digest of 32 bytes.
    Digest,
}
