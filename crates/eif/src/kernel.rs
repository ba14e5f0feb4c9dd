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

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage whose header points at `text`.
    fn bzimage(pointer: u16, text: &[u8]) -> Vec<u8> {
        let mut kernel = vec![0; 0x600];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x20E..0x210].copy_from_slice(&pointer.to_le_bytes());
        kernel[0x400..0x400 + text.len()].copy_from_slice(text);
        kernel
    }

    #[test]
    fn a_bzimage_says_its_architecture_and_version() {
        let kernel = bzimage(0x200, b"6.12.9 (builder@host) #1 SMP\0");
        assert_eq!(architecture(&kernel), Some(Architecture::X86_64));
        assert_eq!(version(&kernel), Some("6.12.9"));
        assert_eq!(version(&bzimage(0x200, b"6.1.0-x\0")), Some("6.1.0-x"));
    }

    #[test]
    fn an_arm_image_says_its_architecture() {
        let mut kernel = vec![0; 64];
        kernel[56..60].copy_from_slice(b"ARM\x64");
        assert_eq!(architecture(&kernel), Some(Architecture::Aarch64));
        assert_eq!(version(&kernel), None);
    }

    #[test]
    fn what_is_no_version_text_is_none() {
        let endless = [b'1'; 200];
        for (pointer, text) in [
            (0x200, &b""[..]),
            (0x200, b" 6.12\0"),
            (0x200, b"6.\x1b[31m\0"),
            (0x200, b"\xff\0"),
            (0x200, &endless),
            (u16::MAX, b"6.12\0"),
        ] {
            assert_eq!(version(&bzimage(pointer, text)), None, "{text:?}");
        }
        assert_eq!(architecture(b"MZ"), None);
        assert_eq!(architecture(&bzimage(0, b"")[..0x204]), None);
        assert_eq!(version(&bzimage(0x200, b"6.12\0")[..0x20F]), None);
    }
}
