//! The stream of one request: bytes in, plaintext, bytes out, a piece at a time.
//!
//! Plaintext exists only here, in two buffers that are erased.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::receipt::Receipt;
use strongroom_wire::RequestId;

use crate::budget::Share;
use crate::connection::{Body, Connection, ConnectionError};
use crate::error::RequestError;
use crate::input::{Held, Incoming, Opening};
use crate::job::BoundJob;
use crate::manifest::Input;
use crate::operation::{Operation, Tally};
use crate::output::{Leaves, Output};
use crate::server::Service;
use crate::shape::Counts;

/// A request's stream at work.
pub(super) struct Flow<'s, 'c> {
    service: &'s Service,
    incoming: Incoming<'c>,
    memory: Share,
    operation: Operation,
    plaintext: SecretBuf,
    result: SecretBuf,
    out: Vec<u8>,
    /// Digests of the inputs that have ended.
    inputs: Vec<[u8; 32]>,
    /// Of inputs with encrypted fields: records that were opened, and left out.
    opened: Option<Counts>,
    sent: u64,
}

/// What has passed when all has.
pub(super) struct Passed {
    pub(super) bytes: u64,
    pub(super) inputs: Vec<[u8; 32]>,
    /// Where there is to be a receipt.
    pub(super) result: Option<[u8; 32]>,
    /// Of operations on records.
    pub(super) tally: Option<Tally>,
}

impl Passed {
    /// What the receipt says, if there is to be one; its number and time are put
    /// in when it is issued.
    pub(super) fn receipt(
        &self,
        service: &Service,
        job: &BoundJob<'_>,
        id: RequestId,
        request_digest: [u8; 32],
    ) -> Option<Receipt> {
        self.result.map(|result| Receipt {
            request_id: id.0,
            request_digest,
            job: job.name().to_string(),
            manifest: service.manifest().digest,
            keys: job.keys(service.manifest()),
            inputs: self.inputs.clone(),
            result,
            counter: 0,
            time_ms: 0,
            caller: job.caller().map(str::to_owned),
            records: self.tally.and_then(|tally| tally.records),
            dropped: self.tally.map(|tally| tally.dropped),
        })
    }
}

impl<'s, 'c> Flow<'s, 'c> {
    pub(super) fn new(
        service: &'s Service,
        conn: &'c mut Connection,
        job: &BoundJob<'_>,
        operation: Operation,
    ) -> Self {
        let hashed = job.receipt() || job.input_digest().is_some();
        Self {
            service,
            incoming: Incoming::new(conn, hashed),
            memory: service.memory().share(),
            operation,
            plaintext: SecretBuf::new(),
            result: SecretBuf::new(),
            out: Vec::new(),
            inputs: Vec::new(),
            opened: None,
            sent: 0,
        }
    }

    /// Begins an input: its header, its data key, and the name it has.
    pub(super) async fn begin<'m>(
        &mut self,
        job: &BoundJob<'m>,
        input: &'m Input,
    ) -> Result<(Opening<'m>, Vec<u8>), RequestError> {
        let (keys, limits) = (self.service.keys(), &self.service.manifest().limits);
        let (incoming, memory) = (&mut self.incoming, &mut self.memory);
        Ok(Opening::begin(keys, limits, job, input, incoming, memory).await?)
    }

    /// Takes one input through the operation. Without an output, what it gives
    /// is held until the end, within the memory that requests may have.
    pub(super) async fn pass(
        &mut self,
        mut opening: Opening<'_>,
        mut output: Option<&mut Output>,
    ) -> Result<(), RequestError> {
        let keys = self.service.keys();
        loop {
            let others = self.held();
            let mut memory = Held { share: &mut self.memory, others };
            let (input, plaintext) = (&mut self.incoming.bytes, &mut self.plaintext);
            let opened = opening.open(keys, input, plaintext, &mut memory).await?;
            self.operation.process(&mut self.plaintext, &mut self.result)?;
            self.send(output.as_deref_mut()).await?;
            let output = output.as_deref().map_or(0, Output::memory);
            self.hold(opening.memory().saturating_add(output))?;
            if !opened && self.incoming.read().await? == Body::End {
                break;
            }
        }
        let others = self.held();
        let mut memory = Held { share: &mut self.memory, others };
        let (input, plaintext) = (&mut self.incoming.bytes, &mut self.plaintext);
        let opened = opening.finish(keys, input, plaintext, &mut memory).await?;
        self.opened = self.opened.or(opened);
        self.inputs.extend(self.incoming.digest());
        Ok(())
    }

    /// Goes on to the next input.
    pub(super) fn next_input(&mut self) -> Result<(), RequestError> {
        self.operation.next_input(&mut self.plaintext, &mut self.result)?;
        match self.incoming.conn.next_body() {
            true => Ok(()),
            false => Err(ConnectionError::Order.into()),
        }
    }

    /// Refuses a first input that is not the one that the caller named.
    pub(super) fn check_input(&self, digest: Option<&[u8; 32]>) -> Result<(), RequestError> {
        match digest {
            Some(digest) if self.inputs.first() != Some(digest) => Err(RequestError::OtherInput),
            Some(_) | None => Ok(()),
        }
    }

    /// The connection, for the response's head.
    pub(super) fn conn(&mut self) -> &mut Connection {
        self.incoming.conn
    }

    /// Puts an output's header in front of the result.
    pub(super) fn put(&mut self, header: Vec<u8>) {
        self.out = header;
    }

    /// Ends the result. One that is padded leaves in one go: where it is cut
    /// would say how long it is without the padding.
    pub(super) async fn finish(mut self, mut output: Output) -> Result<Passed, RequestError> {
        // A stand-in: an operation is used up by its end.
        let operation = std::mem::replace(&mut self.operation, Operation::done());
        let tally = operation.finish(&mut self.plaintext, &mut self.result)?;
        if output.is_padded() {
            output.protect(&self.result, &mut self.out)?;
            self.result.clear();
            while output.pad(&mut self.out)? {
                self.hold(0)?;
            }
        } else {
            self.send(Some(&mut output)).await?;
        }
        output.finish(&mut self.out)?;
        self.hold(0)?;
        self.send_out().await?;
        let tally = match (tally, self.opened) {
            (Some(tally), Some(opened)) => {
                Some(Tally { dropped: tally.dropped.saturating_add(opened.dropped), ..tally })
            }
            // Passed on unchanged.
            (None, Some(opened)) => {
                Some(Tally { records: Some(opened.records), dropped: opened.dropped })
            }
            (tally, None) => tally,
        };
        let result = self.incoming.conn.result_digest().await?;
        let inputs = std::mem::take(&mut self.inputs);
        Ok(Passed { bytes: self.sent, inputs, result, tally })
    }

    async fn send(&mut self, output: Option<&mut Output>) -> Result<(), RequestError> {
        let Some(output) = output else { return Ok(()) };
        match output.protect(&self.result, &mut self.out)? {
            Leaves::Clear => {
                count(&mut self.sent, self.result.len());
                Ok(self.incoming.conn.send_clear(&mut self.result).await?)
            }
            Leaves::Protected => {
                self.result.clear();
                self.send_out().await
            }
        }
    }

    async fn send_out(&mut self) -> Result<(), RequestError> {
        count(&mut self.sent, self.out.len());
        Ok(self.incoming.conn.send_protected(&mut self.out).await?)
    }

    /// Accounts for all that is held, `others` included.
    fn hold(&mut self, others: usize) -> Result<(), RequestError> {
        let held = self.held().saturating_add(others);
        Ok(self.memory.hold(held)?)
    }

    fn held(&self) -> usize {
        let held = [
            self.incoming.memory(),
            self.plaintext.capacity(),
            self.result.capacity(),
            self.out.capacity(),
            self.operation.memory(),
        ];
        held.iter().sum()
    }
}

/// A piece of the result may still be leaving: until it has, it counts.
impl Drop for Flow<'_, '_> {
    fn drop(&mut self) {
        self.incoming.conn.keep(self.memory.take());
    }
}

/// Counts what leaves.
fn count(sent: &mut u64, bytes: usize) {
    *sent = sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
}
