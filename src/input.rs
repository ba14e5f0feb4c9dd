//! Inputs: from the body of a request to plaintext.
//!
//! Reads what says which data keys are needed, gets them from [`Keys`], and
//! opens what follows as it arrives. What came is compared with what the job
//! pins before KMS is asked for anything. Knows no operation.

mod fields;
mod unpad;

use bytes::{Buf, BytesMut};
use strongroom_envelope::esdk::{
    self, CommitmentPolicy, ContextError, DecryptFailed, EncryptedDataKey, EncryptionContext,
    Header, Policy, Signatures,
};
use strongroom_envelope::name::{UNNAMED, name};
use strongroom_envelope::padding::PaddingError;
use strongroom_envelope::{DataKey, SecretBuf, plain};

use crate::budget::{OverBudget, Share};
use crate::connection::{Body, Connection, ConnectionError};
use crate::job::{BoundContext, BoundJob};
use crate::keys::{KeyError, Keys};
use crate::manifest::{Format, Input, KeyArn, Limits, Source};
use crate::receipts::Hash;
use crate::shape::{Counts, RecordError};

pub use fields::Fields;
pub use unpad::Unpad;

/// An input that is being opened.
pub enum Opening<'m> {
    /// An Encryption SDK message; one that says that it is padded is without the
    /// padding from here on.
    Message(esdk::Opener, Option<Unpad>),
    /// A plain envelope: nothing of it is known to be right before its end.
    Envelope(plain::Header, plain::Opener),
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

/// Where an input comes from, and what is kept of it until it is opened.
pub struct Incoming<'c> {
    /// The caller's connection.
    pub conn: &'c mut Connection,
    /// What has arrived and is not opened yet.
    pub bytes: BytesMut,
    hash: Hash,
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
                        let key = context.data_key(keys, &header).await?;
                        let unpad = Unpad::of(header.encryption_context());
                        // Authenticates the header, and the message id in it.
                        Ok((Self::Message(esdk::Opener::new(header, &key)?, unpad), id))
                    }
                    Format::PlainEnvelope => {
                        let limits = limits.envelope();
                        let parse = |bytes: &[u8]| Ok(plain::Header::parse(bytes, &limits)?);
                        let header = incoming.header(memory, parse).await?;
                        let id = header.nonce().to_vec();
                        // All of its context is what the job pins.
                        let pinned = &context.pinned;
                        let key = keys
                            .decrypt(&ciphertext.key, pinned, header.encrypted_data_key())
                            .await?;
                        let bound = header.clone();
                        let opener = plain::Opener::new(header, &key, pinned)?;
                        Ok((Self::Envelope(bound, opener), id))
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
            Self::Message(opener, None) => opener.open(input, plaintext, PIECE)?,
            Self::Message(opener, Some(unpad)) => {
                let opened = opener.open(input, unpad.padded(), PIECE)?;
                unpad.take(plaintext);
                opened
            }
            Self::Envelope(header, _) => {
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
            Self::Message(opener, unpad) => {
                opener.finish()?;
                unpad.map_or(Ok(()), Unpad::finish)?;
            }
            Self::Envelope(_, opener) => opener.finish(input, plaintext)?,
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
            Self::Message(_, unpad) => unpad.as_ref().map_or(0, Unpad::memory),
            Self::Envelope(..) | Self::Clear => 0,
        }
    }
}

/// The memory that a request holds, by what it is besides an input.
pub struct Held<'a> {
    /// The request's share.
    pub share: &'a mut Share,
    /// Bytes of everything else.
    pub others: usize,
}

impl Held<'_> {
    /// Holds `bytes` for an input.
    ///
    /// # Errors
    /// [`OverBudget`].
    fn hold(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.share.hold(self.others.saturating_add(bytes))
    }
}

impl<'c> Incoming<'c> {
    /// What comes over `conn`.
    #[must_use]
    pub fn new(conn: &'c mut Connection) -> Self {
        Self { conn, bytes: BytesMut::new(), hash: Hash::new() }
    }

    /// Reads more, or finds the end of the input.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn read(&mut self) -> Result<Body, ConnectionError> {
        let before = self.bytes.len();
        let body = self.conn.read_body(&mut self.bytes).await?;
        self.hash.update(self.bytes.get(before..).unwrap_or_default());
        Ok(body)
    }

    /// SHA-256 of the input that has ended; what is read next is another one.
    pub fn digest(&mut self) -> [u8; 32] {
        std::mem::take(&mut self.hash).finish()
    }

    /// Bytes of memory that its buffers have.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.conn.memory().saturating_add(self.bytes.capacity())
    }

    /// Reads until a client has seen what it sends: the response then finds it
    /// knowing the name of its input.
    async fn first_bytes(&mut self, memory: &mut Share) -> Result<(), InputError> {
        while name(&self.bytes).is_none() && self.read().await? == Body::More {
            memory.hold(self.memory())?;
        }
        Ok(())
    }

    /// Reads until `parse` finds a header at the front, and takes it off.
    async fn header<T>(
        &mut self,
        memory: &mut Share,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, InputError>,
    ) -> Result<T, InputError> {
        loop {
            if let Some((header, len)) = parse(&self.bytes)? {
                // An entry of a few bytes becomes two strings and a place in a map.
                memory.hold(self.memory().saturating_add(len.saturating_mul(PARSED)))?;
                self.bytes.advance(len);
                return Ok(header);
            }
            if self.read().await? == Body::End {
                return Err(InputError::NoHeader);
            }
            memory.hold(self.memory())?;
        }
    }
}

impl BoundContext<'_> {
    /// Compares a message's encryption context with what the job pins: every
    /// entry must be there, with its value; further entries may be.
    fn admit(&self, header: Header) -> Result<Header, InputError> {
        let mut header = header;
        if !self.required.is_empty() {
            header = header.with_required_context(&self.required)?;
        }
        let context = header.encryption_context();
        if !kms_takes(context) {
            return Err(InputError::ContextOfNoKey);
        }
        let mut pinned = self.pinned.iter().chain(self.required.iter());
        match pinned.find(|(name, value)| context.get(name) != Some(value)) {
            Some((name, _)) => Err(InputError::Context(name.to_owned())),
            None => Ok(header),
        }
    }

    /// The encrypted data keys of a message that are under the job's KMS key.
    fn candidates<'h>(&self, header: &'h Header) -> Result<Vec<&'h EncryptedDataKey>, InputError> {
        let key = &self.ciphertext.key;
        let of_kms = |encrypted: &&EncryptedDataKey| {
            key.is_key_of(encrypted)
                && (1..=MAX_CIPHERTEXT_BLOB).contains(&encrypted.ciphertext.len())
        };
        let found: Vec<_> = header.encrypted_data_keys().iter().filter(of_kms).collect();
        if found.is_empty() { Err(InputError::Key(key.clone())) } else { Ok(found) }
    }

    /// The data key of a message: of several under the job's KMS key, the first
    /// that KMS decrypts.
    async fn data_key(&self, keys: &Keys, header: &Header) -> Result<DataKey, InputError> {
        let mut refusal = None;
        for encrypted in self.candidates(header)? {
            let context = header.encryption_context();
            match keys.decrypt(&self.ciphertext.key, context, &encrypted.ciphertext).await {
                Ok(key) => return Ok(key),
                Err(error) if error.is_of_the_ciphertext() => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(refusal.map_or_else(|| InputError::Key(self.ciphertext.key.clone()), InputError::from))
    }
}

/// Whether KMS would look at a context at all. One that it calls invalid ends a
/// request, and must not where it is the message's fault.
fn kms_takes(context: &EncryptionContext) -> bool {
    // As JSON, each entry has four quotes, a colon and a comma.
    let len = context.iter().fold(1_usize, |len, (name, value)| {
        len.saturating_add(name.len()).saturating_add(value.len()).saturating_add(6)
    });
    len <= MAX_CONTEXT && context.get("").is_none()
}

const fn policy(format: Format) -> Policy {
    match format {
        Format::AwsEncryptionSdk { allow_legacy, refuse_signed } => Policy {
            commitment: if allow_legacy {
                CommitmentPolicy::AllowLegacy
            } else {
                CommitmentPolicy::Require
            },
            signatures: if refuse_signed { Signatures::Refuse } else { Signatures::Accept },
        },
        Format::PlainEnvelope => {
            Policy { commitment: CommitmentPolicy::Require, signatures: Signatures::Refuse }
        }
    }
}

/// Longest encrypted data key that KMS takes, in bytes (KMS API, Decrypt).
const MAX_CIPHERTEXT_BLOB: usize = 6144;

/// Longest encryption context that KMS takes, in characters as JSON.
const MAX_CONTEXT: usize = 8192;

/// How many times as much memory a header takes once it is parsed.
const PARSED: usize = 32;

/// Most plaintext opened at once, in bytes, before it is worked on; a longer
/// frame is opened whole.
const PIECE: usize = 256 << 10;

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
            let key = context.data_key(keys, &header).await?;
            let body = ciphertext.get(len..).unwrap_or_default();
            fields::open_message(header, &key, body, &mut plaintext)?;
        }
        Format::PlainEnvelope => {
            let parsed = plain::Header::parse(ciphertext, &limits.envelope())?;
            let (header, len) = parsed.ok_or(InputError::NoHeader)?;
            let pinned = &context.pinned;
            let key = keys.decrypt(&spec.key, pinned, header.encrypted_data_key()).await?;
            let opener = plain::Opener::new(header, &key, pinned)?;
            opener.finish(ciphertext.get(len..).unwrap_or_default(), &mut plaintext)?;
        }
    }
    Ok(plaintext)
}
