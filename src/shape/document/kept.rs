//! What stays of a record, without the white space between names and values.
//!
//! Part of the walk in [`super`]: stretches that follow on each other in the
//! record are written in one go.

use std::ops::Range;

use super::{Container, Walk};
use crate::shape::Visitor;

impl<V: Visitor> Walk<'_, '_, '_, V> {
    /// Writes so much of a value that stays, and before it a comma when it is not
    /// the first, and its name.
    #[inline(always)]
    pub(super) fn keep(
        &mut self,
        container: &mut Container,
        name: Option<Range<usize>>,
        value: Range<usize>,
    ) {
        let (comma, first) = (container.comma, std::mem::take(&mut container.first));
        let start = name.as_ref().map_or(value.start, |name| name.start);
        let behind_name = name.as_ref().map_or(start, |name| name.end.wrapping_add(1));
        if behind_name == value.start && (first || start == comma.wrapping_add(1)) {
            self.copy(if first { start } else { comma }..value.end);
        } else {
            self.keep_without_space((!first).then_some(comma), name, value);
        }
    }

    /// The same, leaving out the white space that there is.
    #[cold]
    fn keep_without_space(
        &mut self,
        comma: Option<usize>,
        name: Option<Range<usize>>,
        value: Range<usize>,
    ) {
        if let Some(comma) = comma {
            self.copy_byte(comma);
        }
        if let Some(name) = name {
            self.copy(name);
            self.write_copied();
            self.target.write(b":");
        }
        self.copy(value);
    }

    pub(super) fn copy_byte(&mut self, at: usize) {
        self.copy(at..at.wrapping_add(1));
    }

    /// Writes a stretch of the record, with the next when that follows on it.
    #[inline]
    pub(super) fn copy(&mut self, span: Range<usize>) {
        if span.start != self.copied.end {
            self.write_copied();
            self.copied.start = span.start;
        }
        self.copied.end = span.end;
    }

    /// Writes what was kept since the last time.
    pub(super) fn write_copied(&mut self) {
        let copied = std::mem::replace(&mut self.copied, 0..0);
        self.write(self.scan.slice(copied));
    }

    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.target.out {
            out.extend_from_slice(bytes);
        }
    }
}
