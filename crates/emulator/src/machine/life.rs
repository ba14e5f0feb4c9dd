//! What has become of a machine: its heartbeat, its last words, its end.
//!
//! Written by `parent.rs` and `process.rs` from their threads, awaited by
//! whoever holds the machine.

use std::process::ExitStatus;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shared record.
#[derive(Debug)]
pub(super) struct Life {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    heartbeat: Option<Duration>,
    last_words: Vec<String>,
    ended: Option<ExitStatus>,
}

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The heartbeat, so long after the start.
    Heartbeat(Duration),
    /// The end of the machine.
    Ended(ExitStatus),
    /// Neither in time.
    Nothing,
}

impl Life {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self { started: Instant::now(), state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn heartbeat(&self) {
        let after = self.started.elapsed();
        self.state().heartbeat.get_or_insert(after);
        self.changed.notify_all();
    }

    pub(super) fn say(&self, words: String) {
        let mut state = self.state();
        if state.last_words.len() < MAX_LAST_WORDS {
            state.last_words.push(words);
        }
    }

    pub(super) fn end(&self, status: ExitStatus) {
        self.state().ended = Some(status);
        self.changed.notify_all();
    }

    pub(super) fn last_words(&self) -> Vec<String> {
        self.state().last_words.clone()
    }

    /// Waits for the heartbeat or the end.
    pub(super) fn await_heartbeat(&self, timeout: Duration) -> Outcome {
        self.wait(timeout, |state| {
            let ended = state.ended.map(Outcome::Ended);
            state.heartbeat.map(Outcome::Heartbeat).or(ended)
        })
        .unwrap_or(Outcome::Nothing)
    }

    /// Waits for the end.
    pub(super) fn await_end(&self, timeout: Duration) -> Option<ExitStatus> {
        self.wait(timeout, |state| state.ended)
    }

    fn wait<T>(&self, timeout: Duration, is: impl Fn(&State) -> Option<T>) -> Option<T> {
        let unknown = |state: &mut State| is(state).is_none();
        let waited = self.changed.wait_timeout_while(self.state(), timeout, unknown);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is(&state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most last words that are kept; a machine that is well has none.
const MAX_LAST_WORDS: usize = 64;
