//! The service as a whole: against simulated Nitro, our own client, and a
//! parent that does not play fair. One module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
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

#[path = "service/bad_input.rs"]
mod bad_input;
#[path = "service/budget.rs"]
mod budget;
#[path = "service/callers.rs"]
mod callers;
#[path = "service/client_api.rs"]
mod client_api;
#[path = "service/clock.rs"]
mod clock;
#[path = "service/composed.rs"]
mod composed;
#[path = "service/connections.rs"]
mod connections;
#[path = "service/envelopes.rs"]
mod envelopes;
#[path = "service/exchange.rs"]
mod exchange;
#[path = "service/fields.rs"]
mod fields;
#[path = "service/formats.rs"]
mod formats;
#[path = "service/held_back.rs"]
mod held_back;
#[path = "service/joins.rs"]
mod joins;
#[path = "service/kept_keys.rs"]
mod kept_keys;
#[path = "service/kms_faults.rs"]
mod kms_faults;
#[path = "service/large_results.rs"]
mod large_results;
#[path = "service/left_behind.rs"]
mod left_behind;
#[path = "service/main_job.rs"]
mod main_job;
#[path = "service/matching.rs"]
mod matching;
#[path = "service/memory.rs"]
mod memory;
#[path = "service/numbers.rs"]
mod numbers;
#[path = "service/outputs.rs"]
mod outputs;
#[path = "service/receipts.rs"]
mod receipts;
#[path = "service/signing.rs"]
mod signing;
#[path = "service/tokens.rs"]
mod tokens;
#[path = "service/trust.rs"]
mod trust;
