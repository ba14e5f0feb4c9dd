//! The vhost-user daemon of the device, in threads of its own.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

use vhost::vhost_user::Listener;
use vhost_user_backend::{VhostUserBackendMut, VhostUserDaemon, VringRwLock};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

/// Serves one QEMU on a socket, until that hangs up.
pub(crate) struct Daemon {
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Listens on `socket`, which QEMU then connects to.
    pub(crate) fn start<B>(
        name: &'static str,
        socket: &Path,
        backend: Arc<RwLock<B>>,
    ) -> io::Result<Self>
    where
        B: VhostUserBackendMut<Bitmap = (), Vring = VringRwLock> + Send + Sync + 'static,
    {
        let mut listener =
            Listener::new(socket, true).map_err(|error| io::Error::other(error.to_string()))?;
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
            let served =
                VhostUserDaemon::new(name.into(), backend, memory).and_then(|mut daemon| {
                    daemon.start(&mut listener)?;
                    daemon.wait()
                });
            // QEMU's hanging up is an error to the library, and the end for us.
            if let Err(error) = served {
                tracing::debug!(%error, device = name, "QEMU is gone");
            }
        })?;
        Ok(Self { socket: socket.to_owned(), thread: Some(thread) })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Where QEMU never came, the thread still waits for it.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}
