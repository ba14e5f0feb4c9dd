//! The header: which suite, which context, which encrypted data keys.
//!
//! Read before any key is known, so all of it is the parent's word until
//! [`Opener::new`](super::Opener::new) has checked the commitment and the tag.
//! [`sections`] finds the parts, [`writer`] is the sealer's.

mod sections;
mod writer;

use std::borrow::Cow;

use self::sections::{Sections, Stop};
pub(super) use self::writer::NewHeader;
use super::context::{ContextError, EncryptionContext, RESERVED_PREFIX};
use super::cursor::Cursor;
use super::frame::Content;
use super::keys::{Commitment, HeaderIv, MessageId, TAG_LEN};
use super::suite::Suite;
use super::{DecryptFailed, FormatError, Limits, Policy};

/// A data key, encrypted: what KMS is asked to decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedDataKey {
    /// Who can decrypt it: `aws-kms` for KMS.
    pub provider_id: String,
    /// Which of the provider's keys: for KMS the key ARN, in UTF-8.
    pub provider_info: Vec<u8>,
    /// The encrypted data key: for KMS the `CiphertextBlob`.
    pub ciphertext: Vec<u8>,
}

/// A parsed header. Not authenticated yet.
#[derive(Debug, Clone)]
pub struct Header {
    suite: Suite,
    message_id: MessageId,
    /// What the header stores, and what it does not but was supplied.
    context: EncryptionContext,
    /// The part of `context` that the header does not store.
    required: EncryptionContext,
    encrypted_data_keys: Vec<EncryptedDataKey>,
    content: Content,
    commitment: Option<Commitment>,
    /// The header as it stands in the message.
    bytes: Vec<u8>,
    /// How much of `bytes` the tag covers.
    body_len: usize,
    iv: HeaderIv,
    tag: [u8; TAG_LEN],
}

/// Why a supplied context does not go with a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequiredContextError {
    /// The header stores another value for this key.
    #[error("the header has another value for {0:?}")]
    Mismatch(String),
    /// A supplied key has the reserved prefix, or all of it is too long.
    #[error("required encryption context: {0}")]
    Context(#[from] ContextError),
}

impl Header {
    /// Reads the header at the front of `input`: the header and its length in
    /// bytes, or `None` when more bytes have to arrive first.
    ///
    /// If the content is not framed, the 20 bytes behind the header are waited
    /// for and looked at too, though not counted: they hold its length, and so
    /// it is bounded here as frames are.
    ///
    /// Reads from the start each time it is called; a call that returns `None`
    /// costs a few steps and copies nothing. Asks for at most
    /// [`Limits::max_header_len`] bytes in total, and those 20.
    ///
    /// # Errors
    /// [`FormatError`], as soon as the bytes that prove it have arrived; what
    /// `policy` refuses is refused at the suite's id.
    pub fn parse(
        input: &[u8],
        limits: &Limits,
        policy: &Policy,
    ) -> Result<Option<(Self, usize)>, FormatError> {
        let window = input.get(..limits.max_header_len).unwrap_or(input);
        let located = Sections::locate(window, limits, policy);
        let sections = match located {
            Ok(sections) => sections,
            Err(Stop::Short) if input.len() >= limits.max_header_len => {
                return Err(FormatError::HeaderTooLong(limits.max_header_len));
            }
            Err(Stop::Short) => return Ok(None),
            Err(Stop::Format(error)) => return Err(error),
        };
        let len = sections.bytes.len();
        let behind = input.get(len..).unwrap_or_default();
        match sections.content(behind, limits) {
            Ok(content) => Ok(Some((sections.read(content)?, len))),
            Err(Stop::Short) => Ok(None),
            Err(Stop::Format(error)) => Err(error),
        }
    }

    /// Adds what a reader has to know beforehand: context that the data key and
    /// the header are bound to, but that the header need not store.
    ///
    /// Each supplied key must have the stored value if there is one. The others
    /// become part of [`encryption_context`](Self::encryption_context), and of
    /// what the header's tag covers: a message that was written without them
    /// does not open.
    ///
    /// # Errors
    /// [`RequiredContextError`]
    pub fn with_required_context(
        mut self,
        supplied: &EncryptionContext,
    ) -> Result<Self, RequiredContextError> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/default-cmm.md#decrypt-materials
        for (key, value) in supplied.iter() {
            // A verification key can only come with the message.
            if key.starts_with(RESERVED_PREFIX) {
                return Err(ContextError::ReservedKey.into());
            }
            match self.context.get(key) {
                Some(stored) if stored == value => {}
                Some(_) => return Err(RequiredContextError::Mismatch(key.to_owned())),
                None => {
                    self.context = self.context.with(key, value)?;
                    self.required = self.required.with(key, value)?;
                }
            }
        }
        Ok(self)
    }

    /// The algorithm suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The message id: random, different for each message. 16 bytes in message
    /// format 1, 32 in format 2.
    #[must_use]
    pub fn message_id(&self) -> &[u8] {
        self.message_id.as_ref()
    }

    /// The encryption context, in a signed suite with its
    /// [`PUBLIC_KEY`](super::PUBLIC_KEY), and with what
    /// [`with_required_context`](Self::with_required_context) added: all of it
    /// is what KMS has to be given.
    #[must_use]
    pub const fn encryption_context(&self) -> &EncryptionContext {
        &self.context
    }

    /// The encrypted data keys, at least one.
    #[must_use]
    pub fn encrypted_data_keys(&self) -> &[EncryptedDataKey] {
        &self.encrypted_data_keys
    }

    /// Length of the plaintext in each frame but the last, in bytes; of all of
    /// it, if the content is not framed.
    ///
    /// What has to be held at once; at most [`Limits::max_frame_len`].
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        self.content.max_piece()
    }

    pub(super) const fn id(&self) -> &MessageId {
        &self.message_id
    }

    pub(super) const fn content(&self) -> Content {
        self.content
    }

    pub(super) const fn commitment(&self) -> Option<&Commitment> {
        self.commitment.as_ref()
    }

    /// The header as it stands in the message: what a signature begins with.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the tag covers: the header without IV and tag, then the context that
    /// it does not store.
    ///
    /// The two cannot be confused: the header's own fields say where it ends.
    pub(super) fn covered_by_tag(&self) -> Result<Cow<'_, [u8]>, DecryptFailed> {
        let body = self.bytes.get(..self.body_len).ok_or(DecryptFailed)?;
        if self.required.is_empty() {
            return Ok(body.into());
        }
        let required = self.required.encode().map_err(|_| DecryptFailed)?;
        Ok([body, &required].concat().into())
    }

    pub(super) const fn iv(&self) -> &HeaderIv {
        &self.iv
    }

    pub(super) const fn tag(&self) -> &[u8; TAG_LEN] {
        &self.tag
    }
}

/// The message id at the front of a message: `None` when it has not arrived
/// whole, as it has with [`MESSAGE_ID_END`] bytes, or for another format.
///
/// For whoever has a message and wants to name it. Nothing is authenticated.
#[must_use]
pub fn message_id(input: &[u8]) -> Option<MessageId> {
    let mut cursor = Cursor::new(input);
    match cursor.u8().ok()? {
        VERSION_1 => {
            let [_type, _suite @ ..] = cursor.array::<3>().ok()?;
            cursor.array().ok().map(MessageId::V1)
        }
        VERSION_2 => {
            let _suite = cursor.u16().ok()?;
            cursor.array().ok().map(MessageId::V2)
        }
        _ => None,
    }
}

/// Where the message id ends at the latest, in bytes from the start of a
/// message: in format 2. In format 1 it ends at byte 20.
pub const MESSAGE_ID_END: usize = 1 + 2 + 32;

const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;
const NON_FRAMED: u8 = 1;
const FRAMED: u8 = 2;
