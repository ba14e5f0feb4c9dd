//! What the bench sends: requests, framed and encrypted before the clock runs.

use std::fmt::Write as _;

use strongroom::manifest::KeyArn;
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext, FrameLen, Sealer};
use strongroom_wire::frame::encode_head;
use strongroom_wire::{Call, FrameKind, Payload, Request, RequestId, Run, Trailer};

use super::stand::Kms;
use crate::error::CliError;
use crate::producer::{KmsEndpoint, Producer};

/// A data key under the input's KMS key, for all messages of a run.
pub(super) struct Keys {
    data_key: DataKey,
    encrypted: EncryptedDataKey,
    context: EncryptionContext,
}

/// What is in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Csv,
    Ndjson,
}

/// How a message is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) content: Content,
    /// Bytes of plaintext, to a record.
    pub(super) len: u64,
    /// Bytes of plaintext in a frame of the message.
    pub(super) frame: usize,
    /// Bytes in a DATA frame.
    pub(super) data: usize,
    /// Whether the caller wants a receipt.
    pub(super) receipt: bool,
}

impl Keys {
    pub(super) async fn get(kms: &Kms) -> Result<Self, CliError> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(kms.authority.clone().into())
            .map_err(|_| CliError::Internal("the simulated KMS's authority is none"))?;
        let endpoint = KmsEndpoint { url: Some(kms.url.clone()), address: kms.address, roots };
        let key = KeyArn::parse(&kms.key)
            .map_err(|_| CliError::Internal("the simulated KMS made no key ARN"))?;
        let context = EncryptionContext::new([("purpose", "bench")])?;
        let producer = Producer::new(&kms.region, endpoint, kms.producer.clone());
        let (data_key, encrypted) = producer.data_key(&key, &context).await?;
        Ok(Self { data_key, encrypted, context })
    }

    /// All that a client sends for one request, after the preface.
    pub(super) fn request(&self, job: &str, shape: Shape) -> Result<Vec<u8>, CliError> {
        let mut sent = Vec::new();
        self.produce(job, shape, &mut sent, |_| Ok(()))?;
        Ok(sent)
    }

    /// The same in pieces: `take` may take away what has been appended to `sent`.
    pub(super) fn produce(
        &self,
        job: &str,
        shape: Shape,
        sent: &mut Vec<u8>,
        mut take: impl FnMut(&mut Vec<u8>) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut framer = Framer { len: shape.data, body: 0 };
        put(FrameKind::Request, &run(job, shape.receipt), sent)?;
        self.seal(shape, |message, last| {
            framer.pass(message, last, sent)?;
            take(sent)
        })?;
        put(FrameKind::End, &Trailer { bytes: framer.body, ..Trailer::default() }, sent)?;
        take(sent)
    }

    /// The message alone.
    pub(super) fn message(&self, shape: Shape) -> Result<Vec<u8>, CliError> {
        let mut all = Vec::new();
        self.seal(shape, |message, _| {
            all.append(message);
            Ok(())
        })?;
        Ok(all)
    }

    /// Makes a message; `each` takes what has come of it, and hears of the last.
    fn seal(
        &self,
        shape: Shape,
        mut each: impl FnMut(&mut Vec<u8>, bool) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let frame = FrameLen::new(shape.frame)
            .ok_or(CliError::Internal("no message has frames of that size"))?;
        let (mut message, keys) = (Vec::new(), std::slice::from_ref(&self.encrypted));
        let mut sealer = Sealer::new(&self.data_key, &self.context, keys, frame, &mut message)?;
        let (mut records, mut made) = (Records::new(shape.content), 0);
        while made < shape.len {
            let records = records.next_piece(shape.len - made);
            made += count(records.len());
            sealer.seal(records.as_bytes(), &mut message)?;
            each(&mut message, false)?;
        }
        sealer.finish(&mut message)?;
        each(&mut message, true)
    }
}

fn run(job: &str, receipt: bool) -> Request {
    let run = Run { job: job.to_owned(), no_receipt: !receipt, ..Run::default() };
    // Encoded once and sent many times: the service keeps no ids.
    Request { id: RequestId(*b"strongroom bench"), deadline_ms: None, call: Call::Run(run) }
}

/// A request without a body.
pub(super) fn status() -> Result<Vec<u8>, CliError> {
    let mut sent = Vec::new();
    let request =
        Request { id: RequestId(*b"strongroom bench"), deadline_ms: None, call: Call::Status {} };
    put(FrameKind::Request, &request, &mut sent)?;
    Ok(sent)
}

/// Cuts a message into DATA frames, all but the last of one length.
struct Framer {
    len: usize,
    body: u64,
}

impl Framer {
    fn pass(
        &mut self,
        message: &mut Vec<u8>,
        all: bool,
        sent: &mut Vec<u8>,
    ) -> Result<(), CliError> {
        let whole = message.len() - if all { 0 } else { message.len() % self.len };
        for piece in message.get(..whole).unwrap_or_default().chunks(self.len) {
            sent.extend_from_slice(&head(FrameKind::Data, piece.len())?);
            sent.extend_from_slice(piece);
            self.body += count(piece.len());
        }
        message.drain(..whole);
        Ok(())
    }
}

fn put(kind: FrameKind, payload: &impl Payload, sent: &mut Vec<u8>) -> Result<(), CliError> {
    let payload = payload.encode().map_err(|_| UNENCODED)?;
    sent.extend_from_slice(&head(kind, payload.len())?);
    sent.extend_from_slice(&payload);
    Ok(())
}

fn head(kind: FrameKind, len: usize) -> Result<[u8; 8], CliError> {
    encode_head(kind, len).map_err(|_| UNENCODED)
}

/// Records of customers, each with another number.
struct Records {
    content: Content,
    number: u64,
    text: String,
}

impl Records {
    fn new(content: Content) -> Self {
        Self { content, number: 0, text: String::new() }
    }

    /// Some more of them: about `left` bytes, but not many at once.
    fn next_piece(&mut self, left: u64) -> &str {
        self.text.clear();
        if self.number == 0 && self.content == Content::Csv {
            self.text.push_str("name,pan,email,city\n");
        }
        while count(self.text.len()) < left.min(PIECE) {
            let n = self.number;
            // Writing to a String cannot fail.
            let _ = match self.content {
                Content::Csv => writeln!(
                    self.text,
                    "Grace Hopper {n},4111{n:012},grace{n}@example.com,\"Arlington, VA\""
                ),
                Content::Ndjson => writeln!(
                    self.text,
                    r#"{{"name":"Grace Hopper {n}","pan":"4111{n:012}","email":"grace{n}@example.com","city":"Arlington, VA"}}"#
                ),
            };
            self.number += 1;
        }
        &self.text
    }
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

const UNENCODED: CliError = CliError::Internal("the bench's request cannot be encoded");
/// Bytes of records made at a time.
const PIECE: u64 = 64 << 10;
