//! Padding that hides a result's exact length: ISO/IEC 7816-4, as a stream.
//!
//! The service pads what it is about to seal ([`Padder`]); the reader takes the
//! padding off what it opened ([`Unpadder`]), behind the seal's authentication,
//! so that a changed byte is found there and padding is no oracle.
//!
//! ```text
//! data ‖ 80 ‖ 00 … 00      up to the next multiple of pad_to bytes
//! ```
//!
//! At least one byte is added, so the end of the data is never in doubt.

use crate::SecretBuf;

/// The entry of an encryption context that says that a message's plaintext is
/// padded, and how.
pub const CONTEXT_KEY: &str = "strongroom-padding";

/// The only value of [`CONTEXT_KEY`].
pub const CONTEXT_VALUE: &str = "iso7816-4";

/// Largest `pad_to`, in bytes: what one byte too many can cost to send.
pub const MAX_PAD_TO: u64 = 64 * 1024 * 1024;

/// Most bytes that one call appends: a padding or a held-back run may be as long
/// as [`MAX_PAD_TO`] and longer, the memory for it is not.
pub const PIECE_LEN: usize = 64 * 1024;

/// Why there is no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// `pad_to` is zero or above [`MAX_PAD_TO`]: the manifest's fault.
    #[error("can not pad to multiples of {0} bytes")]
    PadTo(u64),
    /// The stream does not end in a padding: the data is not whole.
    #[error("the stream does not end in its padding")]
    NotPadded,
}

/// Counts a stream and knows the padding behind it.
#[derive(Debug)]
pub struct Padder {
    pad_to: u64,
    /// Bytes so far, modulo `pad_to`.
    position: u64,
}

impl Padder {
    /// Pads to a multiple of `pad_to` bytes.
    ///
    /// # Errors
    /// [`PaddingError::PadTo`] unless it is 1 to [`MAX_PAD_TO`].
    pub const fn new(pad_to: u64) -> Result<Self, PaddingError> {
        if pad_to == 0 || pad_to > MAX_PAD_TO {
            return Err(PaddingError::PadTo(pad_to));
        }
        Ok(Self { pad_to, position: 0 })
    }

    /// `len` more bytes have passed.
    pub const fn count(&mut self, len: u64) {
        // Both are below MAX_PAD_TO: their sum does not overflow.
        self.position = (self.position + len % self.pad_to) % self.pad_to;
    }

    /// The stream has ended: its padding, 1 to `pad_to` bytes.
    #[must_use]
    pub const fn finish(self) -> Padding {
        Padding { marked: false, zeros: self.pad_to - self.position - 1 }
    }
}

/// A padding that is being written, piece by piece.
#[derive(Debug)]
pub struct Padding {
    marked: bool,
    zeros: u64,
}

impl Padding {
    /// Bytes not written yet.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.zeros.saturating_add(u64::from(!self.marked))
    }

    /// Appends at most [`PIECE_LEN`] bytes of the padding to `out`, and returns
    /// how many: zero when all are written.
    pub fn emit(&mut self, out: &mut SecretBuf) -> usize {
        let start = out.len();
        if !self.marked {
            self.marked = true;
            out.push(MARK);
        }
        emit_zeros(&mut self.zeros, start, out);
        out.len().saturating_sub(start)
    }
}

/// Takes the padding off a stream.
///
/// What may be the padding is held back as a count, not as bytes.
#[derive(Debug, Default)]
pub struct Unpadder {
    /// A mark and this many zeros have arrived last, and may be the padding.
    held: Option<u64>,
    /// Zeros that turned out to be data and are still to be released.
    owed: u64,
}

impl Unpadder {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: None, owed: 0 }
    }

    /// Takes bytes of `input`, appends what is certainly data to `out`, at most
    /// [`PIECE_LEN`] bytes, and returns how many bytes of `input` it took.
    ///
    /// To be called, with the rest, until all of `input` is taken; it may take
    /// none while it releases what it held back, but then appends something.
    pub fn feed(&mut self, input: &[u8], out: &mut SecretBuf) -> usize {
        let end = out.len().saturating_add(PIECE_LEN);
        let start = out.len();
        let mut rest = input;
        while let Some(&first) = rest.first() {
            emit_zeros(&mut self.owed, start, out);
            let room = end.saturating_sub(out.len());
            if room == 0 {
                break;
            }
            rest = match (self.held, first) {
                (None, MARK) => {
                    self.held = Some(0);
                    rest.get(1..).unwrap_or_default()
                }
                (None, _) => copy_data(rest, room, out),
                (Some(zeros), 0) => {
                    let run = run_len(rest, |byte| byte != 0);
                    self.held = Some(zeros.saturating_add(u64::try_from(run).unwrap_or(u64::MAX)));
                    rest.get(run..).unwrap_or_default()
                }
                // The run was data: release it, and look at this byte again.
                (Some(zeros), _) => {
                    out.push(MARK);
                    self.owed = zeros;
                    self.held = None;
                    rest
                }
            };
        }
        input.len().saturating_sub(rest.len())
    }

    /// To be called when the stream has ended and all of it was taken.
    ///
    /// # Errors
    /// [`PaddingError::NotPadded`] unless it ended in 80 00 … 00.
    pub const fn finish(self) -> Result<(), PaddingError> {
        match self.held {
            Some(_) => Ok(()),
            None => Err(PaddingError::NotPadded),
        }
    }
}

/// Copies what stands in front of the next mark, at most `room` bytes, and
/// returns what is left.
fn copy_data<'a>(input: &'a [u8], room: usize, out: &mut SecretBuf) -> &'a [u8] {
    let run = run_len(input, |byte| byte == MARK).min(room);
    let (data, rest) = input.split_at_checked(run).unwrap_or((input, &[]));
    out.extend_from_slice(data);
    rest
}

/// Number of bytes in front of the first one that `ends` the run.
fn run_len(input: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    input.iter().position(|byte| ends(*byte)).unwrap_or(input.len())
}

/// Appends zeros and counts them down, as long as no more than [`PIECE_LEN`]
/// bytes stand behind `start`.
fn emit_zeros(zeros: &mut u64, start: usize, out: &mut SecretBuf) {
    let room = PIECE_LEN.saturating_sub(out.len().saturating_sub(start));
    let count = usize::try_from(*zeros).unwrap_or(usize::MAX).min(room);
    out.grow(count);
    *zeros = zeros.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
}

const MARK: u8 = 0x80;
