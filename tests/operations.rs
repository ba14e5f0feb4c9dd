//! Operations against implementations that this project did not write, on a
//! million records each; and the same operations on a stream that is split
//! anywhere.
//!
//! The first need the packages of `tests/interop/requirements.txt`, in the
//! interpreter that `STRONGROOM_PYTHON` names; when it names none they are
//! skipped. `tests/run` sees to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

#[path = "operations/data.rs"]
mod data;
#[path = "operations/drive.rs"]
mod drive;
#[path = "operations/million.rs"]
mod million;
#[path = "operations/python.rs"]
mod python;
#[path = "operations/speed.rs"]
mod speed;
#[path = "operations/split.rs"]
mod split;
#[path = "operations/two_looks.rs"]
mod two_looks;
