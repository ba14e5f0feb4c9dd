//! The memory that all requests together may hold.
//!
//! A request says what its buffers hold after each step, and is refused when
//! that is more than is left. A step grows them by a piece or a frame at most,
//! so the whole stays within the budget and one step of each request.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes to share. Clones share the same.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

/// What one request holds of it; given back on drop.
pub struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

/// There is not enough left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the requests under way hold all the memory that limits.max_in_flight_bytes allows; try again shortly"
)]
pub struct OverBudget;

impl Budget {
    /// A budget of so many bytes, in whole KiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), held: None }
    }
}

impl Share {
    /// All that is held, as a share of its own.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self { budget: self.budget.clone(), held: self.held.take() }
    }

    /// Holds `bytes` in all from now on; never less than before.
    ///
    /// # Errors
    /// [`OverBudget`], and what was held stays held.
    pub fn hold(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| OverBudget)?;
        let taken = Arc::clone(&self.budget.0).try_acquire_many_owned(more);
        let taken = taken.map_err(|_| OverBudget)?;
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        Ok(())
    }
}

/// Bytes that are counted as one.
const UNIT: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_up_to_the_budget_and_given_back() {
        let budget = Budget::new(10 * UNIT);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.hold(6 * UNIT), Ok(()));
        assert_eq!(one.hold(2 * UNIT), Ok(()), "less than is held is held already");
        assert_eq!(other.hold(4 * UNIT + 1), Err(OverBudget));
        assert_eq!(other.hold(4 * UNIT), Ok(()));
        assert_eq!(one.hold(6 * UNIT + 1), Err(OverBudget));
        drop(one);
        assert_eq!(other.hold(10 * UNIT), Ok(()));
        assert_eq!(other.hold(usize::MAX), Err(OverBudget));
    }
}
