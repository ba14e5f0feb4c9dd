//! The vsock device of a Nitro machine, as a vhost-user backend.
//!
//! The enclave sees its parent as context id 3. On this side the parent is a
//! set of Unix sockets: who connects to the host socket and sends
//! `CONNECT <port>\n` reaches that port of the enclave (`OK <n>\n` comes back,
//! or the end where nobody listens); the enclave's connections to port `P` of
//! its parent arrive at the socket with `_P` after its name, and are reset
//! where nobody listens there.
//!
//! Behaves as Nitro's own transport: credit both ways, half-close, reset, writes
//! of any size. The guest is not trusted: it can break its own connections and
//! nothing else. Virtio 1.2, §5.10 is the source.
//!
//! ```text
//! QEMU ── vhost-user ─▶ backend ─▶ rings ─▶ muxer ─▶ connection… ◀─▶ Unix sockets
//!                                           (packet)
//! ```

mod backend;
mod connection;
mod daemon;
mod muxer;
mod packet;
mod rings;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

use backend::Backend;
use daemon::Daemon;
use muxer::Muxer;
use rings::Waker;

/// A running device. Dropping it ends its connections and removes its sockets.
pub struct VsockDevice {
    // Dropped in this order: first the rings' owner, then who works on them.
    _daemon: Daemon,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    host_socket: PathBuf,
}

/// Where a device is.
#[derive(Clone, Debug)]
pub struct VsockConfig {
    /// The enclave's context id; 4 and above.
    pub guest_cid: u64,
    /// The socket that QEMU connects to.
    pub vhost_socket: PathBuf,
    /// The socket for connections to the enclave, and the beginning of the names
    /// of those for connections from it.
    pub host_socket: PathBuf,
}

/// Why a device does not start.
#[derive(Debug, thiserror::Error)]
#[error("the vsock device cannot be set up at {}: {source}", .path.display())]
pub struct VsockError {
    path: PathBuf,
    source: io::Error,
}

impl VsockDevice {
    /// Starts the device; QEMU can connect when this returns.
    ///
    /// # Errors
    /// [`VsockError`] when a socket cannot be made.
    pub fn start(config: VsockConfig) -> Result<Self, VsockError> {
        let at = |path: &PathBuf| {
            let path = path.clone();
            move |source| VsockError { path, source }
        };
        let muxer =
            Muxer::new(config.guest_cid, &config.host_socket).map_err(at(&config.host_socket))?;
        let waker = muxer.waker();
        let backend = Backend::new(config.guest_cid, Arc::clone(&waker));
        let daemon = Daemon::start("vsock", &config.vhost_socket, Arc::new(RwLock::new(backend)))
            .map_err(at(&config.vhost_socket))?;
        let thread = std::thread::Builder::new()
            .name("vsock-muxer".into())
            .spawn(move || muxer.run())
            .map_err(at(&config.vhost_socket))?;
        let host_socket = config.host_socket;
        Ok(Self { _daemon: daemon, waker, thread: Some(thread), host_socket })
    }
}

impl Drop for VsockDevice {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.host_socket);
    }
}

/// The context id of an enclave's parent.
pub(crate) const PARENT_CID: u64 = 3;

/// The socket at which connections of the enclave to port `port` of its parent
/// arrive.
#[must_use]
pub fn port_path(host_socket: &std::path::Path, port: u32) -> PathBuf {
    let mut path = host_socket.as_os_str().to_owned();
    path.push(format!("_{port}"));
    path.into()
}
