//! `strongroomctl` as its users run it: the built program, its exit codes, and
//! what it prints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

mod bench;
mod demo;
mod develop;
mod folder;
mod hints;
mod image;
mod interrupt;
mod jobs;
mod keys;
mod manifest;
mod program;
mod receipts;
mod running;
mod secrets;
mod usage;
mod verify;
