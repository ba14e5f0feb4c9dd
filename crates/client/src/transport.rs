//! The byte stream under a connection: connecting, and writes that the
//! transport carries safely. Called by [`crate::Client`]; trusts nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_vsock::{VsockAddr, VsockStream};

use crate::Address;

/// Most bytes in one write to a vsock: 32 KiB.
///
/// Some kernels' virtio-vsock drivers corrupt larger writes without an error.
const MAX_VSOCK_WRITE: usize = 32 << 10;

/// A connected byte stream of any kind.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects to `address`.
pub(crate) async fn connect(address: &Address) -> io::Result<Box<dyn Transport>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Vsock { cid, port } => {
            let inner = VsockStream::connect(VsockAddr::new(*cid, *port)).await?;
            Box::new(SmallWrites { inner, max: MAX_VSOCK_WRITE })
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            // A request's last frame is small and must not wait for more.
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

/// A stream that never hands its inner stream more than `max` bytes at once.
struct SmallWrites<S> {
    inner: S,
    max: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for SmallWrites<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

/// Vectored writes stay off (the trait's default): they would go past `max`.
impl<S: AsyncWrite + Unpin> AsyncWrite for SmallWrites<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let piece = buf.get(..self.max).unwrap_or(buf);
        Pin::new(&mut self.inner).poll_write(cx, piece)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::io::AsyncWriteExt as _;

    #[derive(Clone, Default)]
    struct Sizes(Arc<Mutex<Vec<usize>>>);

    impl AsyncWrite for Sizes {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(buf.len());
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn no_write_to_a_vsock_is_over_its_limit_and_none_is_lost() {
        let sizes = Sizes::default();
        let mut stream = SmallWrites { inner: sizes.clone(), max: MAX_VSOCK_WRITE };
        stream.write_all(&vec![0; 100_000]).await.unwrap();
        assert!(!stream.is_write_vectored());
        let sizes = sizes.0.lock().unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), 100_000);
        assert!(sizes.iter().all(|size| *size <= 32 << 10));
    }
}
