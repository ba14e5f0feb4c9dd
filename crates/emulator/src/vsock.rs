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
use std::sync::Arc;
use std::thread::JoinHandle;

use daemon::Daemon;
use muxer::Muxer;
use rings::Waker;

/// A running device. Dropping it ends its connections and removes its sockets.
pub struct VsockDevice {
    // Dropped in this order: first the rings' owner, then who works on them.
    _daemon: Daemon,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
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
        let daemon = Daemon::start(&config.vhost_socket, config.guest_cid, Arc::clone(&waker))
            .map_err(at(&config.vhost_socket))?;
        let thread = std::thread::Builder::new()
            .name("vsock-muxer".into())
            .spawn(move || muxer.run())
            .map_err(at(&config.vhost_socket))?;
        Ok(Self { _daemon: daemon, waker, thread: Some(thread) })
    }
}

impl Drop for VsockDevice {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    struct Started {
        device: VsockDevice,
        config: VsockConfig,
        _dir: tempfile::TempDir,
    }

    fn started() -> Started {
        let dir = tempfile::tempdir().unwrap();
        let [vhost_socket, host_socket] = ["vhost", "host"].map(|name| dir.path().join(name));
        let config = VsockConfig { guest_cid: 16, vhost_socket, host_socket };
        Started { device: VsockDevice::start(config.clone()).unwrap(), config, _dir: dir }
    }

    fn connected(path: &PathBuf) -> UnixStream {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    #[test]
    fn a_device_ends_with_and_without_qemu_and_removes_its_sockets() {
        let unheard = started();
        drop(unheard.device);
        assert!(!unheard.config.vhost_socket.exists() && !unheard.config.host_socket.exists());

        let Started { device, config, _dir } = started();
        let mut qemu = connected(&config.vhost_socket);
        // vhost-user's `GET_FEATURES`: request 1, version 1, no payload.
        qemu.write_all(&[[1, 0, 0, 0], [1, 0, 0, 0], [0; 4]].concat()).unwrap();
        qemu.read_exact(&mut [0; 20]).unwrap();
        drop(device);
        assert_eq!(qemu.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_client_is_held_until_qemu_hangs_up() {
        let started = started();
        let qemu = connected(&started.config.vhost_socket);
        let mut client = connected(&started.config.host_socket);
        client.write_all(b"CONNECT 5000\n").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(client.read(&mut [0]).is_err(), "it waits");
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        drop(qemu);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_socket_that_cannot_be_made_is_an_error_with_its_path() {
        let taken = started();
        let again = VsockDevice::start(taken.config.clone()).err().unwrap().to_string();
        assert!(again.contains("host"), "{again}");
        let missing = VsockConfig { vhost_socket: "/nonexistent/vhost".into(), ..free(&taken) };
        let host_socket = missing.host_socket.clone();
        let missing = VsockDevice::start(missing).err().unwrap().to_string();
        assert!(missing.contains("/nonexistent/vhost"), "{missing}");
        assert!(!host_socket.exists(), "nothing is left behind");
    }

    fn free(taken: &Started) -> VsockConfig {
        let host_socket = taken.config.host_socket.with_file_name("other");
        VsockConfig { host_socket, ..taken.config.clone() }
    }
}
