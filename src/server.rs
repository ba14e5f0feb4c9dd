//! The server: boot, accept, and one task per connection.
//!
//! Is handed its parts by whoever composes (`main`, the tests, the demo) and
//! makes none itself.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_attestation::nsm::{Nsm, NsmError};
use strongroom_envelope::receipt::ReceiptError;
use strongroom_wire::{ErrorBody, ErrorCode, FrameKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, debug, info, info_span, warn};

use crate::budget::Budget;
use crate::callers::Callers;
use crate::connection::{Connection, ConnectionError};
use crate::counters::Counters;
use crate::error::RequestError;
use crate::keys::road::Road;
use crate::keys::{KeyError, Keys};
use crate::manifest::Manifest;
use crate::operation::Helpers;
use crate::receipts::Receipts;
use crate::request;
use crate::transport::{Listener, Peer, Stream};

/// The service, ready to answer.
pub struct Service {
    manifest: Manifest,
    keys: Keys,
    module_id: String,
    memory: Budget,
    callers: Callers,
    receipts: Receipts,
    counters: Arc<Counters>,
    helpers: Helpers,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The NSM does not answer.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// The recipient key pair cannot be made.
    #[error("the recipient key pair cannot be made: {0}")]
    Keys(#[from] KeyError),
    /// The receipt key cannot be made.
    #[error("the receipt key cannot be made: {0}")]
    Receipts(#[from] ReceiptError),
    /// A caller's public key is not on its curve.
    #[error("the public key of the manifest's caller {0:?} is not a point of its curve")]
    Caller(String),
}

impl Service {
    /// Readies the service: reads the PCRs, and begins to make the key pair of this
    /// boot. It can serve at once; what needs the key pair waits for it.
    ///
    /// # Errors
    /// [`BootError`]; nothing listens then.
    pub async fn boot(
        manifest: Manifest,
        nsm: Arc<dyn Nsm>,
        road: Road,
    ) -> Result<Arc<Self>, BootError> {
        let described = Arc::clone(&nsm);
        // Off the async threads: the module may take its time, the caller's deadline counts.
        let described = tokio::task::spawn_blocking(move || described.describe())
            .await
            .map_err(|_| KeyError::Interrupted)?;
        let module_id = described?.module_id;
        let counters = Arc::new(Counters::default());
        let keys = Keys::new(&manifest, nsm, road, Arc::clone(&counters)).await?;
        if keys.is_debug() {
            warn!(allowed = manifest.allow_debug, "the enclave runs in debug mode");
        }
        let memory = Budget::new(manifest.limits.max_in_flight_bytes.0);
        let callers = Callers::new(&manifest, &module_id).map_err(BootError::Caller)?;
        let receipts = Receipts::new()?;
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let helpers = Helpers::new(processors.saturating_sub(1));
        Ok(Arc::new(Self {
            manifest,
            keys,
            module_id,
            memory,
            callers,
            receipts,
            counters,
            helpers,
        }))
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The way to data keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The memory that all requests together may hold.
    #[must_use]
    pub fn memory(&self) -> &Budget {
        &self.memory
    }

    /// Who can sign requests.
    #[must_use]
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// The maker of receipts.
    #[must_use]
    pub fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// What has been counted so far, and the keys that are held now.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.counters.read();
        let held = u64::try_from(self.keys.held()).unwrap_or(u64::MAX);
        counters.insert("keys_held".to_owned(), held);
        counters
    }

    /// Fails when the recipient key pair of this boot could not be made: nothing
    /// will work then. Until then, and when it could, never ends.
    pub async fn failure(&self) -> BootError {
        BootError::Keys(self.keys.failure().await)
    }

    /// The threads that may help requests.
    #[must_use]
    pub fn helpers(&self) -> &Helpers {
        &self.helpers
    }

    /// The enclave's id.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Refuses jobs in debug mode, unless the manifest allows it.
    ///
    /// # Errors
    /// [`RequestError::Debug`].
    pub fn refuse_debug(&self) -> Result<(), RequestError> {
        match self.keys.is_debug() && !self.manifest.allow_debug {
            true => Err(RequestError::Debug),
            false => Ok(()),
        }
    }
}

/// Serves connections until `shutdown` is done; requests under way are then
/// left to end on their own.
pub async fn serve(service: Arc<Service>, listener: Listener, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(service.manifest.limits.max_connections));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut shutdown = pin!(shutdown);
    let mut peers = Peers::default();
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others must close first.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        peers.note(peer);
        let span = info_span!("connection", %peer);
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let serving = connection(Arc::clone(&service), stream, slot);
                tokio::spawn(serving.instrument(span));
            }
            // Beyond that many, a close says it too.
            Err(_) => {
                if let Ok(slot) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(turn_away(stream, peer, slot).instrument(span));
                }
            }
        }
    }
}

/// Who has connected so far. Each is logged once: the line is for whoever looks
/// for a stranger, and a flood of connections must not become one of lines.
#[derive(Default)]
struct Peers(BTreeSet<Peer>);

impl Peers {
    fn note(&mut self, peer: Peer) {
        if self.0.len() < MAX_PEERS && self.0.insert(peer) {
            match peer {
                Peer::Vsock(PARENT_CID) | Peer::Local => info!(%peer, "first connection"),
                Peer::Vsock(_) => warn!(%peer, "first connection, and not from the parent"),
            }
        }
    }
}

async fn connection(service: Arc<Service>, stream: Stream, _slot: OwnedSemaphorePermit) {
    let mut conn = Connection::new(stream, service.manifest.limits.idle_timeout);
    loop {
        let request = match conn.next_request().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                tell(&service, &mut conn, &error.into()).await;
                return conn.drain().await;
            }
        };
        service.counters.requests.count();
        let span = info_span!("request", id = %request.id);
        let started = Instant::now();
        let answered = request::answer(&service, &mut conn, request).instrument(span.clone()).await;
        let _entered = span.enter();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Err(error) = answered else {
            debug!(millis, "answered");
            continue;
        };
        service.counters.failed_requests.count();
        info!(millis, code = error.code().as_str(), "failed");
        drop(_entered);
        tell(&service, &mut conn, &error).await;
        let usable = !conn.is_broken()
            && !matches!(error, RequestError::Panic | RequestError::Connection(_));
        // The rest of the body is of no use, but the connection may be.
        if !usable || !conn.skip_body().await {
            return conn.drain().await;
        }
    }
}

async fn tell(service: &Service, conn: &mut Connection, error: &RequestError) {
    let lost = matches!(error, RequestError::Connection(ConnectionError::Io(_)));
    if conn.is_broken() || lost {
        return;
    }
    conn.unqueue();
    let body = error.body(service.keys.pcrs());
    let telling = conn.send(FrameKind::Error, &body);
    // A piece of a result may have to leave before it. A peer that takes it slowly
    // keeps it, and the memory that it counts for, no longer than one that takes none.
    match tokio::time::timeout(service.manifest.limits.idle_timeout, telling).await {
        // A peer that is gone does not need to hear it.
        Ok(_) => conn.let_go(),
        Err(_) => conn.abandon(),
    }
}

async fn turn_away(stream: Stream, peer: Peer, _slot: OwnedSemaphorePermit) {
    warn!(%peer, "all connections are taken");
    let mut conn = Connection::new(stream, TURN_AWAY_TIMEOUT);
    let body = ErrorBody::new(ErrorCode::Busy, "all connections are taken; try again shortly");
    let _ = conn.send(FrameKind::Error, &body).await;
}

/// The parent's context id (AWS: always 3). Logged, never trusted.
const PARENT_CID: u32 = 3;

/// Most peers remembered.
const MAX_PEERS: usize = 64;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most connections told `busy` at once.
const MAX_REFUSALS: usize = 64;

/// Longest time spent on telling a connection that there is no room.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);
