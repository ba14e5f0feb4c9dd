//! One request, from its header to its answer.
//!
//! [`run`] reads as design.md draws it: each step takes the value of the one
//! before, so the order cannot be got wrong. Plaintext exists only in [`flow`],
//! in two buffers that are erased.

mod flow;
mod material;
mod output;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use serde_bytes::ByteBuf;
use strongroom_envelope::name::name_or_digest;
use strongroom_wire::{
    Call, FrameKind, Outcome, Payload, Request, RequestId, Response, Run, Status, Trailer,
};
use tracing::{debug, info};

use crate::connection::Connection;
use crate::error::RequestError;
use crate::job::BoundJob;
use crate::keys::credentials::CredentialState;
use crate::manifest::Manifest;
use crate::operation::Operation;
use crate::server::Service;
use flow::Flow;

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
    conn.expect_bodies(bodies(service.manifest(), &request.call));
    // Boxed: large, moved about, and nothing that an idle connection should hold.
    let work = Box::pin(call(service, conn, request));
    let caught = tokio::time::timeout(asked.min(limit), catching(work)).await;
    caught.map_err(|_| RequestError::Deadline)?
}

/// The bodies behind a request: as many as its job takes, whether or not it may
/// run, so that a refusal leaves the connection at the next request.
fn bodies(manifest: &Manifest, call: &Call) -> usize {
    let of = |run: &Run| manifest.jobs.get(run.job.as_str()).map_or(1, |job| job.inputs.len());
    match call {
        Call::Run(run) => of(run),
        Call::Signed(signed) => signed.run().map_or(1, |run| of(&run)),
        Call::Attest(_) | Call::Credentials(_) | Call::Status {} => 0,
    }
}

async fn call(
    service: &Service,
    conn: &mut Connection,
    request: Request,
) -> Result<(), RequestError> {
    let id = request.id;
    let (outcome, trailer) = match request.call {
        Call::Run(asked) => {
            let trailer = run(service, conn, id, asked, None).await?;
            return Ok(conn.send(FrameKind::End, &trailer).await?);
        }
        Call::Signed(signed) => {
            let (asked, caller) = service.callers().check(&id, &signed)?;
            let trailer = run(service, conn, id, asked, Some(caller)).await?;
            return Ok(conn.send(FrameKind::End, &trailer).await?);
        }
        Call::Attest(attest) => {
            let nonce = attest.nonce.as_deref().map(Vec::as_slice);
            let user_data = service.receipts().user_data();
            let document = service.keys().attest(nonce, Some(&user_data)).await?;
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
    asked: Run,
    caller: Option<String>,
) -> Result<Trailer, RequestError> {
    service.refuse_debug()?;
    let job = BoundJob::bind(service.manifest(), asked, caller)?;
    let Some((last, before)) = job.inputs().split_last() else { return Err(RequestError::Panic) };
    let request_digest = *conn.request_digest();
    let material = material::of(service, &job).await?;
    let limits = &service.manifest().limits;
    let operation = Operation::new(job.operation(), job.inputs(), material, limits)?
        .with_helpers(service.helpers());
    conn.begin_result(job.receipt()).await?;
    let mut flow = Flow::new(service, conn, &job, operation);
    let mut names = Vec::new();
    for input in before {
        let (opening, name) = flow.begin(&job, input).await?;
        names.extend(name);
        flow.pass(opening, None).await?;
        flow.next_input()?;
    }
    let (opening, name) = flow.begin(&job, last).await?;
    let digest = job.input_digest().filter(|_| before.is_empty());
    names.extend(name_or_digest(&name, digest));
    let mut header = Vec::new();
    let mut output = output::open(service, id, &job, &names, &mut header).await?;
    debug!(job = job.name().as_str(), "opened");
    respond(flow.conn(), id, Outcome::Run { protect: output.protects() })?;
    flow.put(header);
    // What has left cannot be taken back: not before the input is known to be the
    // caller's, and not in pieces that tell of a length that is to be hidden.
    let held = job.input_digest().is_some() || output.is_padded();
    flow.pass(opening, Some(&mut output).filter(|_| !held)).await?;
    flow.check_input(job.input_digest())?;
    let passed = flow.finish(output).await?;
    let receipt = passed.receipt(service, &job, id, request_digest);
    let receipt = receipt.map(|receipt| service.receipts().issue(receipt)).transpose()?;
    Ok(Trailer {
        bytes: passed.bytes,
        records: passed.tally.and_then(|tally| tally.records),
        dropped: passed.tally.map(|tally| tally.dropped).filter(|dropped| *dropped > 0),
        receipt: receipt.map(ByteBuf::from),
    })
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
        manifest: ByteBuf::from(service.manifest().digest),
        receipt_key: ByteBuf::from(service.receipts().public_key()),
        counters: service.counters(),
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
