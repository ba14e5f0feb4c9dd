//! What a kernel file says of itself.

use crate::header::Architecture;

/// The architecture by a kernel's magic: `HdrS` of a bzImage (Linux x86 boot
/// protocol), `ARM\x64` of an arm64 Image.
#[must_use]
pub fn architecture(kernel: &[u8]) -> Option<Architecture> {
    let at =
        |from: usize, magic: &[u8]| kernel.get(from..).is_some_and(|rest| rest.starts_with(magic));
    if at(0x202, b"HdrS") {
        Some(Architecture::X86_64)
    } else if at(56, b"ARM\x64") {
        Some(Architecture::Aarch64)
    } else {
        None
    }
}

/// The version text of a bzImage (`kernel_version` of the x86 boot protocol),
/// up to its first space.
#[must_use]
pub fn version(kernel: &[u8]) -> Option<&str> {
    architecture(kernel).filter(|architecture| *architecture == Architecture::X86_64)?;
    let pointer = kernel.get(0x20E..0x210).and_then(<[u8]>::first_chunk)?;
    let start = usize::from(u16::from_le_bytes(*pointer)).checked_add(0x200)?;
    let text = kernel.get(start..)?.get(..MAX_VERSION_LEN)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let text = std::str::from_utf8(text.get(..end)?).ok()?;
    text.chars().all(|char| char.is_ascii_graphic()).then_some(text).filter(|text| !text.is_empty())
}

/// Bytes within which a version text ends.
const MAX_VERSION_LEN: usize = 128;
