//! The Nitro Secure Module as a device of an emulated machine.
//!
//! A vhost-user backend for QEMU's
//! `vhost-user-test-device,virtio-id=33,num_vqs=1`, which the kernel's own `nsm`
//! driver binds: the guest sees the real `/dev/nsm`. Behind it answers the
//! simulator's module, with documents truly signed under the simulator's
//! authority. Started by `machine.rs`, or by whoever runs QEMU themselves.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use strongroom_sim::SimNsm;
use vhost::vhost_user::Listener;
use vhost_user_backend::{ShutdownHandle, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use backend::Backend;
use queue::RequestQueue;

mod answer;
mod backend;
mod fault;
mod faulty;
mod queue;

pub use answer::{MAX_REQUEST_LEN, RESPONSE_LEN, answer};
pub use fault::{NsmFault, NsmFaultHandle, RequestKind};

/// A running device. Dropped, it ends.
#[derive(Debug)]
pub struct NsmDevice {
    socket: PathBuf,
    control: Arc<Control>,
    serving: Option<JoinHandle<()>>,
}

impl NsmDevice {
    /// Listens for QEMU on the Unix socket `socket`, which is made; serves one
    /// connection after another.
    ///
    /// PCRs that a guest extends or locks stay so: one module is for one boot.
    ///
    /// # Errors
    /// [`NsmDeviceError`] when the socket cannot be made or a thread not be
    /// started.
    pub fn start(
        socket: &Path,
        nsm: Arc<SimNsm>,
        faults: NsmFaultHandle,
    ) -> Result<Self, NsmDeviceError> {
        let listener = Listener::new(socket, false)
            .map_err(|source| NsmDeviceError::Listen { path: socket.to_owned(), source })?;
        let control = Arc::new(Control::default());
        let serving = Builder::new()
            .name("nsm".into())
            .spawn({
                let control = control.clone();
                move || serve(listener, &nsm, &faults, &control)
            })
            .map_err(NsmDeviceError::Thread)?;
        Ok(Self { socket: socket.to_owned(), control, serving: Some(serving) })
    }
}

impl Drop for NsmDevice {
    fn drop(&mut self) {
        self.control.stop();
        // Wakes the thread where it waits for a connection.
        let woken = UnixStream::connect(&self.socket);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
        drop(woken);
    }
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum NsmDeviceError {
    /// The socket cannot be made.
    #[error(
        "the module's device cannot listen on {path}: {source}; is the path free, short and its directory writable?"
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: vhost::vhost_user::Error,
    },
    /// The thread cannot be started.
    #[error("the module's device cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// How the owner ends the thread that serves.
#[derive(Default)]
struct Control {
    stopped: AtomicBool,
    connection: Mutex<Option<ShutdownHandle>>,
}

impl Control {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(connection) = self.connection().take() {
            connection.shutdown();
        }
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Makes a connection one that [`Control::stop`] ends. Whichever of the two
    /// comes second sees the other.
    fn connected(&self, connection: Option<ShutdownHandle>) {
        *self.connection() = connection;
        if self.stopped() {
            self.stop();
        }
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Option<ShutdownHandle>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

fn serve(mut listener: Listener, nsm: &Arc<SimNsm>, faults: &NsmFaultHandle, control: &Control) {
    while !control.stopped() {
        let queue = RequestQueue::new(nsm.clone(), faults.clone());
        if let Err(error) = serve_one(&mut listener, queue, control) {
            // QEMU's end breaks the connection in the middle of a message.
            tracing::debug!(error, "connection to the module's device ended");
        }
    }
}

fn serve_one(
    listener: &mut Listener,
    queue: RequestQueue,
    control: &Control,
) -> Result<(), String> {
    let backend = Backend::new(queue).map_err(|error| error.to_string())?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("nsm".into(), Arc::new(RwLock::new(backend)), memory)
        .map_err(|error| error.to_string())?;
    daemon.start(listener).map_err(|error| error.to_string())?;
    control.connected(daemon.shutdown_handle());
    let ended = daemon.wait().map_err(|error| error.to_string());
    control.connected(None);
    ended
}
