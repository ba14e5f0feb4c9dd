//! Inputs: from the body of a request to plaintext.
//!
//! Reads what says which data keys are needed, gets them from [`Keys`], and
//! opens what follows as it arrives. What came is compared with what the job
//! pins before KMS is asked for anything. Knows no operation.

mod admission;
mod few;
mod fields;
mod incoming;
mod unpad;

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use strongroom_envelope::esdk::{self, ContextError, DecryptFailed, Header};
use strongroom_envelope::name::UNNAMED;
use strongroom_envelope::padding::PaddingError;
use strongroom_envelope::{SecretBuf, plain};

use crate::budget::{OverBudget, Share};
use crate::connection::ConnectionError;
use crate::job::BoundJob;
use crate::keys::{KeyError, Keys, Meter};
use crate::manifest::{Format, Input, KeyArn, Limits, Source};
use crate::shape::{Counts, RecordError};

use admission::policy;
pub use fields::Fields;
pub use incoming::{Held, Incoming};
pub use unpad::Unpad;

/// An input that is being opened.
pub enum Opening<'m> {
    /// An Encryption SDK message; one that says that it is padded is without the
    /// padding from here on.
    Message(esdk::Opener, Option<Unpad>, Arc<Meter>),
    /// A plain envelope: nothing of it is known to be right before its end.
    Envelope(plain::Header, plain::Opener, Arc<Meter>),
    /// Records with encrypted fields.
    Fields(Box<Fields<'m>>),
    /// Nothing is encrypted.
    Clear,
}

/// Why an input cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The header of an Encryption SDK message.
    #[error("the input is not a message this job opens: {0}")]
    Format(#[from] esdk::FormatError),
    /// The header of a plain envelope.
    #[error("the input is not a plain envelope this job opens: {0}")]
    Envelope(#[from] plain::FormatError),
    /// It ended within its header.
    #[error("the input ended before its header was complete")]
    NoHeader,
    /// The encryption context lacks what the job pins, or has another value.
    #[error(
        "the message's encryption context does not have the value that the job requires for {0:?}"
    )]
    Context(String),
    /// KMS would not take the message's encryption context.
    #[error(
        "the message's encryption context is longer than KMS takes, or has an entry without a name"
    )]
    ContextOfNoKey,
    /// The arguments make the encryption context unfit.
    #[error("the encryption context: {0}")]
    Unfit(#[from] ContextError),
    /// The encryption context that the message need not hold does not fit it.
    #[error(transparent)]
    RequiredContext(#[from] esdk::RequiredContextError),
    /// No encrypted data key is under the job's KMS key.
    #[error("no data key of the message is encrypted under the job's KMS key {0}")]
    Key(KeyArn),
    /// No data key.
    #[error(transparent)]
    NoDataKey(#[from] KeyError),
    /// More distinct data keys than there may be.
    #[error("the records need more than {0} data keys, the most that limits.max_data_keys allows")]
    TooManyDataKeys(usize),
    /// The message does not authenticate.
    #[error("the message does not authenticate: it was changed, cut, or made under another key")]
    Decrypt(#[from] DecryptFailed),
    /// A message that says that it is padded, and is not. Its producer's fault.
    #[error(transparent)]
    Padding(#[from] PaddingError),
    /// A malformed record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The connection, or what came over it.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Too much at once.
    #[error(transparent)]
    Busy(#[from] OverBudget),
}

impl<'m> Opening<'m> {
    /// Begins: reads the header, has KMS decrypt the data key, and authenticates
    /// the header. Gives the input's id too: what a sealed result names it by.
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn begin(
        keys: &Keys,
        limits: &Limits,
        job: &BoundJob<'m>,
        input: &'m Input,
        incoming: &mut Incoming<'_>,
        memory: &mut Share,
    ) -> Result<(Self, Vec<u8>), InputError> {
        match &input.source {
            Source::Whole(ciphertext) => {
                let context = job.context(ciphertext)?;
                match ciphertext.format {
                    Format::AwsEncryptionSdk { .. } => {
                        let policy = policy(ciphertext.format);
                        let parse =
                            |bytes: &[u8]| Ok(Header::parse(bytes, &limits.message(), &policy)?);
                        let header = incoming.header(memory, parse).await?;
                        let (id, header) = (header.message_id().to_vec(), context.admit(header)?);
                        let key = context.data_key(keys, job.name(), &header).await?;
                        let unpad = Unpad::of(header.encryption_context());
                        // Authenticates the header, and the message id in it.
                        let opener = esdk::Opener::new(header, &key)?;
                        Ok((Self::Message(opener, unpad, key.meter()), id))
                    }
                    Format::PlainEnvelope => {
                        let limits = limits.envelope();
                        let parse = |bytes: &[u8]| Ok(plain::Header::parse(bytes, &limits)?);
                        let header = incoming.header(memory, parse).await?;
                        let id = header.nonce().to_vec();
                        // All of its context is what the job pins.
                        let pinned = &context.pinned;
                        let (kms_key, wrapped) = (&ciphertext.key, header.encrypted_data_key());
                        let key = keys.decrypt(job.name(), kms_key, pinned, wrapped).await?;
                        let bound = header.clone();
                        let opener = plain::Opener::new(header, &key, pinned)?;
                        Ok((Self::Envelope(bound, opener, key.meter()), id))
                    }
                }
            }
            Source::Fields(ciphertexts) => {
                incoming.first_bytes(memory).await?;
                let fields = Fields::new(job, input, ciphertexts, limits)?;
                Ok((Self::Fields(Box::new(fields)), UNNAMED.to_vec()))
            }
            Source::Clear => {
                incoming.first_bytes(memory).await?;
                Ok((Self::Clear, UNNAMED.to_vec()))
            }
        }
    }

    /// Opens some of what has arrived and appends it to `plaintext`. Whether
    /// there was anything to open.
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn open(
        &mut self,
        keys: &Keys,
        input: &mut BytesMut,
        plaintext: &mut SecretBuf,
        memory: &mut Held<'_>,
    ) -> Result<bool, InputError> {
        let opened = match self {
            Self::Message(opener, None, meter) => {
                let opened = opener.open(input, plaintext, PIECE)?;
                meter.add(opened);
                opened
            }
            Self::Message(opener, Some(unpad), meter) => {
                let opened = opener.open(input, unpad.padded(), PIECE)?;
                meter.add(opened);
                unpad.take(plaintext);
                opened
            }
            Self::Envelope(header, ..) => {
                header.check_body_len(input.len())?;
                0
            }
            Self::Fields(fields) => fields.open(keys, input, false, plaintext, memory).await?,
            Self::Clear => {
                plaintext.extend_from_slice(input);
                input.len()
            }
        };
        input.advance(opened);
        Ok(opened > 0)
    }

    /// Opens what is left when the body has ended. Where it opened fields, gives
    /// the number of records that it passed on, and that it left out.
    ///
    /// # Errors
    /// [`InputError`] when it may not end here.
    pub async fn finish(
        self,
        keys: &Keys,
        input: &mut BytesMut,
        plaintext: &mut SecretBuf,
        memory: &mut Held<'_>,
    ) -> Result<Option<Counts>, InputError> {
        match self {
            Self::Message(opener, unpad, _) => {
                opener.finish()?;
                unpad.map_or(Ok(()), Unpad::finish)?;
            }
            Self::Envelope(_, opener, meter) => {
                meter.add(input.len());
                opener.finish(input, plaintext)?;
            }
            Self::Fields(mut fields) => {
                fields.open(keys, input, true, plaintext, memory).await?;
                input.clear();
                return Ok(Some(fields.counts()));
            }
            Self::Clear => {}
        }
        input.clear();
        Ok(None)
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Fields(fields) => fields.memory(),
            Self::Message(_, unpad, _) => unpad.as_ref().map_or(0, Unpad::memory),
            Self::Envelope(..) | Self::Clear => 0,
        }
    }
}

/// Opens a ciphertext that is given whole, as `input` says.
///
/// # Errors
/// [`InputError`].
pub async fn open_value(
    keys: &Keys,
    limits: &Limits,
    job: &BoundJob<'_>,
    input: &Input,
    ciphertext: &[u8],
) -> Result<SecretBuf, InputError> {
    let Source::Whole(spec) = &input.source else { return Err(InputError::NoHeader) };
    let context = job.context(spec)?;
    let mut plaintext = SecretBuf::new();
    match spec.format {
        Format::AwsEncryptionSdk { .. } => {
            let parsed = Header::parse(ciphertext, &limits.message(), &policy(spec.format))?;
            let (header, len) = parsed.ok_or(InputError::NoHeader)?;
            let header = context.admit(header)?;
            let key = context.data_key(keys, job.name(), &header).await?;
            let body = ciphertext.get(len..).unwrap_or_default();
            key.add(body.len());
            fields::open_message(header, &key, body, &mut plaintext)?;
        }
        Format::PlainEnvelope => {
            let parsed = plain::Header::parse(ciphertext, &limits.envelope())?;
            let (header, len) = parsed.ok_or(InputError::NoHeader)?;
            let pinned = &context.pinned;
            let (kms_key, wrapped) = (&spec.key, header.encrypted_data_key());
            let key = keys.decrypt(job.name(), kms_key, pinned, wrapped).await?;
            let opener = plain::Opener::new(header, &key, pinned)?;
            let body = ciphertext.get(len..).unwrap_or_default();
            key.add(body.len());
            opener.finish(body, &mut plaintext)?;
        }
    }
    Ok(plaintext)
}

/// Most plaintext opened at once, in bytes, before it is worked on; a longer
/// frame is opened whole.
const PIECE: usize = 256 << 10;
