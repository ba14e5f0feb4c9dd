//! `image build`: from parts to an EIF, the same bytes for the same parts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use strongroom::manifest::Manifest;
use strongroom_eif::{Architecture, BuildMetadata, Builder, Metadata, SigningKey, kernel};

use super::contents;
use crate::args::pair;
use crate::error::CliError;
use crate::files;
use crate::output::{Output, size};

/// What `image build` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The enclave's binary: static, as `image/binary` in the source tree builds it
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,

    /// The manifest; checked before it is built in
    #[arg(long, value_name = "FILE", default_value = "enclave.eif.toml")]
    manifest: PathBuf,

    /// The kernel: as `image/kernel/build` builds it, or one of AWS's
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,

    /// A kernel module to load at boot; in this order (AWS's kernel needs nsm.ko)
    #[arg(long = "module", value_name = "FILE")]
    modules: Vec<PathBuf>,

    /// The kernel's command line; AWS's, if not given
    #[arg(long, value_name = "TEXT")]
    cmdline: Option<String>,

    /// One more file for the image, beside the manifest
    #[arg(long, value_name = "PATH=FILE", value_parser = pair)]
    extra: Vec<(String, String)>,

    /// Sign with this certificate (PEM); PCR8 then measures it
    #[arg(long, value_name = "FILE", requires = "private_key")]
    signing_certificate: Option<PathBuf>,

    /// The certificate's private key (PEM, EC)
    #[arg(long, value_name = "FILE", requires = "signing_certificate")]
    private_key: Option<PathBuf>,

    /// Name in the metadata, which is not measured
    #[arg(long, default_value = "strongroom")]
    name: String,

    /// Version in the metadata, which is not measured
    #[arg(long = "image-version", default_value = env!("CARGO_PKG_VERSION"))]
    version: String,

    /// Where the image goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// The parts of an image, read and checked.
pub(super) struct Parts {
    pub(super) binary: Vec<u8>,
    pub(super) manifest: Vec<u8>,
    pub(super) modules: Vec<(String, Vec<u8>)>,
    pub(super) extra: Vec<(String, Vec<u8>)>,
    kernel: Vec<u8>,
    architecture: Architecture,
    memory_mib: u64,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    if files::is_standard(&args.output) {
        return Err(CliError::Usage("--output takes the name of a file".to_owned()));
    }
    let parts = Parts::read(args)?;
    let signer = signer(args)?;
    let cmdline = args.cmdline.as_deref().unwrap_or(cmdline(parts.architecture));
    let ramdisks = contents::ramdisks(&parts, cmdline).map_err(|error| refused(&error))?;
    let metadata = metadata(args, &parts);
    let builder = Builder {
        architecture: parts.architecture,
        kernel: &parts.kernel,
        cmdline,
        ramdisks: ramdisks.iter().map(Vec::as_slice).collect(),
        metadata: &metadata,
    };
    let image = builder.build(signer.as_ref()).map_err(|error| refused(&error))?;
    write_whole(&args.output, &image)?;
    let measured = builder.measurements(signer.as_ref());
    let len = u64::try_from(image.len()).unwrap_or(u64::MAX);
    let warnings = warnings(&parts, len);
    let value = json!({
        "Measurements": super::measurements(&measured),
        "image": args.output,
        "bytes": len,
        "kernel_bytes": parts.kernel.len(),
        "binary_bytes": parts.binary.len(),
        "warnings": warnings,
    });
    let mut text = super::measurement_lines(&measured);
    text += &format!(
        "{}: {} (kernel {}, program {})\n",
        args.output.display(),
        size(len),
        size(parts.kernel.len().try_into().unwrap_or(u64::MAX)),
        size(parts.binary.len().try_into().unwrap_or(u64::MAX)),
    );
    text.extend(warnings.iter().map(|warning| format!("warning: {warning}\n")));
    output.answer(&value, &text)
}

impl Parts {
    fn read(args: &Args) -> Result<Self, CliError> {
        let manifest = files::read_small(&args.manifest, MAX_MANIFEST)?;
        let memory_mib = check_manifest(&args.manifest, &manifest)?;
        let kernel = files::read_small(&args.kernel, MAX_PART)?;
        let architecture = kernel::architecture(&kernel).ok_or_else(|| {
            let path = args.kernel.display();
            CliError::Image(format!("{path} is no kernel: neither a bzImage nor an arm64 Image"))
        })?;
        let binary = files::read_small(&args.binary, MAX_PART)?;
        check_binary(&args.binary, &binary, architecture)?;
        let module = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            let name = name.ok_or_else(|| {
                CliError::Usage(format!("--module {} names no file", path.display()))
            })?;
            Ok((name, files::read_small(path, MAX_PART)?))
        };
        let extra = |(path, file): &(String, String)| {
            let data = files::read_small(Path::new(file), MAX_PART)?;
            Ok((path.trim_start_matches('/').to_owned(), data))
        };
        Ok(Self {
            modules: args.modules.iter().map(module).collect::<Result<_, CliError>>()?,
            extra: args.extra.iter().map(extra).collect::<Result<_, CliError>>()?,
            binary,
            manifest,
            kernel,
            architecture,
            memory_mib,
        })
    }
}

/// Checks the manifest as the enclave will; gives its `memory_mib`.
fn check_manifest(path: &Path, bytes: &[u8]) -> Result<u64, CliError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| CliError::Image(format!("{} is no UTF-8 text", path.display())))?;
    let manifest = Manifest::parse(text)
        .map_err(|source| CliError::Manifest { path: path.to_owned(), source: Box::new(source) })?;
    Ok(u64::from(manifest.memory_mib))
}

/// An image has no dynamic loader, and no other architecture's processor.
fn check_binary(path: &Path, binary: &[u8], architecture: Architecture) -> Result<(), CliError> {
    let path = path.display();
    let refuse = |problem: &str| Err(CliError::Image(format!("{path} {problem}")));
    let machine = binary.get(18..20).and_then(|bytes| bytes.first_chunk()).copied();
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return refuse("is no 64-bit ELF program");
    }
    let expected = match architecture {
        Architecture::X86_64 => 62,
        Architecture::Aarch64 => 183,
    };
    if machine.map(u16::from_le_bytes) != Some(expected) {
        return refuse(&format!(
            "is not built for the kernel's architecture, {}",
            architecture.as_str()
        ));
    }
    if has_interpreter(binary) != Some(false) {
        return refuse(
            "is not static: an image has no dynamic loader; build it with \
             RUSTFLAGS='-C target-feature=+crt-static' and --target, as image/binary does",
        );
    }
    Ok(())
}

/// Whether a program asks for a dynamic loader (a program header of type 3).
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let table = usize::try_from(u64::from_le_bytes(*elf.get(32..)?.first_chunk()?)).ok()?;
    let (len, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(len)?)?;
        let kind: [u8; 4] = *elf.get(at..)?.first_chunk()?;
        if u32::from_le_bytes(kind) == 3 {
            return Some(true);
        }
    }
    Some(false)
}

fn signer(args: &Args) -> Result<Option<SigningKey>, CliError> {
    let (Some(certificate), Some(key)) = (&args.signing_certificate, &args.private_key) else {
        return Ok(None);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let certificate = files::read_small(certificate, MAX_PEM)?;
    let key = zeroize::Zeroizing::new(files::read_small(key, MAX_PEM)?);
    SigningKey::from_pem(&certificate, &key, now).map(Some).map_err(|error| refused(&error))
}

/// Says nothing of when and where, so that the same parts give the same file.
fn metadata(args: &Args, parts: &Parts) -> Metadata {
    Metadata {
        image_name: args.name.clone(),
        image_version: args.version.clone(),
        build_metadata: BuildMetadata {
            build_time: "1970-01-01T00:00:00Z".to_owned(),
            build_tool: "strongroomctl".to_owned(),
            build_tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            operating_system: "strongroom".to_owned(),
            kernel_version: kernel::version(&parts.kernel).unwrap_or("unknown").to_owned(),
        },
        docker_info: Value::Null,
        custom_metadata: Value::Null,
    }
}

/// What will surprise whoever starts the image.
fn warnings(parts: &Parts, len: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    let needed = len.saturating_mul(4).div_ceil(1 << 20);
    if parts.memory_mib < needed {
        warnings.push(format!(
            "nitro-cli asks for 4 times the image's size in memory, {needed} MiB; \
             the manifest's enclave.memory_mib is {}",
            parts.memory_mib
        ));
    }
    if len > LARGE {
        warnings.push(format!("the image is larger than {}", size(LARGE)));
    }
    warnings
}

/// Writes a file that is there whole or not at all.
pub(super) fn write_whole(path: &Path, data: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::file("write", path, source);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    file.write_all(data).map_err(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn refused(error: &dyn std::error::Error) -> CliError {
    CliError::Image(error.to_string())
}

/// AWS's own, by architecture (aws-nitro-enclaves-cli, `blobs/*/cmdline`).
const fn cmdline(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => {
            "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux \
             i8042.nopnp i8042.dumbkbd random.trust_cpu=on"
        }
        Architecture::Aarch64 => {
            "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=on root=/dev/ram0"
        }
    }
}

const MAX_MANIFEST: u64 = 1 << 20;
const MAX_PEM: u64 = 64 << 10;
const MAX_PART: u64 = 1 << 30;

/// From here on an image is worth a warning.
const LARGE: u64 = 20 << 20;

const EXAMPLE: &str = "Example, in the source tree:
  strongroomctl image build --binary \"$(image/binary)\" --kernel \"$(image/kernel/build)\" \\
    --manifest enclave.eif.toml --output strongroom.eif";
