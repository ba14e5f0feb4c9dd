//! What root on the parent can try, carried out against the running service.
//! One module per kind of attack, one test per claim; `docs/threat-model.md`
//! says what stops each, and what remains possible.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "service/house.rs"]
mod house;
#[path = "service/raw.rs"]
mod raw;
#[path = "service/signer.rs"]
mod signer;
#[path = "service/workshop.rs"]
mod workshop;

#[path = "hostile_parent/ciphertexts.rs"]
mod ciphertexts;
#[path = "hostile_parent/crashes.rs"]
mod crashes;
#[path = "hostile_parent/documents.rs"]
mod documents;
#[path = "hostile_parent/floods.rs"]
mod floods;
#[path = "hostile_parent/kms.rs"]
mod kms;
#[path = "hostile_parent/leaks.rs"]
mod leaks;
#[path = "hostile_parent/outages.rs"]
mod outages;
#[path = "hostile_parent/recipients.rs"]
mod recipients;
#[path = "hostile_parent/remains.rs"]
mod remains;
#[path = "hostile_parent/streams.rs"]
mod streams;
