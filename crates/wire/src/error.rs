//! The closed list of what can go wrong, as a caller sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What went wrong, from a closed list. The text form is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The bytes are not protocol version 1, or frames came out of order.
    BadRequest,
    /// The manifest has no job of that name.
    UnknownJob,
    /// An argument is missing, not declared by the job, or not acceptable.
    BadArgument,
    /// The request is not signed by a caller that the job lists, or its
    /// signature, time or nonce is refused.
    BadCaller,
    /// The manifest forbids it (debug mode, a recipient that is not listed …).
    Denied,
    /// More bytes than a limit of the manifest allows.
    TooLarge,
    /// No room for another request now.
    Busy,
    /// The request's deadline passed.
    DeadlineExceeded,
    /// The input is not a message of the job's format.
    BadMessage,
    /// No data key in the message is encrypted under the job's KMS key.
    WrongKey,
    /// The message's encryption context is not the one the job pins.
    ContextMismatch,
    /// The input is not the one whose digest the request names.
    InputMismatch,
    /// KMS refused; the error says with which code, and which PCRs were shown.
    KeyDenied,
    /// KMS could not be reached, throttles, or answered what cannot be trusted.
    KeyUnavailable,
    /// The parent has handed in no AWS credentials yet.
    CredentialsMissing,
    /// The AWS credentials have expired.
    CredentialsExpired,
    /// The message did not authenticate. Never says where or why.
    DecryptFailed,
    /// A record of the decrypted data is malformed; the error says which.
    BadRecord,
    /// The NSM gave no attestation document.
    AttestationFailed,
    /// A fault of the service itself.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the specification.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::UnknownJob,
        Self::BadArgument,
        Self::BadCaller,
        Self::Denied,
        Self::TooLarge,
        Self::Busy,
        Self::DeadlineExceeded,
        Self::BadMessage,
        Self::WrongKey,
        Self::ContextMismatch,
        Self::InputMismatch,
        Self::KeyDenied,
        Self::KeyUnavailable,
        Self::CredentialsMissing,
        Self::CredentialsExpired,
        Self::DecryptFailed,
        Self::BadRecord,
        Self::AttestationFailed,
        Self::Internal,
    ];

    /// The stable text form, as on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownJob => "unknown_job",
            Self::BadArgument => "bad_argument",
            Self::BadCaller => "bad_caller",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::BadMessage => "bad_message",
            Self::WrongKey => "wrong_key",
            Self::ContextMismatch => "context_mismatch",
            Self::InputMismatch => "input_mismatch",
            Self::KeyDenied => "key_denied",
            Self::KeyUnavailable => "key_unavailable",
            Self::CredentialsMissing => "credentials_missing",
            Self::CredentialsExpired => "credentials_expired",
            Self::DecryptFailed => "decrypt_failed",
            Self::BadRecord => "bad_record",
            Self::AttestationFailed => "attestation_failed",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later with nothing changed by the
    /// caller.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Busy
            | Self::DeadlineExceeded
            | Self::KeyUnavailable
            | Self::AttestationFailed => true,
            Self::BadRequest
            | Self::UnknownJob
            | Self::BadArgument
            | Self::BadCaller
            | Self::Denied
            | Self::TooLarge
            | Self::BadMessage
            | Self::WrongKey
            | Self::ContextMismatch
            | Self::InputMismatch
            | Self::KeyDenied
            | Self::CredentialsMissing
            | Self::CredentialsExpired
            | Self::DecryptFailed
            | Self::BadRecord
            | Self::Internal => false,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Payload of an `ERROR` frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// What went wrong.
    pub code: ErrorCode,
    /// For people: what went wrong and what to do next. Never content of the data.
    pub message: String,
    /// What KMS said, when it was KMS that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms: Option<KmsRefusal>,
    /// The enclave's own PCRs as shown to KMS (48 bytes each), with a refusal.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "crate::message::unique_map"
    )]
    pub pcrs: BTreeMap<u8, ByteBuf>,
    /// The malformed record, counted from 1 (a CSV header row is record 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

impl ErrorBody {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), kms: None, pcrs: BTreeMap::new(), record: None }
    }
}

/// What KMS answered instead of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsRefusal {
    /// KMS operation that was refused, such as `Decrypt`.
    pub operation: String,
    /// KMS's error code, such as `AccessDeniedException`.
    pub code: String,
    /// KMS's text.
    pub message: String,
    /// KMS's request id, for AWS support and CloudTrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_every_code_is_its_form_on_the_wire() {
        for code in ErrorCode::ALL {
            let cbor = serde_cbor::to_vec(&code).unwrap();
            assert_eq!(serde_cbor::from_slice::<String>(&cbor).unwrap(), code.as_str());
            assert_eq!(serde_cbor::from_slice::<ErrorCode>(&cbor).unwrap(), code);
        }
    }
}
