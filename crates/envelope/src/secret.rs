//! Secret types: bytes that must not outlive their use.
//!
//! Every plaintext and every key in the service lives in one of these two
//! types. Neither implements `Debug`, `Clone`, `Display` or `Serialize`, so a
//! secret cannot be logged, copied or encoded by accident; both overwrite their
//! memory when dropped.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A data key of 16, 24 or 32 bytes, as KMS generates and decrypts it.
#[derive(ZeroizeOnDrop)]
pub struct DataKey {
    /// The key, then zeros.
    bytes: [u8; Self::LEN],
    len: usize,
}

impl DataKey {
    /// Length of a new data key in bytes, and the longest there is.
    ///
    /// Shorter ones, for AES-128 and AES-192, are only read.
    pub const LEN: usize = 32;

    /// Takes exactly 16, 24 or 32 bytes; `None` for any other length.
    ///
    /// The caller still owns `bytes` and must see to their erasure.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if !matches!(bytes.len(), 16 | 24 | Self::LEN) {
            return None;
        }
        // Filled in place: an array built first and moved in would leave its
        // bytes behind on the stack.
        let mut key = Self { bytes: [0; Self::LEN], len: bytes.len() };
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(key)
    }

    /// The key bytes, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl PartialEq for DataKey {
    /// In constant time for keys of one length, which is no secret.
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for DataKey {}

/// A growable buffer of plaintext that is erased on drop, on growth and when
/// bytes are taken off its front.
///
/// Behind `len`, every byte of `bytes` is zero: memory is erased when it falls
/// out of use, never again when it comes back into use.
#[derive(Default)]
pub struct SecretBuf {
    bytes: Vec<u8>,
    len: usize,
}

impl SecretBuf {
    /// An empty buffer; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0 }
    }

    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], len: 0 }
    }

    /// Takes over `bytes` without copying them.
    #[must_use]
    pub const fn from_vec(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self { bytes, len }
    }

    /// Number of bytes held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no bytes are held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the buffer has, used or not.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes held.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes held, to be changed in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Appends `len` zero bytes and returns them, to be written in place.
    #[inline]
    pub fn grow(&mut self, len: usize) -> &mut [u8] {
        self.reserve(len);
        let start = self.len;
        self.len = start.saturating_add(len);
        self.bytes.get_mut(start..self.len).unwrap_or_default()
    }

    /// Makes room for `additional` more bytes; the old memory is erased when
    /// the bytes have to move.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        let needed = self.len.saturating_add(additional);
        if needed > self.bytes.len() {
            self.move_to(needed);
        }
    }

    /// Moves the bytes to memory for `needed` of them, or twice what there was.
    #[cold]
    #[inline(never)]
    fn move_to(&mut self, needed: usize) {
        let mut grown = Self::with_capacity(needed.max(self.bytes.len().saturating_mul(2)));
        grown.len = self.len;
        grown.expose_mut().copy_from_slice(self.expose());
        // The old memory goes to `grown`, which erases it on its way out.
        std::mem::swap(self, &mut grown);
    }

    /// Shortens to `len` bytes, erasing the rest; no effect when already shorter.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        // Most often there is nothing to erase, which is not worth a call.
        if len < self.len {
            self.erase_from(len);
        }
    }

    fn erase_from(&mut self, len: usize) {
        if let Some(tail) = self.bytes.get_mut(len..self.len) {
            tail.zeroize();
            self.len = len;
        }
    }

    /// Removes the first `count` bytes (all, when there are fewer), moving the
    /// rest to the front and erasing where they stood.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        if count == 0 {
            return;
        }
        let keep = self.len.saturating_sub(count);
        self.bytes.copy_within(count..self.len, 0);
        self.truncate(keep);
    }

    /// Erases all bytes and keeps the memory for the next use.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }
}

impl Drop for SecretBuf {
    fn drop(&mut self) {
        self.clear();
    }
}

impl ZeroizeOnDrop for SecretBuf {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_key_of_any_other_length_is_refused() {
        for len in 0..=64 {
            let key = DataKey::from_slice(&vec![1; len]);
            assert_eq!(key.is_some(), [16, 24, 32].contains(&len), "{len}");
            assert!(key.is_none_or(|key| key.expose() == vec![1; len]));
        }
    }

    #[test]
    fn data_keys_are_equal_if_length_and_bytes_are() {
        let key = |bytes: &[u8]| DataKey::from_slice(bytes).unwrap();
        assert!(key(&[1; 16]) == key(&[1; 16]));
        assert!(key(&[1; 16]) != key(&[2; 16]));
        // What lies behind a short key is no part of it.
        assert!(key(&[0; 16]) != key(&[0; 32]));
    }

    #[test]
    fn consumed_and_truncated_bytes_are_erased_in_place() {
        let mut buf = SecretBuf::with_capacity(16);
        buf.extend_from_slice(b"secret-and-rest");
        buf.consume(7);
        assert_eq!(buf.expose(), b"and-rest");
        buf.truncate(3);
        assert_eq!(buf.expose(), b"and");
        assert!(buf.bytes[3..].iter().all(|byte| *byte == 0), "something was left behind");
        assert_eq!(buf.grow(4), [0; 4]);
    }

    #[test]
    fn growth_keeps_the_bytes() {
        let mut buf = SecretBuf::new();
        for i in 0..=255 {
            buf.push(i);
        }
        assert_eq!(buf.len(), 256);
        assert!(buf.expose().iter().enumerate().all(|(i, b)| i == usize::from(*b)));
    }
}
