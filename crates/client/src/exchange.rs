//! One request and its answer, written and read at the same time.
//!
//! The service streams: it writes its answer while it reads the body. A client
//! that did one after the other would block against it. Called by
//! [`crate::Client`], which adds the deadline.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_wire::{FrameKind, Request, Trailer};
use tokio::io::AsyncRead;

use crate::answer::Answer;
use crate::connection::{Connection, Outgoing, Sink, steering_frame};
use crate::error::{Error, ProtocolError};
use crate::progress::Counters;

/// What is left of a connection after an exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Both sides are between two requests.
    Reusable,
    /// Something is still under way, or broken.
    Spent,
}

/// Sends `request` and then `bodies`, one after the other, and reads the answer
/// into `sink`.
pub(crate) async fn exchange<R: AsyncRead + Send + Unpin, S: Sink>(
    connection: &mut Connection,
    request: &Request,
    frame: &[u8],
    bodies: &mut [R],
    sink: &mut S,
    counters: &Counters,
) -> (After, Result<(), Error>) {
    let Connection { incoming, outgoing } = connection;
    let bodies_ended = AtomicBool::new(bodies.is_empty());
    let mut sending = pin!(send(outgoing, frame, bodies, counters, &bodies_ended));
    let mut receiving = pin!(incoming.receive(Answer::to(request), sink));
    let mut sent = None;
    // Sending is looked at first: when both are done, the connection can be
    // used again.
    let answer = loop {
        tokio::select! {
            biased;
            result = &mut sending, if sent.is_none() => match result {
                Err(error @ Error::Input(_)) => break Err(error),
                // The service may have said why it stopped reading: read on.
                result => sent = Some(result),
            },
            result = &mut receiving => break result,
        }
    };
    let after = match (&sent, &answer) {
        (Some(Ok(())), Ok(()) | Err(Error::Service(_))) => After::Reusable,
        _ => After::Spent,
    };
    let answer = match (answer, sent) {
        (Ok(()), _) if !bodies_ended.load(Ordering::Relaxed) => Err(ProtocolError::EarlyEnd.into()),
        (Err(Error::Cut | Error::Connection(_)), Some(Err(error))) => Err(error),
        (answer, _) => answer,
    };
    (after, answer)
}

async fn send<R: AsyncRead + Unpin>(
    outgoing: &mut Outgoing,
    frame: &[u8],
    bodies: &mut [R],
    counters: &Counters,
    bodies_ended: &AtomicBool,
) -> Result<(), Error> {
    outgoing.send(frame).await?;
    let last = bodies.len();
    for (number, input) in (1..).zip(bodies) {
        outgoing.flush().await?;
        let bytes = outgoing.send_body(input, |count| counters.sent(count)).await?;
        let end = steering_frame(FrameKind::End, &Trailer { bytes, ..Trailer::default() })?;
        if number == last {
            bodies_ended.store(true, Ordering::Relaxed);
        }
        outgoing.send(&end).await?;
    }
    outgoing.flush().await
}
