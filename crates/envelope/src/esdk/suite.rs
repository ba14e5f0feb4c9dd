//! The algorithm suites: one row for each that is read or written.
//!
//! Source: framework/algorithm-suites.md of the specification.

use super::FormatError;

/// An algorithm suite: AES-256-GCM under a key that HKDF-SHA512 derives and the
/// header commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// `0x0478`: no signature.
    HkdfSha512Commit,
    /// `0x0578`: with an ECDSA P-384 signature over the whole message, the
    /// SDKs' default.
    HkdfSha512CommitEcdsaP384,
}

impl Suite {
    /// The id that stands in the header.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::HkdfSha512Commit => 0x0478,
            Self::HkdfSha512CommitEcdsaP384 => 0x0578,
        }
    }

    /// Whether a signature follows the body.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        match self {
            Self::HkdfSha512Commit => false,
            Self::HkdfSha512CommitEcdsaP384 => true,
        }
    }

    pub(super) const fn from_id(id: u16) -> Result<Self, FormatError> {
        match id {
            0x0478 => Ok(Self::HkdfSha512Commit),
            0x0578 => Ok(Self::HkdfSha512CommitEcdsaP384),
            0x0014 | 0x0046 | 0x0078 | 0x0114 | 0x0146 | 0x0178 | 0x0214 | 0x0346 | 0x0378 => {
                Err(FormatError::NotKeyCommitting(id))
            }
            _ => Err(FormatError::UnsupportedSuite(id)),
        }
    }
}
