//! Frames: how bytes on the stream are cut into messages.
//!
//! ```text
//!  0       1       2               4                               8
//! +-------+-------+---------------+-------------------------------+----------
//! | kind  | 0x00  |    0x0000     |   payload length, u32 BE      | payload …
//! +-------+-------+---------------+-------------------------------+----------
//! ```
//!
//! [`FrameDecoder`] is fed whatever has arrived. It hands out a steering frame
//! when all of it is there, and the bytes of a `DATA` frame as they come.

/// First bytes of each direction of a connection: a name and the version.
pub const PREFACE: [u8; 8] = *b"SROOM\0\0\x01";

/// Length of a frame's head in bytes.
pub const HEAD_LEN: usize = 8;

/// Most bytes of payload in one `DATA` frame: 1 MiB.
///
/// A receiver need not buffer a `DATA` frame; the limit keeps the time until
/// the next steering frame short.
pub const MAX_DATA_LEN: usize = 1 << 20;

/// Most bytes of CBOR in one steering frame: 64 KiB.
///
/// Room for an attestation document (16 KiB) and for arguments.
pub const MAX_CONTROL_LEN: usize = 64 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Client: opens a request ([`crate::Request`]).
    Request,
    /// Service: the request was accepted ([`crate::Response`]).
    Response,
    /// Both: raw bytes of the body, at least one.
    Data,
    /// Both: the body is complete ([`crate::Trailer`]).
    End,
    /// Service: the request failed, what came before is void ([`crate::ErrorBody`]).
    Error,
}

impl FrameKind {
    const fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
            Self::Data => 3,
            Self::End => 4,
            Self::Error => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Request),
            2 => Some(Self::Response),
            3 => Some(Self::Data),
            4 => Some(Self::End),
            5 => Some(Self::Error),
            _ => None,
        }
    }

    const fn max_len(self) -> usize {
        match self {
            Self::Data => MAX_DATA_LEN,
            Self::Request | Self::Response | Self::End | Self::Error => MAX_CONTROL_LEN,
        }
    }
}

/// Why bytes are not a frame of this protocol. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first eight bytes are not [`PREFACE`].
    #[error("the peer does not speak strongroom protocol version 1")]
    Preface,
    /// A kind that version 1 does not have.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The flag or reserved bytes are not zero.
    #[error("reserved bytes of a frame head are not zero")]
    Reserved,
    /// The payload is longer than its kind allows, or a `DATA` frame is empty.
    #[error("a frame of {len} bytes is outside 1..={max} for its kind")]
    Length {
        /// Claimed length of the payload in bytes.
        len: u32,
        /// Most bytes its kind allows.
        max: usize,
    },
}

/// Writes a frame's head. `len` is the length of the payload that follows.
///
/// # Errors
/// [`FrameError::Length`] when `len` is zero or over the limit of `kind`.
pub fn encode_head(kind: FrameKind, len: usize) -> Result<[u8; HEAD_LEN], FrameError> {
    let max = kind.max_len();
    let claimed = u32::try_from(len).unwrap_or(u32::MAX);
    if len == 0 || len > max {
        return Err(FrameError::Length { len: claimed, max });
    }
    let [a, b, c, d] = claimed.to_be_bytes();
    Ok([kind.code(), 0, 0, 0, a, b, c, d])
}

/// What [`FrameDecoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing can be told before `input` holds at least this many bytes.
    NeedMore(usize),
    /// `event` was found; drop `consumed` bytes from the front of the input.
    Event {
        /// Bytes of the input that are dealt with.
        consumed: usize,
        /// What they were.
        event: Event<'a>,
    },
}

/// One thing that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole steering frame, and its CBOR.
    Control(FrameKind, &'a [u8]),
    /// Some bytes of the body. One `DATA` frame may come as several of these.
    Data(&'a [u8]),
}

/// Cuts a byte stream into events. Holds no bytes of its own.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    preface_seen: bool,
    data_left: usize,
}

impl FrameDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the stream may end here: between two frames.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        self.data_left == 0
    }

    /// Bytes that are still to come of the `DATA` frame whose head was seen: a
    /// receiver may take them off the stream itself, with [`Self::take_data`].
    #[must_use]
    pub const fn data_left(&self) -> usize {
        self.data_left
    }

    /// Says that the next `len` bytes of the stream, at most
    /// [`Self::data_left`], were taken as bytes of the body.
    pub const fn take_data(&mut self, len: usize) {
        self.data_left = self.data_left.saturating_sub(len);
    }

    /// Looks at the front of `input`, all bytes received and not yet consumed.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are not protocol version 1; the connection
    /// is then beyond use.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, FrameError> {
        let Some((skipped, input)) = self.skip_preface(input)? else {
            return Ok(Step::NeedMore(PREFACE.len()));
        };
        let step = self.frame(input)?;
        Ok(match step {
            Step::NeedMore(n) => Step::NeedMore(n.saturating_add(skipped)),
            Step::Event { consumed, event } => {
                self.preface_seen = true;
                Step::Event { consumed: consumed.saturating_add(skipped), event }
            }
        })
    }

    fn skip_preface<'a>(&self, input: &'a [u8]) -> Result<Option<(usize, &'a [u8])>, FrameError> {
        if self.preface_seen {
            return Ok(Some((0, input)));
        }
        let known = input.len().min(PREFACE.len());
        if input.get(..known) != PREFACE.get(..known) {
            return Err(FrameError::Preface);
        }
        Ok(input.get(PREFACE.len()..).map(|rest| (PREFACE.len(), rest)))
    }

    fn frame<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, FrameError> {
        if self.data_left > 0 {
            return Ok(self.data(input, 0));
        }
        let Some((head, rest)) = input.split_first_chunk::<HEAD_LEN>() else {
            return Ok(Step::NeedMore(HEAD_LEN));
        };
        let (kind, len) = decode_head(*head)?;
        if kind == FrameKind::Data {
            self.data_left = len;
            return Ok(self.data(rest, HEAD_LEN));
        }
        let whole = HEAD_LEN.saturating_add(len);
        Ok(match rest.get(..len) {
            None => Step::NeedMore(whole),
            Some(payload) => Step::Event { consumed: whole, event: Event::Control(kind, payload) },
        })
    }

    fn data<'a>(&mut self, input: &'a [u8], skipped: usize) -> Step<'a> {
        let piece = input.get(..self.data_left).unwrap_or(input);
        if piece.is_empty() && skipped == 0 {
            return Step::NeedMore(1);
        }
        // A head without bytes behind it is consumed too: an empty piece.
        self.data_left = self.data_left.saturating_sub(piece.len());
        let consumed = skipped.saturating_add(piece.len());
        Step::Event { consumed, event: Event::Data(piece) }
    }
}

fn decode_head(head: [u8; HEAD_LEN]) -> Result<(FrameKind, usize), FrameError> {
    let [kind, flags, reserved @ .., a, b, c, d] = head;
    let kind = FrameKind::from_code(kind).ok_or(FrameError::UnknownKind(kind))?;
    if flags != 0 || reserved != [0, 0] {
        return Err(FrameError::Reserved);
    }
    let claimed = u32::from_be_bytes([a, b, c, d]);
    let max = kind.max_len();
    match usize::try_from(claimed) {
        Ok(len) if (1..=max).contains(&len) => Ok((kind, len)),
        _ => Err(FrameError::Length { len: claimed, max }),
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
