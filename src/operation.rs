//! Operations: what a job does to the plaintext stream.
//!
//! One file per operation. An operation knows no keys, no sockets and no job:
//! it takes plaintext as it is opened and gives what may go on to the output.
//! All it holds back is the record that has not ended yet.

pub mod aggregate;
mod csv;
pub mod join_count;
mod mask;
pub mod matching;
mod normalise;

use strongroom_envelope::SecretBuf;

pub use csv::CsvError;
pub use mask::Mask;

use crate::manifest::{Limits, OperationSpec};

/// An operation at work on one request.
pub enum Operation {
    /// Mask the columns of a CSV file.
    Mask(Mask),
    /// Pass on unchanged, to be encrypted anew.
    Reencrypt,
}

/// Why an operation stopped. The data producer's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {problem}")]
pub struct RecordError {
    /// The malformed record, counted from 1; the header row of a CSV file is 1.
    pub record: u64,
    /// What is wrong with it. Says nothing of its content.
    pub problem: CsvError,
}

impl Operation {
    /// The operation that a job names.
    #[must_use]
    pub fn new(spec: &OperationSpec, limits: &Limits) -> Self {
        match spec {
            OperationSpec::Mask { fields, unknown } => {
                Self::Mask(Mask::new(fields.clone(), *unknown, limits.max_record.0))
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
            Self::Mask(mask) => mask.process(input, out),
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
            Self::Mask(mask) => mask.finish(input, out).map(Some),
            Self::Reencrypt => {
                pass_on(input, out);
                Ok(None)
            }
        }
    }
}

fn pass_on(input: &mut SecretBuf, out: &mut SecretBuf) {
    if out.is_empty() {
        std::mem::swap(input, out);
    } else {
        out.extend_from_slice(input.expose());
        input.clear();
    }
}
