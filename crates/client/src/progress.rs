//! How far a call has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a call has come, in bytes of the bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that were sent.
    pub sent: u64,
    /// Bytes that were written to the output.
    pub received: u64,
}

/// Called with the progress of a call whenever bytes have moved.
pub(crate) type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Counts of one call. Shared by its two directions.
#[derive(Default)]
pub(crate) struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    on_progress: Option<OnProgress>,
}

impl Counters {
    pub(crate) fn new(on_progress: Option<OnProgress>) -> Self {
        Self { on_progress, ..Self::default() }
    }

    /// Counts bytes of the input.
    pub(crate) fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.report();
    }

    /// Counts bytes given to the output.
    pub(crate) fn received(&self, count: u64) {
        self.received.fetch_add(count, Ordering::Relaxed);
        self.report();
    }

    pub(crate) fn now(&self) -> Progress {
        Progress {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }

    fn report(&self) {
        if let Some(on_progress) = &self.on_progress {
            on_progress(self.now());
        }
    }
}
