//! How a machine is described, and started.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use strongroom_attestation::PcrValue;
use strongroom_sim::{NitroCa, SimNsm};
use tempfile::TempDir;

use super::console::Console;
use super::image::{BootFiles, unpack};
use super::life::Life;
use super::parent::{ParentPorts, last_words_path};
use super::process::{Process, Watched};
use super::{Machine, MachineError};
use crate::nsm::{NsmDevice, NsmFault, NsmFaultHandle};
use crate::qemu::{DEVICE, Qemu};
use crate::vsock::{VsockConfig, VsockDevice};

/// Describes a [`Machine`].
#[derive(Clone)]
pub struct MachineBuilder {
    eif: PathBuf,
    qemu: PathBuf,
    memory_mib: u32,
    cpus: u32,
    cid: u32,
    debug: bool,
    role_arn: Option<Option<String>>,
    instance_id: Option<String>,
    region: Option<String>,
    ca: Option<NitroCa>,
    fault: NsmFault,
    folder: Option<PathBuf>,
}

impl MachineBuilder {
    pub(super) fn new(eif: &Path) -> Self {
        Self {
            eif: eif.to_owned(),
            qemu: "qemu-system-x86_64".into(),
            memory_mib: 256,
            cpus: 1,
            cid: 16,
            debug: false,
            role_arn: None,
            instance_id: None,
            region: None,
            ca: None,
            fault: NsmFault::none(),
            folder: None,
        }
    }

    /// The QEMU to run in; `qemu-system-x86_64` of `PATH` when not called.
    #[must_use]
    pub fn qemu(mut self, program: impl AsRef<Path>) -> Self {
        self.qemu = program.as_ref().to_owned();
        self
    }

    /// The enclave's memory; 256 when not called.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// The enclave's processors; 1 when not called.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The enclave's context id, from 4; 16 when not called.
    #[must_use]
    pub fn cid(mut self, cid: u32) -> Self {
        self.cid = cid;
        self
    }

    /// Whether it is started in debug mode: PCR 0, 1, 2 and 8 are then zero, 3
    /// and 4 real, as on Nitro.
    #[must_use]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// The parent's IAM role, which is PCR3; `None` is a parent without one.
    #[must_use]
    pub fn role_arn(mut self, role_arn: Option<&str>) -> Self {
        self.role_arn = Some(role_arn.map(Into::into));
        self
    }

    /// The parent's instance id (`i-` and 17 hex digits), which is PCR4.
    #[must_use]
    pub fn instance_id(mut self, instance_id: &str) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// The AWS Region in the names of the module's certificates.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The authority that signs the module's documents, to share with a
    /// simulated KMS or with other machines; a new one when not called.
    #[must_use]
    pub fn ca(mut self, ca: &NitroCa) -> Self {
        self.ca = Some(ca.clone());
        self
    }

    /// What the module does wrong from the start; see [`Machine::nsm_fault`].
    #[must_use]
    pub fn fault(mut self, fault: NsmFault) -> Self {
        self.fault = fault;
        self
    }

    /// The directory that the machine's own is made in; the system's for
    /// temporary files when not called. Paths of sockets are short: so must be
    /// its name.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Takes the image apart, starts both devices, and starts QEMU. Does not
    /// wait for the guest.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn start(self) -> Result<Machine, MachineError> {
        self.check()?;
        let qemu = Qemu::at(&self.qemu)?;
        let folder = self.make_folder()?;
        let files = unpack(&self.eif, folder.path())?;
        self.check_memory(files.len)?;
        let nsm = Arc::new(self.module(&files.pcrs)?);
        let faults = NsmFaultHandle::default();
        faults.set(self.fault.clone());
        let at = |name: &str| folder.path().join(name);
        let (socket, vsock_socket, nsm_socket) = (at(SOCKET), at("vsock"), at("nsm"));
        let nsm_device = NsmDevice::start(&nsm_socket, nsm.clone(), faults.clone())?;
        let vsock_device = VsockDevice::start(VsockConfig {
            guest_cid: u64::from(self.cid),
            vhost_socket: vsock_socket.clone(),
            host_socket: socket.clone(),
        })?;
        let life = Arc::new(Life::begin());
        let parent = ParentPorts::start(&socket, &life).map_err(MachineError::Folder)?;
        let console = Arc::new(Console::default());
        let command = self.command(&qemu, &files, [&vsock_socket, &nsm_socket]);
        let watched = Watched {
            life: life.clone(),
            console: console.clone(),
            last_words: last_words_path(&socket),
        };
        let process =
            Process::start(command, &at("qemu.log"), watched).map_err(MachineError::Start)?;
        Ok(Machine {
            process,
            _vsock_device: vsock_device,
            _nsm_device: nsm_device,
            _parent: parent,
            life,
            console,
            nsm,
            faults,
            socket,
            cid: self.cid,
            memory_mib: self.memory_mib,
            _folder: folder,
        })
    }

    fn check(&self) -> Result<(), MachineError> {
        let setting = |what, value, allowed| Err(MachineError::Setting { what, value, allowed });
        if self.cid < FIRST_CID || self.cid == u32::MAX {
            return setting("the enclave's context id", self.cid, "4 to 4294967294 are free");
        }
        if self.cpus == 0 || self.cpus > MAX_CPUS {
            return setting("the number of processors", self.cpus, "1 to 64 are possible");
        }
        Ok(())
    }

    /// nitro-cli's own rules.
    fn check_memory(&self, image_len: u64) -> Result<(), MachineError> {
        let needed_mib = image_len.saturating_mul(4).div_ceil(1 << 20).max(MIN_MEMORY_MIB);
        if u64::from(self.memory_mib) < needed_mib {
            return Err(MachineError::Memory { given_mib: self.memory_mib, needed_mib });
        }
        Ok(())
    }

    /// A private directory in which the longest of all socket paths fits.
    fn make_folder(&self) -> Result<TempDir, MachineError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("nitro").permissions(Permissions::from_mode(0o700));
        let made = match &self.folder {
            Some(folder) => builder.tempdir_in(folder),
            None => builder.tempdir(),
        };
        let made = made.map_err(MachineError::Folder)?;
        let longest = crate::vsock::port_path(&made.path().join(SOCKET), u32::MAX);
        let len = longest.as_os_str().len();
        if len > MAX_SOCKET_PATH_LEN {
            let folder = made.path().to_owned();
            return Err(MachineError::PathTooLong { folder, len, max: MAX_SOCKET_PATH_LEN });
        }
        Ok(made)
    }

    fn module(&self, pcrs: &[(u8, PcrValue)]) -> Result<SimNsm, MachineError> {
        let mut builder = SimNsm::builder();
        for &(index, value) in pcrs {
            builder = builder.pcr(index, value);
        }
        if let Some(ca) = &self.ca {
            builder = builder.ca(ca);
        }
        if let Some(role_arn) = &self.role_arn {
            builder = builder.role_arn(role_arn.as_deref());
        }
        if let Some(instance_id) = &self.instance_id {
            builder = builder.instance_id(instance_id);
        }
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        if self.debug {
            builder = builder.debug();
        }
        Ok(builder.build()?)
    }

    /// As on Nitro, devices are found through the command line alone: no ACPI
    /// and no PCI. The parts of a microvm that have no counterpart there are off.
    fn command(&self, qemu: &Qemu, files: &BootFiles, sockets: [&Path; 2]) -> Command {
        let memory = format!("{}M", self.memory_mib);
        let [vsock, nsm] = sockets.map(|path| escaped(&path.to_string_lossy()));
        let mut command = Command::new(qemu.program());
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args(["-run-with", "exit-with-parent=on", "-accel", "tcg", "-cpu", CPU])
            .args(["-M", "microvm,acpi=off,pcie=off,memory-backend=memory"])
            .args(["-object", &format!("memory-backend-memfd,id=memory,size={memory}")])
            .args(["-m", &memory, "-smp", &self.cpus.to_string()])
            .arg("-kernel")
            .arg(&files.kernel)
            .arg("-initrd")
            .arg(&files.initrd)
            .args(["-append", &format!("{} {HYPERVISORS_CMDLINE}", files.cmdline)])
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .args(["-chardev", &format!("socket,id=vsock,path={vsock}")])
            .args(["-device", "vhost-user-vsock-device,chardev=vsock"])
            .args(["-chardev", &format!("socket,id=nsm,path={nsm}")])
            .args([
                "-device",
                &format!("{DEVICE},virtio-id={NSM_VIRTIO_ID},num_vqs=1,chardev=nsm"),
            ]);
        command
    }
}

/// A value among QEMU's options, where a comma separates and two are one.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// As of Nitro, it has instructions for AES and for random numbers. Without AVX
/// all is faster in software emulation: copying 6 times, AES-GCM by a third (and
/// 7 times faster than QEMU's plain processor, which has none of these).
const CPU: &str = "max,-avx,-avx2";
/// What is put after the image's command line, as Nitro's hypervisor puts its
/// devices there (QEMU adds its own): not measured. Kernels leave out this check
/// where they see a hypervisor; under software emulation they would make it, and
/// find the timer broken when the host is busy.
const HYPERVISORS_CMDLINE: &str = "no_timer_check";
/// The host socket's name; those of ports begin with it.
const SOCKET: &str = "vm";
/// `VIRTIO_ID_NITRO_SEC_MOD`.
const NSM_VIRTIO_ID: u32 = 33;
/// 0 to 3 are the hypervisor, the guest itself, the host and the parent.
const FIRST_CID: u32 = 4;
/// More than a test is served by.
const MAX_CPUS: u32 = 64;
/// The Nitro driver's least.
const MIN_MEMORY_MIB: u64 = 64;
/// What `sockaddr_un` holds before its closing zero (unix(7)).
const MAX_SOCKET_PATH_LEN: usize = 107;

#[cfg(test)]
mod tests;
