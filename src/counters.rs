//! Counters of what the service does: numbers that say nothing of any data.
//!
//! Counted where it happens, read by `status`. They only grow until the service
//! ends, so a rate is the difference of two readings over the time between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of a service. What each one counts is in docs/protocol.md.
#[derive(Default)]
pub struct Counters {
    /// Requests that came in whole.
    pub requests: Counter,
    /// Those of them that ended with an error.
    pub failed_requests: Counter,
    /// Calls of KMS's `Decrypt`, however many tries each took.
    pub kms_decrypt: Counter,
    /// Calls of KMS's `GenerateDataKey`, however many tries each took.
    pub kms_generate_data_key: Counter,
    /// Those of both that gave no key.
    pub kms_failures: Counter,
    /// Keys that were at hand.
    pub cache_hits: Counter,
    /// Keys that were not at hand and not on their way.
    pub cache_misses: Counter,
    /// Keys that were on their way for another request.
    pub cache_waits: Counter,
    /// Keys that were given up for their age, their use or want of room.
    pub cache_evictions: Counter,
    /// Calls of the Nitro Secure Module since the service came up.
    pub nsm_calls: Counter,
}

/// A number that grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// `more` more.
    pub fn add(&self, more: u64) {
        // A number by itself orders nothing.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// As it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// All of them by name: a closed list.
    #[must_use]
    pub fn read(&self) -> BTreeMap<String, u64> {
        let Self {
            requests,
            failed_requests,
            kms_decrypt,
            kms_generate_data_key,
            kms_failures,
            cache_hits,
            cache_misses,
            cache_waits,
            cache_evictions,
            nsm_calls,
        } = self;
        let named = [
            ("requests", requests),
            ("failed_requests", failed_requests),
            ("kms_decrypt", kms_decrypt),
            ("kms_generate_data_key", kms_generate_data_key),
            ("kms_failures", kms_failures),
            ("cache_hits", cache_hits),
            ("cache_misses", cache_misses),
            ("cache_waits", cache_waits),
            ("cache_evictions", cache_evictions),
            ("nsm_calls", nsm_calls),
        ];
        named.into_iter().map(|(name, counter)| (name.to_owned(), counter.get())).collect()
    }
}
