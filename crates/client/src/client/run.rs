//! Running jobs, with every form of result.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_bytes::ByteBuf;
use strongroom_envelope::seal::RecipientSecretKey;
use strongroom_wire::{Call, Protect, RequestId, Run};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, request};
use crate::Verifier;
use crate::error::Error;
use crate::file::PartialFile;
use crate::input::{InputId, Named};
use crate::sealed::{Expected, Opened, Unsealer};
use crate::sink::{Plain, Unsealed};
use crate::verifier::{NONCE_LEN, random};

/// A job to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Its name in the manifest.
    pub name: String,
    /// The arguments that it declares, no more and no fewer.
    pub args: BTreeMap<String, String>,
    /// For the whole run, instead of [`crate::Options::deadline`].
    pub deadline: Option<Duration>,
}

impl Job {
    /// A job without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds an argument; one of the same name is replaced.
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.insert(name.into(), value.into());
        self
    }

    /// Sets the deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// Whom a data owner wants a result sealed to, when a parent application runs
/// the job on the owner's behalf ([`Client::run_for`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The owner's X25519 public key.
    pub public_key: [u8; 32],
    /// The owner's nonce, at most 512 bytes.
    pub nonce: Option<Vec<u8>>,
}

/// What a run gave. There is one only when the whole result came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The request's id.
    pub request: RequestId,
    /// Form of what was written to the output.
    pub protect: Protect,
    /// Bytes of the input.
    pub sent: u64,
    /// Bytes written to the output.
    pub received: u64,
    /// Records processed, for operations on records. Said by the service and
    /// not authenticated.
    pub records: Option<u64>,
}

impl Client {
    /// Runs `job` over `input` and writes its result to `output`, in constant
    /// memory. The result has the form that the manifest gives it.
    ///
    /// # Errors
    /// [`Error`]. What `output` received is then void; see
    /// [`Client::run_to_file`] for an output that cannot be mistaken for whole.
    pub async fn run<R, W>(&mut self, job: &Job, input: R, output: W) -> Result<Summary, Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        self.run_plain(job, None, input, output).await
    }

    /// Runs `job` over `input` and makes the file `path` of its result. The file
    /// appears, or is replaced, only when the whole result came.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run_to_file<R>(
        &mut self,
        job: &Job,
        input: R,
        path: impl AsRef<Path>,
    ) -> Result<Summary, Error>
    where
        R: AsyncRead + Send + Unpin,
    {
        let mut file = PartialFile::beside(path.as_ref())?;
        let summary = self.run(job, input, file.writer()).await?;
        file.commit().await?;
        Ok(summary)
    }

    /// Runs `job` on behalf of a data owner: the result is sealed to
    /// `recipient`, written to `output` as it comes, and opened by the owner
    /// with [`crate::open_sealed`].
    ///
    /// # Errors
    /// As [`Client::run`]; and [`crate::ProtocolError::NotSealed`].
    pub async fn run_for<R, W>(
        &mut self,
        recipient: &Recipient,
        job: &Job,
        input: R,
        output: W,
    ) -> Result<Summary, Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        self.run_plain(job, Some(recipient), input, output).await
    }

    /// Runs `job` over `input`, has the result sealed to the public key of
    /// `secret`, and opens it as it comes: `output` receives plaintext that was
    /// made by an enclave that `verifier` accepts, for this very request, from
    /// the message that `input` gives.
    ///
    /// # Errors
    /// As [`Client::run`]; [`Error::Attestation`] and [`Error::Sealed`] when the
    /// result is not to be believed; [`crate::ProtocolError::NotSealed`] when
    /// the job does not seal.
    pub async fn run_sealed<R, W>(
        &mut self,
        job: &Job,
        secret: &RecipientSecretKey,
        verifier: &Verifier,
        input: R,
        output: W,
    ) -> Result<(Summary, Opened), Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let nonce = random::<NONCE_LEN>()?.to_vec();
        let public_key = *secret.public_key().as_bytes();
        let recipient = Recipient { public_key, nonce: Some(nonce.clone()) };
        let call = Call::Run(run_of(job, Some(&recipient)));
        let request = request(call, job.deadline.unwrap_or(self.deadline()))?;
        let expected = Expected {
            request: Some(request.id),
            job: Some(job.name.clone()),
            args: Some(job.args.clone()),
            // Known once its first bytes are on their way; the sink demands it.
            input: None,
            nonce: Some(nonce),
        };
        let (counters, id) = (self.counters(), InputId::new());
        let unsealer = Unsealer::new(expected, secret, verifier);
        let mut sink = Unsealed::new(unsealer, &id, output, &counters);
        self.call(&request, Some(Named::new(input, &id)), &mut sink, &counters).await?;
        sink.summary(request.id)
    }

    /// As [`Client::run_sealed`], into a file as [`Client::run_to_file`] makes it.
    ///
    /// # Errors
    /// As [`Client::run_sealed`].
    pub async fn run_sealed_to_file<R>(
        &mut self,
        job: &Job,
        secret: &RecipientSecretKey,
        verifier: &Verifier,
        input: R,
        path: impl AsRef<Path>,
    ) -> Result<(Summary, Opened), Error>
    where
        R: AsyncRead + Send + Unpin,
    {
        let mut file = PartialFile::beside(path.as_ref())?;
        let done = self.run_sealed(job, secret, verifier, input, file.writer()).await?;
        file.commit().await?;
        Ok(done)
    }

    async fn run_plain<R, W>(
        &mut self,
        job: &Job,
        recipient: Option<&Recipient>,
        input: R,
        output: W,
    ) -> Result<Summary, Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let call = Call::Run(run_of(job, recipient));
        let request = request(call, job.deadline.unwrap_or(self.deadline()))?;
        let counters = self.counters();
        let mut sink = Plain::new(output, recipient.is_some(), &counters);
        self.call(&request, Some(input), &mut sink, &counters).await?;
        sink.summary(request.id)
    }
}

fn run_of(job: &Job, recipient: Option<&Recipient>) -> Run {
    Run {
        job: job.name.clone(),
        args: job.args.clone(),
        seal_to: recipient.map(|to| ByteBuf::from(to.public_key)),
        nonce: recipient.and_then(|to| to.nonce.clone()).map(ByteBuf::from),
        ..Run::default()
    }
}
