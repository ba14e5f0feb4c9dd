//! Where an answer goes.
//!
//! Called by [`crate::connection::Incoming`] with what the service sends.

use strongroom_wire::{Outcome, Protect, RequestId, Trailer};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::answer::len;
use crate::client::Summary;
use crate::connection::Sink;
use crate::error::{Error, ProtocolError};
use crate::input::InputId;
use crate::progress::Counters;
use crate::sealed::{Opened, SealedError, Unsealer};
use crate::verifier::now;

/// The answer to a call without a body.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) outcome: Option<Outcome>,
}

impl Sink for Reply {
    fn begin(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.outcome = Some(outcome);
        Ok(())
    }

    /// Never reached: [`crate::answer`] lets no body pass for such a call.
    async fn data(&mut self, _: &[u8]) -> Result<(), Error> {
        Err(ProtocolError::Unexpected("DATA").into())
    }

    async fn end(&mut self, _: Trailer) -> Result<(), Error> {
        Ok(())
    }
}

/// A result that is written out as it comes.
pub(crate) struct Plain<'a, W> {
    output: W,
    must_be_sealed: bool,
    counters: &'a Counters,
    protect: Option<Protect>,
    records: Option<u64>,
}

impl<'a, W> Plain<'a, W> {
    pub(crate) const fn new(output: W, must_be_sealed: bool, counters: &'a Counters) -> Self {
        Self { output, must_be_sealed, counters, protect: None, records: None }
    }

    /// What came, once the call has succeeded.
    pub(crate) fn summary(&self, request: RequestId) -> Result<Summary, Error> {
        let protect = self.protect.ok_or(ProtocolError::OtherCall)?;
        let progress = self.counters.now();
        let (sent, received) = (progress.sent, progress.received);
        Ok(Summary { request, protect, sent, received, records: self.records })
    }
}

impl<W: AsyncWrite + Send + Unpin> Sink for Plain<'_, W> {
    fn begin(&mut self, outcome: Outcome) -> Result<(), Error> {
        let protect = protect_of(&outcome)?;
        if self.must_be_sealed && protect != Protect::Seal {
            return Err(ProtocolError::NotSealed.into());
        }
        self.protect = Some(protect);
        Ok(())
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.write_all(bytes).await.map_err(Error::Output)?;
        self.counters.received(len(bytes));
        Ok(())
    }

    async fn end(&mut self, trailer: Trailer) -> Result<(), Error> {
        self.records = trailer.records;
        self.output.flush().await.map_err(Error::Output)
    }
}

/// A sealed result that is opened as it comes.
pub(crate) struct Unsealed<'a, W> {
    unsealer: Option<Unsealer<'a>>,
    /// Of the message that is sent meanwhile.
    input: &'a InputId,
    output: W,
    counters: &'a Counters,
    records: Option<u64>,
    opened: Option<Opened>,
}

impl<'a, W> Unsealed<'a, W> {
    pub(crate) const fn new(
        unsealer: Unsealer<'a>,
        input: &'a InputId,
        output: W,
        counters: &'a Counters,
    ) -> Self {
        Self { unsealer: Some(unsealer), input, output, counters, records: None, opened: None }
    }

    /// What came, once the call has succeeded.
    pub(crate) fn summary(self, request: RequestId) -> Result<(Summary, Opened), Error> {
        let opened = self.opened.ok_or(SealedError::Truncated)?;
        let progress = self.counters.now();
        let (sent, received) = (progress.sent, progress.received);
        let summary =
            Summary { request, protect: Protect::Seal, sent, received, records: self.records };
        Ok((summary, opened))
    }
}

impl<W: AsyncWrite + Send + Unpin> Sink for Unsealed<'_, W> {
    fn begin(&mut self, outcome: Outcome) -> Result<(), Error> {
        if protect_of(&outcome)? != Protect::Seal {
            return Err(ProtocolError::NotSealed.into());
        }
        // A service answers only when it has read the message's header.
        let id = self.input.get().ok_or(SealedError::NoInput)?;
        if let Some(unsealer) = &mut self.unsealer {
            unsealer.expect_input(id);
        }
        Ok(())
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(unsealer) = &mut self.unsealer else { return Err(Error::Cut) };
        let plaintext = unsealer.push(bytes, now())?;
        self.output.write_all(plaintext).await.map_err(Error::Output)?;
        self.counters.received(len(plaintext));
        Ok(())
    }

    async fn end(&mut self, trailer: Trailer) -> Result<(), Error> {
        self.output.flush().await.map_err(Error::Output)?;
        self.records = trailer.records;
        let unsealer = self.unsealer.take().ok_or(SealedError::Truncated)?;
        self.opened = Some(unsealer.finish()?);
        Ok(())
    }
}

/// The form of a run's result.
pub(crate) fn protect_of(outcome: &Outcome) -> Result<Protect, Error> {
    match outcome {
        Outcome::Run { protect } => Ok(*protect),
        Outcome::Attest { .. } | Outcome::Credentials {} | Outcome::Status(_) => {
            Err(ProtocolError::OtherCall.into())
        }
    }
}
