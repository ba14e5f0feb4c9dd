//! Reading an image, strictly: what a file claims is checked before it is followed.

use crate::error::EifError;
use crate::header::{
    Architecture, CRC_AT, HEADER_LEN, Header, SECTION_HEADER_LEN, SectionType, crc32,
    read_section_header,
};
use crate::measure::Measurements;
use crate::signature::{Signature, SignatureError};

/// A well-formed image, borrowed from the file's bytes.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    header: Header,
    kernel: &'a [u8],
    cmdline: &'a str,
    ramdisks: Vec<&'a [u8]>,
    measured: Vec<(SectionType, &'a [u8])>,
    metadata: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl<'a> Image<'a> {
    /// Reads a file and checks its form and its CRC-32. A signature is not
    /// looked at; [`Image::signature`] does.
    ///
    /// # Errors
    /// [`EifError`] with the first rule that it breaks.
    pub fn parse(file: &'a [u8]) -> Result<Self, EifError> {
        let (header, stated) = Header::read(file)?;
        let covered = file.get(..CRC_AT).zip(file.get(HEADER_LEN..));
        let actual = covered.map_or(0, |(before, after)| crc32(before, after));
        if actual != stated {
            return Err(EifError::Crc { actual, stated });
        }
        let mut parts = Parts::default();
        for (kind, data) in sections(file, &header)? {
            parts.add(kind, data)?;
        }
        parts.complete(header)
    }

    /// Version of the format.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.header.version
    }

    /// What the header says that the kernel runs on.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.header.architecture
    }

    /// Memory that the header names, in bytes. Nothing uses it.
    #[must_use]
    pub const fn default_mem(&self) -> u64 {
        self.header.default_mem
    }

    /// Processors that the header names. Nothing uses it.
    #[must_use]
    pub const fn default_cpus(&self) -> u64 {
        self.header.default_cpus
    }

    /// The kernel.
    #[must_use]
    pub const fn kernel(&self) -> &'a [u8] {
        self.kernel
    }

    /// The kernel's command line.
    #[must_use]
    pub const fn cmdline(&self) -> &'a str {
        self.cmdline
    }

    /// The ramdisks in their order.
    pub fn ramdisks(&self) -> impl Iterator<Item = &'a [u8]> {
        self.ramdisks.iter().copied()
    }

    /// The metadata: JSON that is not measured, so whatever anyone wrote.
    #[must_use]
    pub const fn metadata(&self) -> Option<&'a [u8]> {
        self.metadata
    }

    /// Whether it has a signature, sound or not.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// The signature, read but not verified.
    ///
    /// # Errors
    /// [`SignatureError`] when it is not of the form that nitro-cli makes.
    pub fn signature(&self) -> Result<Option<Signature>, SignatureError> {
        self.signature.map(Signature::read).transpose()
    }

    /// PCR 0, 1 and 2, and 8 when it has a readable signature.
    #[must_use]
    pub fn measurements(&self) -> Measurements {
        let certificate = self.signature().ok().flatten();
        let certificate = certificate.as_ref().map(Signature::certificate_der);
        Measurements::of(&self.measured, certificate)
    }
}

/// The sections of a file, which follow one another and leave no byte of it out.
///
/// The table must have them in that order. AWS's reader does not look at the
/// table, so another order in there would give other PCRs here than there.
fn sections<'a>(file: &'a [u8], header: &Header) -> Result<Vec<(SectionType, &'a [u8])>, EifError> {
    let mut sections = Vec::with_capacity(header.sections.len());
    let mut at = HEADER_LEN;
    for (index, &(offset, size)) in header.sections.iter().enumerate() {
        let broken = |problem| EifError::Section { index, problem };
        if usize::try_from(offset) != Ok(at) {
            return Err(broken("does not begin where the one before it ends"));
        }
        let (head, rest) = file
            .get(at..)
            .and_then(<[u8]>::split_first_chunk::<SECTION_HEADER_LEN>)
            .ok_or(EifError::Short(PAST_END))?;
        let (kind, len) = read_section_header(index, head)?;
        if len != size {
            return Err(broken("is of another length than the image's header says"));
        }
        let data = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let data = data.ok_or(EifError::Short(PAST_END))?;
        sections.push((kind, data));
        // Both lie within the file.
        at = at.saturating_add(SECTION_HEADER_LEN).saturating_add(data.len());
    }
    match at == file.len() {
        true => Ok(sections),
        false => Err(EifError::Structure("has bytes after its last section")),
    }
}

/// What was found so far.
#[derive(Default)]
struct Parts<'a> {
    kernel: Option<&'a [u8]>,
    cmdline: Option<&'a str>,
    ramdisks: Vec<&'a [u8]>,
    /// As they stand in the file: nitro-cli measures them in that order.
    measured: Vec<(SectionType, &'a [u8])>,
    metadata: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn add(&mut self, kind: SectionType, data: &'a [u8]) -> Result<(), EifError> {
        if !matches!(kind, SectionType::Metadata | SectionType::Signature) {
            self.measured.push((kind, data));
        }
        match kind {
            SectionType::Kernel => once(&mut self.kernel, data, "has two kernels"),
            SectionType::Cmdline => {
                let text = std::str::from_utf8(data).ok().filter(|text| !text.contains('\0'));
                let text = text.ok_or(EifError::Structure("has a command line that is no text"))?;
                once(&mut self.cmdline, text, "has two command lines")
            }
            SectionType::Ramdisk if self.kernel.is_none() => {
                Err(EifError::Structure("has a ramdisk before its kernel"))
            }
            SectionType::Ramdisk => {
                self.ramdisks.push(data);
                Ok(())
            }
            SectionType::Signature if data.len() > MAX_SIGNATURE_LEN => {
                Err(EifError::TooLarge("signature section"))
            }
            SectionType::Signature => once(&mut self.signature, data, "has two signatures"),
            SectionType::Metadata => once(&mut self.metadata, data, "has metadata twice"),
        }
    }

    fn complete(self, header: Header) -> Result<Image<'a>, EifError> {
        if header.version >= 4 && self.metadata.is_none() {
            return Err(EifError::Structure("has no metadata, which version 4 asks for"));
        }
        if header.version < 3 && self.signature.is_some() {
            return Err(EifError::Structure("is signed, which version 2 does not know"));
        }
        Ok(Image {
            header,
            kernel: self.kernel.ok_or(EifError::Structure("has no kernel"))?,
            cmdline: self.cmdline.ok_or(EifError::Structure("has no command line"))?,
            ramdisks: self.ramdisks,
            measured: self.measured,
            metadata: self.metadata,
            signature: self.signature,
        })
    }
}

fn once<T>(slot: &mut Option<T>, value: T, twice: &'static str) -> Result<(), EifError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(EifError::Structure(twice)),
    }
}

const PAST_END: &str = "a section goes past the end of the file";

/// Longest signature section, in bytes (AWS's own limit).
pub(crate) const MAX_SIGNATURE_LEN: usize = 32_768;
