//! A connection: frames in, frames out, with a bound on every wait.
//!
//! Holds what has arrived and not been used, and what is to be sent and small;
//! knows the order of frames within a request and nothing of what they mean.

mod writer;

use std::io;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::{Buf, BufMut, BytesMut};
use strongroom_envelope::SecretBuf;
use strongroom_wire::frame::{MAX_DATA_LEN, PREFACE, encode_head};
use strongroom_wire::{
    Event, FrameDecoder, FrameError, FrameKind, MessageError, Payload, Request, Step, Trailer,
};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::budget::Share;
use crate::transport::{ReadHalf, Stream};
pub use writer::Piece;
use writer::Writer;

/// A client's connection.
pub struct Connection {
    stream: ReadHalf,
    writer: Writer,
    decoder: FrameDecoder,
    input: BytesMut,
    out: Vec<u8>,
    idle: Duration,
    /// Bytes of the body that is being received; `None` when there is none.
    body: Option<u64>,
    /// Bodies of the request that follow this one.
    more_bodies: usize,
    /// SHA-256 of the last request as it arrived.
    request_digest: [u8; 32],
    /// Bytes asked of the stream at once, while a body comes in.
    body_read: usize,
    /// What the buffers of a request that has ended are counted in.
    share: Option<Share>,
}

/// Why a connection cannot go on. The peer's or the transport's fault.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// Nothing moved for as long as `limits.idle_timeout_secs` allows.
    #[error("the connection was idle for too long")]
    Idle,
    /// The peer closed in the middle of a frame or a request.
    #[error("the connection ended in the middle of a request")]
    Ended,
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A steering frame that cannot be read or written.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A frame that may not come here.
    #[error("a frame came out of order")]
    Order,
    /// The body is not as long as its trailer says.
    #[error("the body is not as long as its END frame says")]
    Length,
}

/// What came of waiting for more of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// More bytes were appended.
    More,
    /// The body is complete.
    End,
}

impl Connection {
    /// A connection at its start. No wait for the peer is longer than `idle`.
    #[must_use]
    pub fn new(stream: Stream, idle: Duration) -> Self {
        let (stream, half) = stream.into_split();
        Self {
            stream,
            writer: Writer::new(half, idle),
            decoder: FrameDecoder::new(),
            input: BytesMut::new(),
            out: PREFACE.to_vec(),
            idle,
            body: None,
            more_bodies: 0,
            request_digest: [0; 32],
            body_read: CONTROL_READ,
            share: None,
        }
    }

    /// The next request; `None` when the peer closed between two requests.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn next_request(&mut self) -> Result<Option<Request>, ConnectionError> {
        // What it has, the next request counts.
        self.share = None;
        if self.input.is_empty() {
            // An idle connection keeps no buffers.
            self.input = BytesMut::new();
            self.let_go();
            if !self.read_more(CONTROL_READ).await? {
                return Ok(None);
            }
        }
        // Once it has begun, a request's head comes whole in one idle timeout: a
        // byte now and then does not hold a connection.
        timeout(self.idle, self.request_head()).await.map_err(|_| ConnectionError::Idle)?.map(Some)
    }

    async fn request_head(&mut self) -> Result<Request, ConnectionError> {
        loop {
            match self.decoder.next(&self.input)? {
                Step::NeedMore(_) => {}
                Step::Event { consumed, event } => {
                    let Event::Control(FrameKind::Request, cbor) = event else {
                        return Err(ConnectionError::Order);
                    };
                    let request = Request::decode(cbor)?;
                    let digest = digest::digest(&digest::SHA256, cbor);
                    self.request_digest = digest.as_ref().try_into().unwrap_or_default();
                    self.input.advance(consumed);
                    return Ok(request);
                }
            }
            // Nor does one whose peer takes its time.
            self.let_go();
            if !self.read_more(CONTROL_READ).await? {
                return Err(ConnectionError::Ended);
            }
        }
    }

    /// Counts in `share` what a request leaves behind, until it has left.
    pub fn keep(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// Lets go of buffers that are not needed to send what waits.
    pub fn let_go(&mut self) {
        self.writer.trim();
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        self.share = None;
    }

    /// Gives up what is being sent: nothing that followed would be understood.
    pub fn abandon(&mut self) {
        self.writer.abandon();
        self.let_go();
    }

    /// SHA-256 of the last request's payload as it arrived.
    #[must_use]
    pub fn request_digest(&self) -> &[u8; 32] {
        &self.request_digest
    }

    /// Bytes of memory that its buffers have.
    #[must_use]
    pub fn memory(&self) -> usize {
        let own = self.input.capacity().saturating_add(self.out.capacity());
        own.saturating_add(self.writer.memory())
    }

    /// Says how many bodies the request has: [`Self::read_body`] follows.
    pub fn expect_bodies(&mut self, count: usize) {
        self.body = (count > 0).then_some(0);
        self.more_bodies = count.saturating_sub(1);
        self.body_read = CONTROL_READ;
    }

    /// Goes on to the body that follows the one that has ended; `false` when
    /// there is none.
    pub fn next_body(&mut self) -> bool {
        match self.more_bodies.checked_sub(1) {
            Some(left) => {
                self.more_bodies = left;
                self.body = Some(0);
                true
            }
            None => false,
        }
    }

    /// Appends bytes of the body to `into`, as they come, or finds its end.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn read_body(&mut self, into: &mut BytesMut) -> Result<Body, ConnectionError> {
        loop {
            if let Some(found) = self.buffered_body(into)? {
                return Ok(found);
            }
            // The peer may be waiting for this before it goes on.
            self.flush().await?;
            if self.input.is_empty() && self.decoder.data_left() > CONTROL_READ {
                self.read_data(into).await?;
                return Ok(Body::More);
            }
            if !self.read_more(CONTROL_READ).await? {
                return Err(ConnectionError::Ended);
            }
        }
    }

    /// Reads bytes of a `DATA` frame from the stream to where they are wanted.
    async fn read_data(&mut self, into: &mut BytesMut) -> Result<(), ConnectionError> {
        let wanted = self.decoder.data_left().min(self.body_read);
        into.reserve(wanted);
        let mut room = into.limit(wanted);
        let read = timeout(self.idle, self.stream.read_buf(&mut room)).await;
        let read = read.map_err(|_| ConnectionError::Idle)??;
        if read == 0 {
            return Err(ConnectionError::Ended);
        }
        self.decoder.take_data(read);
        self.body = self.body.map(|received| received.saturating_add(as_u64(read)));
        // A peer that fills what it is given gets more; one that dawdles does not
        // make us hold memory for it.
        if read == self.body_read {
            self.body_read = self.body_read.saturating_mul(2).min(BODY_READ);
        }
        Ok(())
    }

    fn buffered_body(&mut self, into: &mut BytesMut) -> Result<Option<Body>, ConnectionError> {
        let Some(received) = self.body else { return Ok(Some(Body::End)) };
        let mut received = received;
        let before = into.len();
        let end = loop {
            let Step::Event { consumed, event } = self.decoder.next(&self.input)? else {
                break None;
            };
            match event {
                Event::Data(bytes) => {
                    into.extend_from_slice(bytes);
                    received = received.saturating_add(as_u64(bytes.len()));
                }
                Event::Control(FrameKind::End, cbor) if into.len() == before => {
                    break Some((consumed, Trailer::decode(cbor)?));
                }
                // Bytes came before the end: give those first.
                Event::Control(FrameKind::End, _) => break None,
                Event::Control(_, _) => return Err(ConnectionError::Order),
            }
            self.input.advance(consumed);
        };
        self.body = Some(received);
        match end {
            Some((_, trailer)) if trailer.bytes != received => Err(ConnectionError::Length),
            Some((consumed, _)) => {
                self.input.advance(consumed);
                self.body = None;
                Ok(Some(Body::End))
            }
            None => Ok((into.len() > before).then_some(Body::More)),
        }
    }

    /// Sends a steering frame, and all that waits before it.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn send(
        &mut self,
        kind: FrameKind,
        payload: &impl Payload,
    ) -> Result<(), ConnectionError> {
        self.queue(kind, &payload.encode()?)?;
        self.flush().await
    }

    /// Begins the body of an answer, whose digest is asked for if `hashed`.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn begin_result(&mut self, hashed: bool) -> Result<(), ConnectionError> {
        self.writer.begin(hashed).await
    }

    /// SHA-256 of the body of an answer, all of which has been sent, if it is asked
    /// for.
    ///
    /// # Errors
    /// [`ConnectionError`], as for what is sent.
    pub async fn result_digest(&mut self) -> Result<Option<[u8; 32]>, ConnectionError> {
        self.writer.digest().await
    }

    /// Sends bytes of a body; small ones may wait for what follows.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn send_data(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.writer.note(bytes).await?;
        for piece in bytes.chunks(MAX_DATA_LEN) {
            if piece.len() <= SMALL {
                self.queue(FrameKind::Data, piece)?;
            } else {
                self.out.extend_from_slice(&encode_head(FrameKind::Data, piece.len())?);
                self.flush_before(piece).await?;
            }
        }
        if self.out.len() > SMALL { self.flush().await } else { Ok(()) }
    }

    /// Sends a piece of a body, all of `buffer`, and leaves an empty buffer in its
    /// place. A long one leaves while the caller goes on.
    ///
    /// # Errors
    /// [`ConnectionError`]; of a long one maybe when the next is sent.
    pub async fn send_clear(&mut self, buffer: &mut SecretBuf) -> Result<(), ConnectionError> {
        if buffer.len() < BEHIND {
            self.send_data(buffer.expose()).await?;
            buffer.clear();
            return Ok(());
        }
        let piece = Piece::Clear(std::mem::take(buffer));
        self.writer.write_behind(std::mem::take(&mut self.out), piece).await?;
        *buffer = self.writer.spare_clear();
        Ok(())
    }

    /// As [`Self::send_clear`].
    ///
    /// # Errors
    /// As [`Self::send_clear`].
    pub async fn send_protected(&mut self, buffer: &mut Vec<u8>) -> Result<(), ConnectionError> {
        if buffer.len() < BEHIND {
            self.send_data(buffer).await?;
            buffer.clear();
            return Ok(());
        }
        let piece = Piece::Protected(std::mem::take(buffer));
        self.writer.write_behind(std::mem::take(&mut self.out), piece).await?;
        *buffer = self.writer.spare_protected();
        Ok(())
    }

    /// Puts a steering frame where the next flush sends it.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn queue(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), ConnectionError> {
        self.out.extend_from_slice(&encode_head(kind, payload.len())?);
        self.out.extend_from_slice(payload);
        Ok(())
    }

    /// Whether an `ERROR` frame would still be understood.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.writer.is_broken()
    }

    /// Drops what has been queued and not sent: an error voids it. The preface
    /// stays.
    pub fn unqueue(&mut self) {
        let keep = if self.out.starts_with(&PREFACE) { PREFACE.len() } else { 0 };
        self.out.truncate(keep);
    }

    /// Reads the rest of a request's bodies and throws it away. Whether their end
    /// came within a bound of bytes and time: the next request can then follow.
    pub async fn skip_body(&mut self) -> bool {
        let skipping = async {
            let (mut left, mut piece) = (DRAIN_BYTES, BytesMut::new());
            while self.read_body(&mut piece).await? == Body::More || self.next_body() {
                left = left.saturating_sub(piece.len());
                piece.clear();
                if left == 0 {
                    return Err(ConnectionError::Order);
                }
            }
            Ok(())
        };
        matches!(timeout(DRAIN_TIME, skipping).await, Ok(Ok(())))
    }

    /// Reads and throws away what the peer still sends, within a bound, so that
    /// it gets to read the error rather than a reset.
    pub async fn drain(&mut self) {
        let _ = timeout(DRAIN_TIME, self.writer.shutdown()).await;
        let mut left = DRAIN_BYTES;
        let _ = timeout(DRAIN_TIME, async {
            while left > 0 {
                self.input.clear();
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        })
        .await;
    }

    async fn read_more(&mut self, size: usize) -> Result<bool, ConnectionError> {
        self.input.reserve(size);
        let read = timeout(self.idle, self.stream.read_buf(&mut self.input)).await;
        Ok(read.map_err(|_| ConnectionError::Idle)?? > 0)
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        if self.out.is_empty() { Ok(()) } else { self.flush_before(&[]).await }
    }

    /// Sends what waits, and `bytes` behind it.
    async fn flush_before(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let written = self.writer.write(&self.out, bytes).await;
        // Kept for its memory; a result in the clear may be among the bytes,
        // but those have left anyway.
        self.out.clear();
        written
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Bytes asked of the stream while a request's head is awaited.
const CONTROL_READ: usize = 4 << 10;

/// Most bytes asked of the stream at once while a body comes in.
const BODY_READ: usize = 256 << 10;

/// Up to this many bytes are copied together rather than sent on their own.
const SMALL: usize = 16 << 10;

/// From this many bytes on, a piece leaves while the request goes on.
const BEHIND: usize = 64 << 10;

/// Most bytes thrown away after an error, and longest time.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
