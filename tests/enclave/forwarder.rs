//! A plain byte forwarder where vsock-proxy stands: from the socket that the
//! enclave's connections to the parent arrive at, to wherever KMS is. It can be
//! killed with all its connections, and started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::{TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

pub struct Forwarder {
    socket: PathBuf,
    accepting: JoinHandle<()>,
}

impl Forwarder {
    pub fn start(socket: &Path, to: SocketAddr) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let accepting = tokio::spawn(async move {
            // Dropped with the task, and every connection with it.
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { socket: socket.to_owned(), accepting }
    }

    /// Ends it as a crash does: every connection breaks, nothing listens.
    pub async fn kill(self) {
        let socket = self.socket.clone();
        self.accepting.abort();
        let _ = self.accepting.await;
        std::fs::remove_file(socket).unwrap();
    }
}
