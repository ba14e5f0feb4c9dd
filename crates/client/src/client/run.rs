//! Running jobs, with every form of result.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_bytes::ByteBuf;
use strongroom_envelope::receipt::{PUBLIC_KEY_LEN, Receipt};
use strongroom_envelope::seal::RecipientSecretKey;
use strongroom_wire::{Call, Payload as _, Protect, Request, RequestId, Run};
use tokio::io::AsyncWrite;

use super::{Client, request};
use crate::digest::sha256;
use crate::error::Error;
use crate::file::PartialFile;
use crate::input::{Inputs, Notes};
use crate::progress::Counters;
use crate::receipt::{ExpectedReceipt, ReceiptRefused, check};
use crate::sealed::{Expected, Opened, Unsealer};
use crate::sink::{Plain, Unsealed, Whole};
use crate::verifier::{NONCE_LEN, random};
use crate::{Caller, Progress, Verifier};

/// A job to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Its name in the manifest.
    pub name: String,
    /// The arguments that it declares, no more and no fewer.
    pub args: BTreeMap<String, String>,
    /// For the whole run, instead of [`crate::Options::deadline`].
    pub deadline: Option<Duration>,
    /// SHA-256 that the first input must have: the service refuses another, and
    /// lets nothing of the result out before. A sealed result of an input that is
    /// not one ciphertext (records with encrypted fields, tokens) is bound to its
    /// input by this alone.
    pub input_sha256: Option<[u8; 32]>,
    /// Who signs the request, for a job that lists its callers.
    pub caller: Option<Caller>,
    /// No receipt is asked for: see [`Job::without_receipt`].
    pub no_receipt: bool,
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

    /// Has the service refuse a first input of another SHA-256.
    #[must_use]
    pub const fn input_sha256(mut self, digest: [u8; 32]) -> Self {
        self.input_sha256 = Some(digest);
        self
    }

    /// Asks for no receipt. A run is faster without: client and enclave hash all that
    /// they send and receive for it. What the enclave did is then known from a
    /// sealed result alone, and [`Summary`] has no digests and no proof.
    #[must_use]
    pub const fn without_receipt(mut self) -> Self {
        self.no_receipt = true;
        self
    }

    /// Has `caller` sign the request.
    #[must_use]
    pub fn signed_by(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The request's id.
    pub request: RequestId,
    /// SHA-256 of the request as it was sent (of its `REQUEST` frame's payload).
    pub request_sha256: [u8; 32],
    /// Form of what was written to the output.
    pub protect: Protect,
    /// Bytes of all inputs.
    pub sent: u64,
    /// Bytes written to the output.
    pub received: u64,
    /// Records processed, for operations on records. Said by the service and
    /// not authenticated, unless `proof` says the same.
    pub records: Option<u64>,
    /// Malformed records that were left out. Like `records`.
    pub dropped: Option<u64>,
    /// SHA-256 of each input's bytes, as sent; none [`Job::without_receipt`].
    pub inputs_sha256: Vec<[u8; 32]>,
    /// SHA-256 of the result's bytes as received: of a sealed result, before it
    /// was opened. None [`Job::without_receipt`].
    pub result_sha256: Option<[u8; 32]>,
    /// The receipt as it came: not verified, unless `proof` is there. To be kept
    /// with an attestation document, for [`crate::verify_receipt`].
    pub receipt: Option<Vec<u8>>,
    /// What the enclave signed about this run: there if the client had attested an
    /// enclave that gives receipts ([`Client::attest`]), and unless the job ran
    /// [`Job::without_receipt`]. Request, job, caller,
    /// inputs and result have been compared; the manifest's digest has not, for the
    /// attested image holds the manifest.
    pub proof: Option<Receipt>,
}

impl Client {
    /// Runs `job` over `input` and writes its result to `output`, in constant
    /// memory. The result has the form that the manifest gives it.
    ///
    /// # Errors
    /// [`Error`]. What `output` received is then void; see
    /// [`Client::run_to_file`] for an output that cannot be mistaken for whole.
    pub async fn run<'a, W>(
        &mut self,
        job: &Job,
        input: impl Into<Inputs<'a>>,
        output: W,
    ) -> Result<Summary, Error>
    where
        W: AsyncWrite + Send + Unpin,
    {
        self.run_plain(job, None, input, output).await
    }

    /// Runs `job` over `input` and makes the file `path` of its result. The file
    /// appears, or is replaced, only when the whole result came.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run_to_file<'a>(
        &mut self,
        job: &Job,
        input: impl Into<Inputs<'a>>,
        path: impl AsRef<Path>,
    ) -> Result<Summary, Error> {
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
    pub async fn run_for<'a, W>(
        &mut self,
        recipient: &Recipient,
        job: &Job,
        input: impl Into<Inputs<'a>>,
        output: W,
    ) -> Result<Summary, Error>
    where
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
    pub async fn run_sealed<'a, W>(
        &mut self,
        job: &Job,
        secret: &RecipientSecretKey,
        verifier: &Verifier,
        input: impl Into<Inputs<'a>>,
        output: W,
    ) -> Result<(Summary, Opened), Error>
    where
        W: AsyncWrite + Send + Unpin,
    {
        let nonce = random::<NONCE_LEN>()?.to_vec();
        let public_key = *secret.public_key().as_bytes();
        let recipient = Recipient { public_key, nonce: Some(nonce.clone()) };
        let request = self.run_request(job, Some(&recipient))?;
        let expected = Expected {
            request: Some(request.id),
            job: Some(job.name.clone()),
            args: Some(job.args.clone()),
            // Known once its first bytes are on their way; the sink demands it.
            input: None,
            nonce: Some(nonce),
        };
        let (counters, notes, inputs) = (self.counters(), Default::default(), input.into());
        let sent = sent(&notes, &inputs);
        let unsealer = Unsealer::new(expected, secret, verifier);
        let mut sink =
            Unsealed::new(unsealer, sent, job.input_sha256, output, !job.no_receipt, &counters);
        self.call(&request, &mut inputs.noted(&notes, !job.no_receipt), &mut sink, &counters)
            .await?;
        let (opened, whole) = sink.result()?;
        let summary = self.summary(job, &request, Protect::Seal, sent, whole, &counters)?;
        Ok((summary, opened))
    }

    /// As [`Client::run_sealed`], into a file as [`Client::run_to_file`] makes it.
    ///
    /// # Errors
    /// As [`Client::run_sealed`].
    pub async fn run_sealed_to_file<'a>(
        &mut self,
        job: &Job,
        secret: &RecipientSecretKey,
        verifier: &Verifier,
        input: impl Into<Inputs<'a>>,
        path: impl AsRef<Path>,
    ) -> Result<(Summary, Opened), Error> {
        let mut file = PartialFile::beside(path.as_ref())?;
        let done = self.run_sealed(job, secret, verifier, input, file.writer()).await?;
        file.commit().await?;
        Ok(done)
    }

    async fn run_plain<'a, W>(
        &mut self,
        job: &Job,
        recipient: Option<&Recipient>,
        input: impl Into<Inputs<'a>>,
        output: W,
    ) -> Result<Summary, Error>
    where
        W: AsyncWrite + Send + Unpin,
    {
        let request = self.run_request(job, recipient)?;
        let (counters, notes, inputs) = (self.counters(), Default::default(), input.into());
        let sent = sent(&notes, &inputs);
        let mut sink = Plain::new(output, recipient.is_some(), !job.no_receipt, &counters);
        self.call(&request, &mut inputs.noted(&notes, !job.no_receipt), &mut sink, &counters)
            .await?;
        let (protect, whole) = sink.result()?;
        self.summary(job, &request, protect, sent, whole, &counters)
    }

    fn run_request(&self, job: &Job, recipient: Option<&Recipient>) -> Result<Request, Error> {
        let run = run_of(job, recipient);
        let mut request = request(Call::Run(run), job.deadline.unwrap_or(self.deadline()))?;
        if let (Some(caller), Call::Run(run)) = (&job.caller, &request.call) {
            let attested = self.enclave.as_ref().map(|enclave| enclave.id.as_str());
            request.call = Call::Signed(caller.sign(run, request.id, attested)?);
        }
        Ok(request)
    }

    /// What a call that has succeeded gave, if its receipt holds.
    fn summary(
        &self,
        job: &Job,
        request: &Request,
        protect: Protect,
        inputs: &[Notes],
        whole: Whole,
        counters: &Counters,
    ) -> Result<Summary, Error> {
        let Progress { sent, received } = counters.now();
        let receipt = whole.trailer.receipt.map(ByteBuf::into_vec);
        let mut summary = Summary {
            request: request.id,
            request_sha256: sha256(&request.encode().map_err(Error::Request)?),
            protect,
            sent,
            received,
            records: whole.trailer.records,
            dropped: whole.trailer.dropped,
            inputs_sha256: inputs.iter().filter_map(|input| input.sha256.get().copied()).collect(),
            result_sha256: whole.sha256,
            receipt,
            proof: None,
        };
        let key = self.enclave.as_ref().and_then(|enclave| enclave.receipt_key);
        if let Some(key) = key.filter(|_| !job.no_receipt) {
            let proof = prove(&summary, job, &key);
            summary.proof = Some(proof.map_err(|error| Error::from(error).after(received))?);
        }
        Ok(summary)
    }
}

/// Checks that the receipt is for just this run.
fn prove(
    summary: &Summary,
    job: &Job,
    key: &[u8; PUBLIC_KEY_LEN],
) -> Result<Receipt, ReceiptRefused> {
    let expected = ExpectedReceipt {
        request: Some(summary.request),
        request_sha256: Some(summary.request_sha256),
        job: Some(job.name.clone()),
        manifest: None,
        inputs: Some(summary.inputs_sha256.clone()),
        result: summary.result_sha256,
        caller: Some(job.caller.as_ref().map(|caller| caller.name().to_owned())),
    };
    check(summary.receipt.as_ref().ok_or(ReceiptRefused::Missing)?, key, &expected)
}

/// The notes of the inputs that there are.
fn sent<'a>(notes: &'a [Notes; 2], inputs: &Inputs<'_>) -> &'a [Notes] {
    notes.get(..inputs.count()).unwrap_or(notes)
}

fn run_of(job: &Job, recipient: Option<&Recipient>) -> Run {
    Run {
        job: job.name.clone(),
        args: job.args.clone(),
        seal_to: recipient.map(|to| ByteBuf::from(to.public_key)),
        nonce: recipient.and_then(|to| to.nonce.clone()).map(ByteBuf::from),
        input_sha256: job.input_sha256.map(ByteBuf::from),
        no_receipt: job.no_receipt,
    }
}
