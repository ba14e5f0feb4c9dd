//! Keys that requests share: kept for a while, and asked for once.
//!
//! Whoever asks for a key that is on its way waits for it. The call has a task of
//! its own, so it ends well whether or not the request that began it is still
//! there; a request waits as long as its own deadline lets it.
//!
//! A failure goes to all who waited and is not kept: credentials, key policies
//! and KMS itself come back at any moment, and who asks then is to find out. It
//! does not make a stampede either: one call for each key, through the gate.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::KeyError;
use super::cache::{Cache, Handle, Id};
use super::gate::Gate;
use crate::counters::Counters;
use crate::manifest::{JobName, KeyBounds};

/// Keys of one kind.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    gate: Arc<Gate>,
    counters: Arc<Counters>,
    /// Told when another key is the next to expire.
    sweeper: Arc<Notify>,
}

struct State<T> {
    cache: Cache<T>,
    /// Keys on their way.
    calls: BTreeMap<Id, Arc<Sender<T>>>,
}

type Answer<T> = Result<Handle<T>, KeyError>;
type Sender<T> = watch::Sender<Option<Answer<T>>>;

impl<T: Send + Sync + 'static> Shared<T> {
    /// Keeps up to `max_keys`. Too old ones go without anybody asking: on the
    /// runtime that this is called on.
    pub(super) fn new(max_keys: usize, gate: Arc<Gate>, counters: Arc<Counters>) -> Arc<Self> {
        let state = State { cache: Cache::new(max_keys), calls: BTreeMap::new() };
        let sweeper = Arc::new(Notify::new());
        let shared = Self { state: Mutex::new(state), gate, counters, sweeper };
        let shared = Arc::new(shared);
        tokio::spawn(sweep(Arc::downgrade(&shared), Arc::clone(&shared.sweeper)));
        shared
    }

    /// The key of `id`: one that is kept, or is on its way, or else what `ask`
    /// gives, which `bounds` then hold for.
    pub(super) async fn get<F>(
        self: &Arc<Self>,
        id: Id,
        job: &JobName,
        bounds: KeyBounds,
        ask: impl Fn() -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<T, KeyError>> + Send + 'static,
    {
        // There is one for each call that waits at the gate, which nobody counts: a
        // call of the SDK, which is large, is to be boxed when it begins.
        const { assert!(size_of::<F>() <= MAX_WAITING) };
        loop {
            let mut arriving = match self.look(id) {
                Look::Kept(handle) => return Ok(handle),
                Look::Arriving(receiver) => receiver,
                Look::Nothing(call, receiver) => {
                    tokio::spawn(Arc::clone(self).call(call, job.clone(), bounds, ask()));
                    receiver
                }
            };
            let answer = arriving.wait_for(Option::is_some).await;
            // Without an answer the call's task has ended: a panic, or the end
            // of all.
            let answer = answer.map_err(|_| KeyError::Interrupted)?.clone();
            let handle = answer.unwrap_or(Err(KeyError::Interrupted))?;
            // Of many who waited, no more than its uses.
            if handle.begin_use(Instant::now()) {
                if handle.is_used_up() {
                    self.state().cache.evict_used_up(&id);
                }
                return Ok(handle);
            }
        }
    }

    /// A key for one more use, where it is kept.
    pub(super) fn kept(&self, id: &Id) -> Option<Handle<T>> {
        let kept = self.state().cache.get(id, Instant::now());
        if kept.is_some() {
            self.counters.cache_hits.count();
        }
        kept
    }

    /// Keys that are kept.
    pub(super) fn len(&self) -> usize {
        self.state().cache.len()
    }

    fn look(self: &Arc<Self>, id: Id) -> Look<T> {
        let now = Instant::now();
        let mut state = self.state();
        let kept = state.cache.get(&id, now);
        self.counters.cache_evictions.add(state.cache.take_evicted());
        if let Some(handle) = kept {
            self.counters.cache_hits.count();
            return Look::Kept(handle);
        }
        if let Some(call) = state.calls.get(&id) {
            self.counters.cache_waits.count();
            return Look::Arriving(call.subscribe());
        }
        self.counters.cache_misses.count();
        let (sender, receiver) = watch::channel(None);
        let sender = Arc::new(sender);
        state.calls.insert(id, Arc::clone(&sender));
        Look::Nothing(Call { shared: Arc::clone(self), id, sender }, receiver)
    }

    async fn call(
        self: Arc<Self>,
        call: Call<T>,
        job: JobName,
        bounds: KeyBounds,
        asking: impl Future<Output = Result<T, KeyError>>,
    ) {
        let answer = {
            let mut entering = pin!(self.gate.enter(&job));
            let pass = loop {
                tokio::select! {
                    pass = &mut entering => break pass,
                    () = call.sender.closed() => {
                        if call.give_up() {
                            return;
                        }
                    }
                }
            };
            // Nobody may be left when the turn comes. Once it is begun, a call goes
            // on: its answer may be wanted again.
            match pass {
                Ok(_) if call.give_up() => return,
                Ok(_pass) => asking.await,
                Err(error) => Err(error),
            }
        };
        call.end(answer.map(|value| Handle::new(value, bounds, Instant::now())));
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look<T: Send + Sync + 'static> {
    Kept(Handle<T>),
    Arriving(watch::Receiver<Option<Answer<T>>>),
    Nothing(Call<T>, watch::Receiver<Option<Answer<T>>>),
}

/// A call that is under way; its place is free again however it ends.
struct Call<T: Send + Sync + 'static> {
    shared: Arc<Shared<T>>,
    id: Id,
    sender: Arc<Sender<T>>,
}

impl<T: Send + Sync + 'static> Call<T> {
    /// Keeps what came of it, and gives it to those who wait.
    fn end(self, answer: Answer<T>) {
        let mut state = self.shared.state();
        if let Ok(handle) = &answer {
            if state.cache.insert(self.id, handle.clone()) {
                self.shared.sweeper.notify_one();
            }
            self.shared.counters.cache_evictions.add(state.cache.take_evicted());
        }
        state.calls.remove(&self.id);
        drop(state);
        self.sender.send_replace(Some(answer));
    }

    /// Gives the place up if nobody waits; nobody can then begin to.
    fn give_up(&self) -> bool {
        let mut state = self.shared.state();
        let nobody = self.sender.receiver_count() == 0;
        if nobody {
            state.calls.remove(&self.id);
        }
        nobody
    }
}

impl<T: Send + Sync + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // Another call may have the place by now.
        let own = |call: &Arc<Sender<T>>| Arc::ptr_eq(call, &self.sender);
        if state.calls.get(&self.id).is_some_and(own) {
            state.calls.remove(&self.id);
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // It finds that there is nothing left to sweep.
        self.sweeper.notify_one();
    }
}

/// Most bytes of a call that waits for its turn.
const MAX_WAITING: usize = 1 << 10;

/// Gives up keys as they get too old.
async fn sweep<T: Send + Sync + 'static>(shared: Weak<Shared<T>>, told: Arc<Notify>) {
    loop {
        let next = match shared.upgrade() {
            Some(shared) => {
                let mut state = shared.state();
                let next = state.cache.sweep(Instant::now());
                shared.counters.cache_evictions.add(state.cache.take_evicted());
                next
            }
            None => return,
        };
        match next {
            Some(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = told.notified() => {}
            },
            None => told.notified().await,
        }
    }
}

#[cfg(test)]
mod tests;
