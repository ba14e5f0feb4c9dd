//! Opens a message: from a header and a data key to plaintext, frame by frame;
//! content that is not framed at once.
//!
//! Called by the service for each request and by clients for what comes back.
//! Trusts the data key only; every byte of the message is compared, or
//! authenticated, before what it says is used.

use super::DecryptFailed;
use super::frame::{self, Content, Frame, FrameAad, MAX_FRAME_OVERHEAD, Scan};
use super::header::Header;
use super::keys::{FrameCounter, FrameKind, MessageId, MessageKey};
use super::signature::{self, Verifier};
use super::suite::Curve;
use crate::{DataKey, SecretBuf};

/// Opens the body of one message.
///
/// Holds no plaintext and no ciphertext: it opens from the caller's input
/// straight into the caller's buffer.
pub struct Opener {
    message_id: MessageId,
    content: Content,
    /// Of a signed suite.
    curve: Option<Curve>,
    key: MessageKey,
    numbers: FrameCounter,
    verifier: Option<Verifier>,
    state: State,
}

enum State {
    /// The final frame has not been seen.
    Body,
    /// The final frame, and the footer of a signed suite, have been accepted.
    Complete,
    /// Something was wrong: nothing more is opened.
    Failed,
}

impl Opener {
    /// Checks that the header commits to `key`, in a suite that does, and was
    /// written with it.
    ///
    /// The commitment is compared first, in constant time, then the header's
    /// tag, which covers the required context too; only then does an opener
    /// exist.
    ///
    /// # Errors
    /// [`DecryptFailed`] for either, for a key of another length than the
    /// suite's, and for a verification key that is no point of the curve.
    pub fn new(header: Header, key: &DataKey) -> Result<Self, DecryptFailed> {
        let suite = header.suite();
        let key = MessageKey::of_message(key, suite, header.id(), header.commitment())?;
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-header
        key.verify_header(&header.covered_by_tag()?, header.iv(), header.tag())?;
        let curve = suite.curve();
        let mut verifier = None;
        if let Some(curve) = curve {
            let mut new = Verifier::new(curve, header.encryption_context())?;
            new.update(header.bytes());
            verifier = Some(new);
        }
        Ok(Self {
            message_id: *header.id(),
            content: header.content(),
            curve,
            key,
            numbers: FrameCounter::new(),
            verifier,
            state: State::Body,
        })
    }

    /// Opens as many whole frames as `input` holds, appends their plaintext to
    /// `out` and returns how many bytes of `input` it used: zero when the next
    /// frame has not arrived whole.
    ///
    /// Stops as soon as one more frame could bring what this call appends above
    /// `max_out` bytes, but opens one frame whatever `max_out` says.
    ///
    /// Content that is not framed counts as one frame, the last.
    ///
    /// In a signed suite the last frame is opened only when the footer is there
    /// and its signature is right; the frames before it are authenticated by
    /// the data key alone until [`finish`](Self::finish) has returned `Ok`.
    ///
    /// # Errors
    /// [`DecryptFailed`], whatever was wrong, a byte after the end included.
    /// Nothing is appended to `out` then, and every later call fails too.
    pub fn open(
        &mut self,
        input: &[u8],
        out: &mut SecretBuf,
        max_out: usize,
    ) -> Result<usize, DecryptFailed> {
        let start = out.len();
        let result = self.open_units(input, out, max_out);
        if result.is_err() {
            self.state = State::Failed;
            out.truncate(start);
        }
        result
    }

    /// How many bytes `input` must hold before [`open`](Self::open) can get on,
    /// as far as what it holds already shows; never more than
    /// [`max_needs`](Self::max_needs).
    ///
    /// If `input` holds that many, `open` opens a frame or fails. Zero at the
    /// end of the message.
    #[must_use]
    pub fn needs(&self, input: &[u8]) -> usize {
        match self.scan(input) {
            Ok(Scan::Needs(len)) => len,
            Ok(Scan::Whole(unit)) => unit.len,
            Err(DecryptFailed) => 0,
        }
    }

    /// The most that [`needs`](Self::needs) returns for this message: a buffer
    /// of this many bytes is enough.
    #[must_use]
    pub const fn max_needs(&self) -> usize {
        let footer = match self.curve {
            Some(curve) => signature::max_footer_len(curve),
            None => 0,
        };
        let overhead = MAX_FRAME_OVERHEAD.saturating_add(footer);
        self.content.max_piece().saturating_add(overhead)
    }

    /// Whether the message has been opened to its end.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// To be called when the input has ended: says whether the message had.
    ///
    /// Every byte that arrived must have been offered to [`open`](Self::open),
    /// which refuses what follows the end.
    ///
    /// # Errors
    /// [`DecryptFailed`] unless every frame, and the footer of a signed suite,
    /// were opened.
    pub fn finish(self) -> Result<(), DecryptFailed> {
        match self.state {
            State::Complete => Ok(()),
            State::Body | State::Failed => Err(DecryptFailed),
        }
    }

    fn open_units(
        &mut self,
        input: &[u8],
        out: &mut SecretBuf,
        max_out: usize,
    ) -> Result<usize, DecryptFailed> {
        // Plaintext is never longer than its frame, so neither is this.
        out.reserve(input.len().min(max_out.max(self.content.max_piece())));
        let start = out.len();
        let mut rest = input;
        while let Scan::Whole(unit) = self.scan(rest)? {
            let (bytes, behind) = rest.split_at_checked(unit.len).ok_or(DecryptFailed)?;
            self.open_unit(&unit, bytes, out)?;
            rest = behind;
            let appended = out.len().saturating_sub(start);
            if appended.saturating_add(self.content.max_piece()) > max_out {
                break;
            }
        }
        if self.is_complete() && !rest.is_empty() {
            return Err(DecryptFailed);
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// What comes next in the message, at the front of `input`.
    fn scan<'a>(&self, input: &'a [u8]) -> Result<Scan<Unit<'a>>, DecryptFailed> {
        match self.state {
            State::Body => {}
            State::Complete => return Ok(Scan::Needs(0)),
            State::Failed => return Err(DecryptFailed),
        }
        let number = self.numbers.peek().ok_or(DecryptFailed)?;
        let frame = match frame::scan(input, number, self.content)? {
            Scan::Needs(len) => return Ok(Scan::Needs(len)),
            Scan::Whole(frame) => frame,
        };
        let len = frame.len;
        let Some(curve) = self.curve.filter(|_| frame.kind == FrameKind::Final) else {
            return Ok(Scan::Whole(Unit { frame, signature: &[], len }));
        };
        let footer = input.get(len..).unwrap_or_default();
        Ok(match signature::scan_footer(curve, footer)? {
            Scan::Needs(more) => Scan::Needs(len.saturating_add(more)),
            Scan::Whole((signature, more)) => {
                Scan::Whole(Unit { frame, signature, len: len.saturating_add(more) })
            }
        })
    }

    fn open_unit(
        &mut self,
        unit: &Unit<'_>,
        bytes: &[u8],
        out: &mut SecretBuf,
    ) -> Result<(), DecryptFailed> {
        let frame = &unit.frame;
        if let Some(verifier) = &mut self.verifier {
            verifier.update(bytes.get(..frame.len).ok_or(DecryptFailed)?);
        }
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-signature
        if frame.kind == FrameKind::Final
            && let Some(verifier) = self.verifier.take()
        {
            verifier.verify(unit.signature)?;
        }
        self.open_frame(frame, out)?;
        if frame.kind == FrameKind::Final {
            self.state = State::Complete;
        }
        Ok(())
    }

    fn open_frame(&mut self, frame: &Frame<'_>, out: &mut SecretBuf) -> Result<(), DecryptFailed> {
        let number = self.numbers.take(frame.kind).ok_or(DecryptFailed)?;
        let len = u64::try_from(frame.ciphertext.len()).map_err(|_| DecryptFailed)?;
        let aad = FrameAad::new(&self.message_id, frame.label, number.get(), len);
        let plaintext = out.grow(frame.ciphertext.len());
        self.key.open_frame(number, aad, frame.ciphertext, frame.tag, plaintext)
    }
}

/// What is opened in one step: a frame, and with the final frame of a signed
/// suite the footer behind it, so that its plaintext cannot get out before the
/// signature has been verified.
struct Unit<'a> {
    frame: Frame<'a>,
    signature: &'a [u8],
    /// Length of it all in bytes.
    len: usize,
}
