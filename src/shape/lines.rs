//! NDJSON records: a JSON document per line.
//!
//! A line feed ends a record whatever stands before it: JSON has none within a
//! string. So the end of a line is always certain, and a bad one can be left
//! out, even one that is never held whole. A good one is looked at once: its
//! walk finds the line feed.

use super::document::{Document, End, with_utf8};
use super::records::{RecordProblem, Step};
use super::{Layout, Target, Visitor};
use crate::manifest::fields::BadRecords;

/// The lines of a file.
pub(super) struct Lines {
    document: Document,
    /// Whether the rest of a line is passed over that is too long.
    skipping: bool,
}

impl Lines {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { document: Document::new(&layout.fields), skipping: false }
    }

    /// Deals with the line at the front of `input`.
    pub(super) fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        if input.is_empty() {
            return Ok(Step::None);
        }
        if self.skipping {
            let (len, ended) = line_len(input);
            self.skipping = !ended;
            return Ok(Step::Between(len));
        }
        // With its line feed, a record has to end here.
        let room = input.get(..layout.max_record).unwrap_or(input);
        let end = End::Line { or_text: at_end && room.len() == input.len() };
        match self.document.front(layout, room, end, target) {
            Ok(len) => {
                target.write(b"\n");
                let fed = usize::from(input.get(len) == Some(&b'\n'));
                Ok(Step::Record(len.saturating_add(fed)))
            }
            Err(problem) => self.other(layout, input, at_end, *problem),
        }
    }

    /// What stands at the front of `input` where the record that has to be there
    /// came to `problem`: because it has not ended, or is too long, or because it
    /// is an empty line.
    fn other(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        problem: RecordProblem,
    ) -> Result<Step, RecordProblem> {
        let (len, ended) = line_len(input);
        if len > layout.max_record {
            self.skipping = !ended && layout.bad_records == BadRecords::Drop;
            return Ok(Step::Bad(len, RecordProblem::TooLong));
        }
        if !ended && !at_end {
            return Ok(Step::None);
        }
        let line = input.get(..len).unwrap_or_default();
        if matches!(line, b"\n" | b"\r\n" | b"\r") {
            return Ok(Step::Between(len));
        }
        Ok(Step::Bad(len, with_utf8(line, problem)))
    }
}

/// Length of the line at the front of `input` with its line feed, and whether it
/// has one.
fn line_len(input: &[u8]) -> (usize, bool) {
    let feed = memchr::memchr(b'\n', input);
    (feed.map_or(input.len(), |feed| feed.saturating_add(1)), feed.is_some())
}
