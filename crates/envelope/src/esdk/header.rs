//! The header: which suite, which context, which encrypted data keys.
//!
//! Read before any key is known, so all of it is the parent's word until
//! [`Opener::new`](super::Opener::new) has checked the commitment and the tag.
//! Written by the sealer.

use super::context::{EncryptionContext, PUBLIC_KEY};
use super::cursor::{Cursor, Short};
use super::keys::{Commitment, MessageId, TAG_LEN};
use super::suite::Suite;
use super::{FormatError, Limits, SealError, signature};

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
    context: EncryptionContext,
    encrypted_data_keys: Vec<EncryptedDataKey>,
    frame_len: usize,
    commitment: Commitment,
    body: Vec<u8>,
    tag: [u8; TAG_LEN],
}

impl Header {
    /// Reads the header at the front of `input`: the header and its length in
    /// bytes, or `None` when more bytes have to arrive first.
    ///
    /// Reads from the start each time it is called; a call that returns `None`
    /// costs a few steps and copies nothing. Asks for at most
    /// [`Limits::max_header_len`] bytes in total.
    ///
    /// # Errors
    /// [`FormatError`], as soon as the bytes that prove it have arrived.
    pub fn parse(input: &[u8], limits: &Limits) -> Result<Option<(Self, usize)>, FormatError> {
        let window = input.get(..limits.max_header_len).unwrap_or(input);
        match Sections::locate(window, limits) {
            Ok(sections) => {
                let len = sections.body.len().saturating_add(TAG_LEN);
                Ok(Some((sections.read()?, len)))
            }
            Err(Stop::Short) if input.len() >= limits.max_header_len => {
                Err(FormatError::HeaderTooLong(limits.max_header_len))
            }
            Err(Stop::Short) => Ok(None),
            Err(Stop::Format(error)) => Err(error),
        }
    }

    /// The algorithm suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The message id: random, different for each message.
    #[must_use]
    pub fn message_id(&self) -> &[u8] {
        &self.message_id
    }

    /// The encryption context, in a signed suite with its [`PUBLIC_KEY`]: all
    /// of it is what KMS has to be given.
    #[must_use]
    pub const fn encryption_context(&self) -> &EncryptionContext {
        &self.context
    }

    /// The encrypted data keys, at least one.
    #[must_use]
    pub fn encrypted_data_keys(&self) -> &[EncryptedDataKey] {
        &self.encrypted_data_keys
    }

    /// Length of the plaintext in each frame but the last, in bytes.
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        self.frame_len
    }

    pub(super) const fn id(&self) -> &MessageId {
        &self.message_id
    }

    pub(super) const fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// What the tag covers: the header without it.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) const fn tag(&self) -> &[u8; TAG_LEN] {
        &self.tag
    }
}

/// The message id at the front of a message: `None` when there are fewer than
/// [`MESSAGE_ID_END`] bytes, or not a message of format 2.
///
/// For whoever has a message and wants to name it. Nothing is authenticated.
#[must_use]
pub fn message_id(input: &[u8]) -> Option<[u8; 32]> {
    let mut cursor = Cursor::new(input);
    let is_format_2 = cursor.u8().ok()? == VERSION;
    let _suite = cursor.u16().ok()?;
    cursor.array().ok().filter(|_| is_format_2)
}

/// A header that is written: [`encode`](NewHeader::encode) gives all but its tag.
pub(super) struct NewHeader<'a> {
    pub(super) suite: Suite,
    pub(super) message_id: &'a MessageId,
    pub(super) context: &'a EncryptionContext,
    pub(super) encrypted_data_keys: &'a [EncryptedDataKey],
    pub(super) frame_len: u32,
    pub(super) commitment: &'a Commitment,
}

impl NewHeader<'_> {
    /// Refuses what a reader with [`Limits::DEFAULT`] would refuse.
    pub(super) fn encode(&self) -> Result<Vec<u8>, SealError> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.suite.id().to_be_bytes());
        bytes.extend_from_slice(self.message_id);
        put_field(&mut bytes, &self.context.encode()?)?;
        self.put_keys(&mut bytes)?;
        bytes.push(FRAMED);
        bytes.extend_from_slice(&self.frame_len.to_be_bytes());
        bytes.extend_from_slice(self.commitment);
        if bytes.len().saturating_add(TAG_LEN) > Limits::DEFAULT.max_header_len {
            return Err(TOO_LONG);
        }
        Ok(bytes)
    }

    fn put_keys(&self, bytes: &mut Vec<u8>) -> Result<(), SealError> {
        let count = self.encrypted_data_keys.len();
        if count == 0 {
            return Err(SealError::NoEncryptedDataKeys);
        }
        let too_many = SealError::TooManyEncryptedDataKeys(count);
        if count > Limits::DEFAULT.max_encrypted_data_keys {
            return Err(too_many);
        }
        bytes.extend_from_slice(&u16::try_from(count).map_err(|_| too_many)?.to_be_bytes());
        for key in self.encrypted_data_keys {
            put_field(bytes, key.provider_id.as_bytes())?;
            put_field(bytes, &key.provider_info)?;
            put_field(bytes, &key.ciphertext)?;
        }
        Ok(())
    }
}

/// Where the parts of a header lie: found without copying, so that finding out
/// that a byte is missing is cheap.
struct Sections<'a> {
    suite: Suite,
    message_id: MessageId,
    context: &'a [u8],
    /// The encrypted data keys, without their count.
    encrypted_data_keys: &'a [u8],
    frame_len: usize,
    commitment: Commitment,
    body: &'a [u8],
    tag: [u8; TAG_LEN],
}

impl<'a> Sections<'a> {
    fn locate(input: &'a [u8], limits: &Limits) -> Result<Self, Stop> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#header-body-version-20
        let mut cursor = Cursor::new(input);
        let suite = locate_suite(&mut cursor)?;
        let message_id = cursor.array()?;
        let context = cursor.field()?;
        let encrypted_data_keys = locate_keys(&mut cursor, limits)?;
        let frame_len = locate_frame_len(&mut cursor, limits)?;
        let commitment = cursor.array()?;
        let body_len = input.len().saturating_sub(cursor.rest().len());
        let body = input.get(..body_len).ok_or(Short)?;
        let tag = cursor.array()?;
        Ok(Self {
            suite,
            message_id,
            context,
            encrypted_data_keys,
            frame_len,
            commitment,
            body,
            tag,
        })
    }

    fn read(self) -> Result<Header, FormatError> {
        let context = EncryptionContext::decode(self.context)?;
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/default-cmm.md#decrypt-materials
        match (self.suite.is_signed(), context.get(PUBLIC_KEY)) {
            (true, Some(key)) => {
                signature::decode_point(key).ok_or(FormatError::VerificationKeyMalformed)?;
            }
            (true, None) => return Err(FormatError::VerificationKeyMissing),
            (false, Some(_)) => return Err(FormatError::VerificationKeyUnexpected),
            (false, None) => {}
        }
        Ok(Header {
            suite: self.suite,
            message_id: self.message_id,
            context,
            encrypted_data_keys: read_keys(self.encrypted_data_keys)?,
            frame_len: self.frame_len,
            commitment: self.commitment,
            body: self.body.to_vec(),
            tag: self.tag,
        })
    }
}

/// Why the parts of a header could not be found.
enum Stop {
    Short,
    Format(FormatError),
}

impl From<Short> for Stop {
    fn from(Short: Short) -> Self {
        Self::Short
    }
}

impl From<FormatError> for Stop {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

fn locate_suite(cursor: &mut Cursor<'_>) -> Result<Suite, Stop> {
    match cursor.u8()? {
        VERSION => Ok(Suite::from_id(cursor.u16()?)?),
        VERSION_1 => {
            // Its suites are refused by name: that they do not commit to their
            // key is why, not the layout.
            let _message_type = cursor.u8()?;
            Suite::from_id(cursor.u16()?)?;
            Err(FormatError::UnsupportedVersion(VERSION_1).into())
        }
        version => Err(FormatError::UnsupportedVersion(version).into()),
    }
}

fn locate_keys<'a>(cursor: &mut Cursor<'a>, limits: &Limits) -> Result<&'a [u8], Stop> {
    let count = cursor.u16()?;
    //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#encrypted-data-key-count
    if count == 0 {
        return Err(FormatError::NoEncryptedDataKeys.into());
    }
    if usize::from(count) > limits.max_encrypted_data_keys {
        return Err(FormatError::TooManyEncryptedDataKeys(count).into());
    }
    let start = cursor.rest();
    for _ in 0..count {
        cursor.field()?;
        cursor.field()?;
        cursor.field()?;
    }
    let len = start.len().saturating_sub(cursor.rest().len());
    Ok(start.get(..len).ok_or(Short)?)
}

fn locate_frame_len(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<usize, Stop> {
    match cursor.u8()? {
        FRAMED => {}
        content_type => return Err(FormatError::UnsupportedContentType(content_type).into()),
    }
    //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#frame-length
    let announced = cursor.u32()?;
    match usize::try_from(announced) {
        Ok(0) => Err(FormatError::FrameLenZero.into()),
        Ok(len) if len <= limits.max_frame_len => Ok(len),
        Ok(_) | Err(_) => Err(FormatError::FrameTooLong(announced).into()),
    }
}

/// Splits up what [`locate_keys`] found, which holds whole keys only.
fn read_keys(section: &[u8]) -> Result<Vec<EncryptedDataKey>, FormatError> {
    let mut cursor = Cursor::new(section);
    let mut keys = Vec::new();
    while let (Ok(provider_id), Ok(provider_info), Ok(ciphertext)) =
        (cursor.field(), cursor.field(), cursor.field())
    {
        let provider_id =
            str::from_utf8(provider_id).map_err(|_| FormatError::ProviderIdNotUtf8)?;
        keys.push(EncryptedDataKey {
            provider_id: provider_id.to_owned(),
            provider_info: provider_info.to_vec(),
            ciphertext: ciphertext.to_vec(),
        });
    }
    Ok(keys)
}

fn put_field(bytes: &mut Vec<u8>, field: &[u8]) -> Result<(), SealError> {
    let len = u16::try_from(field.len()).map_err(|_| TOO_LONG)?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(field);
    Ok(())
}

/// Where the message id ends, in bytes from the start of a message.
pub const MESSAGE_ID_END: usize = 1 + 2 + size_of::<MessageId>();

const TOO_LONG: SealError = SealError::HeaderTooLong(Limits::DEFAULT.max_header_len);
const VERSION: u8 = 2;
const VERSION_1: u8 = 1;
const FRAMED: u8 = 2;
