//! A relay that the parent runs, with a tape: every byte that passes, each way.
//!
//! One stands between the parent's application and the service, one between the
//! service and KMS, where AWS's vsock-proxy stands on a real parent. Whatever
//! the parent could see of either connection is on the tape.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom::transport::{Endpoint, Listener, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::stage::local;

/// A running relay. Dropping it ends it and its connections.
pub(super) struct Relay {
    tape: Arc<Tape>,
    upstream: watch::Sender<Endpoint>,
    task: JoinHandle<()>,
}

/// What passed, in the order in which it passed.
#[derive(Default)]
struct Tape {
    up: Mutex<Vec<u8>>,
    down: Mutex<Vec<u8>>,
}

impl Relay {
    /// From a new Unix socket to `upstream`.
    pub(super) fn unix(socket: &Path, upstream: Endpoint) -> io::Result<Self> {
        Ok(Self::start(Listener::Unix(UnixListener::bind(socket)?), upstream))
    }

    /// From a free TCP port of this machine to `upstream`.
    pub(super) async fn tcp(upstream: Endpoint) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(local(0)).await?;
        let address = listener.local_addr()?;
        Ok((Self::start(Listener::Tcp(listener), upstream), address))
    }

    /// Leads elsewhere from now on. Connections that are open end.
    pub(super) fn redirect(&self, upstream: Endpoint) {
        self.upstream.send_replace(upstream);
    }

    /// Bytes that went up (towards the service, towards KMS), and down.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |side: &Mutex<Vec<u8>>| {
            let tape = side.lock().unwrap_or_else(PoisonError::into_inner);
            u64::try_from(tape.len()).unwrap_or(u64::MAX)
        };
        (count(&self.tape.up), count(&self.tape.down))
    }

    /// A copy of both sides of the tape.
    pub(super) fn recorded(&self) -> [Vec<u8>; 2] {
        let copy =
            |side: &Mutex<Vec<u8>>| side.lock().unwrap_or_else(PoisonError::into_inner).clone();
        [copy(&self.tape.up), copy(&self.tape.down)]
    }

    fn start(listener: Listener, upstream: Endpoint) -> Self {
        let tape = Arc::new(Tape::default());
        let (upstream, leads_to) = watch::channel(upstream);
        let task = tokio::spawn(accept(listener, leads_to, Arc::clone(&tape)));
        Self { tape, upstream, task }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: Listener, leads_to: watch::Receiver<Endpoint>, tape: Arc<Tape>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (mut leads_to, tape) = (leads_to.clone(), Arc::clone(&tape));
        let upstream = leads_to.borrow_and_update().clone();
        connections.spawn(async move {
            tokio::select! {
                // The end first: else a request that follows might still pass.
                biased;
                _ = leads_to.changed() => {}
                // A connection that fails is over for both sides; that is all.
                _ = connection(stream, &upstream, &tape) => {}
            }
        });
    }
}

async fn connection(stream: Stream, upstream: &Endpoint, tape: &Tape) -> io::Result<()> {
    let (near_read, near_write) = tokio::io::split(stream);
    let (far_read, far_write) = tokio::io::split(upstream.connect().await?);
    let up = copy(near_read, far_write, &tape.up);
    let down = copy(far_read, near_write, &tape.down);
    tokio::try_join!(up, down).map(drop)
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    tape: &Mutex<Vec<u8>>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let len = from.read(&mut piece).await?;
        let bytes = piece.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        tape.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        to.write_all(bytes).await?;
    }
}

/// Bytes passed on at a time.
const PIECE: usize = 64 << 10;
