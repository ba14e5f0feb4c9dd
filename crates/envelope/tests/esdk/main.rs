//! AWS Encryption SDK messages against an independent reader and writer of the
//! format, and against a parent that changes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

mod context;
mod header;
mod hostile;
mod keyring;
mod official;
mod oracle;
mod required_context;
mod round_trip;
mod suites;
mod support;
