//! What the serving process gives up before it serves.
//!
//! Limits, core dumps, capabilities, and at last every system call that serving
//! does not need. Called by [`crate::enclave`] in that order. Were a request to
//! take the process over, it would find no file, no program, no other network
//! and no way to trace or load anything.

mod syscalls;

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

pub use syscalls::confine;

/// Why the process cannot be confined. The image's or its kernel's fault.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Too few descriptors for the connections that the manifest allows.
    #[error(
        "limits.max_connections in the manifest asks for {wanted} file descriptors and the system allows {allowed}: lower it"
    )]
    Descriptors {
        /// What the manifest needs.
        wanted: u64,
        /// What can be had.
        allowed: u64,
    },
    /// The system does not do what it was asked.
    #[error("{what} cannot be set: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The filter was refused.
    #[error("the filter of system calls cannot be installed: {0}")]
    Filter(String),
}

/// Raises the limit of file descriptors to what `max_connections` needs, and
/// turns core dumps off.
///
/// # Errors
/// [`SandboxError`].
pub fn set_limits(max_connections: usize) -> Result<(), SandboxError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(system("the limit of core dumps"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(system("that the process is not dumped"))?;
    let wanted = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(RESERVE);
    let limit = getrlimit(Resource::Nofile);
    // None is without limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit { current: Some(wanted), maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| SandboxError::Descriptors {
        wanted,
        allowed: limit.maximum.unwrap_or(u64::MAX),
    })
}

/// Gives up every capability for good. Of this thread, and of those it makes:
/// call it before there are others.
///
/// # Errors
/// [`SandboxError::System`].
pub fn drop_capabilities() -> Result<(), SandboxError> {
    const WHAT: &str = "that the process has no capabilities";
    set_no_new_privs(true).map_err(system("that the process gains no privileges"))?;
    let held = capabilities(None).map_err(system(WHAT))?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for bit in (0..u64::BITS).filter_map(|at| 1_u64.checked_shl(at)) {
            match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
                // The kernel knows fewer than there are bits.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(system(WHAT)(error)),
            }
        }
    }
    clear_ambient_capability_set().map_err(system(WHAT))?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(system(WHAT))
}

fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> SandboxError {
    move |error| SandboxError::System { what, error: error.into() }
}

/// Descriptors beside those of connections: the module, the runtime's own, the
/// way to KMS, those who are told that there is no room.
const RESERVE: u64 = 128;
