//! NDJSON records: a JSON document per line.
//!
//! A line feed ends a record whatever stands before it: JSON has none within a
//! string. So the end of a line is always certain, and a bad one can be left
//! out, even one that is never held whole.

use super::document::Document;
use crate::manifest::fields::BadRecords;
use crate::shape::records::{RecordProblem, Step};
use crate::shape::{Layout, Target, Visitor};

/// The lines of a file.
pub(in crate::shape) struct Lines {
    document: Document,
    /// Whether the rest of a line is passed over that is too long.
    skipping: bool,
}

impl Lines {
    pub(in crate::shape) fn new(layout: &Layout) -> Self {
        Self { document: Document::new(&layout.fields), skipping: false }
    }

    /// Deals with the line at the front of `input`.
    pub(in crate::shape) fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        if input.is_empty() {
            return Ok(Step::None);
        }
        let feed = input.iter().position(|b| *b == b'\n');
        let len = feed.map_or(input.len(), |feed| feed.saturating_add(1));
        if self.skipping {
            self.skipping = feed.is_none();
            return Ok(Step::Between(len));
        }
        if len > layout.max_record {
            self.skipping = feed.is_none() && layout.bad_records == BadRecords::Drop;
            return Ok(Step::Bad(len, RecordProblem::TooLong));
        }
        if feed.is_none() && !at_end {
            return Ok(Step::None);
        }
        let line = input.get(..feed.unwrap_or(len)).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(Step::Between(len));
        }
        Ok(match self.document.record(layout, line, target) {
            Ok(()) => {
                target.write(b"\n");
                Step::Record(len)
            }
            Err(problem) => Step::Bad(len, problem),
        })
    }
}
