//! The vhost-user daemon of the device, in threads of its own.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use vhost::vhost_user::Listener;
use vhost_user_backend::{ShutdownHandle, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use super::backend::Backend;
use super::rings::{News, Waker};

/// Serves one QEMU on a socket, until that hangs up or this is dropped.
pub(super) struct Daemon {
    socket: PathBuf,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// How the owner ends the thread that serves.
#[derive(Default)]
struct Control {
    stopped: AtomicBool,
    connection: Mutex<Option<ShutdownHandle>>,
}

impl Daemon {
    /// Listens on `socket`, which QEMU then connects to. When it has hung up,
    /// `waker` is told.
    pub(super) fn start(socket: &Path, guest_cid: u64, waker: Arc<Waker>) -> io::Result<Self> {
        let listener =
            Listener::new(socket, true).map_err(|error| io::Error::other(error.to_string()))?;
        let control = Arc::<Control>::default();
        let theirs = Arc::clone(&control);
        let thread = std::thread::Builder::new().name("vsock".into()).spawn(move || {
            let backend = Backend::new(guest_cid, Arc::clone(&waker));
            // QEMU's hanging up is an error to the library, and the end for us.
            if let Err(error) = serve(listener, backend, &theirs) {
                tracing::debug!(%error, "the vsock device's QEMU is gone");
            }
            waker.tell(News::Gone);
        })?;
        Ok(Self { socket: socket.to_owned(), control, thread: Some(thread) })
    }
}

fn serve(
    mut listener: Listener,
    backend: Backend,
    control: &Control,
) -> Result<(), vhost_user_backend::Error> {
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("vsock".into(), Arc::new(RwLock::new(backend)), memory)?;
    daemon.start(&mut listener)?;
    control.connected(daemon.shutdown_handle());
    daemon.wait()
}

impl Control {
    /// Whichever of this and [`Self::stop`] comes second sees the other.
    fn connected(&self, connection: Option<ShutdownHandle>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
        if self.stopped.load(Ordering::SeqCst) {
            self.stop();
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = connection {
            connection.shutdown();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.control.stop();
        // Where QEMU never came, the thread still waits for it.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}
