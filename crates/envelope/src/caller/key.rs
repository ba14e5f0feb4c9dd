//! A caller's public key, as the manifest names it.
//!
//! Made once from the manifest, which is measured and trusted; used on
//! signatures, which come from anyone.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};

use super::CallerError;

/// A caller's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerKey(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ed25519([u8; 32]),
    P256([u8; 65]),
}

impl CallerKey {
    /// An Ed25519 public key (RFC 8032): 32 bytes.
    ///
    /// # Errors
    /// [`CallerError::PublicKey`] for another length, for what is no point, and
    /// for points of low order: under those anyone can sign, and 32 zero bytes,
    /// somebody's placeholder, are one of them.
    pub fn ed25519(key: &[u8]) -> Result<Self, CallerError> {
        let key: [u8; 32] = key.try_into().map_err(|_| CallerError::PublicKey)?;
        if is_low_order(key) {
            return Err(CallerError::PublicKey);
        }
        Self(Kind::Ed25519(key)).checked()
    }

    /// An ECDSA P-256 public key: the uncompressed point, 65 bytes (SEC 1 section
    /// 2.3.3).
    ///
    /// # Errors
    /// [`CallerError::PublicKey`] for anything that is no such point.
    pub fn p256(key: &[u8]) -> Result<Self, CallerError> {
        let key: [u8; 65] = key.try_into().map_err(|_| CallerError::PublicKey)?;
        if key.first() != Some(&4) {
            return Err(CallerError::PublicKey);
        }
        Self(Kind::P256(key)).checked()
    }

    /// The key's bytes: 32 or 65.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Ed25519(key) => key,
            Kind::P256(key) => key,
        }
    }

    /// Whether `signature` over `message` (see [`super::message`]) is this
    /// caller's: 64 bytes of Ed25519, or r ‖ s of ECDSA with SHA-256.
    ///
    /// # Errors
    /// [`CallerError::Signature`], whatever was wrong.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CallerError> {
        UnparsedPublicKey::new(self.algorithm(), self.as_bytes())
            .verify(message, signature)
            .map_err(|_| CallerError::Signature)
    }

    fn checked(self) -> Result<Self, CallerError> {
        ParsedPublicKey::new(self.algorithm(), self.as_bytes())
            .map_err(|_| CallerError::PublicKey)?;
        Ok(self)
    }

    fn algorithm(&self) -> &'static dyn VerificationAlgorithm {
        match self.0 {
            Kind::Ed25519(_) => &ED25519,
            Kind::P256(_) => &ECDSA_P256_SHA256_FIXED,
        }
    }
}

/// Whether the encoded point is one of the eight of low order, in any encoding.
fn is_low_order(mut key: [u8; 32]) -> bool {
    // The sign of x: the points come in pairs that differ in nothing else.
    if let Some(last) = key.last_mut() {
        *last &= 0x7F;
    }
    LOW_ORDER.contains(&key)
}

/// The y coordinates of the points of low order, little-endian, and those of
/// their other encodings (y + p) that fit 255 bits.
const LOW_ORDER: [[u8; 32]; 7] = [
    // 0, of order 4
    [0; 32],
    // 1, the neutral element
    with_ends(1, 0, 0),
    // of order 8
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    // of order 8
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    // p − 1, of order 2
    with_ends(0xEC, 0xFF, 0x7F),
    // p, which is 0
    with_ends(0xED, 0xFF, 0x7F),
    // p + 1, which is 1
    with_ends(0xEE, 0xFF, 0x7F),
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    let [a, .., z] = &mut bytes;
    *a = first;
    *z = last;
    bytes
}
