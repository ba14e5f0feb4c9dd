//! What can go wrong with a request, and what its caller is told.
//!
//! Errors come back to `request` once. [`RequestError::body`] is the only place
//! where they become words for the parent: an exhaustive match to the closed
//! list of the protocol, without content of the data or of keys.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use strongroom_attestation::PcrValue;
use strongroom_envelope::esdk::{DecryptFailed, FormatError};
use strongroom_envelope::plain;
use strongroom_envelope::receipt::ReceiptError;
use strongroom_envelope::seal::SealError;
use strongroom_wire::error::KmsRefusal;
use strongroom_wire::{ErrorBody, ErrorCode};

use crate::budget::OverBudget;
use crate::callers::CallerError;
use crate::connection::ConnectionError;
use crate::input::InputError;
use crate::job::JobError;
use crate::keys::{KeyError, KmsError, Refusal};
use crate::operation::OperationError;
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
    /// The request's signature.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// The input, up to its plaintext.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No data key for the result.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No key of the manifest's own: the manifest's or the key policy's matter, not
    /// the input's.
    #[error("the manifest's [[secret]] {0:?}: {1}")]
    Secret(String, #[source] KeyError),
    /// The decrypted data.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The input is another one than the caller's.
    #[error("the input's SHA-256 is not the one that the request names")]
    OtherInput,
    /// The receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
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
                | JobError::BadArg(..)
                | JobError::BadComparand(_)
                | JobError::MissingDigest
                | JobError::MissingRecipient
                | JobError::UnwantedRecipient
                | JobError::Context(_) => ErrorCode::BadArgument,
                JobError::RecipientNotListed => ErrorCode::Denied,
                JobError::CallerNotListed => ErrorCode::BadCaller,
            },
            Self::Debug => ErrorCode::Denied,
            Self::Caller(error) => match error {
                CallerError::Signature | CallerError::Replay(_) => ErrorCode::BadCaller,
                CallerError::Run(_) => ErrorCode::BadRequest,
            },
            Self::Input(error) => input_code(error),
            Self::Key(error) | Self::Secret(_, error) => key_code(error),
            Self::Operation(error) => match error {
                OperationError::Record(_) | OperationError::Sign(_) | OperationError::Result(_) => {
                    ErrorCode::BadRecord
                }
                // For good, until the manifest has another.
                OperationError::Secret => ErrorCode::Internal,
            },
            Self::OtherInput => ErrorCode::InputMismatch,
            Self::Output(OutputError::Record(_)) => ErrorCode::BadRecord,
            // A public key that gives no secret: a low-order point.
            Self::Output(OutputError::Seal(SealError::RecipientKey)) => ErrorCode::BadArgument,
            Self::Output(_) | Self::Receipt(_) | Self::Panic => ErrorCode::Internal,
            Self::Busy(OverBudget) => ErrorCode::Busy,
            Self::Deadline => ErrorCode::DeadlineExceeded,
        }
    }

    /// The error as the caller gets it. `pcrs` are shown where KMS refused: a
    /// key policy that asks for others is the usual reason.
    #[must_use]
    pub fn body(&self, pcrs: &BTreeMap<u8, PcrValue>) -> ErrorBody {
        let mut body = ErrorBody::new(self.code(), bounded(self.to_string()));
        if let Some(refusal) = self.refusal() {
            body.kms = Some(KmsRefusal {
                operation: refusal.operation.to_owned(),
                code: bounded(refusal.code.clone()),
                message: bounded(refusal.message.clone()),
                request_id: refusal.request_id.clone().map(bounded),
            });
            body.pcrs =
                pcrs.iter().map(|(index, pcr)| (*index, ByteBuf::from(pcr.0.to_vec()))).collect();
        }
        body.record = self.record();
        body
    }
}

impl RequestError {
    /// KMS's refusal, where it is the reason.
    fn refusal(&self) -> Option<&Refusal> {
        let (Self::Key(error) | Self::Secret(_, error) | Self::Input(InputError::NoDataKey(error))) =
            self
        else {
            return None;
        };
        match error {
            KeyError::Kms(KmsError::Refused(refusal)) => Some(refusal),
            KeyError::Kms(_)
            | KeyError::Nsm(_)
            | KeyError::Clock(_)
            | KeyError::Unwrap
            | KeyError::Recipient
            | KeyError::Interrupted => None,
        }
    }

    /// The malformed record, where one is the reason.
    fn record(&self) -> Option<u64> {
        let (Self::Operation(OperationError::Record(error))
        | Self::Input(InputError::Record(error))
        | Self::Output(OutputError::Record(error))) = self
        else {
            return None;
        };
        Some(error.record)
    }
}

const fn input_code(error: &InputError) -> ErrorCode {
    match error {
        InputError::Format(error) => match error {
            FormatError::HeaderTooLong(_)
            | FormatError::TooManyEncryptedDataKeys(_)
            | FormatError::FrameTooLong(_)
            | FormatError::ContentTooLong(_) => ErrorCode::TooLarge,
            FormatError::UnsupportedVersion(_)
            | FormatError::Signed(_)
            | FormatError::SuiteOfOtherVersion(_)
            | FormatError::FixedField
            | FormatError::FrameLenUnexpected(_)
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
        InputError::Envelope(
            plain::FormatError::TooLong(_) | plain::FormatError::EncryptedDataKeyTooLong(_),
        )
        | InputError::TooManyDataKeys(_) => ErrorCode::TooLarge,
        InputError::Envelope(_) | InputError::NoHeader | InputError::ContextOfNoKey => {
            ErrorCode::BadMessage
        }
        InputError::Context(_) | InputError::RequiredContext(_) => ErrorCode::ContextMismatch,
        InputError::Key(_) => ErrorCode::WrongKey,
        InputError::NoDataKey(error) => key_code(error),
        InputError::Decrypt(DecryptFailed) => ErrorCode::DecryptFailed,
        InputError::Padding(_) => ErrorCode::BadMessage,
        InputError::Unfit(_) => ErrorCode::BadArgument,
        InputError::Record(_) => ErrorCode::BadRecord,
        InputError::Connection(_) => ErrorCode::BadRequest,
        InputError::Busy(OverBudget) => ErrorCode::Busy,
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
        KeyError::Recipient | KeyError::Interrupted => ErrorCode::Internal,
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
