//! The X25519 key pair of whoever a result is sealed to.
//!
//! The data owner makes the pair and keeps the secret half; the service sees
//! only public keys, which come from outside and may be anything.

use zeroize::ZeroizeOnDrop;

use super::SealError;
use super::hpke;

/// An X25519 public key (RFC 7748) that results are sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientPublicKey([u8; Self::LEN]);

impl RecipientPublicKey {
    /// Length of a public key in bytes.
    pub const LEN: usize = 32;

    /// Reads a raw public key.
    ///
    /// A key of low order is found out when something is sealed to it.
    ///
    /// # Errors
    /// [`SealError::RecipientKey`] for any length but [`Self::LEN`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        bytes.try_into().map(Self).map_err(|_| SealError::RecipientKey)
    }

    /// The raw public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// An X25519 secret key that opens sealed results. Erased on drop.
#[derive(ZeroizeOnDrop)]
pub struct RecipientSecretKey {
    secret: [u8; Self::LEN],
    #[zeroize(skip)]
    public: RecipientPublicKey,
}

impl RecipientSecretKey {
    /// Length of a secret key in bytes.
    pub const LEN: usize = 32;

    /// Makes a new key pair from the system's randomness.
    ///
    /// # Errors
    /// [`SealError::Fault`] when there is none.
    pub fn generate() -> Result<(Self, RecipientPublicKey), SealError> {
        let mut secret = zeroize::Zeroizing::new([0; Self::LEN]);
        aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| SealError::Fault)?;
        let key = Self::from_bytes(secret.as_ref())?;
        let public = key.public;
        Ok((key, public))
    }

    /// Reads a raw secret key. The caller still owns `bytes` and must see to
    /// their erasure.
    ///
    /// # Errors
    /// [`SealError::RecipientKey`] for any length but [`Self::LEN`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let secret = bytes.try_into().map_err(|_| SealError::RecipientKey)?;
        let public = hpke::public_key_of(secret).map_err(|_| SealError::RecipientKey)?;
        Ok(Self { secret: *secret, public: RecipientPublicKey(public) })
    }

    /// The raw secret key, for its owner to store.
    #[must_use]
    pub const fn expose(&self) -> &[u8; Self::LEN] {
        &self.secret
    }

    /// The public key that belongs to it.
    #[must_use]
    pub const fn public_key(&self) -> &RecipientPublicKey {
        &self.public
    }
}
