//! Where an answer goes.
//!
//! Called by [`crate::connection::Incoming`] with what the service sends.

use strongroom_envelope::name::name_or_digest;
use strongroom_wire::{Outcome, Protect, Trailer};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::answer::len;
use crate::connection::Sink;
use crate::digest::Sha256;
use crate::error::{Error, ProtocolError};
use crate::input::Notes;
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
    body: Body,
}

impl<'a, W> Plain<'a, W> {
    /// Writes to `output`; a digest of it all is made if `hashed`.
    pub(crate) fn new(
        output: W,
        must_be_sealed: bool,
        hashed: bool,
        counters: &'a Counters,
    ) -> Self {
        Self { output, must_be_sealed, counters, protect: None, body: Body::new(hashed) }
    }

    /// What came, once the call has succeeded.
    pub(crate) fn result(self) -> Result<(Protect, Whole), Error> {
        Ok((self.protect.ok_or(ProtocolError::OtherCall)?, self.body.whole()))
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
        self.body.update(bytes);
        self.output.write_all(bytes).await.map_err(Error::Output)?;
        self.counters.received(len(bytes));
        Ok(())
    }

    async fn end(&mut self, trailer: Trailer) -> Result<(), Error> {
        self.body.trailer = trailer;
        self.output.flush().await.map_err(Error::Output)
    }
}

/// A sealed result that is opened as it comes.
pub(crate) struct Unsealed<'a, W> {
    unsealer: Option<Unsealer<'a>>,
    /// Of the messages that are sent meanwhile.
    inputs: &'a [Notes],
    /// SHA-256 that the request demands of the first.
    digest: Option<[u8; 32]>,
    output: W,
    counters: &'a Counters,
    body: Body,
    opened: Option<Opened>,
}

impl<'a, W> Unsealed<'a, W> {
    pub(crate) fn new(
        unsealer: Unsealer<'a>,
        inputs: &'a [Notes],
        digest: Option<[u8; 32]>,
        output: W,
        hashed: bool,
        counters: &'a Counters,
    ) -> Self {
        let unsealer = Some(unsealer);
        Self { unsealer, inputs, digest, output, counters, body: Body::new(hashed), opened: None }
    }

    /// What came, once the call has succeeded.
    pub(crate) fn result(self) -> Result<(Opened, Whole), Error> {
        Ok((self.opened.ok_or(SealedError::Truncated)?, self.body.whole()))
    }
}

impl<W: AsyncWrite + Send + Unpin> Sink for Unsealed<'_, W> {
    fn begin(&mut self, outcome: Outcome) -> Result<(), Error> {
        if protect_of(&outcome)? != Protect::Seal {
            return Err(ProtocolError::NotSealed.into());
        }
        // A service answers only when it has read the header of each message.
        let mut ids = Vec::new();
        let digests = [self.digest, None];
        for (input, digest) in self.inputs.iter().zip(&digests) {
            let name = input.name.get().ok_or(SealedError::NoInput)?;
            ids.extend_from_slice(&name_or_digest(name, digest.as_ref()));
        }
        if let Some(unsealer) = &mut self.unsealer {
            unsealer.expect_input(&ids);
        }
        Ok(())
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(unsealer) = &mut self.unsealer else { return Err(Error::Cut) };
        self.body.update(bytes);
        let plaintext = unsealer.push(bytes, now())?;
        self.output.write_all(plaintext).await.map_err(Error::Output)?;
        self.counters.received(len(plaintext));
        Ok(())
    }

    async fn end(&mut self, trailer: Trailer) -> Result<(), Error> {
        self.output.flush().await.map_err(Error::Output)?;
        self.body.trailer = trailer;
        let unsealer = self.unsealer.take().ok_or(SealedError::Truncated)?;
        self.opened = Some(unsealer.finish()?);
        Ok(())
    }
}

/// A body as it left the service.
struct Body {
    /// Where it is asked for.
    digest: Option<Sha256>,
    trailer: Trailer,
}

impl Body {
    fn new(hashed: bool) -> Self {
        Self { digest: hashed.then(Sha256::new), trailer: Trailer::default() }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    fn whole(self) -> Whole {
        Whole { sha256: self.digest.map(Sha256::finish), trailer: self.trailer }
    }
}

/// What is known of a body that came to its end.
pub(crate) struct Whole {
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) trailer: Trailer,
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
