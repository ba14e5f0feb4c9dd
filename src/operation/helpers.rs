//! Threads that help requests: how many there may be at once.
//!
//! Made once for the service, handed to each [`super::Operation`], which starts
//! one when its plaintext is long and none is to be had otherwise. A request that
//! gets none does all by itself, with the same result.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Helpers that are free.
#[derive(Clone, Debug)]
pub struct Helpers(Arc<AtomicUsize>);

/// One of them, taken; given back on drop.
pub(super) struct Taken(Helpers);

impl Helpers {
    /// So many: as a rule one less than there are processors.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    pub(super) fn take(&self) -> Option<Taken> {
        let less = |free: usize| free.checked_sub(1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok().then(|| Taken(self.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are_and_those_given_back_are_free() {
        let helpers = Helpers::new(2);
        let (one, two) = (helpers.take(), helpers.clone().take());
        assert!(one.is_some() && two.is_some() && helpers.take().is_none());
        drop(one);
        let again = helpers.take();
        assert!(again.is_some() && helpers.take().is_none());
    }
}
