//! Nitro attestation documents and the Nitro Secure Module, sans-IO.
//!
//! [`verify()`] turns untrusted document bytes into a [`VerifiedDocument`]; there
//! is no other way to get one. [`nsm`] is the seam to the module that makes
//! them. This crate has no clock: the time to verify at is an argument.
//!
//! ```text
//! bytes ─▶ cose ─▶ document ─▶ chain ─▶ cose signature ─▶ time ─▶ policy ─▶ VerifiedDocument
//!           (over cbor)        (certificate, root)                (pcr)
//! ```
//!
//! Nothing is said about a document's content (its time, PCRs, nonce) before
//! the chain and the signature hold: a forged document is a forged document,
//! never one with the wrong PCR.
#![forbid(unsafe_code)]

mod cbor;
mod certificate;
mod chain;
mod cose;
mod document;
mod error;
pub mod nsm;
mod pcr;
mod policy;
mod report;
mod root;
mod time;
mod unverified;
mod verify;

pub use cose::MAX_DOCUMENT_LEN;
pub use error::{CborError, VerifyError};
pub use pcr::{ParsePcrError, PcrValue};
pub use policy::{DebugMode, Policy};
pub use report::Report;
pub use root::{RootError, TrustRoot};
pub use time::UnixTime;
pub use unverified::Unverified;
pub use verify::{MAX_FUTURE_SKEW, Mode, VerifiedDocument, verify};
