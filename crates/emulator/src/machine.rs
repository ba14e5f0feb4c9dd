//! A Nitro machine without Nitro: boots a real image in stock QEMU.
//!
//! Used by tests and by whoever develops an enclave without the hardware. The
//! guest is untrusted, as the enclave is to its parent; everything outside it
//! (module, vsock, the parent's side of the boot) is this process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::Nsm;
use strongroom_sim::SimNsm;
use tempfile::TempDir;

use crate::nsm::{NsmDevice, NsmFaultHandle};
use crate::vsock::{VsockDevice, port_path};
use console::Console;
use life::{Life, Outcome};
use parent::ParentPorts;
use process::Process;

mod builder;
mod console;
mod error;
mod image;
mod life;
mod listening;
mod parent;
mod process;

pub use builder::MachineBuilder;
pub use console::ConsoleLines;
pub use error::{MachineError, Report};

/// A running machine. Dropped, it is killed, and its files are removed.
pub struct Machine {
    // Dropped in this order: QEMU first, its folder last.
    process: Process,
    _vsock_device: VsockDevice,
    _nsm_device: NsmDevice,
    _parent: ParentPorts,
    life: Arc<Life>,
    console: Arc<Console>,
    nsm: Arc<SimNsm>,
    faults: NsmFaultHandle,
    socket: PathBuf,
    cid: u32,
    memory_mib: u32,
    _folder: TempDir,
}

impl Machine {
    /// Describes a machine that boots the image at `eif`.
    #[must_use]
    pub fn builder(eif: impl AsRef<Path>) -> MachineBuilder {
        MachineBuilder::new(eif.as_ref())
    }

    /// The socket to the guest's ports: connect, send `CONNECT <port>\n`, read
    /// `OK <n>\n`; then the bytes are the connection's.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where to listen for the guest's connections to `port` of its parent
    /// (context id 3). Ports 9000 and 9001 are the machine's own.
    #[must_use]
    pub fn host_port_path(&self, port: u32) -> PathBuf {
        port_path(&self.socket, port)
    }

    /// The enclave's context id.
    #[must_use]
    pub const fn cid(&self) -> u32 {
        self.cid
    }

    /// The enclave's memory.
    #[must_use]
    pub const fn memory_mib(&self) -> u32 {
        self.memory_mib
    }

    /// PCR 0 to 15 as the module has them: what documents show.
    #[must_use]
    pub fn pcrs(&self) -> BTreeMap<u8, PcrValue> {
        (0..16).filter_map(|pcr| Some((pcr, self.nsm.describe_pcr(pcr).ok()?.value))).collect()
    }

    /// The enclave's id, `<instance id>-enc<slot>`.
    #[must_use]
    pub fn module_id(&self) -> &str {
        self.nsm.module_id()
    }

    /// The root certificate that the module's documents verify against, DER.
    #[must_use]
    pub fn trust_root_der(&self) -> Vec<u8> {
        self.nsm.trust_root_der()
    }

    /// Switches what the module does wrong, while the machine runs.
    #[must_use]
    pub fn nsm_fault(&self) -> NsmFaultHandle {
        self.faults.clone()
    }

    /// Waits for the guest's boot heartbeat; gives how long after QEMU's start
    /// it came.
    ///
    /// # Errors
    /// [`MachineError::Ended`] or [`MachineError::NoHeartbeat`], with the last
    /// words, the end of the console and what QEMU said.
    pub fn wait_for_heartbeat(&self, timeout: Duration) -> Result<Duration, MachineError> {
        match self.life.await_heartbeat(timeout) {
            Outcome::Heartbeat(after) => Ok(after),
            Outcome::Ended(status) => Err(MachineError::Ended { status, report: self.report() }),
            Outcome::Nothing => Err(MachineError::NoHeartbeat { timeout, report: self.report() }),
        }
    }

    /// Waits for the machine to end: a guest reboots when it is done for. `None`
    /// when it goes on after `timeout`. Last words said before are then known.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        self.life.await_end(timeout)
    }

    /// What the guest has written to its console: the newest 4 MiB, without
    /// control characters.
    #[must_use]
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// Follows the console from its first line to the machine's end.
    #[must_use]
    pub fn console_lines(&self) -> ConsoleLines {
        ConsoleLines::new(&self.console)
    }

    /// What the guest said before it gave up, a line each: nothing, or one, of
    /// a guest that plays by the rules. A guest is sure to be heard when it waits
    /// for the end of the connection before it reboots.
    #[must_use]
    pub fn last_words(&self) -> Vec<String> {
        self.life.last_words()
    }

    fn report(&self) -> Report {
        Report {
            last_words: self.life.last_words(),
            console: self.console.tail(REPORTED_LINES),
            qemu: self.process.log(),
        }
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Machine");
        shown.field("socket", &self.socket).field("cid", &self.cid).finish_non_exhaustive()
    }
}

/// Lines of the console that an error repeats.
const REPORTED_LINES: usize = 20;

// Tests hold it across threads and tasks.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Machine>();
};
