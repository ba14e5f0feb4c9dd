//! What can go wrong with a call, whose fault it is, and what to do next.
//!
//! Texts from the service come from the parent and are printed with control
//! characters escaped. Nothing here carries content of the data.

use std::fmt;
use std::io;

use strongroom_attestation::VerifyError;
use strongroom_envelope::caller::CallerError;
use strongroom_envelope::padding::PaddingError;
use strongroom_wire::{ErrorBody, FrameError, MessageError};

use crate::receipt::ReceiptRefused;
use crate::sealed::SealedError;

/// Why a call failed. A call that failed has given no result: bytes that its
/// output received before are void.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers at the address.
    #[error("cannot connect to {address}; check that the enclave runs and listens there")]
    Connect {
        /// Where.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The client was made from one stream, and that stream is used up.
    #[error("the connection was given up after an earlier failure; make a new client")]
    GivenUp,
    /// The caller's request does not fit the protocol.
    #[error("the request cannot be sent; shorten what the protocol calls too long")]
    Request(#[source] MessageError),
    /// The peer does not keep to the protocol.
    #[error(
        "the peer does not keep to the protocol; check that a strongroom service of this version listens there"
    )]
    Protocol(#[from] ProtocolError),
    /// The service refused or failed, and says so.
    #[error("{}", Refusal(.0))]
    Service(Box<ErrorBody>),
    /// The attestation document does not prove what the verifier demands.
    #[error(
        "the enclave is not the expected one; send it no data, and compare its image's PCRs with the verifier's policy"
    )]
    Attestation(#[from] VerifyError),
    /// The sealed result is not one to accept.
    #[error("the sealed result was refused; discard it and run the job again")]
    Sealed(#[from] SealedError),
    /// The receipt does not prove that this result is of this run.
    #[error(
        "the receipt was refused; discard the result, attest the enclave again, and run the job again"
    )]
    Receipt(#[from] ReceiptRefused),
    /// The result is not padded as its context says.
    #[error("the result was refused; discard it and run the job again")]
    Padding(#[source] PaddingError),
    /// A request is to be signed, and nobody has said for which enclave.
    #[error("no enclave is known to sign the request for; attest it first, or give its id")]
    EnclaveUnknown,
    /// The caller's key does not sign.
    #[error("the request could not be signed")]
    Signing(#[source] CallerError),
    /// The connection broke while in use.
    #[error("the connection failed; try again")]
    Connection(#[source] io::Error),
    /// The connection ended before the answer was whole.
    #[error("the connection ended before the answer was whole; try again")]
    Cut,
    /// The caller's input could not be read.
    #[error("the input could not be read; nothing more was sent")]
    Input(#[source] io::Error),
    /// The caller's output could not be written.
    #[error(
        "the output could not be written; free space or choose another place, and run the job again"
    )]
    Output(#[source] io::Error),
    /// The deadline passed.
    #[error("the deadline passed; try again, with a longer one if the input is large")]
    Deadline,
    /// The operating system gives no randomness.
    #[error("the operating system gives no random bytes")]
    Random,
    /// The call failed after the output had received bytes.
    #[error("the result is incomplete: discard the {received} bytes that came before the failure")]
    Partial {
        /// Bytes that were written to the output: for sealed results
        /// authenticated, otherwise merely received.
        received: u64,
        /// The failure.
        source: Box<Self>,
    },
}

impl Error {
    /// Whether the same call may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Connection(_) | Self::Cut | Self::Deadline => true,
            Self::Service(body) => body.code.is_retryable(),
            Self::Partial { source, .. } => source.is_retryable(),
            Self::GivenUp
            | Self::Request(_)
            | Self::Protocol(_)
            | Self::Attestation(_)
            | Self::Sealed(_)
            | Self::Receipt(_)
            | Self::Padding(_)
            | Self::EnclaveUnknown
            | Self::Signing(_)
            | Self::Input(_)
            | Self::Output(_)
            | Self::Random => false,
        }
    }

    /// The failure itself, whether or not bytes had come before it.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Partial { source, .. } => source.cause(),
            other => other,
        }
    }

    /// What the service said, if it was the service that failed the call.
    #[must_use]
    pub fn service(&self) -> Option<&ErrorBody> {
        match self.cause() {
            Self::Service(body) => Some(body),
            _ => None,
        }
    }

    /// This failure, with the number of bytes that came before it.
    pub(crate) fn after(self, received: u64) -> Self {
        match received {
            0 => self,
            _ => Self::Partial { received, source: Box::new(self) },
        }
    }
}

/// How the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes are no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The payload of a frame is not what the frame calls for.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A frame that may not come at this point.
    #[error("a {0} frame came where none may come")]
    Unexpected(&'static str),
    /// The response names another request.
    #[error("the response is to another request")]
    OtherRequest,
    /// The response is to another kind of call.
    #[error("the response is to another kind of call")]
    OtherCall,
    /// The count in `END` is not the number of bytes that came.
    #[error("the answer ends with a count of {announced} bytes, and {received} came")]
    ByteCount {
        /// Count in the `END` frame.
        announced: u64,
        /// Bytes that came.
        received: u64,
    },
    /// The answer ended before the service can have seen the whole input.
    #[error("the answer ended before all of the input was sent")]
    EarlyEnd,
    /// More bytes came after the end of the answer.
    #[error("bytes came after the end of the answer")]
    AfterEnd,
    /// The result is not sealed although a sealed one was asked for.
    #[error("the result is not sealed; the job's `output.protect` is not `seal`")]
    NotSealed,
}

/// An error body as one line.
struct Refusal<'a>(&'a ErrorBody);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, Printable(&self.0.message))?;
        if let Some(record) = self.0.record {
            write!(f, " (record {record})")?;
        }
        if let Some(kms) = &self.0.kms {
            let (operation, code) = (Printable(&kms.operation), Printable(&kms.code));
            write!(f, " (KMS {operation}: {code}: {}", Printable(&kms.message))?;
            if let Some(id) = &kms.request_id {
                write!(f, "; KMS request {}", Printable(id))?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Text of the parent's choosing, fit for a terminal and a log line.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(MAX_PRINTED) {
            if c.is_control() || is_bidi(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str(if chars.next().is_some() { "…" } else { "" })
    }
}

/// Characters that make a terminal show text in another order than it is in, or
/// end the line for some of them.
const fn is_bidi(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Most characters printed of one text from the service.
const MAX_PRINTED: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_wire::ErrorCode;
    use strongroom_wire::error::KmsRefusal;

    #[test]
    fn the_parent_cannot_drive_the_terminal_through_an_error_text() {
        let mut body = ErrorBody::new(ErrorCode::KeyDenied, "a\u{1b}[2J\nb\u{202e}");
        body.kms = Some(KmsRefusal {
            operation: "Decrypt\r".into(),
            code: "AccessDeniedException\u{7}".into(),
            message: "m".repeat(5000),
            request_id: Some("id\u{9b}".into()),
        });
        let text = Error::Service(Box::new(body)).to_string();
        assert!(!text.chars().any(|c| c.is_control() || is_bidi(c)), "{text}");
        assert!(text.starts_with("key_denied: a\\u{1b}[2J\\u{a}b"), "{text}");
        assert!(text.len() < 3000);
    }

    #[test]
    fn a_partial_result_keeps_its_cause() {
        let body = ErrorBody::new(ErrorCode::Busy, "full");
        let error = Error::Service(Box::new(body)).after(7);
        assert!(matches!(error, Error::Partial { received: 7, .. }));
        assert!(error.is_retryable());
        assert_eq!(error.service().unwrap().code, ErrorCode::Busy);
        assert!(matches!(Error::Cut.after(0), Error::Cut));
    }
}
