//! Where the bytes stand that CSV gives a meaning: commas, quotes, and the two
//! of line ends.
//!
//! Of 64 bytes at a time, with nothing that depends on what they are; so the
//! compiler compares 16 or more of them in one instruction.

/// The positions of these bytes, in order.
pub(super) struct Marks<'a> {
    /// What has not been looked at.
    rest: &'a [u8],
    /// Length of the input, of which `rest` is the end.
    end: usize,
    /// Where the bytes start that `bits` are of.
    block: usize,
    /// A bit for each of them, the lowest for the first. Those that were given
    /// are zero.
    bits: u64,
}

impl<'a> Marks<'a> {
    /// Those of `input` from the byte at `at` on.
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        let rest = input.get(at..).unwrap_or_default();
        Self { rest, end: input.len(), block: at, bits: 0 }
    }

    /// The next position; `None` when there is none.
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.rest.is_empty() {
                return None;
            }
            self.block = self.end.saturating_sub(self.rest.len());
            (self.bits, self.rest) = match self.rest.split_first_chunk() {
                Some((block, rest)) => (of_block(block), rest),
                None => (of_tail(self.rest), [].as_slice()),
            };
        }
        let bit = usize::try_from(self.bits.trailing_zeros()).unwrap_or_default();
        self.bits &= self.bits.wrapping_sub(1);
        Some(self.block.saturating_add(bit))
    }
}

/// Whether a byte has a meaning.
#[inline]
pub(super) const fn is_mark(byte: u8) -> bool {
    // No short cut on the way: that would be a branch for each byte.
    (byte == b',') | (byte == b'"') | (byte == b'\n') | (byte == b'\r')
}

/// Whether there is such a byte in a value, which is short most often.
#[inline]
pub(super) fn is_marked(value: &[u8]) -> bool {
    let (eights, _) = value.as_chunks();
    match value.last_chunk() {
        // The last eight overlap those before.
        Some(last) => eights.iter().any(any_of_eight) || any_of_eight(last),
        None => value.iter().any(|byte| is_mark(*byte)),
    }
}

/// All eight at once: of a byte without its highest bit, `(byte ^ mark) + 0x7f`
/// has that bit unless byte and mark are equal, and no sum runs over into the
/// next byte.
#[inline]
const fn any_of_eight(eight: &[u8; 8]) -> bool {
    let bytes = u64::from_le_bytes(*eight);
    let low = bytes & LOW;
    let other = (low ^ COMMA).wrapping_add(LOW)
        & (low ^ QUOTE).wrapping_add(LOW)
        & (low ^ LINE_FEED).wrapping_add(LOW)
        & (low ^ CARRIAGE_RETURN).wrapping_add(LOW);
    (other | bytes | LOW) != u64::MAX
}

#[inline]
fn of_block(block: &[u8; 64]) -> u64 {
    let mut found = [0; 64];
    for (found, byte) in found.iter_mut().zip(block) {
        *found = u8::from(is_mark(*byte));
    }
    let (eights, _) = found.as_chunks();
    let mut bits = 0;
    for eight in eights.iter().rev() {
        bits = (bits << 8) | packed(*eight);
    }
    bits
}

/// Eight bytes of 0 or 1 as the eight lowest bits: the multiplication brings the
/// bit of byte `i` to place 56 + `i`, and no two to one place.
#[inline]
const fn packed(eight: [u8; 8]) -> u64 {
    u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The same of less than 64 bytes.
#[cold]
fn of_tail(tail: &[u8]) -> u64 {
    tail.iter().rev().fold(0, |bits, byte| (bits << 1) | u64::from(is_mark(*byte)))
}

/// A byte, eight times.
const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
const COMMA: u64 = u64::from_le_bytes([b','; 8]);
const QUOTE: u64 = u64::from_le_bytes([b'"'; 8]);
const LINE_FEED: u64 = u64::from_le_bytes([b'\n'; 8]);
const CARRIAGE_RETURN: u64 = u64::from_le_bytes([b'\r'; 8]);

#[cfg(test)]
mod tests;
