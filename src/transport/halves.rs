//! A stream's two halves, for reading and writing at the same time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{tcp, unix};

use super::{MAX_VSOCK_WRITE, Stream};

/// The half that reads.
#[derive(Debug)]
pub enum ReadHalf {
    /// Over vsock.
    Vsock(tokio_vsock::OwnedReadHalf),
    /// Over a Unix socket.
    Unix(unix::OwnedReadHalf),
    /// Over TCP.
    Tcp(tcp::OwnedReadHalf),
}

/// The half that writes.
#[derive(Debug)]
pub enum WriteHalf {
    /// Over vsock.
    Vsock(tokio_vsock::OwnedWriteHalf),
    /// Over a Unix socket.
    Unix(unix::OwnedWriteHalf),
    /// Over TCP.
    Tcp(tcp::OwnedWriteHalf),
}

impl Stream {
    /// Its two halves.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Vsock(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Vsock(read), WriteHalf::Vsock(write))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
        }
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(half) => Pin::new(half).poll_read(cx, buf),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buf),
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Vsock(half) => {
                let piece = buf.get(..MAX_VSOCK_WRITE).unwrap_or(buf);
                Pin::new(half).poll_write(cx, piece)
            }
            Self::Unix(half) => Pin::new(half).poll_write(cx, buf),
            Self::Tcp(half) => Pin::new(half).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(half) => Pin::new(half).poll_write_vectored(cx, pieces),
            Self::Tcp(half) => Pin::new(half).poll_write_vectored(cx, pieces),
            // One at a time, none too long.
            vsock @ Self::Vsock(_) => {
                let first = pieces.iter().find(|piece| !piece.is_empty());
                Pin::new(vsock).poll_write(cx, first.map_or(&[], |piece| piece))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp(_) => true,
            Self::Vsock(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(half) => Pin::new(half).poll_flush(cx),
            Self::Unix(half) => Pin::new(half).poll_flush(cx),
            Self::Tcp(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
