//! Writing an image, byte for byte as AWS's own builder does.

use crate::error::EifError;
use crate::header::{
    Architecture, HEADER_LEN, Header, SECTION_HEADER_LEN, SectionType, crc32, section_header,
};
use crate::measure::Measurements;
use crate::metadata::Metadata;
use crate::signing::{SigningError, SigningKey};

/// The parts of an image to write. The same parts give the same file.
#[derive(Debug)]
pub struct Builder<'a> {
    /// What the kernel runs on.
    pub architecture: Architecture,
    /// bzImage (x86-64) or Image (aarch64).
    pub kernel: &'a [u8],
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// cpio archives; the first is measured by PCR1, the others by PCR2.
    pub ramdisks: Vec<&'a [u8]>,
    /// Not measured.
    pub metadata: &'a Metadata,
}

impl Builder<'_> {
    /// What the image's PCRs will be.
    #[must_use]
    pub fn measurements(&self, signer: Option<&SigningKey>) -> Measurements {
        let certificate = signer.map(SigningKey::certificate_der);
        let mut sections = vec![
            (SectionType::Kernel, self.kernel),
            (SectionType::Cmdline, self.cmdline.as_bytes()),
        ];
        sections.extend(self.ramdisks.iter().map(|data| (SectionType::Ramdisk, *data)));
        Measurements::of(&sections, certificate)
    }

    /// Writes the image, signed when `signer` is given.
    ///
    /// # Errors
    /// [`SigningError`] when it cannot be signed, or its parts do not fit in.
    pub fn build(&self, signer: Option<&SigningKey>) -> Result<Vec<u8>, SigningError> {
        if self.cmdline.contains('\0') {
            return Err(EifError::Structure("has a command line that is no text").into());
        }
        let metadata = serde_json::to_vec(self.metadata)
            .map_err(|_| EifError::Structure("has metadata that is no JSON"))?;
        let signature =
            signer.map(|signer| signer.sign(&self.measurements(None).pcr0)).transpose()?;
        let mut sections = vec![
            (SectionType::Kernel, self.kernel),
            (SectionType::Cmdline, self.cmdline.as_bytes()),
            (SectionType::Metadata, &metadata),
        ];
        sections.extend(self.ramdisks.iter().map(|data| (SectionType::Ramdisk, *data)));
        sections.extend(signature.as_deref().map(|data| (SectionType::Signature, data)));
        Ok(self.write(&sections)?)
    }

    fn write(&self, sections: &[(SectionType, &[u8])]) -> Result<Vec<u8>, EifError> {
        let (mut table, mut body) = (Vec::new(), Vec::new());
        for (kind, data) in sections {
            let too_large = || EifError::TooLarge("image");
            let at = HEADER_LEN.checked_add(body.len()).ok_or_else(too_large)?;
            let len = u64::try_from(data.len()).map_err(|_| too_large())?;
            table.push((u64::try_from(at).map_err(|_| too_large())?, len));
            body.reserve(SECTION_HEADER_LEN.saturating_add(data.len()));
            body.extend(section_header(*kind, len));
            body.extend(*data);
        }
        let header = Header {
            version: VERSION,
            architecture: self.architecture,
            default_mem: DEFAULT_MEM,
            default_cpus: DEFAULT_CPUS,
            sections: table,
        };
        let mut file = header.write()?;
        file.extend(crc32(&file, &body).to_be_bytes());
        file.append(&mut body);
        Ok(file)
    }
}

/// Version of the format that is written.
const VERSION: u16 = 4;

/// What AWS's builder writes, and nothing reads: 1 GiB.
const DEFAULT_MEM: u64 = 1 << 30;

/// What AWS's builder writes, and nothing reads.
const DEFAULT_CPUS: u64 = 2;
