//! One connection to a service: frames in, frames out.
//!
//! Used by [`crate::exchange`]. The two halves are separate so that one call
//! can write its body and read its answer at the same time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf as _, BytesMut};
use strongroom_wire::frame::{HEAD_LEN, PREFACE, encode_head};
use strongroom_wire::{FrameDecoder, FrameKind, MessageError, Outcome, Payload, Step, Trailer};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf, split,
};
use zeroize::Zeroizing;

use crate::answer::{Answer, Part};
use crate::error::{Error, ProtocolError};
use crate::transport::Transport;

/// A connection that no call uses, or the call that uses it.
pub(crate) struct Connection {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Transport>) -> Self {
        let (read, write) = split(stream);
        let incoming = Incoming { read, decoder: FrameDecoder::new(), buffer: BytesMut::new() };
        Self { incoming, outgoing: Outgoing { write, greeted: false } }
    }

    /// Whether the connection can serve a call: new, or still open and with
    /// nothing in it that was not asked for.
    pub(crate) async fn is_ready(&mut self) -> bool {
        if !self.outgoing.greeted {
            // A service that is full says so unasked, and is heard.
            return true;
        }
        let Incoming { read, buffer, .. } = &mut self.incoming;
        let silent = poll_fn(|cx| {
            let mut byte = [0];
            let poll = Pin::new(&mut *read).poll_read(cx, &mut ReadBuf::new(&mut byte));
            Poll::Ready(poll.is_pending())
        });
        buffer.is_empty() && silent.await
    }
}

/// Where the parts of an answer go.
pub(crate) trait Sink: Send {
    /// The service accepted the request.
    fn begin(&mut self, outcome: Outcome) -> Result<(), Error>;
    /// Bytes of the body came.
    fn data(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;
    /// The answer is whole as far as the protocol can tell.
    fn end(&mut self, trailer: Trailer) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The half that the service writes.
pub(crate) struct Incoming {
    read: ReadHalf<Box<dyn Transport>>,
    decoder: FrameDecoder,
    buffer: BytesMut,
}

impl Incoming {
    /// Reads one whole answer into `sink`.
    ///
    /// # Errors
    /// Any but [`Error::Request`] and [`Error::Input`]; the connection is beyond
    /// use after all but [`Error::Service`].
    pub(crate) async fn receive<S: Sink>(
        &mut self,
        mut answer: Answer,
        sink: &mut S,
    ) -> Result<(), Error> {
        loop {
            match self.decoder.next(&self.buffer).map_err(ProtocolError::Frame)? {
                Step::NeedMore(len) => self.fill(len).await?,
                Step::Event { consumed, event } => {
                    let delivered = deliver(answer.take(event), sink).await;
                    self.buffer.advance(consumed);
                    if let Some(trailer) = delivered? {
                        if !self.buffer.is_empty() {
                            return Err(ProtocolError::AfterEnd.into());
                        }
                        return sink.end(trailer).await;
                    }
                }
            }
        }
    }

    /// Reads until the buffer holds `len` bytes; the decoder asks for no more
    /// than the longest steering frame.
    async fn fill(&mut self, len: usize) -> Result<(), Error> {
        while self.buffer.len() < len {
            self.buffer.reserve(len.saturating_sub(self.buffer.len()).max(READ_LEN));
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Error::Cut),
                Ok(_) => {}
                Err(error) => return Err(Error::Connection(error)),
            }
        }
        Ok(())
    }
}

/// Hands one part on; gives the trailer when it was the last.
async fn deliver<S: Sink>(
    part: Result<Part<'_>, Error>,
    sink: &mut S,
) -> Result<Option<Trailer>, Error> {
    match part? {
        Part::Outcome(outcome) => sink.begin(outcome)?,
        Part::Data(bytes) => sink.data(bytes).await?,
        Part::End(trailer) => return Ok(Some(trailer)),
    }
    Ok(None)
}

/// The half that the client writes.
pub(crate) struct Outgoing {
    write: WriteHalf<Box<dyn Transport>>,
    greeted: bool,
}

impl Outgoing {
    /// Writes whole frames, after the preface when they are the first.
    pub(crate) async fn send(&mut self, frames: &[u8]) -> Result<(), Error> {
        if !self.greeted {
            self.greeted = true;
            self.write.write_all(&PREFACE).await.map_err(Error::Connection)?;
        }
        self.write.write_all(frames).await.map_err(Error::Connection)
    }

    /// Writes what `input` gives, one `DATA` frame per read, as it comes.
    ///
    /// Returns the number of bytes; `progress` is told of each frame's.
    pub(crate) async fn send_body<R: AsyncRead + Unpin>(
        &mut self,
        input: &mut R,
        progress: impl Fn(u64),
    ) -> Result<u64, Error> {
        // Head and payload stand side by side, so that a frame is one write.
        let mut frame = vec![0; FRAME_LEN];
        let mut sent = 0_u64;
        loop {
            let payload = frame.get_mut(HEAD_LEN..).unwrap_or_default();
            let read = input.read(payload).await.map_err(Error::Input)?;
            if read == 0 {
                return Ok(sent);
            }
            let head = encode_head(FrameKind::Data, read).map_err(ProtocolError::Frame)?;
            let whole = frame.get_mut(..HEAD_LEN.saturating_add(read)).unwrap_or_default();
            if let Some(front) = whole.first_chunk_mut() {
                *front = head;
            }
            self.send(whole).await?;
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            sent = sent.saturating_add(read);
            progress(read);
        }
    }

    /// Hands everything written to the operating system.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.write.flush().await.map_err(Error::Connection)
    }
}

/// One steering frame. Erased on drop: a request may carry credentials.
///
/// # Errors
/// [`Error::Request`] when the payload is longer than the protocol allows.
pub(crate) fn steering_frame<P: Payload>(
    kind: FrameKind,
    payload: &P,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let cbor = Zeroizing::new(payload.encode().map_err(Error::Request)?);
    let head = encode_head(kind, cbor.len())
        .map_err(|_| Error::Request(MessageError::TooLong("the request as a whole")))?;
    let mut frame = Zeroizing::new(Vec::with_capacity(HEAD_LEN.saturating_add(cbor.len())));
    frame.extend_from_slice(&head);
    frame.extend_from_slice(&cbor);
    Ok(frame)
}

/// Length of the longest `DATA` frame that is sent, head included: two of the
/// largest writes that go to a vsock.
const FRAME_LEN: usize = 64 << 10;

/// Least room for a read from the connection.
const READ_LEN: usize = 64 << 10;
