//! Operations: what a job does to the plaintext stream.
//!
//! One file per operation. An operation knows no keys, no sockets and no job:
//! it takes plaintext as it is opened and gives what may go on to the output.
//! All it holds back is the record that has not ended yet.

mod fields;
mod mask;

use std::collections::BTreeMap;

use strongroom_envelope::SecretBuf;

pub use fields::{Fields, Rule};

use crate::manifest::fields::{self as manifest, BadRecords, FieldPath, Shape, UnknownFields};
use crate::manifest::{Limits, MaskRule, OperationSpec, UnknownColumns};
use crate::shape::{Layout, RecordError};

/// An operation at work on one request.
pub enum Operation {
    /// Deal with fields of records.
    Fields(Box<Fields>),
    /// Pass on unchanged, to be encrypted anew.
    Reencrypt,
}

impl Operation {
    /// The operation that a job names.
    #[must_use]
    pub fn new(spec: &OperationSpec, limits: &Limits) -> Self {
        match spec {
            OperationSpec::Mask { fields, unknown } => {
                Self::Fields(Box::new(mask_columns(fields, *unknown, limits)))
            }
            OperationSpec::Reencrypt => Self::Reencrypt,
        }
    }

    /// Takes from `input` what can be dealt with and appends the result to `out`.
    ///
    /// # Errors
    /// [`RecordError`]; what was appended before stays there.
    pub fn process(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<(), RecordError> {
        match self {
            Self::Fields(fields) => fields.process(input, out),
            Self::Reencrypt => {
                pass_on(input, out);
                Ok(())
            }
        }
    }

    /// Deals with what is left when the plaintext has ended. Gives the number
    /// of records, for operations that work on records.
    ///
    /// # Errors
    /// [`RecordError`] when the data ends inside a record.
    pub fn finish(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<Option<u64>, RecordError> {
        match self {
            Self::Fields(fields) => fields.finish(input, out).map(|counts| Some(counts.records)),
            Self::Reencrypt => {
                pass_on(input, out);
                Ok(None)
            }
        }
    }
}

fn mask_columns(
    rules: &BTreeMap<String, MaskRule>,
    unknown: UnknownColumns,
    limits: &Limits,
) -> Fields {
    let rule = |rule: &MaskRule| {
        Rule::Mask(match rule {
            MaskRule::Redact => manifest::MaskRule::Redact,
            MaskRule::Last4 => manifest::MaskRule::Last4,
            MaskRule::Initials => manifest::MaskRule::Initials,
            MaskRule::Keep => manifest::MaskRule::Keep,
            MaskRule::Drop => manifest::MaskRule::Drop,
        })
    };
    let layout = Layout {
        shape: Shape::Csv,
        fields: rules.keys().cloned().map(FieldPath::Column).collect(),
        unknown: match unknown {
            UnknownColumns::Drop => UnknownFields::Drop,
            UnknownColumns::Keep => UnknownFields::Keep,
        },
        bad_records: BadRecords::Refuse,
        max_record: limits.max_record.0,
    };
    Fields::new(layout, rules.values().map(rule).collect())
}

fn pass_on(input: &mut SecretBuf, out: &mut SecretBuf) {
    if out.is_empty() {
        std::mem::swap(input, out);
    } else {
        out.extend_from_slice(input.expose());
        input.clear();
    }
}
