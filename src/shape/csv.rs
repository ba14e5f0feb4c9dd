//! CSV records, strictly (RFC 4180 §2), one at a time from a growing buffer.
//!
//! Stricter than most readers on purpose: a row that two readers could cut
//! differently could carry a column past its rule. Accepted beyond the RFC are
//! LF line ends, a missing last line end, empty lines (skipped), UTF-8, and a
//! UTF-8 byte order mark at the start.
//!
//! [`marks`] finds the bytes that mean something; what they mean is decided
//! here, and what stands between them is not looked at.

mod marks;

use std::ops::Range;

use strongroom_envelope::SecretBuf;

use marks::Marks;

/// What is wrong with a record. Names what stands in the manifest, never what
/// stands in the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A quote where none may be (RFC 4180 §2.5).
    #[error("a quote stands inside a field that is not quoted")]
    BareQuote,
    /// Something between a closing quote and the next comma or line end.
    #[error("something follows a closing quote other than a comma or a line end")]
    AfterQuote,
    /// A carriage return that is not part of a line end.
    #[error("a carriage return stands alone in a field that is not quoted")]
    BareCarriageReturn,
    /// The data ended before the closing quote.
    #[error("the data ends inside a quoted field")]
    OpenQuote,
    /// More or fewer fields than the header row (RFC 4180 §2.4), or a header
    /// row of more than 4096.
    #[error("the number of fields differs from the header row's, or is over 4096")]
    FieldCount,
    /// A column whose name is not UTF-8.
    #[error("a field is not UTF-8")]
    NotUtf8,
    /// Two columns of one name: a rule could apply to the wrong one.
    #[error("two columns of the header row have the same name")]
    DuplicateColumn,
    /// A column that the job has a rule for is not there.
    #[error("the header row lacks the column {0:?}, which the job has a rule for")]
    MissingColumn(String),
    /// A value was to be left out of a column that the header row has.
    #[error("a column cannot be left out of one row alone")]
    DroppedValue,
    /// There is not even a header row.
    #[error("there is no header row")]
    NoHeader,
}

/// Cuts an input into records, one after the other.
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    at_end: bool,
    /// Where the next record starts. The marks before it have been taken.
    at: usize,
    marks: Marks<'a>,
}

/// Where the fields of a record lie in the input.
#[derive(Default)]
pub(super) struct Cuts {
    /// Where each field starts; at last, one byte behind the end of the last.
    starts: Vec<usize>,
    /// Whether `""`, which means `"`, stands in any of them.
    escaped: bool,
    /// Whether there were more than expected, which are not here.
    more: bool,
}

/// What becomes of a record of more fields than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// It is an error as soon as there is one field too many.
    Refuse,
    /// Its end is looked for, so that it can be left out.
    PassOver,
}

/// Where a field ends, without the mark behind it, and what follows.
struct End {
    at: usize,
    next: Next,
}

/// What follows a field, by where it starts.
enum Next {
    Field(usize),
    Record(usize),
}

impl<'a> Scanner<'a> {
    /// Starts with the record at `at`. `at_end` says that nothing follows the
    /// input.
    pub(super) fn new(input: &'a [u8], at: usize, at_end: bool) -> Self {
        Self { input, at_end, at, marks: Marks::new(input, at) }
    }

    /// The whole input, which [`Cuts`] count in.
    pub(super) const fn input(&self) -> &'a [u8] {
        self.input
    }

    /// Whether nothing follows the input.
    pub(super) const fn at_end(&self) -> bool {
        self.at_end
    }

    /// What has not been cut yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Passes over the empty line at the front; gives its length, 0 when there is
    /// none.
    #[inline]
    pub(super) fn empty_line(&mut self) -> usize {
        let len = match self.rest() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        for _ in 0..len {
            self.marks.next();
        }
        self.at = self.at.saturating_add(len);
        len
    }

    /// Cuts the record at the front, and holds at most `max_fields` of its
    /// fields: memory goes by what is expected, not by what comes. Gives its
    /// length with its line end; `None` when it has not ended yet. After that and
    /// after an error there is nothing more to be had.
    ///
    /// # Errors
    /// [`CsvError`], as soon as it is certain.
    #[inline]
    pub(super) fn record(
        &mut self,
        max_fields: usize,
        excess: Excess,
        cuts: &mut Cuts,
    ) -> Result<Option<usize>, CsvError> {
        cuts.begin(self.at);
        let mut start = self.at;
        loop {
            let Some(end) = self.field(start, cuts)? else { return Ok(None) };
            if cuts.count() < max_fields {
                cuts.starts.push(end.at.saturating_add(1));
            } else if excess == Excess::Refuse {
                return Err(CsvError::FieldCount);
            } else {
                cuts.more = true;
            }
            match end.next {
                Next::Field(next) => start = next,
                Next::Record(next) => {
                    let len = next.saturating_sub(self.at);
                    self.at = next;
                    return Ok(Some(len));
                }
            }
        }
    }

    /// The end of the field at `start`; `None` when it is not there yet.
    #[inline]
    fn field(&mut self, start: usize, cuts: &mut Cuts) -> Result<Option<End>, CsvError> {
        let Some(mark) = self.marks.next() else { return Ok(self.end_of_input()) };
        match self.input.get(mark) {
            Some(b',') => Ok(Some(End::before_comma(mark))),
            Some(b'"') if mark == start => self.quoted(cuts),
            Some(b'"') => Err(CsvError::BareQuote),
            _ => self.line_end(mark, CsvError::BareCarriageReturn),
        }
    }

    /// The end of a field whose opening quote has been taken.
    #[inline]
    fn quoted(&mut self, cuts: &mut Cuts) -> Result<Option<End>, CsvError> {
        loop {
            let Some(mark) = self.marks.next() else {
                return if self.at_end { Err(CsvError::OpenQuote) } else { Ok(None) };
            };
            if self.input.get(mark) != Some(&b'"') {
                continue;
            }
            let behind = mark.saturating_add(1);
            let Some(next) = self.input.get(behind) else { return Ok(self.end_of_input()) };
            if !marks::is_mark(*next) {
                return Err(CsvError::AfterQuote);
            }
            self.marks.next();
            match next {
                b'"' => cuts.escaped = true,
                b',' => return Ok(Some(End::before_comma(behind))),
                _ => return self.line_end(behind, CsvError::AfterQuote),
            }
        }
    }

    /// What the line feed or carriage return at `mark` ends; the error `alone`
    /// when it is a carriage return without a line feed.
    #[inline]
    fn line_end(&mut self, mark: usize, alone: CsvError) -> Result<Option<End>, CsvError> {
        let len = match self.input.get(mark..).unwrap_or_default() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => {
                self.marks.next();
                2
            }
            [b'\r'] if !self.at_end => return Ok(None),
            _ => return Err(alone),
        };
        Ok(Some(End { at: mark, next: Next::Record(mark.saturating_add(len)) }))
    }

    /// What the end of the input ends, if it is the data's.
    fn end_of_input(&self) -> Option<End> {
        let at = self.input.len();
        self.at_end.then_some(End { at, next: Next::Record(at) })
    }
}

impl End {
    const fn before_comma(at: usize) -> Self {
        Self { at, next: Next::Field(at.saturating_add(1)) }
    }
}

impl Cuts {
    #[inline]
    fn begin(&mut self, at: usize) {
        self.starts.clear();
        self.starts.push(at);
        self.escaped = false;
        self.more = false;
    }

    #[inline]
    const fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether the record has exactly so many fields.
    #[inline]
    pub(super) const fn are(&self, fields: usize) -> bool {
        self.count() == fields && !self.more
    }

    /// How many fields there are, but those beyond what was expected.
    pub(super) const fn fields(&self) -> Range<usize> {
        0..self.count()
    }

    /// The fields of these numbers as they stand in `input`: with their quotes,
    /// and with the commas between them.
    #[inline]
    pub(super) fn raw<'a>(&self, input: &'a [u8], fields: &Range<usize>) -> &'a [u8] {
        let start = self.starts.get(fields.start).copied().unwrap_or_default();
        let behind = self.starts.get(fields.end).copied().unwrap_or_default();
        input.get(start..behind.saturating_sub(1)).unwrap_or_default()
    }

    /// The value of a field that stands there as `raw`, written to `room` if it is
    /// not there as it is.
    #[inline]
    pub(super) fn value<'a>(&self, raw: &'a [u8], room: &'a mut SecretBuf) -> &'a [u8] {
        match raw {
            [b'"', inner @ .., b'"'] if self.escaped => {
                room.clear();
                unescape(inner, room);
                room.expose()
            }
            [b'"', inner @ .., b'"'] => inner,
            _ => raw,
        }
    }
}

/// Appends to `out` what stands between a field's quotes, `""` undone.
fn unescape(inner: &[u8], out: &mut SecretBuf) {
    let mut rest = inner;
    while let Some(quote) = rest.iter().position(|b| *b == b'"') {
        let (value, behind) = rest.split_at(quote.saturating_add(1));
        out.extend_from_slice(value);
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Puts what stands in `out` from `start` on in quotes where a field needs them.
#[inline]
pub(super) fn quote_from(out: &mut SecretBuf, start: usize, room: &mut SecretBuf) {
    let value = out.expose().get(start..).unwrap_or_default();
    if !marks::is_marked(value) {
        return;
    }
    room.clear();
    room.extend_from_slice(value);
    out.truncate(start);
    quote(room.expose(), out);
}

/// Appends a value as a field, in quotes where it needs them.
pub(crate) fn escape(value: &[u8], out: &mut SecretBuf) {
    if marks::is_marked(value) {
        quote(value, out);
    } else {
        out.extend_from_slice(value);
    }
}

fn quote(value: &[u8], out: &mut SecretBuf) {
    out.push(b'"');
    for piece in value.split_inclusive(|b| *b == b'"') {
        out.extend_from_slice(piece);
        if piece.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
