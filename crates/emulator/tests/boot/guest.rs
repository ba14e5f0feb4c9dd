//! A guest in an image in a machine, and the way to its `/dev/nsm`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use strongroom_eif::cpio::Archive;
use strongroom_eif::{Architecture, BuildMetadata, Builder, Measurements, Metadata, SigningKey};
use strongroom_emulator::{Machine, MachineBuilder};

/// What cargo does not build, from the environment.
pub struct Parts {
    pub qemu: PathBuf,
    pub kernel: PathBuf,
}

/// The parts, or nothing and a line that says so.
pub fn parts() -> Option<Parts> {
    let path = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        if path.is_none() {
            eprintln!("skipped: {name} is not set; `image/qemu` and `image/kernel/build` print it");
        }
        path
    };
    Some(Parts { qemu: path("STRONGROOM_QEMU")?, kernel: path("STRONGROOM_KERNEL")? })
}

/// An image file of this guest.
pub struct Image {
    pub path: PathBuf,
    pub measured: Measurements,
    _dir: tempfile::TempDir,
}

impl Image {
    /// With `mode` in its second ramdisk.
    pub fn of(parts: &Parts, mode: &str) -> Self {
        Self::signed(parts, mode, None)
    }

    pub fn signed(parts: &Parts, mode: &str, signer: Option<&SigningKey>) -> Self {
        let kernel = std::fs::read(&parts.kernel).unwrap();
        let init = std::fs::read(&*GUEST).unwrap();
        let mut first = Archive::default();
        first.file("init", 0o755, &init).unwrap();
        first.folder("dev").unwrap();
        let mut second = Archive::default();
        second.file("mode", 0o644, mode.as_bytes()).unwrap();
        let (first, second) = (first.write().unwrap(), second.write().unwrap());
        let metadata = metadata();
        let builder = Builder {
            architecture: Architecture::X86_64,
            kernel: &kernel,
            cmdline: CMDLINE,
            ramdisks: vec![&first, &second],
            metadata: &metadata,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.eif");
        std::fs::write(&path, builder.build(signer).unwrap()).unwrap();
        Self { path, measured: builder.measurements(signer), _dir: dir }
    }

    pub fn machine(&self, parts: &Parts) -> MachineBuilder {
        Machine::builder(&self.path).qemu(&parts.qemu).memory_mib(128)
    }
}

/// A booted machine that serves requests, or nothing where parts are missing.
pub fn booted(adjust: impl FnOnce(MachineBuilder) -> MachineBuilder) -> Option<Machine> {
    let parts = parts()?;
    let image = Image::of(&parts, "serve");
    let machine = adjust(image.machine(&parts)).start().unwrap_or_else(|error| panic!("{error}"));
    up(&machine);
    Some(machine)
}

/// Waits for the heartbeat.
pub fn up(machine: &Machine) -> Duration {
    machine.wait_for_heartbeat(PATIENCE).unwrap_or_else(|error| panic!("{error}"))
}

/// A connection to the guest's `/dev/nsm`.
pub struct Device(BufReader<UnixStream>);

impl Device {
    /// Connects as soon as the guest listens.
    pub fn of(machine: &Machine) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut stream = UnixStream::connect(machine.socket()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"CONNECT 7000\n").unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            if stream.read_line(&mut line).is_ok() && line.starts_with("OK ") {
                return Self(stream);
            }
            assert!(Instant::now() < until, "console:\n{}", machine.console());
        }
    }

    /// Asks without waiting for an answer.
    pub fn send(&mut self, request: &[u8]) {
        let len = u16::try_from(request.len()).unwrap().to_be_bytes();
        self.0.get_mut().write_all(&[&len[..], request].concat()).unwrap();
    }

    /// The answer's bytes, or the error number of the driver's ioctl.
    pub fn receive(&mut self) -> Result<Vec<u8>, u32> {
        let mut head = [0; 6];
        self.0.read_exact(&mut head).unwrap();
        let [a, b, c, d, e, f] = head;
        let mut answer = vec![0; usize::from(u16::from_be_bytes([e, f]))];
        self.0.read_exact(&mut answer).unwrap();
        match u32::from_be_bytes([a, b, c, d]) {
            0 => Ok(answer),
            errno => Err(errno),
        }
    }

    pub fn ask_raw(&mut self, request: &[u8]) -> Result<Vec<u8>, u32> {
        self.send(request);
        self.receive()
    }

    pub fn ask(&mut self, request: &Request) -> Response {
        let answer = self.ask_raw(&serde_cbor::to_vec(request).unwrap()).unwrap();
        serde_cbor::from_slice(&answer).unwrap()
    }

    pub fn answer_within(&mut self, timeout: Duration) -> bool {
        self.0.get_ref().set_read_timeout(Some(timeout)).unwrap();
        let came = self.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        came
    }
}

fn metadata() -> Metadata {
    Metadata {
        image_name: "guest".into(),
        image_version: "0".into(),
        build_metadata: BuildMetadata {
            build_time: "1970-01-01T00:00:00Z".into(),
            build_tool: "boot tests".into(),
            build_tool_version: "0".into(),
            operating_system: "none".into(),
            kernel_version: "0".into(),
        },
        docker_info: serde_json::Value::Null,
        custom_metadata: serde_json::Value::Null,
    }
}

/// The static binary of `guest.c`.
static GUEST: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/guest.c");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot-guest");
    let compiled = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
        .args([&binary, &source])
        .status()
        .expect("a C compiler is needed for the guest");
    assert!(compiled.success());
    binary
});

/// AWS's, but for a panic's wait.
const CMDLINE: &str = "reboot=k panic=1 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux \
                       i8042.nopnp i8042.dumbkbd random.trust_cpu=on";

/// What a boot takes on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
