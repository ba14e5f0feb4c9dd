//! One request, from its header to its answer.
//!
//! [`run`] reads as design.md draws it: each step takes the value of the one
//! before, so the order cannot be got wrong. Plaintext exists only in [`pump`],
//! in two buffers that are erased.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use serde_bytes::ByteBuf;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::esdk::{Header, Opener};
use strongroom_envelope::seal::{Binding, Setup};
use strongroom_wire::message::{DIGEST_LEN, RECEIPT_KEY_LEN};
use strongroom_wire::{
    Call, FrameKind, Outcome, Payload, Request, RequestId, Response, Run, Status, Trailer,
};
use tracing::{debug, info};

use crate::budget::Share;
use crate::connection::{Body, Connection};
use crate::error::RequestError;
use crate::job::{BoundJob, BoundOutput};
use crate::keys::credentials::CredentialState;
use crate::operation::Operation;
use crate::output::Output;
use crate::server::Service;

/// Answers a request. What goes wrong in it harms nothing else: it has a
/// deadline, and a panic ends it alone.
///
/// # Errors
/// [`RequestError`], to be told to the caller.
pub async fn answer(
    service: &Service,
    conn: &mut Connection,
    request: Request,
) -> Result<(), RequestError> {
    let limit = service.manifest().limits.request_deadline;
    let asked = request.deadline_ms.map_or(limit, Duration::from_millis);
    if matches!(request.call, Call::Run(_) | Call::Signed(_)) {
        conn.expect_body();
    }
    let work = call(service, conn, request);
    let caught = tokio::time::timeout(asked.min(limit), catching(work)).await;
    caught.map_err(|_| RequestError::Deadline)?
}

async fn call(
    service: &Service,
    conn: &mut Connection,
    request: Request,
) -> Result<(), RequestError> {
    let id = request.id;
    let (outcome, trailer) = match request.call {
        Call::Run(job) => {
            let trailer = run(service, conn, id, job).await?;
            return Ok(conn.send(FrameKind::End, &trailer).await?);
        }
        Call::Signed(_) => return Err(RequestError::Caller),
        Call::Attest(attest) => {
            let document =
                service.keys().attest(attest.nonce.as_deref().map(Vec::as_slice), None).await?;
            (Outcome::Attest { document: ByteBuf::from(document) }, Trailer::default())
        }
        Call::Credentials(credentials) => {
            service.keys().credentials().put(credentials);
            info!("credentials handed in");
            (Outcome::Credentials {}, Trailer::default())
        }
        Call::Status {} => (Outcome::Status(status(service)), Trailer::default()),
    };
    respond(conn, id, outcome)?;
    Ok(conn.send(FrameKind::End, &trailer).await?)
}

async fn run(
    service: &Service,
    conn: &mut Connection,
    id: RequestId,
    run: Run,
) -> Result<Trailer, RequestError> {
    service.refuse_debug()?;
    let job = BoundJob::bind(service.manifest(), run)?;
    let (mut memory, mut input) = (service.memory().share(), BytesMut::new());
    let header = read_header(service, conn, &mut memory, &mut input).await?;
    let encrypted = job.select(&header)?;
    let key = service.keys().decrypt(job.key(), header.encryption_context(), encrypted).await?;
    let input_id = header.message_id().to_vec();
    // Authenticates the header, and the message id in it.
    let opener = Opener::new(header, &key)?;
    let operation = Operation::new(job.operation(), &service.manifest().limits);
    let mut out = Vec::new();
    let output = open_output(service, id, &job, &input_id, &mut out).await?;
    debug!(job = job.name().as_str(), "opened");
    respond(conn, id, Outcome::Run { protect: output.form() })?;
    pump(conn, memory, input, opener, operation, output, out).await
}

async fn read_header(
    service: &Service,
    conn: &mut Connection,
    memory: &mut Share,
    input: &mut BytesMut,
) -> Result<Header, RequestError> {
    let limits = service.manifest().limits.message();
    loop {
        if let Some((header, len)) = Header::parse(input, &limits)? {
            input.advance(len);
            return Ok(header);
        }
        if conn.read_body(input).await? == Body::End {
            return Err(RequestError::NoHeader);
        }
        memory.hold(conn.memory().saturating_add(input.capacity()))?;
    }
}

async fn open_output(
    service: &Service,
    id: RequestId,
    job: &BoundJob<'_>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Output, RequestError> {
    match job.output() {
        BoundOutput::None => Ok(Output::Clear),
        BoundOutput::Kms { key, context, frame } => {
            let (data_key, encrypted) = service.keys().generate(key, context).await?;
            Ok(Output::kms(&data_key, encrypted, context, *frame, out)?)
        }
        BoundOutput::Seal { to, nonce } => {
            let nonce = nonce.as_deref();
            let (job, args) = (job.name().as_str(), job.args());
            let binding = Binding { request_id: id.0, job, args, input, nonce };
            let setup = Setup::new(to, &binding).map_err(crate::output::OutputError::from)?;
            let document = service.keys().attest(nonce, Some(&setup.user_data())).await?;
            Ok(Output::seal(setup, &document, out)?)
        }
    }
}

/// The stream itself: bytes in, plaintext, bytes out, a piece at a time.
async fn pump(
    conn: &mut Connection,
    mut memory: Share,
    mut input: BytesMut,
    mut opener: Opener,
    mut operation: Operation,
    mut output: Output,
    mut out: Vec<u8>,
) -> Result<Trailer, RequestError> {
    let (mut plaintext, mut result) = (SecretBuf::new(), SecretBuf::new());
    let mut sent = 0_u64;
    loop {
        let opened = opener.open(&input, &mut plaintext, PIECE)?;
        input.advance(opened);
        operation.process(&mut plaintext, &mut result)?;
        sent = sent.saturating_add(send(conn, output.protect(&result, &mut out)?).await?);
        let buffers = [input.capacity(), plaintext.capacity(), result.capacity(), out.capacity()];
        memory.hold(buffers.iter().sum::<usize>().saturating_add(conn.memory()))?;
        result.clear();
        out.clear();
        if opened == 0 && conn.read_body(&mut input).await? == Body::End {
            break;
        }
    }
    opener.finish()?;
    let records = operation.finish(&mut plaintext, &mut result)?;
    sent = sent.saturating_add(send(conn, output.protect(&result, &mut out)?).await?);
    out.clear();
    output.finish(&mut out)?;
    sent = sent.saturating_add(send(conn, &out).await?);
    Ok(Trailer { bytes: sent, records, ..Trailer::default() })
}

async fn send(conn: &mut Connection, bytes: &[u8]) -> Result<u64, RequestError> {
    conn.send_data(bytes).await?;
    Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

fn respond(conn: &mut Connection, id: RequestId, outcome: Outcome) -> Result<(), RequestError> {
    let response = Response { id, outcome };
    let payload = response.encode().map_err(crate::connection::ConnectionError::from)?;
    Ok(conn.queue(FrameKind::Response, &payload)?)
}

fn status(service: &Service) -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        module_id: service.module_id().to_owned(),
        debug: service.keys().is_debug(),
        credentials: service.keys().credentials().state(SystemTime::now())
            == CredentialState::Present,
        jobs: service.manifest().jobs.keys().map(ToString::to_string).collect(),
        manifest: ByteBuf::from([0; DIGEST_LEN]),
        receipt_key: ByteBuf::from([0; RECEIPT_KEY_LEN]),
    }
}

/// Turns a panic of `work` into an error of this request.
async fn catching<T>(
    work: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    let mut work = pin!(work);
    // Unwind safe: after a panic the request's state is dropped, and the
    // connection is closed.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => std::task::Poll::Ready(Err(RequestError::Panic)),
    })
    .await
}

/// Most plaintext opened at once, in bytes, before it is worked on; a longer
/// frame is opened whole.
const PIECE: usize = 256 << 10;
