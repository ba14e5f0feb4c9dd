//! An image file, taken apart as nitro-cli and the hypervisor do it.
//!
//! Called by `builder.rs`. The file is untrusted: `strongroom-eif` checks its
//! form, and its signature is verified when it has one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_attestation::PcrValue;
use strongroom_eif::{Architecture, Image};

use super::MachineError;

/// What a machine is started with.
#[derive(Debug)]
pub(super) struct BootFiles {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) cmdline: String,
    /// PCR 0, 1, 2, and 8 when the image is signed.
    pub(super) pcrs: Vec<(u8, PcrValue)>,
    /// Length of the image, in bytes.
    pub(super) len: u64,
}

/// Reads the image at `path` and writes its parts into `folder`.
pub(super) fn unpack(path: &Path, folder: &Path) -> Result<BootFiles, MachineError> {
    let unreadable = |source| MachineError::ReadImage { path: path.to_owned(), source };
    let file = read(path).map_err(unreadable)?;
    let refused = |reason: String| MachineError::Image { path: path.to_owned(), reason };
    let image = Image::parse(&file).map_err(|error| refused(error.to_string()))?;
    if image.architecture() != Architecture::X86_64 {
        return Err(refused("its kernel is not for x86-64, which the machine is".into()));
    }
    let measured = image.measurements();
    let signature = image.signature().map_err(|error| refused(error.to_string()))?;
    if let Some(signature) = signature {
        let verified = signature.verify(&measured.pcr0, unix_now());
        verified.map_err(|error| refused(error.to_string()))?;
    }
    let at = |name: &str| folder.join(name);
    let (kernel, initrd) = (at("kernel"), at("initrd"));
    std::fs::write(&kernel, image.kernel()).map_err(MachineError::Folder)?;
    let mut ramdisks = File::create(&initrd).map_err(MachineError::Folder)?;
    for ramdisk in image.ramdisks() {
        ramdisks.write_all(ramdisk).map_err(MachineError::Folder)?;
    }
    Ok(BootFiles {
        kernel,
        initrd,
        cmdline: image.cmdline().to_owned(),
        pcrs: measured.by_index().map(|(index, value)| (index, PcrValue(*value))).collect(),
        len: u64::try_from(file.len()).unwrap_or(u64::MAX),
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_IMAGE_LEN.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_IMAGE_LEN) {
        return Err(io::Error::other("it is larger than 1 GiB"));
    }
    Ok(bytes)
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Largest image that is read, in bytes: fifty times ours.
const MAX_IMAGE_LEN: u64 = 1 << 30;

#[cfg(test)]
mod tests;
