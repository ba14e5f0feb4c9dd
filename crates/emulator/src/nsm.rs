//! The Nitro Secure Module as a device of an emulated machine.
//!
//! A vhost-user backend for QEMU's
//! `vhost-user-test-device,virtio-id=33,num_vqs=1`, which the kernel's own `nsm`
//! driver binds: the guest sees the real `/dev/nsm`. Behind it answers the
//! simulator's module, with documents truly signed under the simulator's
//! authority. Started by `machine.rs`, or by whoever runs QEMU themselves.

use std::os::unix::net::UnixListener;
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
    listener: UnixListener,
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
        let path = || socket.to_owned();
        let unheard = |source| NsmDeviceError::Listen { path: path(), source };
        let listener = UnixListener::bind(socket).map_err(unheard)?;
        let accepting = Listener::from(listener.try_clone().map_err(unheard)?);
        let control = Arc::new(Control::default());
        let serving = Builder::new()
            .name("nsm".into())
            .spawn({
                let control = control.clone();
                move || serve(accepting, &nsm, &faults, &control)
            })
            .map_err(NsmDeviceError::Thread)?;
        Ok(Self { socket: path(), listener, control, serving: Some(serving) })
    }
}

impl Drop for NsmDevice {
    fn drop(&mut self) {
        self.control.stop();
        // Ends the wait for a connection.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
        let _ = std::fs::remove_file(&self.socket);
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
        source: std::io::Error,
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
        let mut daemon = match connected(&mut listener, queue) {
            Ok(daemon) => daemon,
            // The owner has shut the listener, or it is of no use any more.
            Err(error) => return tracing::debug!(error, "the module's device ends"),
        };
        control.connected(daemon.shutdown_handle());
        if let Err(error) = daemon.wait() {
            // QEMU's end may break the connection in the middle of a message.
            tracing::debug!(%error, "the connection to the module's device ended");
        }
        control.connected(None);
    }
}

/// Waits for QEMU.
fn connected(
    listener: &mut Listener,
    queue: RequestQueue,
) -> Result<VhostUserDaemon<Arc<RwLock<Backend>>>, String> {
    let backend = Backend::new(queue).map_err(|error| error.to_string())?;
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("nsm".into(), Arc::new(RwLock::new(backend)), memory)
        .map_err(|error| error.to_string())?;
    daemon.start(listener).map_err(|error| error.to_string())?;
    Ok(daemon)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    struct Started {
        device: NsmDevice,
        socket: PathBuf,
        _dir: tempfile::TempDir,
    }

    fn started() -> Started {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("nsm");
        let nsm = Arc::new(SimNsm::builder().build().unwrap());
        let device = NsmDevice::start(&socket, nsm, NsmFaultHandle::default()).unwrap();
        Started { device, socket, _dir: dir }
    }

    /// vhost-user's `GET_FEATURES`: request 1, version 1, no payload.
    fn features(stream: &mut UnixStream) -> u64 {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&[[1, 0, 0, 0], [1, 0, 0, 0], [0; 4]].concat()).unwrap();
        let mut reply = [0; 20];
        stream.read_exact(&mut reply).unwrap();
        u64::from_le_bytes(*reply.last_chunk().unwrap())
    }

    #[test]
    fn one_connection_after_another_is_served_even_after_nonsense() {
        let started = started();
        for nonsense in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096]] {
            let mut stream = UnixStream::connect(&started.socket).unwrap();
            let _ = stream.write_all(nonsense);
        }
        let mut stream = UnixStream::connect(&started.socket).unwrap();
        // VIRTIO_F_VERSION_1 and the protocol's own features.
        assert_eq!(features(&mut stream), (1 << 32) | (1 << 30));
    }

    #[test]
    fn a_device_ends_with_and_without_a_connection() {
        let unheard = started();
        drop(unheard.device);
        assert!(!unheard.socket.exists());

        let connected = started();
        let mut stream = UnixStream::connect(&connected.socket).unwrap();
        features(&mut stream);
        drop(connected.device);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_cannot_be_made_is_an_error() {
        let taken = started();
        let nsm = Arc::new(SimNsm::builder().build().unwrap());
        let again = NsmDevice::start(&taken.socket, nsm, NsmFaultHandle::default());
        assert!(again.unwrap_err().to_string().contains("in use"));
    }
}
