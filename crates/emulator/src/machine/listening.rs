//! A Unix socket where something listens until it is dropped.
//!
//! Used for the ports of the parent that a machine itself answers at. Serves one
//! connection after another: there are few, they are short, and each has a
//! deadline.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A listening socket and the thread behind it.
#[derive(Debug)]
pub(super) struct Listening {
    path: PathBuf,
    listener: UnixListener,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Makes the socket and hands every connection to `serve`.
    pub(super) fn start(
        path: &Path,
        mut serve: impl FnMut(&UnixStream) + Send + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let accepting = listener.try_clone()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = Builder::new().name("parent".into()).spawn({
            let stopped = stopped.clone();
            move || {
                for stream in accepting.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    // Neither fails for a timeout that is not zero.
                    let _ = stream.set_read_timeout(Some(DEADLINE));
                    let _ = stream.set_write_timeout(Some(DEADLINE));
                    serve(&stream);
                }
            }
        })?;
        Ok(Self { path: path.to_owned(), listener, stopped, thread: Some(thread) })
    }
}

/// Waits until everyone who connected to a [`Listening`] before has been served.
pub(super) fn drain(path: &Path) {
    let Ok(mut stream) = UnixStream::connect(path) else { return };
    let _ = stream.set_read_timeout(Some(DEADLINE.saturating_mul(2)));
    let _ = stream.shutdown(Shutdown::Write);
    // The end comes when this connection's turn has come and gone.
    let _ = stream.read(&mut [0]);
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Ends the wait for a connection.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// How long a connection may keep the others waiting for a byte: a guest on a
/// busy machine may well need a second.
const DEADLINE: Duration = Duration::from_secs(5);
