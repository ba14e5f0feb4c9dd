//! Output classes: what a result says about the plaintext, by operation.
//!
//! The table of docs/operations.md, as code: the check at load and
//! `strongroomctl manifest check` read it.

use super::operations::{FieldsVerb, MatchForm, MatchSpec, OperationSpec, SecretName};

/// What the result of an operation says about the plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// All of it. Never leaves in the clear.
    Plaintext,
    /// What the rules leave of each field.
    Reduced,
    /// Which values are equal, within a field and tenant.
    Tokens,
    /// Which values are equal after normalisation, within a field and tenant.
    Indexes,
    /// Yes or no.
    Answer,
    /// Numbers about groups of at least a fixed size.
    Numbers,
    /// A signature over it.
    Signature,
}

impl OperationSpec {
    /// The class of its result.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Fields(spec) => match spec.verb {
                FieldsVerb::Mask => Class::Reduced,
                FieldsVerb::Tokenize => Class::Tokens,
                FieldsVerb::Index => Class::Indexes,
                FieldsVerb::Detokenize => Class::Plaintext,
            },
            Self::Reencrypt | Self::Open => Class::Plaintext,
            Self::Match(_) => Class::Answer,
            Self::Aggregate(_) | Self::JoinCount(_) => Class::Numbers,
            Self::Sign(_) => Class::Signature,
        }
    }

    /// The wrapped key that it uses, by name.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Fields(spec) => spec.secret.as_ref(),
            Self::Match(MatchSpec { form: MatchForm::Indexed { secret, .. }, .. }) => Some(secret),
            Self::Sign(spec) => Some(&spec.secret),
            Self::Reencrypt
            | Self::Open
            | Self::Match(_)
            | Self::Aggregate(_)
            | Self::JoinCount(_) => None,
        }
    }

    /// The word that a manifest says it with.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Fields(spec) => match spec.verb {
                FieldsVerb::Mask => "mask",
                FieldsVerb::Tokenize => "tokenize",
                FieldsVerb::Index => "index",
                FieldsVerb::Detokenize => "detokenize",
            },
            Self::Reencrypt => "reencrypt",
            Self::Open => "open",
            Self::Match(_) => "match",
            Self::Aggregate(_) => "aggregate",
            Self::JoinCount(_) => "join-count",
            Self::Sign(_) => "sign",
        }
    }
}

impl Class {
    /// What whoever reads the result learns of the plaintext.
    #[must_use]
    pub const fn learns(self) -> &'static str {
        match self {
            Self::Plaintext => "the plaintext itself",
            Self::Reduced => "what the rules leave of each field, and the number of records",
            Self::Tokens => {
                "which values of a field and tenant are equal, what the rules leave of other fields, and the number of records"
            }
            Self::Indexes => {
                "which values of a field and tenant are equal once normalised, what the rules leave of other fields, and the number of records"
            }
            Self::Answer => "yes or no: whether some record has the given value",
            Self::Numbers => "numbers about groups that have at least min_group_size records",
            Self::Signature => "a signature over the plaintext",
        }
    }
}
