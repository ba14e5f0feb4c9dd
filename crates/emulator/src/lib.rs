//! A Nitro machine's two devices for stock QEMU.
#![forbid(unsafe_code)]
