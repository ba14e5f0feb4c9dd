//! The algorithm suites: one row for each of the eleven.
//!
//! Asked by the header's parser, by the key derivation and by the signature for
//! what a suite consists of. Two suites are written, all are read.
//!
//! Source: framework/algorithm-suites.md of the specification.

use aws_lc_rs::{aead, digest, signature};

use super::{CommitmentPolicy, FormatError, Policy, Signatures};

/// An algorithm suite: AES-GCM, the derivation of its key, and a signature or
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// `0x0014`: AES-128 under the data key itself.
    Aes128,
    /// `0x0046`: AES-192 under the data key itself.
    Aes192,
    /// `0x0078`: AES-256 under the data key itself.
    Aes256,
    /// `0x0114`: AES-128, HKDF-SHA256.
    Aes128HkdfSha256,
    /// `0x0146`: AES-192, HKDF-SHA256.
    Aes192HkdfSha256,
    /// `0x0178`: AES-256, HKDF-SHA256.
    Aes256HkdfSha256,
    /// `0x0214`: AES-128, HKDF-SHA256, signed with ECDSA P-256.
    Aes128HkdfSha256EcdsaP256,
    /// `0x0346`: AES-192, HKDF-SHA384, signed with ECDSA P-384.
    Aes192HkdfSha384EcdsaP384,
    /// `0x0378`: AES-256, HKDF-SHA384, signed with ECDSA P-384.
    Aes256HkdfSha384EcdsaP384,
    /// `0x0478`: AES-256, HKDF-SHA512, commits to its key.
    HkdfSha512Commit,
    /// `0x0578`: as [`Suite::HkdfSha512Commit`], signed with ECDSA P-384; the
    /// SDKs' default.
    HkdfSha512CommitEcdsaP384,
}

impl Suite {
    /// Every suite, by id.
    pub const ALL: [Self; 11] = [
        Self::Aes128,
        Self::Aes192,
        Self::Aes256,
        Self::Aes128HkdfSha256,
        Self::Aes192HkdfSha256,
        Self::Aes256HkdfSha256,
        Self::Aes128HkdfSha256EcdsaP256,
        Self::Aes192HkdfSha384EcdsaP384,
        Self::Aes256HkdfSha384EcdsaP384,
        Self::HkdfSha512Commit,
        Self::HkdfSha512CommitEcdsaP384,
    ];

    /// The id that stands in the header.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes128 => 0x0014,
            Self::Aes192 => 0x0046,
            Self::Aes256 => 0x0078,
            Self::Aes128HkdfSha256 => 0x0114,
            Self::Aes192HkdfSha256 => 0x0146,
            Self::Aes256HkdfSha256 => 0x0178,
            Self::Aes128HkdfSha256EcdsaP256 => 0x0214,
            Self::Aes192HkdfSha384EcdsaP384 => 0x0346,
            Self::Aes256HkdfSha384EcdsaP384 => 0x0378,
            Self::HkdfSha512Commit => 0x0478,
            Self::HkdfSha512CommitEcdsaP384 => 0x0578,
        }
    }

    /// Whether a signature follows the body.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        self.curve().is_some()
    }

    /// Whether the header commits to the data key; if so the message is of
    /// format 2, else of format 1.
    #[must_use]
    pub const fn is_committing(self) -> bool {
        matches!(self.derivation(), Derivation::Committing)
    }

    /// Length of the data key in bytes: that of the AES key, in every suite.
    #[must_use]
    pub const fn data_key_len(self) -> usize {
        match self.aes() {
            Aes::Bits128 => 16,
            Aes::Bits192 => 24,
            Aes::Bits256 => 32,
        }
    }

    pub(super) const fn aes(self) -> Aes {
        match self {
            Self::Aes128 | Self::Aes128HkdfSha256 | Self::Aes128HkdfSha256EcdsaP256 => Aes::Bits128,
            Self::Aes192 | Self::Aes192HkdfSha256 | Self::Aes192HkdfSha384EcdsaP384 => Aes::Bits192,
            Self::Aes256
            | Self::Aes256HkdfSha256
            | Self::Aes256HkdfSha384EcdsaP384
            | Self::HkdfSha512Commit
            | Self::HkdfSha512CommitEcdsaP384 => Aes::Bits256,
        }
    }

    pub(super) const fn derivation(self) -> Derivation {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => Derivation::None,
            Self::Aes128HkdfSha256
            | Self::Aes192HkdfSha256
            | Self::Aes256HkdfSha256
            | Self::Aes128HkdfSha256EcdsaP256 => Derivation::HkdfSha256,
            Self::Aes192HkdfSha384EcdsaP384 | Self::Aes256HkdfSha384EcdsaP384 => {
                Derivation::HkdfSha384
            }
            Self::HkdfSha512Commit | Self::HkdfSha512CommitEcdsaP384 => Derivation::Committing,
        }
    }

    pub(super) const fn curve(self) -> Option<Curve> {
        match self {
            Self::Aes128HkdfSha256EcdsaP256 => Some(Curve::P256),
            Self::Aes192HkdfSha384EcdsaP384
            | Self::Aes256HkdfSha384EcdsaP384
            | Self::HkdfSha512CommitEcdsaP384 => Some(Curve::P384),
            Self::Aes128
            | Self::Aes192
            | Self::Aes256
            | Self::Aes128HkdfSha256
            | Self::Aes192HkdfSha256
            | Self::Aes256HkdfSha256
            | Self::HkdfSha512Commit => None,
        }
    }

    pub(super) fn from_id(id: u16) -> Result<Self, FormatError> {
        let found = Self::ALL.into_iter().find(|suite| suite.id() == id);
        found.ok_or(FormatError::UnsupportedSuite(id))
    }

    /// Refuses the suite if the job does.
    pub(super) const fn check(self, policy: &Policy) -> Result<(), FormatError> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#get-the-decryption-materials
        match policy.commitment {
            CommitmentPolicy::Require if !self.is_committing() => {
                return Err(FormatError::NotKeyCommitting(self.id()));
            }
            CommitmentPolicy::Require | CommitmentPolicy::AllowLegacy => {}
        }
        match policy.signatures {
            Signatures::Refuse if self.is_signed() => Err(FormatError::Signed(self.id())),
            Signatures::Refuse | Signatures::Accept => Ok(()),
        }
    }
}

/// The AES key of a suite; GCM with a nonce of 12 and a tag of 16 bytes in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aes {
    Bits128,
    Bits192,
    Bits256,
}

impl Aes {
    pub(super) const fn gcm(self) -> &'static aead::Algorithm {
        match self {
            Self::Bits128 => &aead::AES_128_GCM,
            Self::Bits192 => &aead::AES_192_GCM,
            Self::Bits256 => &aead::AES_256_GCM,
        }
    }
}

/// How the AES key comes from the data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivation {
    /// It is the data key.
    None,
    HkdfSha256,
    HkdfSha384,
    /// HKDF-SHA512, with a second output that commits to the data key.
    Committing,
}

/// The curve of a suite's signature, and with it the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(super) const fn verification(self) -> &'static signature::EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1,
        }
    }

    pub(super) const fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::P256 => &digest::SHA256,
            Self::P384 => &digest::SHA384,
        }
    }

    /// Length of a coordinate in bytes.
    pub(super) const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}
