//! Why a machine does not start, or its guest does not come up.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use strongroom_sim::SimError;

use crate::nsm::NsmDeviceError;
use crate::qemu::QemuError;
use crate::vsock::VsockError;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// No QEMU that will do.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The image file cannot be read.
    #[error("the image {} cannot be read: {source}", .path.display())]
    ReadImage {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The image is one that Nitro does not start either.
    #[error("{} cannot be started: {reason}; `strongroomctl image build` makes images", .path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Less memory than nitro-cli gives an enclave.
    #[error(
        "an enclave of this image needs at least {needed_mib} MiB of memory, not {given_mib}: 64 MiB, and four times the image (nitro-cli's own rule)"
    )]
    Memory {
        /// As configured.
        given_mib: u32,
        /// What would do.
        needed_mib: u64,
    },
    /// A number that no machine has.
    #[error("{what} cannot be {value}; {allowed}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// As configured.
        value: u32,
        /// What it can be.
        allowed: &'static str,
    },
    /// Socket paths have a limit of their own.
    #[error("the paths of the machine's sockets would have up to {len} bytes, and the system takes {max}; let `folder` (or TMPDIR) be a directory with a shorter name than {}", .folder.display())]
    PathTooLong {
        /// Where the machine's files would be.
        folder: PathBuf,
        /// The longest path.
        len: usize,
        /// What a socket address holds.
        max: usize,
    },
    /// The machine's own files cannot be written.
    #[error("the machine's files cannot be written: {0}")]
    Folder(#[source] io::Error),
    /// The simulated module cannot be made.
    #[error(transparent)]
    Module(#[from] SimError),
    /// The module's device does not start.
    #[error(transparent)]
    Nsm(#[from] NsmDeviceError),
    /// The vsock device does not start.
    #[error(transparent)]
    Vsock(#[from] VsockError),
    /// QEMU does not start.
    #[error("QEMU does not start: {0}")]
    Start(#[source] io::Error),
    /// The machine ended without a heartbeat.
    #[error("the machine ended before its guest's heartbeat ({status}){report}")]
    Ended {
        /// How QEMU ended; success is a guest that rebooted.
        status: ExitStatus,
        /// What was heard.
        report: Report,
    },
    /// The guest did not come up in time.
    #[error("no heartbeat from the guest within {timeout:?}{report}")]
    NoHeartbeat {
        /// How long was waited.
        timeout: Duration,
        /// What was heard.
        report: Report,
    },
}

/// What was heard of a machine that did not come up. Written as the end of a
/// sentence and the lines under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its last words.
    pub last_words: Vec<String>,
    /// The newest lines of its console.
    pub console: Vec<String>,
    /// What QEMU itself said.
    pub qemu: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for words in &self.last_words {
            write!(f, "\nlast words: {words}")?;
        }
        if !self.qemu.is_empty() {
            write!(f, "\nQEMU: {}", self.qemu)?;
        }
        if !self.console.is_empty() {
            write!(f, "\nconsole:")?;
        }
        self.console.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
