//! Where the parts of a header lie, in either message format.
//!
//! Used by [`Header::parse`]. Finds everything without copying, so that finding
//! out that a byte is missing is cheap, and copies only what is within limits.

use super::{EncryptedDataKey, FRAMED, Header, NON_FRAMED, VERSION_1, VERSION_2};
use crate::esdk::context::{EncryptionContext, PUBLIC_KEY};
use crate::esdk::cursor::{Cursor, Short};
use crate::esdk::frame::{self, Content};
use crate::esdk::keys::{Commitment, HeaderIv, MessageId, TAG_LEN, ZERO_IV};
use crate::esdk::{FormatError, Limits, Policy, Suite, signature};

/// The parts of a header that has arrived whole.
pub(super) struct Sections<'a> {
    suite: Suite,
    message_id: MessageId,
    context: &'a [u8],
    /// The encrypted data keys, without their count.
    encrypted_data_keys: &'a [u8],
    layout: Layout,
    commitment: Option<Commitment>,
    pub(super) bytes: &'a [u8],
    body_len: usize,
    iv: HeaderIv,
    tag: [u8; TAG_LEN],
}

impl<'a> Sections<'a> {
    pub(super) fn locate(input: &'a [u8], limits: &Limits, policy: &Policy) -> Result<Self, Stop> {
        let read = |cursor: &Cursor<'_>| input.len().saturating_sub(cursor.rest().len());
        let mut cursor = Cursor::new(input);
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#header-body
        let version = Version::locate(&mut cursor)?;
        let suite = version.locate_suite(&mut cursor, policy)?;
        let message_id = version.locate_message_id(&mut cursor)?;
        let context = cursor.field()?;
        let encrypted_data_keys = locate_keys(&mut cursor, limits)?;
        let layout = version.locate_layout(&mut cursor, limits)?;
        let commitment = version.locate_commitment(&mut cursor)?;
        let body_len = read(&cursor);
        let iv = version.locate_iv(&mut cursor)?;
        let tag = cursor.array()?;
        let bytes = input.get(..read(&cursor)).ok_or(Short)?;
        Ok(Self {
            suite,
            message_id,
            context,
            encrypted_data_keys,
            layout,
            commitment,
            bytes,
            body_len,
            iv,
            tag,
        })
    }

    /// How the content is laid out, as far as the `body` behind the header has
    /// to say it.
    pub(super) fn content(&self, body: &[u8], limits: &Limits) -> Result<Content, Stop> {
        match self.layout {
            Layout::Framed(len) => Ok(Content::Framed(len)),
            Layout::Single => {
                let announced = frame::single_len(body)?;
                let len = usize::try_from(announced).ok();
                let len = len.filter(|len| *len <= limits.max_frame_len);
                Ok(Content::Single(len.ok_or(FormatError::ContentTooLong(announced))?))
            }
        }
    }

    pub(super) fn read(self, content: Content) -> Result<Header, FormatError> {
        let context = EncryptionContext::decode(self.context)?;
        check_public_key(self.suite, &context)?;
        Ok(Header {
            suite: self.suite,
            message_id: self.message_id,
            context,
            required: EncryptionContext::default(),
            encrypted_data_keys: read_keys(self.encrypted_data_keys)?,
            content,
            commitment: self.commitment,
            bytes: self.bytes.to_vec(),
            body_len: self.body_len,
            iv: self.iv,
            tag: self.tag,
        })
    }
}

/// What a header says of the content's layout.
#[derive(Clone, Copy)]
enum Layout {
    Framed(usize),
    Single,
}

/// Why the parts of a header could not be found.
pub(super) enum Stop {
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

/// The two message formats; each step reads what they have different.
#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn locate(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        match cursor.u8()? {
            VERSION_1 => Ok(Self::V1),
            VERSION_2 => Ok(Self::V2),
            version => Err(FormatError::UnsupportedVersion(version).into()),
        }
    }

    fn locate_suite(self, cursor: &mut Cursor<'_>, policy: &Policy) -> Result<Suite, Stop> {
        if let Self::V1 = self {
            fixed(cursor, &[MESSAGE_TYPE])?;
        }
        let id = cursor.u16()?;
        let suite = Suite::from_id(id)?;
        suite.check(policy)?;
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#supported-versions
        match (self, suite.is_committing()) {
            (Self::V1, false) | (Self::V2, true) => Ok(suite),
            (Self::V1, true) | (Self::V2, false) => {
                Err(FormatError::SuiteOfOtherVersion(id).into())
            }
        }
    }

    fn locate_message_id(self, cursor: &mut Cursor<'_>) -> Result<MessageId, Short> {
        match self {
            Self::V1 => cursor.array().map(MessageId::V1),
            Self::V2 => cursor.array().map(MessageId::V2),
        }
    }

    fn locate_layout(self, cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Layout, Stop> {
        let content_type = cursor.u8()?;
        if !matches!(content_type, FRAMED | NON_FRAMED) {
            return Err(FormatError::UnsupportedContentType(content_type).into());
        }
        if let Self::V1 = self {
            fixed(cursor, &RESERVED)?;
            fixed(cursor, &[IV_LEN])?;
        }
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#frame-length
        let announced = cursor.u32()?;
        match (content_type, usize::try_from(announced)) {
            (NON_FRAMED, Ok(0)) => Ok(Layout::Single),
            (NON_FRAMED, _) => Err(FormatError::FrameLenUnexpected(announced).into()),
            (_, Ok(0)) => Err(FormatError::FrameLenZero.into()),
            (_, Ok(len)) if len <= limits.max_frame_len => Ok(Layout::Framed(len)),
            (_, Ok(_) | Err(_)) => Err(FormatError::FrameTooLong(announced).into()),
        }
    }

    fn locate_commitment(self, cursor: &mut Cursor<'_>) -> Result<Option<Commitment>, Short> {
        match self {
            Self::V1 => Ok(None),
            Self::V2 => cursor.array().map(Some),
        }
    }

    fn locate_iv(self, cursor: &mut Cursor<'_>) -> Result<HeaderIv, Short> {
        match self {
            //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-header
            Self::V1 => cursor.array(),
            Self::V2 => Ok(ZERO_IV),
        }
    }
}

/// Reads a field of message format 1 that has one value only.
fn fixed(cursor: &mut Cursor<'_>, value: &[u8]) -> Result<(), Stop> {
    if cursor.take(value.len())? == value { Ok(()) } else { Err(FormatError::FixedField.into()) }
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

/// A verification key stands in the context of signed suites, and of no other.
fn check_public_key(suite: Suite, context: &EncryptionContext) -> Result<(), FormatError> {
    //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/default-cmm.md#decrypt-materials
    match (suite.curve(), context.get(PUBLIC_KEY)) {
        (Some(curve), Some(key)) => signature::decode_point(curve, key)
            .map(|_| ())
            .ok_or(FormatError::VerificationKeyMalformed),
        (Some(_), None) => Err(FormatError::VerificationKeyMissing),
        (None, Some(_)) => Err(FormatError::VerificationKeyUnexpected),
        (None, None) => Ok(()),
    }
}

/// "Customer authenticated encrypted data", the only type there is.
const MESSAGE_TYPE: u8 = 0x80;
const RESERVED: [u8; 4] = [0; 4];
const IV_LEN: u8 = 12;
