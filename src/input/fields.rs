//! Records with encrypted fields: each opened and put back in its place.
//!
//! Every record is looked at twice: first to find which data keys its fields
//! need, then, when KMS has decrypted those that were not known yet, a few at a
//! time, to open them. A data key costs one call to KMS however many fields are
//! under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::esdk::{self, ContextError, EncryptionContext, Header};
use strongroom_envelope::{DataKey, SecretBuf, plain};

use super::admission::policy;
use super::few::few_at_a_time;
use super::incoming::PARSED;
use super::{Held, InputError, Unpad};
use crate::job::{BoundContext, BoundJob};
use crate::keys::{Handle, Keys};
use crate::manifest::fields::{BadRecords, FieldPath, UnknownFields};
use crate::manifest::{Ciphertext, Format, Input, JobName, KeyArn, Limits};
use crate::shape::{
    Counts, Edit, FieldError, Kind, Layout, MissingFields, Records, Value, Visitor,
};

/// Records whose fields are being opened.
pub struct Fields<'m> {
    /// Finds the data keys.
    seeking: Records,
    seeker: Seeker<'m>,
    /// Opens the fields.
    opening: Records,
    scratch: SecretBuf,
}

/// A data key as it is known before it is decrypted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wrapped {
    key: KeyArn,
    /// The encryption context as KMS is given it, encoded; shared by the data keys
    /// of one ciphertext.
    context: Arc<[u8]>,
    /// KMS's `CiphertextBlob`.
    encrypted: Vec<u8>,
}

/// Data keys by what they were decrypted from; `None` where KMS does not take
/// the ciphertext for one.
type DataKeys = BTreeMap<Wrapped, Option<Handle<Box<DataKey>>>>;

struct Seeker<'m> {
    job: JobName,
    contexts: Vec<BoundContext<'m>>,
    limits: Limits,
    known: DataKeys,
    wanted: BTreeSet<Wrapped>,
    /// Bytes that `known` and `wanted` take.
    memory: usize,
    /// Of the record at hand.
    found: Vec<Wrapped>,
}

impl<'m> Fields<'m> {
    pub(super) fn new(
        job: &BoundJob<'m>,
        input: &'m Input,
        ciphertexts: &'m BTreeMap<FieldPath, Ciphertext>,
        limits: &Limits,
    ) -> Result<Self, ContextError> {
        let layout = Layout {
            shape: input.shape,
            fields: ciphertexts.keys().cloned().collect(),
            unknown: UnknownFields::Keep,
            missing: MissingFields::Allow,
            bad_records: input.bad_records,
            max_record: limits.max_record.0,
        };
        // The second look judges; the first only skips what the second refuses.
        let seeking = Records::new(Layout { bad_records: BadRecords::Drop, ..layout.clone() });
        let contexts = ciphertexts.values().map(|ciphertext| job.context(ciphertext));
        let seeker = Seeker {
            job: job.name().clone(),
            contexts: contexts.collect::<Result<_, _>>()?,
            limits: limits.clone(),
            known: DataKeys::new(),
            wanted: BTreeSet::new(),
            memory: 0,
            found: Vec::new(),
        };
        Ok(Self { seeking, seeker, opening: Records::new(layout), scratch: SecretBuf::new() })
    }

    /// Opens the fields of the whole records at the front of `input`; how many
    /// bytes that were.
    pub(super) async fn open(
        &mut self,
        keys: &Keys,
        input: &[u8],
        at_end: bool,
        plaintext: &mut SecretBuf,
        memory: &mut Held<'_>,
    ) -> Result<usize, InputError> {
        let len = self.seeking.process(input, at_end, &mut self.seeker, None)?;
        // KMS may take its time: what is kept for it counts from here, and a
        // context that is parsed to ask it.
        let contexts = self.seeker.wanted.iter().map(|wrapped| wrapped.context.len());
        let parsed = contexts.max().unwrap_or_default().saturating_mul(PARSED);
        memory.hold(self.memory().saturating_add(parsed))?;
        if self.seeker.known.len().saturating_add(self.seeker.wanted.len())
            > self.seeker.limits.max_data_keys
        {
            return Err(InputError::TooManyDataKeys(self.seeker.limits.max_data_keys));
        }
        let at_once = self.seeker.limits.max_kms_calls_per_job;
        let Seeker { job, known, wanted, .. } = &mut self.seeker;
        let asked = std::iter::from_fn(|| wanted.pop_first());
        let asked = asked.map(|wrapped| wrapped.decrypt(keys, job));
        few_at_a_time(asked, at_once, |(wrapped, key)| {
            known.insert(wrapped, key);
        })
        .await?;
        let mut visitor = FieldOpener { seeker: &self.seeker, scratch: &mut self.scratch };
        let opened = self.opening.process(input, at_end, &mut visitor, Some(plaintext))?;
        debug_assert_eq!(opened, len, "both look at the same records");
        Ok(opened)
    }

    pub(super) fn counts(&self) -> Counts {
        self.opening.counts()
    }

    pub(super) fn memory(&self) -> usize {
        debug_assert_eq!(self.seeker.memory, self.seeker.counted(), "the sum went astray");
        self.seeker.memory.saturating_add(self.scratch.capacity())
    }
}

impl Seeker<'_> {
    fn counted(&self) -> usize {
        self.known.keys().chain(&self.wanted).map(Wrapped::memory).sum()
    }
}

impl Wrapped {
    fn memory(&self) -> usize {
        self.context.len().saturating_add(self.encrypted.len()).saturating_add(PER_KEY)
    }

    /// Its data key; `None` where KMS does not take it for one.
    async fn decrypt(
        self,
        keys: &Keys,
        job: &JobName,
    ) -> Result<(Self, Option<Handle<Box<DataKey>>>), InputError> {
        match keys.decrypt_encoded(job, &self.key, &self.context, &self.encrypted).await {
            Ok(key) => Ok((self, Some(key))),
            // The records' fault, not the enclave's: theirs to answer for.
            Err(error) if error.is_of_the_ciphertext() => Ok((self, None)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Visitor for Seeker<'_> {
    fn begin(&mut self) {
        self.found.clear();
    }

    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        _new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        let context = self.contexts.get(field).ok_or(FieldError::NotACiphertext)?;
        if let Some(ciphertext) = FieldCiphertext::read(&value, context, &self.limits)? {
            self.found.extend(ciphertext.wrapped(context)?);
        }
        Ok(Edit::Keep)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        for wrapped in self.found.drain(..) {
            // One more than may be is enough to refuse the request.
            let room = self.known.len().saturating_add(self.wanted.len());
            if room <= self.limits.max_data_keys && !self.known.contains_key(&wrapped) {
                let memory = wrapped.memory();
                if self.wanted.insert(wrapped) {
                    self.memory = self.memory.saturating_add(memory);
                }
            }
        }
        Ok(())
    }
}

struct FieldOpener<'a, 'm> {
    seeker: &'a Seeker<'m>,
    scratch: &'a mut SecretBuf,
}

impl Visitor for FieldOpener<'_, '_> {
    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        let context = self.seeker.contexts.get(field).ok_or(FieldError::NotACiphertext)?;
        let Some(ciphertext) = FieldCiphertext::read(&value, context, &self.seeker.limits)? else {
            return Ok(Edit::Keep);
        };
        let candidates = ciphertext.wrapped(context)?;
        let key = candidates
            .iter()
            .find_map(|wrapped| self.seeker.known.get(wrapped).and_then(Option::as_ref));
        let key = key.ok_or(FieldError::NotOpened)?;
        self.scratch.clear();
        key.add(value.text.len());
        ciphertext.open(key, context, self.scratch)?;
        // It becomes part of a text.
        str::from_utf8(self.scratch.expose()).map_err(|_| FieldError::NotUtf8)?;
        new.extend_from_slice(self.scratch.expose());
        Ok(Edit::Text)
    }
}

/// A field's ciphertext: its header, and what follows.
enum FieldCiphertext {
    Message(Header, Vec<u8>),
    Envelope(plain::Header, Vec<u8>),
}

impl FieldCiphertext {
    /// Reads a field; `None` for one that is null or empty: there is nothing to
    /// open.
    fn read(
        value: &Value<'_>,
        context: &BoundContext<'_>,
        limits: &Limits,
    ) -> Result<Option<Self>, FieldError> {
        match value.kind {
            Kind::Null => return Ok(None),
            Kind::Text if value.text.is_empty() => return Ok(None),
            Kind::Text => {}
            Kind::Number | Kind::Bool | Kind::Nested => return Err(FieldError::NotACiphertext),
        }
        let mut bytes = STANDARD.decode(value.text).map_err(|_| FieldError::NotACiphertext)?;
        match context.ciphertext.format {
            Format::AwsEncryptionSdk { .. } => {
                let policy = policy(context.ciphertext.format);
                let parsed = Header::parse(&bytes, &limits.message(), &policy);
                let (header, len) = parsed.ok().flatten().ok_or(FieldError::NotACiphertext)?;
                let header = context.admit(header).map_err(|_| FieldError::OtherContext)?;
                Ok(Some(Self::Message(header, bytes.split_off(len))))
            }
            Format::PlainEnvelope => {
                let parsed = plain::Header::parse(&bytes, &limits.envelope());
                let (header, len) = parsed.ok().flatten().ok_or(FieldError::NotACiphertext)?;
                Ok(Some(Self::Envelope(header, bytes.split_off(len))))
            }
        }
    }

    /// The data keys that open it, any of them.
    fn wrapped(&self, context: &BoundContext<'_>) -> Result<Vec<Wrapped>, FieldError> {
        let key = &context.ciphertext.key;
        let (context, encrypted): (&EncryptionContext, Vec<&[u8]>) = match self {
            Self::Message(header, _) => {
                let candidates = context.candidates(header).map_err(|_| FieldError::OtherKey)?;
                let encrypted = candidates.into_iter().map(|edk| edk.ciphertext.as_slice());
                (header.encryption_context(), encrypted.collect())
            }
            Self::Envelope(header, _) => (&context.pinned, vec![header.encrypted_data_key()]),
        };
        let context: Arc<[u8]> = context.encode().map_err(|_| FieldError::OtherContext)?.into();
        let wrapped = |encrypted: &[u8]| Wrapped {
            key: key.clone(),
            context: Arc::clone(&context),
            encrypted: encrypted.to_vec(),
        };
        Ok(encrypted.into_iter().map(wrapped).collect())
    }

    fn open(
        self,
        key: &DataKey,
        context: &BoundContext<'_>,
        out: &mut SecretBuf,
    ) -> Result<(), FieldError> {
        match self {
            Self::Message(header, body) => open_message(header, key, &body, out),
            Self::Envelope(header, body) => plain::Opener::new(header, key, &context.pinned)
                .and_then(|opener| opener.finish(&body, out))
                .map_err(InputError::from),
        }
        .map_err(|_| FieldError::NotOpened)
    }
}

/// Opens a message that is there as a whole, without its padding.
pub(super) fn open_message(
    header: Header,
    key: &DataKey,
    body: &[u8],
    out: &mut SecretBuf,
) -> Result<(), InputError> {
    let mut unpad = Unpad::of(header.encryption_context());
    let mut opener = esdk::Opener::new(header, key)?;
    let mut rest = body;
    loop {
        let used = match &mut unpad {
            Some(unpad) => {
                let used = opener.open(rest, unpad.padded(), usize::MAX)?;
                unpad.take(out);
                used
            }
            None => opener.open(rest, out, usize::MAX)?,
        };
        rest = rest.get(used..).unwrap_or_default();
        if used == 0 {
            break;
        }
    }
    if !rest.is_empty() {
        return Err(esdk::DecryptFailed.into());
    }
    opener.finish()?;
    Ok(unpad.map_or(Ok(()), Unpad::finish)?)
}

/// Bytes that a known data key takes beside its context and ciphertext.
const PER_KEY: usize = 256;
