//! A scripted service: reads requests as the protocol has it, answers with
//! whatever the test wants.

use strongroom_client::{Client, Job, Options, Protect, RequestId};
use strongroom_wire::frame::{PREFACE, encode_head};
use strongroom_wire::{
    Call, Event, FrameDecoder, FrameKind, Outcome, Payload, Request, Response, Step, Trailer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

pub(crate) fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = encode_head(kind, payload.len()).unwrap().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn control<P: Payload>(kind: FrameKind, payload: &P) -> Vec<u8> {
    frame(kind, &payload.encode().unwrap())
}

pub(crate) fn accepted(id: RequestId, protect: Protect) -> Vec<u8> {
    control(FrameKind::Response, &Response { id, outcome: Outcome::Run { protect } })
}

pub(crate) fn end(bytes: u64) -> Vec<u8> {
    control(FrameKind::End, &Trailer { bytes, ..Trailer::default() })
}

/// Preface, response, `parts` as one `DATA` frame each, `END`.
pub(crate) fn whole(id: RequestId, protect: Protect, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(accepted(id, protect));
    for part in parts.iter().filter(|part| !part.is_empty()) {
        bytes.extend(frame(FrameKind::Data, part));
    }
    bytes.extend(end(parts.iter().map(|part| part.len() as u64).sum()));
    bytes
}

/// One side of a connection as a service sees it.
pub(crate) struct Service<S> {
    pub(crate) stream: S,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Service<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, decoder: FrameDecoder::new(), buffer: Vec::new() }
    }

    /// The next steering frame or piece of data; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        loop {
            match self.decoder.next(&self.buffer).expect("the client keeps to the protocol") {
                Step::Event { consumed, event } => {
                    let found = match event {
                        Event::Control(kind, cbor) => (kind, cbor.to_vec()),
                        Event::Data(bytes) => (FrameKind::Data, bytes.to_vec()),
                    };
                    self.buffer.drain(..consumed);
                    return Some(found);
                }
                Step::NeedMore(_) => {
                    let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
                    if read == 0 {
                        return None;
                    }
                }
            }
        }
    }

    pub(crate) async fn request(&mut self) -> Option<Request> {
        let (kind, cbor) = self.next().await?;
        assert_eq!(kind, FrameKind::Request);
        Some(Request::decode(&cbor).unwrap())
    }

    /// The body after a request; checks the client's own count.
    pub(crate) async fn body(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match self.next().await? {
                (FrameKind::Data, bytes) => body.extend(bytes),
                (FrameKind::End, cbor) => {
                    assert_eq!(Trailer::decode(&cbor).unwrap().bytes, body.len() as u64);
                    return Some(body);
                }
                (kind, _) => panic!("{kind:?} in a body"),
            }
        }
    }

    /// A whole request: for a run, with its body.
    pub(crate) async fn whole_request(&mut self) -> Option<(Request, Vec<u8>)> {
        let request = self.request().await?;
        let body = match request.call {
            Call::Run(_) => self.body().await?,
            _ => Vec::new(),
        };
        Some((request, body))
    }

    /// Writes, and does not mind when nobody reads any more.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }
}

/// A client, and a service that reads one whole request, answers with `answer`,
/// and closes.
pub(crate) fn answering(
    answer: impl FnOnce(&Request, Vec<u8>) -> Vec<u8> + Send + 'static,
) -> (Client, JoinHandle<()>) {
    let (client, stream) = pair();
    let task = tokio::spawn(async move {
        let mut service = Service::new(stream);
        if let Some((request, body)) = service.whole_request().await {
            service.write(&answer(&request, body)).await;
        }
    });
    (client, task)
}

pub(crate) fn pair() -> (Client, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (Client::over(near, Options::default()), far)
}

pub(crate) fn job() -> Job {
    Job::new("mask").arg("tenant", "acme")
}
