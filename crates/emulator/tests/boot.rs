//! Real boots: a kernel, its own `nsm` and vsock drivers, and a guest of some
//! hundred lines, in stock QEMU.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

#[path = "boot/guest.rs"]
mod guest;
#[path = "boot/machine.rs"]
mod machine;
#[path = "boot/module.rs"]
mod module;
