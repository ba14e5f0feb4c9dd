//! The strongroom wire protocol, version 1, sans-IO.
//!
//! Used by the service and by every client; specified for writers of other
//! clients in `docs/protocol.md`. A connection is a byte stream: each side
//! sends an eight-byte [preface](frame::PREFACE) once, then frames. Frames that
//! steer carry CBOR ([`message`]); `DATA` frames carry raw bytes and never pass
//! through CBOR.
//!
//! Nothing here trusts its input: every length is compared with a limit of
//! [`frame`] before a byte of the payload is looked at.
#![forbid(unsafe_code)]

pub mod error;
pub mod frame;
pub mod message;

pub use error::{ErrorBody, ErrorCode};
pub use frame::{Event, FrameDecoder, FrameError, FrameKind, Step};
pub use message::{
    Attest, Call, Credentials, MessageError, Outcome, Payload, Protect, Request, RequestId,
    Response, Run, Signed, Status, Trailer,
};
