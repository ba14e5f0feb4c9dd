//! The replay guard: a signed request counts once.
//!
//! Asked by the service after a signature verified, never before. Knows no
//! clock. Lives in memory: what a restart forgets, the enclave id in the signed
//! message makes worthless.

use std::collections::{BTreeMap, BTreeSet};

use super::NONCE_LEN;

/// How far a request's time may be from the enclave's, either way: 5 minutes.
pub const DEFAULT_WINDOW_MS: u64 = 5 * 60 * 1000;

/// Remembers the nonces of accepted requests for as long as the requests' times
/// are inside the window.
///
/// Room is counted per caller: a caller that fills its own takes nobody else's.
/// Callers are the manifest's, so their number is bounded too. One nonce takes
/// about 100 bytes.
#[derive(Debug)]
pub struct Replay {
    window_ms: u64,
    max_per_caller: usize,
    callers: BTreeMap<String, Remembered>,
}

/// Why a correctly signed request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Signed longer ago than the window: it may have been carried out before.
    #[error("the request is too old")]
    TooOld,
    /// Signed for a later time than the window: the caller's clock is wrong.
    #[error("the request is from the future")]
    FromTheFuture,
    /// The nonce was accepted before.
    #[error("the request was made before")]
    Repeated,
    /// The caller made more requests than can be remembered; older ones have to
    /// leave the window first.
    #[error("too many requests of this caller to remember")]
    Full,
}

impl Replay {
    /// A guard with a window of `window_ms` either side, which remembers at most
    /// `max_per_caller` nonces of each caller.
    ///
    /// A nonce takes room for `window_ms` from the request's time on: for twice
    /// that at most, when the caller's clock runs ahead. So a caller is never
    /// refused for want of room below `max_per_caller` requests in that stretch.
    #[must_use]
    pub const fn new(window_ms: u64, max_per_caller: usize) -> Self {
        Self { window_ms, max_per_caller, callers: BTreeMap::new() }
    }

    /// Accepts a request of `caller`, once, and remembers it.
    ///
    /// To be called only after the signature over `nonce` and `time_ms` verified
    /// under `caller`'s key.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing is remembered then.
    pub fn accept(
        &mut self,
        caller: &str,
        nonce: &[u8; NONCE_LEN],
        time_ms: u64,
        now_ms: u64,
    ) -> Result<(), ReplayError> {
        let oldest = now_ms.saturating_sub(self.window_ms);
        if time_ms < oldest {
            return Err(ReplayError::TooOld);
        }
        if time_ms > now_ms.saturating_add(self.window_ms) {
            return Err(ReplayError::FromTheFuture);
        }
        let remembered = self.callers.entry(caller.to_owned()).or_default();
        remembered.forget_before(oldest);
        if remembered.forgotten.is_some_and(|forgotten| time_ms <= forgotten) {
            return Err(ReplayError::TooOld);
        }
        if remembered.nonces.contains(nonce) {
            return Err(ReplayError::Repeated);
        }
        if remembered.nonces.len() >= self.max_per_caller {
            return Err(ReplayError::Full);
        }
        remembered.insert(nonce, time_ms);
        Ok(())
    }

    /// Nonces remembered of `caller`.
    #[must_use]
    pub fn remembered(&self, caller: &str) -> usize {
        self.callers.get(caller).map_or(0, |remembered| remembered.nonces.len())
    }
}

/// What is remembered of one caller: the same entries in both sets.
#[derive(Debug, Default)]
struct Remembered {
    nonces: BTreeSet<[u8; NONCE_LEN]>,
    by_time: BTreeSet<(u64, [u8; NONCE_LEN])>,
    /// Latest time of an entry that was forgotten. Nothing up to it is accepted
    /// again, even if the clock is set back into the window of that entry.
    forgotten: Option<u64>,
}

impl Remembered {
    fn forget_before(&mut self, oldest: u64) {
        while let Some(&(time, nonce)) = self.by_time.first() {
            if time >= oldest {
                break;
            }
            self.by_time.pop_first();
            self.nonces.remove(&nonce);
            self.forgotten = self.forgotten.max(Some(time));
        }
    }

    fn insert(&mut self, nonce: &[u8; NONCE_LEN], time: u64) {
        self.nonces.insert(*nonce);
        self.by_time.insert((time, *nonce));
    }
}
