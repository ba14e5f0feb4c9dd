//! Faults to inject, and counters of what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::KmsError;
use crate::lock;

/// What happens to a request instead of, or before, its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This error is the answer.
    Error(KmsError),
    /// No answer ever comes; the connection stays open.
    Hang,
    /// The TCP connection is reset.
    Reset,
    /// HTTP 200 with a body that is not JSON.
    Garbage,
    /// The true answer, after this long.
    Delay(Duration),
}

/// A handle on a KMS's faults; clones share them.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queue: VecDeque<(Option<String>, Fault)>,
    counts: BTreeMap<String, u64>,
}

impl Faults {
    /// The next `count` requests, of any operation, meet this fault. Faults
    /// queue up in the order they are given.
    pub fn inject(&self, count: usize, fault: Fault) {
        self.push(count, None, fault);
    }

    /// As [`Faults::inject`], for one operation such as `Decrypt`.
    pub fn inject_for(&self, operation: &str, count: usize, fault: Fault) {
        self.push(count, Some(operation.into()), fault);
    }

    /// Forgets all faults that have not happened yet.
    pub fn clear(&self) {
        lock(&self.0).queue.clear();
    }

    /// How often an operation was asked for since the start, faults included;
    /// `unknown` counts all that are not simulated. (The audit log has only what
    /// was answered with JSON.)
    #[must_use]
    pub fn count(&self, operation: &str) -> u64 {
        lock(&self.0).counts.get(operation).copied().unwrap_or(0)
    }

    /// Counts a request and takes the fault it meets.
    pub(super) fn take(&self, operation: &str) -> Option<Fault> {
        let mut state = lock(&self.0);
        let count = state.counts.entry(operation.into()).or_default();
        *count = count.saturating_add(1);
        let applies = |(wanted, _): &(Option<String>, Fault)| {
            wanted.as_deref().is_none_or(|wanted| wanted == operation)
        };
        let position = state.queue.iter().position(applies)?;
        state.queue.remove(position).map(|(_, fault)| fault)
    }

    fn push(&self, count: usize, operation: Option<String>, fault: Fault) {
        let entries = std::iter::repeat_n((operation, fault), count);
        lock(&self.0).queue.extend(entries);
    }
}
