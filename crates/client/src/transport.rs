//! The byte stream under a connection: connecting, and writes that the
//! transport carries safely. Called by [`crate::Client`]; trusts nothing.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
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
        Address::Vm { socket, port } => Box::new(emulated(socket, *port).await?),
    })
}

/// Connects to a port of an emulated machine: `CONNECT <port>` on its socket,
/// `OK <its own port>` back, or an end when nothing listens there.
async fn emulated(socket: &Path, port: u32) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    let mut line = Vec::new();
    // One by one: what follows the line is the service's.
    while line.last() != Some(&b'\n') && line.len() < MAX_OK_LINE {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    match line.strip_prefix(b"OK ").is_some_and(|rest| rest.ends_with(b"\n")) {
        true => Ok(stream),
        false => Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!("nothing listens on vsock port {port} of the emulated enclave"),
        )),
    }
}

/// Longest line that a machine's socket answers with, in bytes.
const MAX_OK_LINE: usize = 32;

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

    /// Answers one connection's line with `answer`; returns the line.
    async fn machine(
        answer: &'static [u8],
    ) -> (tempfile::TempDir, Address, tokio::task::JoinHandle<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("vm.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = vec![0; 13];
            stream.read_exact(&mut line).await.unwrap();
            stream.write_all(answer).await.unwrap();
            line
        });
        (dir, Address::Vm { socket, port: 5005 }, served)
    }

    #[tokio::test]
    async fn a_port_of_an_emulated_enclave_is_asked_for_and_nothing_after_the_line_is_eaten() {
        let (_dir, address, served) = machine(b"OK 1024\nhello").await;
        let mut stream = connect(&address).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "hello");
        assert_eq!(served.await.unwrap(), b"CONNECT 5005\n");
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused() {
        for answer in [&b""[..], b"OK", b"NO 1\n", &[b'x'; 100]] {
            let (_dir, address, _served) = machine(answer).await;
            let error = connect(&address).await.err().expect("must be refused");
            assert!(
                error.to_string().contains("5005")
                    || error.kind() == io::ErrorKind::ConnectionReset,
                "{error}"
            );
        }
    }

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
