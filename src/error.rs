//! What can go wrong with a request, and what its caller is told.
//!
//! Errors come back to `request` once. [`RequestError::body`] is the only place
//! where they become words for the parent: an exhaustive match to the closed
//! list of the protocol, without content of the data or of keys.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use strongroom_attestation::PcrValue;
use strongroom_envelope::esdk::{DecryptFailed, FormatError};
use strongroom_envelope::seal::SealError;
use strongroom_wire::error::KmsRefusal;
use strongroom_wire::{ErrorBody, ErrorCode};

use crate::budget::OverBudget;
use crate::connection::ConnectionError;
use crate::job::{InputError, JobError};
use crate::keys::{KeyError, KmsError};
use crate::operation::RecordError;
use crate::output::OutputError;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection, or what came over it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The caller's choice of job and arguments.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Jobs do not run here.
    #[error(
        "the enclave runs in debug mode, where its console shows everything; jobs run only if the manifest says allow_debug"
    )]
    Debug,
    /// The request is not signed by a caller that the job lists.
    #[error("no job of this manifest lists a caller: send the request without a signature")]
    Caller,
    /// The header of the message.
    #[error("the input is not a message this job opens: {0}")]
    Format(#[from] FormatError),
    /// The message ended within its header.
    #[error("the input ended before its header was complete")]
    NoHeader,
    /// The message is not for this job.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No data key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The message does not authenticate.
    #[error("the message does not authenticate: it was changed, cut, or made under another key")]
    Decrypt(#[from] DecryptFailed),
    /// The decrypted data is malformed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Too much at once.
    #[error(transparent)]
    Busy(#[from] OverBudget),
    /// Too late.
    #[error("the request's deadline has passed")]
    Deadline,
    /// A fault of the service; the request died of it, nothing else did.
    #[error("the service failed on this request")]
    Panic,
}

impl RequestError {
    /// The error's place in the closed list.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Connection(_) => ErrorCode::BadRequest,
            Self::Job(error) => match error {
                JobError::Unknown(_) => ErrorCode::UnknownJob,
                JobError::MissingArg(_)
                | JobError::UndeclaredArg(_)
                | JobError::BadArg(_)
                | JobError::MissingRecipient
                | JobError::UnwantedRecipient
                | JobError::Context(_) => ErrorCode::BadArgument,
                JobError::RecipientNotListed => ErrorCode::Denied,
            },
            Self::Debug => ErrorCode::Denied,
            Self::Caller => ErrorCode::BadCaller,
            Self::Format(error) => match error {
                FormatError::HeaderTooLong(_)
                | FormatError::TooManyEncryptedDataKeys(_)
                | FormatError::FrameTooLong(_) => ErrorCode::TooLarge,
                FormatError::UnsupportedVersion(_)
                | FormatError::NotKeyCommitting(_)
                | FormatError::UnsupportedSuite(_)
                | FormatError::Context(_)
                | FormatError::NoEncryptedDataKeys
                | FormatError::ProviderIdNotUtf8
                | FormatError::UnsupportedContentType(_)
                | FormatError::FrameLenZero
                | FormatError::VerificationKeyMissing
                | FormatError::VerificationKeyUnexpected
                | FormatError::VerificationKeyMalformed => ErrorCode::BadMessage,
            },
            Self::NoHeader => ErrorCode::BadMessage,
            Self::Input(InputError::Context(_)) => ErrorCode::ContextMismatch,
            Self::Input(InputError::Key(_)) => ErrorCode::WrongKey,
            Self::Key(error) => key_code(error),
            Self::Decrypt(DecryptFailed) => ErrorCode::DecryptFailed,
            Self::Record(_) => ErrorCode::BadRecord,
            // A public key that gives no secret: a low-order point.
            Self::Output(OutputError::Seal(SealError::RecipientKey)) => ErrorCode::BadArgument,
            Self::Output(_) | Self::Panic => ErrorCode::Internal,
            Self::Busy(OverBudget) => ErrorCode::Busy,
            Self::Deadline => ErrorCode::DeadlineExceeded,
        }
    }

    /// The error as the caller gets it. `pcrs` are shown where KMS refused: a
    /// key policy that asks for others is the usual reason.
    #[must_use]
    pub fn body(&self, pcrs: &BTreeMap<u8, PcrValue>) -> ErrorBody {
        let mut body = ErrorBody::new(self.code(), bounded(self.to_string()));
        match self {
            Self::Key(KeyError::Kms(KmsError::Refused(refusal))) => {
                body.kms = Some(KmsRefusal {
                    operation: refusal.operation.to_owned(),
                    code: bounded(refusal.code.clone()),
                    message: bounded(refusal.message.clone()),
                    request_id: refusal.request_id.clone().map(bounded),
                });
                body.pcrs = pcrs
                    .iter()
                    .map(|(index, pcr)| (*index, ByteBuf::from(pcr.0.to_vec())))
                    .collect();
            }
            Self::Record(error) => body.record = Some(error.record),
            Self::Connection(_)
            | Self::Job(_)
            | Self::Debug
            | Self::Caller
            | Self::Format(_)
            | Self::NoHeader
            | Self::Input(_)
            | Self::Key(_)
            | Self::Decrypt(_)
            | Self::Output(_)
            | Self::Busy(_)
            | Self::Deadline
            | Self::Panic => {}
        }
        body
    }
}

const fn key_code(error: &KeyError) -> ErrorCode {
    match error {
        KeyError::Nsm(_) | KeyError::Clock(_) => ErrorCode::AttestationFailed,
        KeyError::Kms(KmsError::CredentialsMissing) => ErrorCode::CredentialsMissing,
        KeyError::Kms(KmsError::CredentialsExpired) => ErrorCode::CredentialsExpired,
        KeyError::Kms(KmsError::Refused(_)) => ErrorCode::KeyDenied,
        KeyError::Kms(
            KmsError::Unavailable(_)
            | KmsError::OtherKey
            | KmsError::PlaintextInAnswer
            | KmsError::Incomplete,
        )
        | KeyError::Unwrap => ErrorCode::KeyUnavailable,
        KeyError::Interrupted => ErrorCode::Internal,
    }
}

/// Cuts a text to what an `ERROR` frame should hold of it.
fn bounded(mut text: String) -> String {
    let mut len = MAX_TEXT.min(text.len());
    while !text.is_char_boundary(len) {
        len = len.saturating_sub(1);
    }
    text.truncate(len);
    text
}

/// Longest text in an error, in bytes. KMS's texts name a user and a key.
const MAX_TEXT: usize = 1024;
