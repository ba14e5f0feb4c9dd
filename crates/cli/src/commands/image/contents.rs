//! What goes into an image, and where.
//!
//! The first ramdisk, which PCR1 covers, is the program: the static binary as
//! `/init`, the kernel's command line for it to compare, kernel modules, and the
//! folders that it mounts on. The second, which PCR2 covers, is the policy: the
//! manifest, and files that are given. So two images of one release differ in PCR2
//! and PCR0 alone.

use strongroom_eif::cpio::{Archive, CpioError};

use super::build::Parts;

/// Both ramdisks.
pub(super) fn ramdisks(parts: &Parts, cmdline: &str) -> Result<[Vec<u8>; 2], CpioError> {
    let mut program = Archive::default();
    program.file("init", 0o755, &parts.binary)?;
    // The format measures kernel and command line as one string of bytes: what of
    // it is the one or the other, the init has to know by itself.
    program.file("cmdline", 0o444, cmdline.as_bytes())?;
    for folder in ["dev", "proc", "sys"] {
        program.folder(folder)?;
    }
    let modules: Vec<String> =
        parts.modules.iter().map(|(name, _)| format!("modules/{name}")).collect();
    for (path, (_, module)) in modules.iter().zip(&parts.modules) {
        program.file(path, 0o400, module)?;
    }
    let order: String = parts.modules.iter().map(|(name, _)| format!("{name}\n")).collect();
    if !order.is_empty() {
        program.file("modules/order", 0o400, order.as_bytes())?;
    }
    let mut policy = Archive::default();
    policy.file("enclave.eif.toml", 0o444, &parts.manifest)?;
    for (path, data) in &parts.extra {
        // The second archive is unpacked over the first.
        if path.split('/').next().is_some_and(|first| PROGRAM.contains(&first)) {
            return Err(CpioError::Path(path.clone()));
        }
        policy.file(path, 0o444, data)?;
    }
    Ok([program.write()?, policy.write()?])
}

/// Names of the first ramdisk.
const PROGRAM: &[&str] = &["init", "cmdline", "modules", "dev", "proc", "sys"];
