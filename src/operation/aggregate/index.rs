//! Where a group is, by its key: for [`super::groups`].
//!
//! A table of places with open addressing. Its hash has a random key of its own
//! (SipHash, as the standard library uses it against flooding), so that whoever
//! writes the data cannot choose keys that collide. It has no order that anything
//! could depend on: it says where something is and is never gone through. The
//! hashes are of plaintext, and erased like it.

use std::hash::{BuildHasher, Hasher, RandomState};

use zeroize::{DefaultIsZeroes, Zeroizing};

/// Finds places by hashes.
pub(super) struct Index {
    hash: RandomState,
    /// A power of two of them, at least half of them free; or none yet.
    slots: Zeroizing<Vec<Slot>>,
    used: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u64,
    /// The place and one; zero for a free slot.
    place: usize,
}

impl DefaultIsZeroes for Slot {}

impl Index {
    pub(super) fn new() -> Self {
        Self { hash: RandomState::new(), slots: Zeroizing::default(), used: 0 }
    }

    /// The hash of a key.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The place that was inserted under this hash and of which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut at = self.first(hash);
        loop {
            let slot = self.slots.get(at)?;
            let place = slot.place.checked_sub(1)?;
            if slot.hash == hash && is_it(place) {
                return Some(place);
            }
            at = self.next(at);
        }
    }

    /// Puts a place under a hash.
    pub(super) fn insert(&mut self, hash: u64, place: usize) {
        if self.used.saturating_mul(2) >= self.slots.len() {
            let len = self.slots.len().saturating_mul(2).max(FIRST);
            let old = std::mem::replace(&mut self.slots, vec![Slot::default(); len].into());
            old.iter().filter(|slot| slot.place != 0).for_each(|slot| self.put(*slot));
        }
        self.put(Slot { hash, place: place.saturating_add(1) });
        self.used = self.used.saturating_add(1);
    }

    /// Bytes of memory that it has.
    pub(super) fn memory(&self) -> usize {
        self.slots.len().saturating_mul(size_of::<Slot>())
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.first(slot.hash);
        while self.slots.get(at).is_some_and(|slot| slot.place != 0) {
            at = self.next(at);
        }
        if let Some(free) = self.slots.get_mut(at) {
            *free = slot;
        }
    }

    /// Where the search for a hash begins.
    fn first(&self, hash: u64) -> usize {
        // Which of the bits are cut off does not matter.
        let [.., a, b, c, d] = hash.to_le_bytes();
        usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0) & self.mask()
    }

    fn next(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.mask()
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }
}

/// Slots of the smallest table.
const FIRST: usize = 16;

#[cfg(test)]
mod tests;
