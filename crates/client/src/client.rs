//! The client: one connection, calls one after another.
//!
//! Whoever it connects to is untrusted. What proves the enclave is the
//! attestation document ([`Client::attest`], [`Client::run_sealed`]); a result
//! that is not sealed is as trustworthy as the machine that relays it.
//!
//! What can be asked stands in the two files below this one.

mod calls;
mod run;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use strongroom_attestation::VerifiedDocument;
use strongroom_envelope::receipt::PUBLIC_KEY_LEN;
use strongroom_wire::{Call, FrameKind, Request, RequestId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

pub use run::{Job, Recipient, Summary};

use crate::connection::{Connection, Sink, steering_frame};
use crate::error::Error;
use crate::exchange::{After, exchange};
use crate::progress::{Counters, OnProgress};
use crate::receipt::receipt_key;
use crate::transport::{self, Transport};
use crate::verifier::random;
use crate::{Address, Progress};

/// How long a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For a whole call, unless a job says otherwise. Sent to the service, which
    /// may give up sooner (its manifest caps it), and kept here too.
    pub deadline: Duration,
}

impl Default for Options {
    /// 10 seconds to connect, 5 minutes for a call.
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10), deadline: Duration::from_secs(5 * 60) }
    }
}

/// A client of one service.
///
/// Makes calls one after another over one connection, and a new connection when
/// the last one is spent: after an error, or when a call's future was dropped
/// before its end.
pub struct Client {
    address: Option<Address>,
    options: Options,
    idle: Option<Connection>,
    on_progress: Option<OnProgress>,
    enclave: Option<Enclave>,
}

/// What the last verified attestation document said of the enclave.
struct Enclave {
    id: String,
    receipt_key: Option<[u8; PUBLIC_KEY_LEN]>,
}

impl Client {
    /// Connects, with default [`Options`].
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn connect(address: &Address) -> Result<Self, Error> {
        Self::connect_with(address, Options::default()).await
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn connect_with(address: &Address, options: Options) -> Result<Self, Error> {
        let idle = Some(open(address, options.connect_timeout).await?);
        Ok(Self { address: Some(address.clone()), options, idle, on_progress: None, enclave: None })
    }

    /// A client over a stream that is connected already, such as one through a
    /// gateway of yours. It cannot connect again.
    pub fn over<T>(stream: T, options: Options) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream: Box<dyn Transport> = Box::new(stream);
        let idle = Some(Connection::new(stream));
        Self { address: None, options, idle, on_progress: None, enclave: None }
    }

    /// Calls `on_progress` whenever bytes of a run have moved.
    pub fn on_progress(&mut self, on_progress: impl Fn(Progress) + Send + Sync + 'static) {
        self.on_progress = Some(Arc::new(on_progress));
    }

    /// Takes `document` as what the enclave at the other end is, as
    /// [`Client::attest`] does: requests are signed for it, and every run from now
    /// on must come with a receipt of it, if the document names a receipt key.
    pub fn believe(&mut self, document: &VerifiedDocument) {
        self.enclave = Some(Enclave {
            id: document.module_id().to_owned(),
            receipt_key: receipt_key(document),
        });
    }

    fn counters(&self) -> Counters {
        Counters::new(self.on_progress.clone())
    }

    const fn deadline(&self) -> Duration {
        self.options.deadline
    }

    /// One request and its answer, within its deadline.
    async fn call<R, S>(
        &mut self,
        request: &Request,
        bodies: &mut [R],
        sink: &mut S,
        counters: &Counters,
    ) -> Result<(), Error>
    where
        R: AsyncRead + Send + Unpin,
        S: Sink,
    {
        let frame = steering_frame(FrameKind::Request, request)?;
        // Taken out, and put back only when it can be used again: a call that is
        // dropped half way takes its connection along.
        let mut connection = self.connection().await?;
        let deadline = Duration::from_millis(request.deadline_ms.unwrap_or(u64::MAX));
        let call = exchange(&mut connection, request, &frame, bodies, sink, counters);
        let Ok((after, result)) = timeout(deadline, call).await else {
            return Err(Error::Deadline.after(counters.now().received));
        };
        if after == After::Reusable {
            self.idle = Some(connection);
        }
        result.map_err(|error| error.after(counters.now().received))
    }

    async fn connection(&mut self) -> Result<Connection, Error> {
        if let Some(mut connection) = self.idle.take()
            && connection.is_ready().await
        {
            return Ok(connection);
        }
        match &self.address {
            Some(address) => open(address, self.options.connect_timeout).await,
            None => Err(Error::GivenUp),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn open(address: &Address, limit: Duration) -> Result<Connection, Error> {
    let refused = |source| Error::Connect { address: address.to_string(), source };
    match timeout(limit, transport::connect(address)).await {
        Ok(Ok(stream)) => Ok(Connection::new(stream)),
        Ok(Err(error)) => Err(refused(error)),
        Err(elapsed) => Err(refused(elapsed.into())),
    }
}

fn request(call: Call, deadline: Duration) -> Result<Request, Error> {
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    Ok(Request { id: RequestId(random()?), deadline_ms: Some(deadline_ms), call })
}
