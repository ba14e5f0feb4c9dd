//! Jobs: from the name a caller sends to a complete, bound use of an operation.
//!
//! Knows the manifest and no I/O. A [`BoundJob`] exists only when the manifest
//! has the job, the arguments are exactly those it declares, and the result may
//! go where the caller wants it; what follows in a request demands one.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use strongroom_envelope::esdk::{
    ContextError, EncryptedDataKey, EncryptionContext, FrameLen, Header,
};
use strongroom_envelope::seal::RecipientPublicKey;
use strongroom_wire::Run;

use crate::manifest::{Job, JobName, KeyArn, Manifest, OperationSpec, OutputSpec, Recipients};

/// A job with a caller's arguments in place.
pub struct BoundJob<'m> {
    job: &'m Job,
    args: BTreeMap<String, String>,
    output: BoundOutput<'m>,
}

/// Why a caller's request names no job it may run. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// No such job.
    #[error("the manifest has no job {0:?}")]
    Unknown(String),
    /// A declared argument is not given.
    #[error("the job needs the argument {0:?}")]
    MissingArg(String),
    /// An argument is given that the job does not declare.
    #[error("the job does not declare the argument {0:?}")]
    UndeclaredArg(String),
    /// An argument's value cannot stand in an encryption context.
    #[error("the argument {0:?} must be 1 to {MAX_ARG_LEN} bytes without control characters")]
    BadArg(String),
    /// The job seals and no public key is given.
    #[error("the job seals its result: seal_to must be an X25519 public key of 32 bytes")]
    MissingRecipient,
    /// The job does not seal and a public key or nonce is given.
    #[error("the job does not seal its result: leave seal_to and nonce out")]
    UnwantedRecipient,
    /// The public key is not among those the manifest lists.
    #[error("the manifest does not list this public key as a recipient of the job")]
    RecipientNotListed,
    /// The arguments make the result's encryption context unfit.
    #[error("the result's encryption context: {0}")]
    Context(#[from] ContextError),
}

/// Why a message is not what a bound job takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The encryption context lacks what the job pins, or has another value.
    #[error(
        "the message's encryption context does not have the value that the job requires for {0:?}"
    )]
    Context(String),
    /// No encrypted data key is under the job's KMS key.
    #[error("no data key of the message is encrypted under the job's KMS key {0}")]
    Key(KeyArn),
}

/// What protects a result, with the caller's arguments in place.
pub enum BoundOutput<'m> {
    /// Nothing: it may leave in the clear.
    None,
    /// A KMS key.
    Kms {
        /// The key.
        key: &'m KeyArn,
        /// The encryption context.
        context: EncryptionContext,
        /// Plaintext bytes per frame.
        frame: FrameLen,
    },
    /// A public key.
    Seal {
        /// The recipient.
        to: RecipientPublicKey,
        /// The data owner's nonce.
        nonce: Option<Vec<u8>>,
    },
}

impl<'m> BoundJob<'m> {
    /// Looks the job up and binds the arguments.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn bind(manifest: &'m Manifest, run: Run) -> Result<Self, JobError> {
        let Some(job) = manifest.jobs.get(run.job.as_str()) else {
            return Err(JobError::Unknown(run.job));
        };
        check_args(&job.args, &run.args)?;
        let output = BoundOutput::bind(&job.output, &run)?;
        Ok(Self { job, args: run.args, output })
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &JobName {
        &self.job.name
    }

    /// The caller's arguments.
    #[must_use]
    pub fn args(&self) -> &BTreeMap<String, String> {
        &self.args
    }

    /// The KMS key whose data keys the job opens.
    #[must_use]
    pub fn key(&self) -> &KeyArn {
        &self.job.input.key
    }

    /// Finds the encrypted data key of a message that the job may open. Every
    /// entry of the encryption context that the job pins must be there, with
    /// its value; further entries may be.
    ///
    /// # Errors
    /// [`InputError`]; KMS has then not been asked.
    pub fn select<'h>(&self, header: &'h Header) -> Result<&'h EncryptedDataKey, InputError> {
        for (name, value) in &self.job.input.context {
            let wanted = value.fill(&self.args);
            if header.encryption_context().get(name) != Some(wanted.as_str()) {
                return Err(InputError::Context(name.clone()));
            }
        }
        let mut found = header.encrypted_data_keys().iter();
        found
            .find(|encrypted| self.key().is_key_of(encrypted))
            .ok_or_else(|| InputError::Key(self.key().clone()))
    }

    /// What the job does.
    #[must_use]
    pub fn operation(&self) -> &'m OperationSpec {
        &self.job.operation
    }

    /// What protects the result.
    #[must_use]
    pub fn output(&self) -> &BoundOutput<'m> {
        &self.output
    }
}

impl<'m> BoundOutput<'m> {
    fn bind(spec: &'m OutputSpec, run: &Run) -> Result<Self, JobError> {
        let recipient_given = run.seal_to.is_some() || run.nonce.is_some();
        match spec {
            OutputSpec::None | OutputSpec::Kms { .. } if recipient_given => {
                Err(JobError::UnwantedRecipient)
            }
            OutputSpec::None => Ok(Self::None),
            OutputSpec::Kms { key, context, frame } => {
                let filled =
                    context.iter().map(|(name, value)| (name.clone(), value.fill(&run.args)));
                Ok(Self::Kms { key, context: EncryptionContext::new(filled)?, frame: *frame })
            }
            OutputSpec::Seal(recipients) => Self::seal(recipients, run),
        }
    }

    fn seal(recipients: &Recipients, run: &Run) -> Result<Self, JobError> {
        let key = run.seal_to.as_ref().map(|key| <[u8; 32]>::try_from(key.as_slice()));
        let Some(Ok(key)) = key else { return Err(JobError::MissingRecipient) };
        match recipients {
            Recipients::Listed(listed) if !listed.contains(&key) => {
                Err(JobError::RecipientNotListed)
            }
            Recipients::Listed(_) | Recipients::Any => Ok(Self::Seal {
                to: RecipientPublicKey::from_bytes(&key).map_err(|_| JobError::MissingRecipient)?,
                nonce: run.nonce.clone().map(ByteBuf::into_vec),
            }),
        }
    }
}

fn check_args(declared: &[String], given: &BTreeMap<String, String>) -> Result<(), JobError> {
    if let Some(missing) = declared.iter().find(|name| !given.contains_key(*name)) {
        return Err(JobError::MissingArg(missing.clone()));
    }
    for (name, value) in given {
        if !declared.contains(name) {
            return Err(JobError::UndeclaredArg(name.clone()));
        }
        if !(1..=MAX_ARG_LEN).contains(&value.len()) || value.chars().any(char::is_control) {
            return Err(JobError::BadArg(name.clone()));
        }
    }
    Ok(())
}

/// Longest value of an argument, in bytes.
const MAX_ARG_LEN: usize = 256;

#[cfg(test)]
mod tests;
