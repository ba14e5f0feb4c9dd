//! A thread that reads parts of one plaintext beside the request's own: for
//! [`super::stream`].
//!
//! It has no handle of the request but two channels. It ends when the request
//! gives no more, and the request waits for that, also when it fails: what the
//! thread holds is erased then. A panic in it goes on in the request's thread.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};

use strongroom_envelope::SecretBuf;

use super::lane::Lane;
use super::ledger::Outcome;
use crate::operation::helpers::Taken;

/// The thread, from outside.
pub(super) struct Helper {
    /// There until no more parts come.
    parts: Option<Sender<Part>>,
    ended: Receiver<Ended>,
    thread: Option<JoinHandle<Lane>>,
    /// Parts that it has and has not ended.
    held: usize,
    /// Memory for parts to come.
    spare: Vec<SecretBuf>,
    /// Bytes of memory of all parts, spare or not.
    parts_memory: usize,
    /// Bytes of memory of its groups, as of the last part that ended.
    groups_memory: usize,
    _taken: Taken,
}

struct Part {
    number: u64,
    bytes: SecretBuf,
}

struct Ended {
    number: u64,
    outcome: Outcome,
    /// The part's memory, erased.
    memory: SecretBuf,
    groups_memory: usize,
}

impl Helper {
    /// `None` when the system gives no thread.
    pub(super) fn start(lane: Lane, taken: Taken) -> Option<Self> {
        Self::spawn(taken, move |parts, ended| work(lane, parts, ended))
    }

    fn spawn(
        taken: Taken,
        work: impl FnOnce(&Receiver<Part>, &Sender<Ended>) -> Lane + Send + 'static,
    ) -> Option<Self> {
        let (to_it, parts) = channel();
        let (from_it, ended) = channel();
        let work = move || work(&parts, &from_it);
        let thread = Builder::new().name("aggregate".to_owned()).spawn(work).ok()?;
        Some(Self {
            parts: Some(to_it),
            ended,
            thread: Some(thread),
            held: 0,
            spare: Vec::new(),
            parts_memory: 0,
            groups_memory: 0,
            _taken: taken,
        })
    }

    /// Whether it should get another part: one to work on, and one to go on with.
    pub(super) const fn has_room(&self) -> bool {
        self.held < PARTS
    }

    /// Gives it a part.
    pub(super) fn give(&mut self, number: u64, part: &[u8]) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        self.parts_memory = self.parts_memory.saturating_sub(bytes.capacity());
        bytes.extend_from_slice(part);
        self.parts_memory = self.parts_memory.saturating_add(bytes.capacity());
        self.held = self.held.saturating_add(1);
        // A thread that is gone is found out where its answer is missed.
        let _ = self.parts.as_ref().map(|parts| parts.send(Part { number, bytes }));
    }

    /// A part that has ended. `None` when there is none, or, to whoever waits,
    /// when it has none.
    pub(super) fn ended(&mut self, wait: bool) -> Option<(u64, Outcome)> {
        if self.held == 0 {
            return None;
        }
        let ended = match self.ended.try_recv() {
            Ok(ended) => ended,
            Err(TryRecvError::Empty) if !wait => return None,
            Err(_) => match self.ended.recv() {
                Ok(ended) => ended,
                Err(_) => self.panicked(),
            },
        };
        self.held = self.held.saturating_sub(1);
        self.spare.push(ended.memory);
        self.groups_memory = ended.groups_memory;
        Some((ended.number, ended.outcome))
    }

    /// Gives no more parts, waits, and gives what it has computed.
    pub(super) fn end(mut self) -> Option<Lane> {
        self.parts = None;
        let joined = self.thread.take()?.join();
        Some(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Bytes of memory of its groups and its parts, about.
    pub(super) const fn memory(&self) -> usize {
        self.parts_memory.saturating_add(self.groups_memory)
    }

    /// It answers no more though it has parts: it has panicked.
    fn panicked(&mut self) -> ! {
        self.parts = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(_)) | None => std::panic::resume_unwind(Box::new("a helper has ended early")),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.parts = None;
        // Where it has panicked, the request has ended without its answer.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn work(mut lane: Lane, parts: &Receiver<Part>, ended: &Sender<Ended>) -> Lane {
    while let Ok(Part { number, mut bytes }) = parts.recv() {
        let outcome = lane.whole(bytes.expose());
        bytes.clear();
        let ended =
            ended.send(Ended { number, outcome, memory: bytes, groups_memory: lane.memory() });
        if ended.is_err() {
            break;
        }
    }
    lane
}

/// Most parts that it has at once.
const PARTS: usize = 2;

#[cfg(test)]
mod tests;
