//! The header of a file and of a section: fixed layouts, big-endian.
//!
//! From the specification in aws-nitro-enclaves-image-format's README.

use crate::error::EifError;

/// What an image's kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Intel and AMD.
    X86_64,
    /// Graviton.
    Aarch64,
}

impl Architecture {
    /// `x86_64` or `aarch64`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionType {
    Kernel,
    Cmdline,
    Ramdisk,
    Signature,
    Metadata,
}

impl SectionType {
    const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Kernel),
            2 => Some(Self::Cmdline),
            3 => Some(Self::Ramdisk),
            4 => Some(Self::Signature),
            5 => Some(Self::Metadata),
            _ => None,
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::Kernel => 1,
            Self::Cmdline => 2,
            Self::Ramdisk => 3,
            Self::Signature => 4,
            Self::Metadata => 5,
        }
    }
}

/// The head of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u16,
    pub(crate) architecture: Architecture,
    pub(crate) default_mem: u64,
    pub(crate) default_cpus: u64,
    /// Offset of each section's header and length of its data.
    pub(crate) sections: Vec<(u64, u64)>,
}

impl Header {
    /// Reads the head of a file; returns it and the CRC-32 that it states.
    pub(crate) fn read(file: &[u8]) -> Result<(Self, u32), EifError> {
        let mut fields = Fields(file.get(..HEADER_LEN).ok_or(match file.starts_with(MAGIC) {
            true => EifError::Short("it ends within its header"),
            false => EifError::Magic,
        })?);
        if fields.take::<4>() != *MAGIC {
            return Err(EifError::Magic);
        }
        let version = fields.u16();
        if !(2..=4).contains(&version) {
            return Err(EifError::Version(version));
        }
        let architecture = match fields.u16() {
            0 => Architecture::X86_64,
            1 => Architecture::Aarch64,
            _ => return Err(EifError::Reserved("flags field (beyond the architecture)")),
        };
        let (default_mem, default_cpus) = (fields.u64(), fields.u64());
        if fields.u16() != 0 {
            return Err(EifError::Reserved("reserved field"));
        }
        let count = fields.u16();
        if !(2..=MAX_SECTIONS).contains(&usize::from(count)) {
            return Err(EifError::SectionCount(count));
        }
        let offsets: [u64; MAX_SECTIONS] = std::array::from_fn(|_| fields.u64());
        let sizes: [u64; MAX_SECTIONS] = std::array::from_fn(|_| fields.u64());
        let mut table = offsets.into_iter().zip(sizes);
        let sections = table.by_ref().take(usize::from(count)).collect();
        if table.any(|unused| unused != (0, 0)) {
            return Err(EifError::Reserved("table of sections (beyond their number)"));
        }
        if fields.take::<4>() != [0; 4] {
            return Err(EifError::Reserved("unused field"));
        }
        let crc = u32::from_be_bytes(fields.take());
        Ok((Self { version, architecture, default_mem, default_cpus, sections }, crc))
    }

    /// Writes all but the CRC-32, which is over what follows too.
    pub(crate) fn write(&self) -> Result<Vec<u8>, EifError> {
        let count = u16::try_from(self.sections.len())
            .ok()
            .filter(|count| usize::from(*count) <= MAX_SECTIONS)
            .ok_or(EifError::TooLarge("number of sections"))?;
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend(MAGIC);
        out.extend(self.version.to_be_bytes());
        let flags: u16 = match self.architecture {
            Architecture::X86_64 => 0,
            Architecture::Aarch64 => 1,
        };
        out.extend(flags.to_be_bytes());
        out.extend(self.default_mem.to_be_bytes());
        out.extend(self.default_cpus.to_be_bytes());
        out.extend(0_u16.to_be_bytes());
        out.extend(count.to_be_bytes());
        let mut row = |pick: fn(&(u64, u64)) -> u64| {
            let values = self.sections.iter().map(pick).chain(std::iter::repeat(0));
            out.extend(values.take(MAX_SECTIONS).flat_map(u64::to_be_bytes));
        };
        row(|section| section.0);
        row(|section| section.1);
        out.extend([0; 4]);
        Ok(out)
    }
}

/// The CRC-32 (ISO-HDLC) of a file: everything but the field that holds it.
pub(crate) fn crc32(before: &[u8], after: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(after);
    hasher.finalize()
}

/// The head of a section.
pub(crate) fn section_header(kind: SectionType, len: u64) -> [u8; SECTION_HEADER_LEN] {
    let mut out = [0; SECTION_HEADER_LEN];
    let bytes = kind.number().to_be_bytes().into_iter().chain([0; 2]).chain(len.to_be_bytes());
    for (slot, byte) in out.iter_mut().zip(bytes) {
        *slot = byte;
    }
    out
}

/// Reads the head of a section: its type and the length of its data.
pub(crate) fn read_section_header(
    index: usize,
    bytes: &[u8; SECTION_HEADER_LEN],
) -> Result<(SectionType, u64), EifError> {
    let mut fields = Fields(bytes);
    let kind = SectionType::from_number(fields.u16())
        .ok_or(EifError::Section { index, problem: "is of a type that does not exist" })?;
    if fields.u16() != 0 {
        return Err(EifError::Section { index, problem: "has flags, and none are defined" });
    }
    Ok((kind, fields.u64()))
}

/// Fields one after the other, from bytes whose length was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            // Lengths are checked before; zeros would fail every later check.
            None => [0; N],
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

/// `.eif`.
const MAGIC: &[u8; 4] = b".eif";

/// Bytes of a file's header, its CRC-32 included.
pub(crate) const HEADER_LEN: usize = 548;

/// Where the CRC-32 is.
pub(crate) const CRC_AT: usize = 544;

/// Bytes of a section's header.
pub(crate) const SECTION_HEADER_LEN: usize = 12;

/// Sections that the header has room for.
pub(crate) const MAX_SECTIONS: usize = 32;
