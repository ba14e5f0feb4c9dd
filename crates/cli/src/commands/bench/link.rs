//! A connection to what is measured: the protocol of the service, or none for
//! the echo, with as little work as may be, so that the bench is not the limit.

use std::sync::Arc;
use std::time::Duration;

use strongroom::transport::{Endpoint, Stream};
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{ErrorBody, Event, FrameDecoder, FrameKind, Payload as _, Step, Trailer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::body::count;
use super::child::Child;
use super::stand::Kind;
use crate::error::CliError;

type Reads = Box<dyn AsyncRead + Send + Unpin>;
type Writes = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection, with no request on it.
pub(super) struct Link {
    read: Receiver,
    write: Writes,
}

/// Its receiving half.
struct Receiver {
    stream: Reads,
    kind: Kind,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
    /// What of the buffer has come and not been used.
    start: usize,
    end: usize,
}

impl Link {
    /// Connects, and sends the preface.
    pub(super) async fn connect(child: &Child, buffer: usize) -> Result<Self, CliError> {
        let (stream, mut write) = halves(&child.endpoint).await?;
        if child.kind == Kind::Service {
            write.write_all(&PREFACE).await.map_err(lost)?;
        }
        let decoder = FrameDecoder::new();
        let (kind, buffer) = (child.kind, vec![0; buffer]);
        Ok(Self { read: Receiver { stream, kind, decoder, buffer, start: 0, end: 0 }, write })
    }

    /// Sends a small request and waits for the end of what comes back.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<(), CliError> {
        self.write.write_all(request).await.map_err(lost)?;
        self.read.answer(count(request.len())).await
    }

    /// Sends a large request in writes of `piece` bytes while it receives what
    /// comes back.
    pub(super) async fn stream(
        mut self,
        request: Arc<Vec<u8>>,
        piece: usize,
    ) -> Result<(), CliError> {
        let expected = count(request.len());
        let writing = tokio::spawn(async move {
            for piece in request.chunks(piece) {
                self.write.write_all(piece).await?;
            }
            Ok(self.write)
        });
        self.read.answer(expected).await?;
        joined(writing.await).map(drop)
    }

    /// The same with what `pieces` gives.
    pub(super) async fn stream_made(
        mut self,
        mut pieces: tokio::sync::mpsc::Receiver<Vec<u8>>,
    ) -> Result<(), CliError> {
        let writing = tokio::spawn(async move {
            while let Some(piece) = pieces.recv().await {
                self.write.write_all(&piece).await?;
            }
            Ok(self.write)
        });
        self.read.answer(0).await?;
        joined(writing.await).map(drop)
    }

    /// Asks with `request`, and gives the payload of the answer's first frame.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, CliError> {
        self.write.write_all(request).await.map_err(lost)?;
        let mut first = Vec::new();
        self.read.frames(|payload| first = payload.to_vec()).await?;
        Ok(first)
    }
}

/// So many connections, with room for `buffer` bytes each.
pub(super) async fn connect(
    child: &Child,
    connections: usize,
    buffer: usize,
) -> Result<Vec<Link>, CliError> {
    let mut links = Vec::new();
    for _ in 0..connections {
        links.push(Link::connect(child, buffer).await?);
    }
    Ok(links)
}

fn joined(
    written: Result<std::io::Result<Writes>, tokio::task::JoinError>,
) -> Result<Writes, CliError> {
    written.map_err(|_| CliError::Internal("a task panicked"))?.map_err(lost)
}

impl Receiver {
    /// Receives the answer to a request, which is `len` bytes for the echo.
    async fn answer(&mut self, len: u64) -> Result<(), CliError> {
        match self.kind {
            Kind::Service => self.frames(|_| ()).await,
            Kind::Echo => self.bytes(len).await,
        }
    }

    async fn bytes(&mut self, mut left: u64) -> Result<(), CliError> {
        while left > 0 {
            match self.stream.read(&mut self.buffer).await.map_err(lost)? {
                0 => return Err(ended()),
                read => left = left.saturating_sub(count(read)),
            }
        }
        Ok(())
    }

    /// To the END frame, whose count must be right; `response` sees the first.
    async fn frames(&mut self, mut response: impl FnMut(&[u8])) -> Result<(), CliError> {
        let mut received = 0;
        loop {
            let input = self.buffer.get(self.start..self.end).unwrap_or_default();
            match self.decoder.next(input).map_err(|error| broken(&error.to_string()))? {
                Step::NeedMore(_) => self.more().await?,
                Step::Event { consumed, event } => {
                    self.start += consumed;
                    match event {
                        Event::Data(bytes) => received += count(bytes.len()),
                        Event::Control(FrameKind::Response, payload) => response(payload),
                        Event::Control(FrameKind::End, payload) => {
                            let trailer = Trailer::decode(payload).ok();
                            return match trailer.is_some_and(|end| end.bytes == received) {
                                true => Ok(()),
                                false => Err(broken("the count of its END is wrong")),
                            };
                        }
                        Event::Control(FrameKind::Error, payload) => {
                            let body = ErrorBody::decode(payload);
                            return Err(broken(&body.map_or_else(|_| String::new(), told)));
                        }
                        Event::Control(FrameKind::Request | FrameKind::Data, _) => {
                            return Err(broken("a frame came out of order"));
                        }
                    }
                }
            }
        }
    }

    async fn more(&mut self) -> Result<(), CliError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.stream.read(room).await.map_err(lost)? {
            0 => Err(ended()),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }
}

async fn halves(endpoint: &Endpoint) -> Result<(Reads, Writes), CliError> {
    let mut attempts = 0;
    let stream = loop {
        match endpoint.connect().await {
            Ok(stream) => break stream,
            // Its backlog is full: it has to accept first.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && attempts < ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(lost(error)),
        }
    };
    // Halves that do not wait for one another.
    Ok(match stream {
        Stream::Unix(stream) => {
            let (read, write) = stream.into_split();
            (Box::new(read), Box::new(write))
        }
        Stream::Tcp(stream) => {
            let (read, write) = stream.into_split();
            (Box::new(read), Box::new(write))
        }
        Stream::Vsock(stream) => {
            let (read, write) = tokio::io::split(stream);
            (Box::new(read), Box::new(write))
        }
    })
}

fn told(body: ErrorBody) -> String {
    format!("{}: {}", body.code, body.message)
}

fn broken(what: &str) -> CliError {
    CliError::Bench(format!("a request under measurement failed: {what}"))
}

fn lost(error: std::io::Error) -> CliError {
    broken(&error.to_string())
}

fn ended() -> CliError {
    broken("the connection ended")
}

/// Bytes received at once where much is.
pub(super) const LARGE: usize = 256 << 10;
/// The same where little is: room for any steering frame.
pub(super) const SMALL: usize = 72 << 10;
/// How often, and after what time, a full backlog is tried again.
const ATTEMPTS: usize = 10_000;
const PAUSE: Duration = Duration::from_millis(1);
