//! Keys that are kept for a while: bounded in number, age, use and bytes.
//!
//! Knows no KMS, no clock and no threads. A key that is given up is erased when
//! the last request that has its [`Handle`] lets go of it. Of what a key was asked
//! for with, only a digest is kept: a caller cannot make the cache hold more than
//! its number of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::manifest::{JobName, KeyArn, KeyBounds};

/// What a key was asked for with: SHA-256 over all of it. Two that differ in
/// anything, the job included, never share a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id([u8; 32]);

impl Id {
    /// `context` as [`EncryptionContext::encode`] gives it; `encrypted` is what KMS
    /// decrypts, and empty where it makes a new key.
    ///
    /// [`EncryptionContext::encode`]: strongroom_envelope::esdk::EncryptionContext::encode
    pub(super) fn new(job: &JobName, key: &KeyArn, context: &[u8], encrypted: &[u8]) -> Self {
        let parts = [job.as_str().as_bytes(), key.as_str().as_bytes(), context, encrypted];
        let mut bytes =
            Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(8)).sum());
        // Each with its length, so that no two lists of parts read the same.
        for part in parts {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Self(id)
    }
}

/// Of a key that nobody keeps.
pub(super) const UNBOUNDED: KeyBounds =
    KeyBounds { max_age: Duration::MAX, max_uses: u64::MAX, max_bytes: u64::MAX };

/// How much a key has been used.
#[derive(Default)]
pub struct Meter {
    uses: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// Notes that `bytes` more were opened or encrypted.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A key, for as long as it is needed. Erased with the last handle when nothing
/// keeps it any more.
pub struct Handle<T>(Arc<Kept<T>>);

struct Kept<T> {
    value: T,
    bounds: KeyBounds,
    /// `None`: at no time.
    expires: Option<Instant>,
    meter: Arc<Meter>,
}

impl<T> Handle<T> {
    /// A key that KMS gave at `now`.
    pub(super) fn new(value: T, bounds: KeyBounds, now: Instant) -> Self {
        let expires = now.checked_add(bounds.max_age);
        Self(Arc::new(Kept { value, bounds, expires, meter: Arc::default() }))
    }

    /// Begins a use; `false` where the bounds allow no other.
    pub(super) fn begin_use(&self, now: Instant) -> bool {
        let Kept { bounds, meter, .. } = &*self.0;
        self.0.expires.is_none_or(|expires| now < expires)
            && meter.bytes.load(Ordering::Relaxed) < bounds.max_bytes
            && meter.uses.fetch_add(1, Ordering::Relaxed) < bounds.max_uses
    }

    /// Whether it has had its last use.
    pub(super) fn is_used_up(&self) -> bool {
        let Kept { bounds, meter, .. } = &*self.0;
        meter.uses.load(Ordering::Relaxed) >= bounds.max_uses
    }

    /// Notes that `bytes` more were opened or encrypted.
    pub fn add(&self, bytes: usize) {
        self.0.meter.add(bytes);
    }

    /// Where its use is noted; keeps no key.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.0.meter)
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// Keys by what they were asked for with.
pub(super) struct Cache<T> {
    max_keys: usize,
    keys: BTreeMap<Id, Entry<T>>,
    /// From the one that was used longest ago.
    by_use: BTreeMap<u64, Id>,
    by_expiry: BTreeSet<(Instant, Id)>,
    /// Counts uses.
    clock: u64,
    evicted: u64,
}

struct Entry<T> {
    handle: Handle<T>,
    /// Its place in `by_use`.
    used: u64,
}

impl<T> Cache<T> {
    pub(super) const fn new(max_keys: usize) -> Self {
        Self {
            max_keys,
            keys: BTreeMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            clock: 0,
            evicted: 0,
        }
    }

    /// A key for one more use, where there is one that may be used at `now`.
    pub(super) fn get(&mut self, id: &Id, now: Instant) -> Option<Handle<T>> {
        let entry = self.keys.get_mut(id)?;
        let handle = entry.handle.clone();
        let usable = handle.begin_use(now);
        if usable && !handle.is_used_up() {
            self.clock = self.clock.saturating_add(1);
            self.by_use.remove(&entry.used);
            entry.used = self.clock;
            self.by_use.insert(self.clock, *id);
        } else {
            // With its last use it need not be kept.
            self.evict(id);
        }
        usable.then_some(handle)
    }

    /// Keeps a key, in the place of another where there is no room. Whether it
    /// is the next that expires.
    pub(super) fn insert(&mut self, id: Id, handle: Handle<T>) -> bool {
        self.evict(&id);
        while self.keys.len() >= self.max_keys {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, id)| *id) else {
                return false;
            };
            self.evict(&oldest);
        }
        self.clock = self.clock.saturating_add(1);
        self.by_use.insert(self.clock, id);
        let expires = handle.0.expires;
        self.keys.insert(id, Entry { handle, used: self.clock });
        let Some(expires) = expires else { return false };
        self.by_expiry.insert((expires, id));
        self.by_expiry.first() == Some(&(expires, id))
    }

    /// Gives a key up that has had its last use.
    pub(super) fn evict_used_up(&mut self, id: &Id) {
        if self.keys.get(id).is_some_and(|entry| entry.handle.is_used_up()) {
            self.evict(id);
        }
    }

    /// Gives up the keys that are too old at `now`; when the next one is.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let (expires, id) = *self.by_expiry.first()?;
            if now < expires {
                return Some(expires);
            }
            self.evict(&id);
        }
    }

    /// Keys that are kept.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Keys that were given up since this was last asked.
    pub(super) const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    fn evict(&mut self, id: &Id) {
        let Some(Entry { handle, used }) = self.keys.remove(id) else { return };
        self.by_use.remove(&used);
        if let Some(expires) = handle.0.expires {
            self.by_expiry.remove(&(expires, *id));
        }
        self.evicted = self.evicted.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
