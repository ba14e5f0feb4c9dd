//! The layout of a body and of what its tags cover.
//!
//! Used by the opener to find the next frame, or content that is not framed, in
//! what has arrived, and by the sealer to write a frame. Everything found here
//! is still unauthenticated; only the place that a frame claims (its number and
//! IV) has been compared.
//!
//! ```text
//! regular  number u32 ‖ IV 12 ‖ ciphertext, frame length ‖ tag 16
//! final    FFFFFFFF ‖ number u32 ‖ IV 12 ‖ length u32 ‖ ciphertext ‖ tag 16
//! single   IV 12 ‖ length u64 ‖ ciphertext ‖ tag 16              not framed
//! AAD      message id ‖ label ‖ number u32 ‖ plaintext length u64
//! ```
//!
//! A single block is treated as a final frame, number 1, with a label of its own.

use super::DecryptFailed;
use super::cursor::{Cursor, Short};
use super::keys::{FrameKind, MessageId, TAG_LEN, frame_iv};

/// How a message's content is laid out, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// In frames of this many bytes of plaintext.
    Framed(usize),
    /// In one block of this many bytes of plaintext.
    Single(usize),
}

impl Content {
    /// The longest piece that has one tag, in bytes of plaintext.
    pub(super) const fn max_piece(self) -> usize {
        match self {
            Self::Framed(len) | Self::Single(len) => len,
        }
    }
}

/// Bytes in front of and behind the ciphertext of a frame, at most.
pub(super) const MAX_FRAME_OVERHEAD: usize = FINAL_HEAD_LEN + TAG_LEN;

/// What a look at the bytes that have arrived shows.
pub(super) enum Scan<T> {
    /// The item is longer than the input: as far as can be told, this long.
    Needs(usize),
    /// The item is there.
    Whole(T),
}

/// A frame in the input.
pub(super) struct Frame<'a> {
    pub(super) kind: FrameKind,
    pub(super) label: Label,
    pub(super) ciphertext: &'a [u8],
    pub(super) tag: &'a [u8],
    /// Length of the whole frame in bytes.
    pub(super) len: usize,
}

/// Finds the frame at the front of `input`, which must be number `number`.
pub(super) fn scan(
    input: &[u8],
    number: u32,
    content: Content,
) -> Result<Scan<Frame<'_>>, DecryptFailed> {
    let (kind, label, head_len) = match content {
        Content::Single(_) => (FrameKind::Final, Label::Single, SINGLE_HEAD_LEN),
        Content::Framed(_) => {
            let Some((mark, _)) = input.split_at_checked(MARK.len()) else {
                return Ok(Scan::Needs(MARK.len()));
            };
            //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body.md#framed-data
            if mark == MARK {
                (FrameKind::Final, Label::Final, FINAL_HEAD_LEN)
            } else {
                (FrameKind::Regular, Label::Regular, REGULAR_HEAD_LEN)
            }
        }
    };
    let Some((head, body)) = input.split_at_checked(head_len) else {
        return Ok(Scan::Needs(head_len));
    };
    let content_len = check_head(head, label, number, content)?;
    let len = head_len.saturating_add(content_len).saturating_add(TAG_LEN);
    let Some((ciphertext, rest)) = body.split_at_checked(content_len) else {
        return Ok(Scan::Needs(len));
    };
    let Some((tag, _)) = rest.split_at_checked(TAG_LEN) else {
        return Ok(Scan::Needs(len));
    };
    Ok(Scan::Whole(Frame { kind, label, ciphertext, tag, len }))
}

/// The length that content which is not framed announces at its start.
pub(super) fn single_len(body: &[u8]) -> Result<u64, Short> {
    let mut head = Cursor::new(body);
    head.take(IV_LEN)?;
    head.array().map(u64::from_be_bytes)
}

/// Appends what stands in front of a frame's ciphertext.
pub(super) fn put_head(out: &mut Vec<u8>, kind: FrameKind, number: u32, content_len: u32) {
    match kind {
        FrameKind::Regular => out.extend_from_slice(&place(number)),
        FrameKind::Final => {
            out.extend_from_slice(&MARK);
            out.extend_from_slice(&place(number));
            out.extend_from_slice(&content_len.to_be_bytes());
        }
    }
}

/// Which of the three kinds of body piece a tag is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Regular,
    Final,
    Single,
}

impl Label {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Regular => b"AWSKMSEncryptionClient Frame",
            Self::Final => b"AWSKMSEncryptionClient Final Frame",
            Self::Single => b"AWSKMSEncryptionClient Single Block",
        }
    }
}

impl From<FrameKind> for Label {
    /// Of framed content.
    fn from(kind: FrameKind) -> Self {
        match kind {
            FrameKind::Regular => Self::Regular,
            FrameKind::Final => Self::Final,
        }
    }
}

/// What a frame's tag covers beside its ciphertext. Built on the stack: there is
/// one for each frame.
pub(super) struct FrameAad {
    bytes: [u8; MAX_AAD_LEN],
    len: usize,
}

impl FrameAad {
    pub(super) fn new(message_id: &MessageId, label: Label, number: u32, content_len: u64) -> Self {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body-aad.md#structure
        let mut aad = Self { bytes: [0; MAX_AAD_LEN], len: 0 };
        aad.put(message_id.as_ref());
        aad.put(label.bytes());
        aad.put(&number.to_be_bytes());
        aad.put(&content_len.to_be_bytes());
        aad
    }

    #[expect(clippy::expect_used, reason = "MAX_AAD_LEN is the sum of the longest parts")]
    fn put(&mut self, part: &[u8]) {
        let free = self.bytes.get_mut(self.len..).and_then(|free| free.get_mut(..part.len()));
        free.expect("the parts fit").copy_from_slice(part);
        self.len += part.len();
    }
}

impl AsRef<[u8]> for FrameAad {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The length of the content that `head` announces, if it belongs to this place.
fn check_head(
    head: &[u8],
    label: Label,
    number: u32,
    content: Content,
) -> Result<usize, DecryptFailed> {
    let max = content.max_piece();
    match label {
        Label::Regular => {
            if head != place(number) {
                return Err(DecryptFailed);
            }
            Ok(max)
        }
        Label::Final => {
            let head = head.strip_prefix(&MARK).ok_or(DecryptFailed)?;
            let len = head.strip_prefix(&place(number)).ok_or(DecryptFailed)?;
            let len = u32::from_be_bytes(len.try_into().map_err(|_| DecryptFailed)?);
            let len = usize::try_from(len).map_err(|_| DecryptFailed)?;
            //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#decrypt-the-message-body
            if len > max { Err(DecryptFailed) } else { Ok(len) }
        }
        Label::Single => {
            //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body.md#non-framed-data
            let len = head.strip_prefix(&frame_iv(number)).ok_or(DecryptFailed)?;
            let len = u64::from_be_bytes(len.try_into().map_err(|_| DecryptFailed)?);
            let len = usize::try_from(len).map_err(|_| DecryptFailed)?;
            // The header was parsed with this length before it; a body with
            // another is not the one that was bounded.
            if len == max { Ok(len) } else { Err(DecryptFailed) }
        }
    }
}

/// Number and IV, as they stand in a frame.
fn place(number: u32) -> [u8; 16] {
    let [a, b, c, d] = number.to_be_bytes();
    let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = frame_iv(number);
    [a, b, c, d, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11]
}

const MARK: [u8; 4] = [0xFF; 4];
const IV_LEN: usize = 12;
const REGULAR_HEAD_LEN: usize = 4 + IV_LEN;
const FINAL_HEAD_LEN: usize = 4 + 4 + IV_LEN + 4;
const SINGLE_HEAD_LEN: usize = IV_LEN + 8;
/// Of a message id of format 2 and the label of a single block.
const MAX_AAD_LEN: usize = 32 + 35 + 4 + 8;
