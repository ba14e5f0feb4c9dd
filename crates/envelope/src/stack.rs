//! The stack that a call into the cryptographic library has used.
//!
//! The library erases what it has on the heap, but hands keys over by value and
//! hashes from local variables, and what it leaves in their places stays there
//! until some other call happens to need as much stack. [`crate::token`],
//! [`crate::index`], [`crate::signing`] and [`crate::esdk`] call it around what was
//! found to leave something behind; tests/token_memory.rs and tests/esdk_memory.rs
//! look whether it suffices.

use std::hint::black_box;

/// Runs `work` and overwrites [`DEPTH`] bytes of the stack it ran on. What it
/// returns should hold its secrets on the heap.
pub(crate) fn erased<T>(work: impl FnOnce() -> T) -> T {
    let result = deeper(work);
    overwrite();
    result
}

/// Not inlined: the variables of `work` must lie where [`overwrite`] writes, and
/// not among those of the caller.
#[inline(never)]
fn deeper<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite() {
    black_box(&mut [0_u8; DEPTH]);
}

/// More than any of the callers was seen to use, several times over.
const DEPTH: usize = 16 * 1024;
