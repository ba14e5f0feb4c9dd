//! Records of a stream, whatever its shape: the loop over them, their numbers,
//! and what becomes of bad ones.
//!
//! What an operation works with. Left out where the job says so are bad records
//! whose end is certain; where it is not, whatever follows could be cut
//! otherwise than its producer meant it, and the request fails:
//!
//! | shape  | left out                                             | the request fails |
//! |--------|------------------------------------------------------|-------------------|
//! | CSV    | number of fields, a bad field                        | quotes and line ends, too long, the header row |
//! | NDJSON | anything: a line ends at its line feed, however long | |
//! | JSON   | well-formed records with a bad field                 | syntax, UTF-8, too long |

use strongroom_envelope::SecretBuf;

use super::array::Array;
use super::csv::{CsvError, Scanner};
use super::json::JsonError;
use super::lines::Lines;
use super::table::Table;
use super::{Counts, FieldError, Layout, Target, Visitor};
use crate::manifest::fields::{BadRecords, Shape};

/// The records of one plaintext.
pub struct Records {
    layout: Layout,
    form: Form,
    /// Whether the start, where a byte order mark may stand, is behind us.
    begun: bool,
    /// A record that has not ended is looked at again when it has grown to this
    /// length: twice what it was, so that each byte is looked at twice at most.
    look_again_at: usize,
    counts: Counts,
}

enum Form {
    Csv(Table),
    Ndjson(Lines),
    Json(Array),
}

/// Why an operation stopped at a record. The data producer's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {problem}")]
pub struct RecordError {
    /// The malformed record, counted from 1; the header row of a CSV file is 1.
    pub record: u64,
    /// What is wrong with it.
    pub problem: RecordProblem,
}

/// What is wrong with a record. Names what stands in the manifest, never what
/// stands in the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// It is not a row of the CSV file that its header row announces.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// It is not the JSON that the job expects.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field that cannot be dealt with.
    #[error("the field {field:?}: {problem}")]
    Field {
        /// Its name in the manifest.
        field: String,
        /// What is wrong with it.
        problem: FieldError,
    },
    /// It is longer than `limits.max_record`.
    #[error("the record is longer than limits.max_record allows")]
    TooLong,
}

/// What a shape did with the front of its input.
pub(super) enum Step {
    /// Nothing: it does not hold a whole record yet, or is empty.
    None,
    /// Passed over so many bytes between records.
    Between(usize),
    /// Dealt with a record of so many bytes.
    Record(usize),
    /// Found a bad record whose end is certain, after so many bytes.
    Bad(usize, RecordProblem),
}

impl Records {
    /// Records of that layout. Bytes without a shape have none, and are taken
    /// for JSON, which refuses most of them.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        let form = match layout.shape {
            Shape::Csv => Form::Csv(Table::default()),
            Shape::Ndjson => Form::Ndjson(Lines::new(&layout)),
            Shape::Json | Shape::Bytes => Form::Json(Array::new(&layout)),
        };
        Self { layout, form, begun: false, look_again_at: 0, counts: Counts::default() }
    }

    /// Deals with the whole records at the front of `input`: hands their fields
    /// to `visitor` and, when there is an `out`, appends them to it with the
    /// visitor's edits. Gives the number of bytes that are done with, which the
    /// caller takes off the front; the rest comes back with more behind it.
    /// `at_end` says that no more comes; then all of it is done with.
    ///
    /// Without an `out`, edits count for nothing. Fields that are written must
    /// not lie within each other; a JSON document that is left out leaves `out`
    /// empty.
    ///
    /// # Errors
    /// [`RecordError`]; what was appended before stays there.
    pub fn process<V: Visitor>(
        &mut self,
        input: &[u8],
        at_end: bool,
        visitor: &mut V,
        out: Option<&mut SecretBuf>,
    ) -> Result<usize, RecordError> {
        if input.len() < self.look_again_at && !at_end {
            return Ok(0);
        }
        let mut target = Target { visitor, out };
        let Some(mut at) = self.start(input, at_end) else { return Ok(0) };
        let Self { layout, form, counts, .. } = self;
        let run = Run { layout, counts, at: &mut at, target: &mut target };
        let stopped = match form {
            Form::Csv(table) => {
                let mut scanner = Scanner::new(input, *run.at, at_end);
                run.all(|_, target| table.step(layout, &mut scanner, target))
            }
            Form::Ndjson(lines) => {
                run.all(|at, target| lines.step(layout, behind(input, at), at_end, target))
            }
            Form::Json(array) => {
                run.all(|at, target| array.step(layout, behind(input, at), at_end, target))
            }
        };
        stopped.map_err(|problem| self.error(problem))?;
        let left = input.len().saturating_sub(at);
        self.look_again_at = left.saturating_mul(2).min(self.layout.max_record);
        Ok(at)
    }

    /// How many records there were so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Length of the byte order mark at the start; `None` while it is not known.
    fn start(&mut self, input: &[u8], at_end: bool) -> Option<usize> {
        if self.begun {
            return Some(0);
        }
        let undecided = input.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(input);
        if undecided && !at_end {
            return None;
        }
        self.begun = true;
        Some(if input.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 })
    }

    fn error(&self, problem: RecordProblem) -> RecordError {
        let header = match &self.form {
            Form::Csv(table) => u64::from(table.has_header()),
            Form::Ndjson(_) | Form::Json(_) => 0,
        };
        let behind = self.counts.records.saturating_add(self.counts.dropped);
        RecordError { record: behind.saturating_add(header).saturating_add(1), problem }
    }
}

/// The records of one input, from `at` on.
struct Run<'a, 't, V> {
    layout: &'a Layout,
    counts: &'a mut Counts,
    at: &'a mut usize,
    target: &'a mut Target<'t, V>,
}

impl<'t, V> Run<'_, 't, V> {
    /// Takes one step after the other, each from where the one before ended,
    /// until there is none.
    fn all(
        self,
        mut step: impl FnMut(usize, &mut Target<'t, V>) -> Result<Step, RecordProblem>,
    ) -> Result<(), RecordProblem> {
        loop {
            let mark = self.target.mark();
            let len = match step(*self.at, self.target)? {
                Step::None => return Ok(()),
                Step::Between(len) => len,
                Step::Record(len) => {
                    self.counts.records = self.counts.records.saturating_add(1);
                    len
                }
                Step::Bad(len, problem) => {
                    // Nothing of it is written, not even its beginning.
                    self.target.back_to(mark);
                    if self.layout.bad_records != BadRecords::Drop {
                        return Err(problem);
                    }
                    self.counts.dropped = self.counts.dropped.saturating_add(1);
                    len
                }
            };
            *self.at = self.at.saturating_add(len);
        }
    }
}

fn behind(input: &[u8], at: usize) -> &[u8] {
    input.get(at..).unwrap_or_default()
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests;
