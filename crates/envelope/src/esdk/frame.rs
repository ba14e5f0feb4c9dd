//! The layout of body frames and of what their tags cover.
//!
//! Used by the opener to find the next frame in what has arrived and by the
//! sealer to write one. Everything found here is still unauthenticated; only
//! the place that a frame claims (its number and IV) has been compared.
//!
//! ```text
//! regular  number u32 ‖ IV 12 ‖ ciphertext, frame length ‖ tag 16
//! final    FFFFFFFF ‖ number u32 ‖ IV 12 ‖ length u32 ‖ ciphertext ‖ tag 16
//! AAD      message id ‖ label ‖ number u32 ‖ plaintext length u64
//! ```

use super::DecryptFailed;
use super::keys::{FrameKind, MessageId, TAG_LEN, frame_iv};

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
    pub(super) ciphertext: &'a [u8],
    pub(super) tag: &'a [u8],
    /// Length of the whole frame in bytes.
    pub(super) len: usize,
}

/// Finds the frame at the front of `input`, which must be number `number`.
pub(super) fn scan(
    input: &[u8],
    number: u32,
    frame_len: usize,
) -> Result<Scan<Frame<'_>>, DecryptFailed> {
    let Some((mark, _)) = input.split_at_checked(MARK.len()) else {
        return Ok(Scan::Needs(MARK.len()));
    };
    //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body.md#framed-data
    let (kind, head_len) = if mark == MARK {
        (FrameKind::Final, FINAL_HEAD_LEN)
    } else {
        (FrameKind::Regular, REGULAR_HEAD_LEN)
    };
    let Some((head, body)) = input.split_at_checked(head_len) else {
        return Ok(Scan::Needs(head_len));
    };
    let content_len = check_head(head, kind, number, frame_len)?;
    let len = head_len.saturating_add(content_len).saturating_add(TAG_LEN);
    let Some((ciphertext, rest)) = body.split_at_checked(content_len) else {
        return Ok(Scan::Needs(len));
    };
    let Some((tag, _)) = rest.split_at_checked(TAG_LEN) else {
        return Ok(Scan::Needs(len));
    };
    Ok(Scan::Whole(Frame { kind, ciphertext, tag, len }))
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

/// What a frame's tag covers beside its ciphertext. Built on the stack: there is
/// one for each frame.
pub(super) struct FrameAad {
    bytes: [u8; MAX_AAD_LEN],
    len: usize,
}

impl FrameAad {
    pub(super) fn new(
        message_id: &MessageId,
        kind: FrameKind,
        number: u32,
        content_len: u64,
    ) -> Self {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body-aad.md#structure
        let label = match kind {
            FrameKind::Regular => REGULAR_LABEL,
            FrameKind::Final => FINAL_LABEL,
        };
        let mut aad = Self { bytes: [0; MAX_AAD_LEN], len: 0 };
        aad.put(message_id);
        aad.put(label);
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
    kind: FrameKind,
    number: u32,
    frame_len: usize,
) -> Result<usize, DecryptFailed> {
    match kind {
        FrameKind::Regular => {
            if head != place(number) {
                return Err(DecryptFailed);
            }
            Ok(frame_len)
        }
        FrameKind::Final => {
            let head = head.strip_prefix(&MARK).ok_or(DecryptFailed)?;
            let len = head.strip_prefix(&place(number)).ok_or(DecryptFailed)?;
            let len = u32::from_be_bytes(len.try_into().map_err(|_| DecryptFailed)?);
            let len = usize::try_from(len).map_err(|_| DecryptFailed)?;
            //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#decrypt-the-message-body
            if len > frame_len {
                return Err(DecryptFailed);
            }
            Ok(len)
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
const REGULAR_HEAD_LEN: usize = 4 + 12;
const FINAL_HEAD_LEN: usize = 4 + 4 + 12 + 4;
const REGULAR_LABEL: &[u8] = b"AWSKMSEncryptionClient Frame";
const FINAL_LABEL: &[u8] = b"AWSKMSEncryptionClient Final Frame";
const MAX_AAD_LEN: usize = size_of::<MessageId>() + FINAL_LABEL.len() + 4 + 8;
