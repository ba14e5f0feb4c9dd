//! Opening sealed results: as they come, or from where they were stored.
//!
//! [`Unsealer`] is sans-IO. It trusts the secret key, the verifier and the time
//! it is handed, and nothing in the stream.

use std::collections::BTreeMap;

use bytes::{Buf as _, BytesMut};
use strongroom_attestation::{UnixTime, VerifiedDocument, verify};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::padding::{PaddingError, Unpadder};
use strongroom_envelope::seal::{
    Binding, FormatError, OpenError, Opener, RecipientSecretKey, StreamHeader,
};
use strongroom_wire::RequestId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::answer::len;
use crate::error::Error;
use crate::verifier::Verifier;

/// Why a sealed result is refused. Always the fault of whoever delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// Not a sealed stream.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Made for another request or from another input, not vouched for, or not whole.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It came before the message that it would have to be made from, or that
    /// message has no id.
    #[error("a result came although no message with an id had been sent")]
    NoInput,
    /// It ends within its header.
    #[error("the sealed result ends within its header")]
    Truncated,
    /// It says that it is padded, and is not. The enclave's fault.
    #[error(transparent)]
    Padding(#[from] PaddingError),
}

/// The request that a stored sealed stream must answer, and its input. What is
/// `None` may be anything; [`Opened`] says what it was.
///
/// The parent chooses which stream it delivers, and which message it has a job
/// run over: an owner who did not name the job and chose no nonce may be handed
/// an older result, or another job's; one who did not name the input, a result
/// made from another message under the same KMS key and encryption context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The request's id.
    pub request: Option<RequestId>,
    /// The job's name.
    pub job: Option<String>,
    /// The job's arguments.
    pub args: Option<BTreeMap<String, String>>,
    /// The input's name ([`crate::input_name`]); of two inputs, one behind the other.
    pub input: Option<Vec<u8>>,
    /// The owner's nonce.
    pub nonce: Option<Vec<u8>>,
}

/// What a sealed stream proved, once it was opened to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The request that it answers.
    pub request: RequestId,
    /// The job that made it.
    pub job: String,
    /// The arguments that the job ran with.
    pub args: BTreeMap<String, String>,
    /// Id of the input that it was made from: which message, not whose. Whoever
    /// may encrypt under the job's KMS key can make inputs.
    pub input: Vec<u8>,
    /// The nonce that came with the request.
    pub nonce: Option<Vec<u8>>,
    /// The enclave that made it.
    pub document: VerifiedDocument,
}

/// Opens a stored sealed stream, in constant memory.
///
/// `now` is the time to verify the attestation document at: this moment for a
/// stream that was just made, or when you received it, by your own record. A
/// document can be verified for about three hours after it was made.
///
/// # Errors
/// [`Error::Attestation`], [`Error::Sealed`], [`Error::Input`] or
/// [`Error::Output`], within [`Error::Partial`] when `output` had received
/// bytes; what it received is then void.
pub async fn open_sealed<R, W>(
    mut input: R,
    mut output: W,
    secret: &RecipientSecretKey,
    verifier: &Verifier,
    expected: &Expected,
    now: UnixTime,
) -> Result<Opened, Error>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let mut unsealer = Unsealer::new(expected.clone(), secret, verifier);
    let mut written = 0;
    let opened = open_all(&mut input, &mut output, &mut unsealer, now, &mut written).await;
    opened.and_then(|()| unsealer.finish()).map_err(|error| error.after(written))
}

async fn open_all<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    input: &mut R,
    output: &mut W,
    unsealer: &mut Unsealer<'_>,
    now: UnixTime,
    written: &mut u64,
) -> Result<(), Error> {
    let mut buffer = vec![0; READ_LEN];
    loop {
        let read = input.read(&mut buffer).await.map_err(Error::Input)?;
        if read == 0 {
            return output.flush().await.map_err(Error::Output);
        }
        let plaintext = unsealer.push(buffer.get(..read).unwrap_or_default(), now)?;
        output.write_all(plaintext).await.map_err(Error::Output)?;
        *written = written.saturating_add(len(plaintext));
    }
}

/// Opens one sealed stream, piece by piece.
pub(crate) struct Unsealer<'a> {
    expected: Expected,
    secret: &'a RecipientSecretKey,
    verifier: &'a Verifier,
    /// Received and not opened: less than a header or a chunk, between calls.
    pending: BytesMut,
    plaintext: SecretBuf,
    open: Option<(Opener, Opened)>,
    /// Takes off the padding of a stream that has some.
    unpadder: Option<Unpadder>,
    unpadded: SecretBuf,
}

impl<'a> Unsealer<'a> {
    pub(crate) fn new(
        expected: Expected,
        secret: &'a RecipientSecretKey,
        verifier: &'a Verifier,
    ) -> Self {
        let (pending, plaintext) = (BytesMut::new(), SecretBuf::new());
        let unpadded = SecretBuf::new();
        let unpadder = None;
        Self { expected, secret, verifier, pending, plaintext, open: None, unpadder, unpadded }
    }

    /// Demands that the stream was made from this input.
    pub(crate) fn expect_input(&mut self, id: &[u8]) {
        self.expected.input = Some(id.to_vec());
    }

    /// Takes the next bytes of the stream and gives the plaintext that they
    /// complete. Each piece is authentic; that they are all of it is said by
    /// [`Self::finish`] alone. `now` is when the bytes came.
    pub(crate) fn push(&mut self, bytes: &[u8], now: UnixTime) -> Result<&[u8], Error> {
        self.plaintext.clear();
        self.pending.extend_from_slice(bytes);
        if self.open.is_none()
            && let Some((header, consumed)) = StreamHeader::parse(&self.pending).map_err(format)?
        {
            self.open = Some(self.believe(&header, now)?);
            self.unpadder = header.is_padded().then(Unpadder::new);
            self.pending.advance(consumed);
        }
        if let Some((opener, _)) = &mut self.open {
            let consumed = opener.open(&self.pending, &mut self.plaintext).map_err(refused)?;
            self.pending.advance(consumed);
        }
        let Some(unpadder) = &mut self.unpadder else { return Ok(self.plaintext.expose()) };
        self.unpadded.clear();
        let mut padded = self.plaintext.expose();
        while !padded.is_empty() {
            let taken = unpadder.feed(padded, &mut self.unpadded);
            padded = padded.get(taken..).unwrap_or_default();
        }
        Ok(self.unpadded.expose())
    }

    /// Says what the stream was, if it was whole.
    pub(crate) fn finish(self) -> Result<Opened, Error> {
        let (opener, opened) = self.open.ok_or(SealedError::Truncated)?;
        opener.finish().map_err(refused)?;
        if let Some(unpadder) = self.unpadder {
            unpadder.finish().map_err(SealedError::from)?;
        }
        Ok(opened)
    }

    /// Checks everything that a header claims, and prepares to open the chunks.
    fn believe(&self, header: &StreamHeader, now: UnixTime) -> Result<(Opener, Opened), Error> {
        let claimed = header.binding();
        let expected = Binding {
            request_id: self.expected.request.map_or(claimed.request_id, |id| id.0),
            job: self.expected.job.as_deref().unwrap_or(claimed.job),
            args: self.expected.args.as_ref().unwrap_or(claimed.args),
            input: self.expected.input.as_deref().unwrap_or(claimed.input),
            nonce: self.expected.nonce.as_deref().or(claimed.nonce),
            padded: claimed.padded,
        };
        let mut policy = self.verifier.policy.clone();
        policy.nonce = expected.nonce.map(<[u8]>::to_vec);
        policy.user_data = Some(header.expected_user_data(self.secret.public_key()).to_vec());
        let document = verify(header.attestation(), &self.verifier.root, now, &policy)?;
        let user_data = document.user_data().unwrap_or_default();
        let opener = Opener::new(header, &expected, self.secret, user_data).map_err(refused)?;
        let opened = Opened {
            request: RequestId(expected.request_id),
            job: expected.job.to_owned(),
            args: expected.args.clone(),
            input: expected.input.to_vec(),
            nonce: expected.nonce.map(<[u8]>::to_vec),
            document,
        };
        Ok((opener, opened))
    }
}

fn format(error: FormatError) -> Error {
    SealedError::from(error).into()
}

fn refused(error: OpenError) -> Error {
    SealedError::from(error).into()
}

/// Bytes read at a time.
const READ_LEN: usize = 64 << 10;
