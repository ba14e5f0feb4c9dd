//! The client against services that keep to the protocol and services that do
//! not. Whatever comes, a call ends in a result that is whole or in an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

#[path = "client/file.rs"]
mod file;
#[path = "client/hostile.rs"]
mod hostile;
#[path = "client/peer.rs"]
mod peer;
#[path = "client/receipts.rs"]
mod receipts;
#[path = "client/reuse.rs"]
mod reuse;
#[path = "client/sealed.rs"]
mod sealed;
#[path = "client/streaming.rs"]
mod streaming;
