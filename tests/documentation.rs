//! The documentation does what it says: every manifest in it is parsed, every
//! worked example is run, every table of classes is the code's, and every piece
//! of Python computes what the enclave computes.
//!
//! The Python needs the packages of `tests/interop/requirements.txt`, in the
//! interpreter that `STRONGROOM_PYTHON` names; `tests/run` sees to it.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "documentation/blocks.rs"]
mod blocks;
#[path = "documentation/classes.rs"]
mod classes;
#[path = "documentation/examples.rs"]
mod examples;
#[path = "documentation/fragments.rs"]
mod fragments;
#[path = "service/house.rs"]
mod house;
#[path = "documentation/links.rs"]
mod links;
#[path = "documentation/python.rs"]
mod python;
