//! Why a file is not an enclave image.

/// Why a file is not an enclave image, or not a sound one. Its maker's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EifError {
    /// Another kind of file.
    #[error("this is no enclave image: it does not start with `.eif`")]
    Magic,
    /// Shorter than its header, or than a section that the header names.
    #[error("the image is cut short: {0}")]
    Short(&'static str),
    /// A version that Nitro does not start.
    #[error("the image is of format version {0}; 2, 3 and 4 exist")]
    Version(u16),
    /// A reserved field or flag that is set.
    #[error("the image's {0} is not zero, as this version of the format has it")]
    Reserved(&'static str),
    /// Damaged.
    #[error("the image is damaged: its CRC-32 is {actual:08x}, its header says {stated:08x}")]
    Crc {
        /// Computed over the file.
        actual: u32,
        /// In the header.
        stated: u32,
    },
    /// Too few or too many sections.
    #[error("the image has {0} sections; 2 to 32 are possible")]
    SectionCount(u16),
    /// A section where the header and the section disagree, or that overlaps
    /// another or leaves a gap.
    #[error("section {index} {problem}")]
    Section {
        /// Its place in the header's table, from 0.
        index: usize,
        /// What is wrong; continues the sentence.
        problem: &'static str,
    },
    /// Sections that must be there once, are missing or in the wrong order.
    #[error("the image {0}")]
    Structure(&'static str),
    /// More than a field of the format can say.
    #[error("the {0} is too large for an enclave image")]
    TooLarge(&'static str),
}
