//! Receipts: what was done, signed by a key that the attestation document of
//! this boot vouches for.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_envelope::receipt::{Receipt, ReceiptError, ReceiptKey};

use crate::callers::now_ms;

/// Makes the receipts of this boot.
pub struct Receipts {
    key: ReceiptKey,
    counter: AtomicU64,
}

/// SHA-256 of bytes as they pass.
pub struct Hash(Context);

impl Receipts {
    /// Makes the key of this boot.
    ///
    /// # Errors
    /// [`ReceiptError`] when there is no randomness.
    pub fn new() -> Result<Self, ReceiptError> {
        Ok(Self { key: ReceiptKey::generate()?, counter: AtomicU64::new(0) })
    }

    /// The key, as receipts are verified with: an uncompressed P-256 point.
    #[must_use]
    pub fn public_key(&self) -> [u8; 65] {
        self.key.public_key()
    }

    /// What an attestation document carries to vouch for the key.
    #[must_use]
    pub fn user_data(&self) -> Vec<u8> {
        self.key.user_data()
    }

    /// Numbers, dates and signs a receipt.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn issue(&self, mut receipt: Receipt) -> Result<Vec<u8>, ReceiptError> {
        receipt.counter = self.counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        receipt.time_ms = now_ms();
        self.key.sign(&receipt)
    }
}

impl Hash {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().unwrap_or_default()
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}
