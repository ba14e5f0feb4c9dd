//! The byte streams the service lives on: the first of the three seams.
//!
//! A closed set. The manifest of a production image can name vsock only; Unix
//! sockets and TCP exist for whoever composes the service on a laptop. Nothing
//! here is trusted: a stream is the parent's.

mod halves;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

pub use halves::{ReadHalf, WriteHalf};

/// Most bytes handed to one write on vsock: 32 KiB.
///
/// Some kernels corrupt larger vsock writes silently.
const MAX_VSOCK_WRITE: usize = 32 << 10;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A port of the virtual machine `cid`; 3 is the parent.
    Vsock {
        /// Context id of the peer.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Vsock { cid, port } => {
                VsockStream::connect(VsockAddr::new(*cid, *port)).await.map(Stream::Vsock)
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

/// Something that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// On a vsock port.
    Vsock(VsockListener),
    /// On a Unix socket.
    Unix(UnixListener),
    /// On a TCP address.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on a vsock port of this machine, for any peer.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn vsock(port: u32) -> io::Result<Self> {
        VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port)).map(Self::Vsock)
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the operating system says; the listener can be used on.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Vsock(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Vsock(stream), Peer::Vsock(address.cid())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer::Local))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Local))
            }
        }
    }
}

/// Who connected, for the log. Never an identity: the parent can be anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A virtual machine, by its context id; 3 is the parent.
    Vsock(u32),
    /// A process on this machine.
    Local,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vsock(cid) => write!(f, "vsock:{cid}"),
            Self::Local => f.write_str("local"),
        }
    }
}

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Over vsock.
    Vsock(VsockStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Vsock(stream) => {
                let piece = buf.get(..MAX_VSOCK_WRITE).unwrap_or(buf);
                Pin::new(stream).poll_write(cx, piece)
            }
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
