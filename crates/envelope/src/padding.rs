//! Padding that hides a length (ISO/IEC 7816-4): a byte `80`, then zeros, up to
//! a multiple of a fixed number of bytes.
//!
//! The service appends it to a result before it is encrypted; whoever opens the
//! result takes it off. Both work on a stream and hold no part of it.

use crate::SecretBuf;

/// Counts what passes, then gives the padding that follows it: at least one
/// byte, a piece at a time.
pub struct Padder {
    multiple: usize,
    /// Bytes that passed, modulo `multiple`.
    over: usize,
    /// Bytes of padding still to come, once there was the first piece.
    left: Option<usize>,
}

impl Padder {
    /// Pads to a multiple of `multiple` bytes; 0 counts as 1.
    #[must_use]
    pub fn new(multiple: usize) -> Self {
        Self { multiple: multiple.max(1), over: 0, left: None }
    }

    /// Counts `len` bytes that pass.
    pub fn count(&mut self, len: usize) {
        let len = len.checked_rem(self.multiple).unwrap_or_default();
        let over = self.over.saturating_add(len);
        self.over = over.checked_rem(self.multiple).unwrap_or_default();
    }

    /// Appends the next piece of padding, at most [`PIECE`] bytes; `false` when
    /// there is no more.
    pub fn next(&mut self, out: &mut SecretBuf) -> bool {
        let (left, first) = match self.left {
            None => (self.multiple.saturating_sub(self.over), true),
            Some(left) => (left, false),
        };
        let piece = out.grow(left.min(PIECE));
        if first && let Some(mark) = piece.first_mut() {
            *mark = MARK;
        }
        self.left = Some(left.saturating_sub(PIECE));
        left > 0
    }
}

/// Takes padding off the end of a stream.
///
/// What could be padding is counted, not held: a mark and zeros behind it.
#[derive(Default)]
pub struct Unpadder {
    /// Zeros behind a mark that has not been passed on; `None` without a mark.
    zeros: Option<u64>,
}

/// The stream does not end in padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plaintext does not end in the padding that it should have")]
pub struct BadPadding;

impl Unpadder {
    /// For a stream from its start.
    #[must_use]
    pub const fn new() -> Self {
        Self { zeros: None }
    }

    /// Takes a piece of the stream and appends to `out` what cannot be padding.
    pub fn update(&mut self, piece: &[u8], out: &mut SecretBuf) {
        for &byte in piece {
            match (&mut self.zeros, byte) {
                (Some(zeros), 0) => *zeros = zeros.saturating_add(1),
                (zeros, MARK) => {
                    give_back(zeros.replace(0), out);
                }
                (zeros, byte) => {
                    give_back(zeros.take(), out);
                    out.push(byte);
                }
            }
        }
    }

    /// Ends the stream: what was held back was padding.
    ///
    /// # Errors
    /// [`BadPadding`] when there was none.
    pub fn finish(self) -> Result<(), BadPadding> {
        self.zeros.map(|_| ()).ok_or(BadPadding)
    }
}

/// Appends a mark and zeros that were not padding after all.
fn give_back(zeros: Option<u64>, out: &mut SecretBuf) {
    let Some(zeros) = zeros else { return };
    out.push(MARK);
    // As many as came in pieces that were in memory.
    out.grow(usize::try_from(zeros).unwrap_or(usize::MAX));
}

/// Most bytes of padding given at once.
pub const PIECE: usize = 64 << 10;

const MARK: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(data: &[u8], multiple: usize) -> Vec<u8> {
        let mut padder = Padder::new(multiple);
        data.chunks(7).for_each(|piece| padder.count(piece.len()));
        let mut out = SecretBuf::new();
        out.extend_from_slice(data);
        while padder.next(&mut out) {}
        out.expose().to_vec()
    }

    #[test]
    fn padding_is_a_mark_and_zeros_and_never_nothing() {
        assert_eq!(padded(b"abc", 8), b"abc\x80\0\0\0\0");
        assert_eq!(padded(b"abcdefgh", 8), b"abcdefgh\x80\0\0\0\0\0\0\0");
        assert_eq!(padded(b"", 4), b"\x80\0\0\0");
        assert_eq!(padded(b"abc", 1), b"abc\x80");
        assert_eq!(padded(b"a", 3 * PIECE + 5).len(), 3 * PIECE + 5);
    }

    #[test]
    fn a_stream_without_padding_is_an_error() {
        for bad in [&b""[..], b"abc", b"abc\0", b"\0\0\0", b"\x80a", b"\x80\0\x01"] {
            let mut unpadder = Unpadder::new();
            unpadder.update(bad, &mut SecretBuf::new());
            assert_eq!(unpadder.finish(), Err(BadPadding), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_padded_comes_back_however_it_is_cut(
            data in prop::collection::vec(prop::sample::select(vec![0, 0x80, 1]), 0..40),
            multiple in 1_usize..20,
            piece in 1_usize..9,
        ) {
            let padded = padded(&data, multiple);
            prop_assert_eq!(padded.len() % multiple, 0);
            let (mut unpadder, mut out) = (Unpadder::new(), SecretBuf::new());
            padded.chunks(piece).for_each(|piece| unpadder.update(piece, &mut out));
            prop_assert_eq!(unpadder.finish(), Ok(()));
            prop_assert_eq!(out.expose(), &data[..]);
        }
    }
}
