//! Where a plaintext can be cut into parts that are read on their own: for
//! [`super::stream`].
//!
//! Behind the end of a record, seen from the start of one. In CSV that is a line
//! feed with an even number of quotes before it: `""` in a quoted field counts
//! twice, and quotes stand nowhere else. Where a file is not well-formed that
//! may be wrong behind the fault, but not before it: so the fault is within a
//! part that begins where a record does, and reading that part fails.

use crate::manifest::fields::Shape;

/// How a shape's records end.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// With a line feed outside of quotes; the first is a header row.
    Csv,
    /// With a line feed.
    Lines,
}

impl Cut {
    /// `None` for a shape that cannot be cut.
    pub(super) const fn of(shape: Shape) -> Option<Self> {
        match shape {
            Shape::Csv => Some(Self::Csv),
            Shape::Ndjson => Some(Self::Lines),
            Shape::Json | Shape::Bytes => None,
        }
    }

    /// Length of the whole records in `bytes`, which begin where a record does.
    pub(super) fn whole(self, bytes: &[u8]) -> usize {
        let mut inside = match self {
            Self::Csv => is_odd(bytes),
            Self::Lines => false,
        };
        for (at, byte) in bytes.iter().enumerate().rev() {
            match byte {
                b'\n' if !inside => return at.saturating_add(1),
                b'"' => inside = !inside && matches!(self, Self::Csv),
                _ => {}
            }
        }
        0
    }

    /// What whoever begins to read in the middle has to have read before: the
    /// header row at the front of `bytes`, the start of a plaintext. `None` when
    /// it is not there whole. An empty line comes first, which is no record, so
    /// that nothing behind it is taken for a byte order mark.
    pub(super) fn preface(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut preface = vec![b'\n'];
        if matches!(self, Self::Lines) {
            return Some(preface);
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let bytes = bytes.get(start..)?;
        let mut inside = false;
        let end = bytes.iter().position(|byte| {
            inside ^= *byte == b'"';
            *byte == b'\n' && !inside
        })?;
        preface.extend_from_slice(bytes.get(..=end)?);
        Some(preface)
    }

    /// Rows that are none of the records.
    pub(super) const fn headers(self) -> u64 {
        match self {
            Self::Csv => 1,
            Self::Lines => 0,
        }
    }
}

/// Whether the number of quotes is.
fn is_odd(bytes: &[u8]) -> bool {
    let odd = |chunk: &[u8]| chunk.iter().fold(0, |odd, byte| odd ^ u8::from(*byte == b'"'));
    bytes.chunks(256).fold(0, |all, chunk| all ^ odd(chunk)) == 1
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests;
