//! The real thing: an image is built, booted in an emulated Nitro machine, and
//! called over vsock. `tests/enclave/run` makes what is needed and runs this;
//! without it each test says that it was skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    dead_code
)]

#[path = "service/house.rs"]
mod house;
#[path = "service/raw.rs"]
mod raw;

#[path = "enclave/booted.rs"]
mod booted;
#[path = "enclave/forwarder.rs"]
mod forwarder;
#[path = "enclave/parts.rs"]
mod parts;

#[path = "enclave/boot_faults.rs"]
mod boot_faults;
#[path = "enclave/hostile_parent.rs"]
mod hostile_parent;
#[path = "enclave/jobs.rs"]
mod jobs;
#[path = "enclave/throughput.rs"]
mod throughput;
#[path = "enclave/transport.rs"]
mod transport;
