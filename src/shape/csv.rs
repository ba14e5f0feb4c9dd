//! CSV records, strictly (RFC 4180 §2), one at a time from a growing buffer.
//!
//! Stricter than most readers on purpose: a row that two readers could cut
//! differently could carry a column past its rule. Accepted beyond the RFC are
//! LF line ends, a missing last line end, empty lines (skipped), UTF-8, and a
//! UTF-8 byte order mark at the start.

use std::ops::Range;

use strongroom_envelope::SecretBuf;

/// A field of a record: where it stands, and whether it is quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its bytes within the input, without the outer quotes.
    pub(super) at: Range<usize>,
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
    /// Whether `""` stands in it, which means `"`.
    pub(super) escaped: bool,
}

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

/// Finds the fields of the record at the front of `input`, into `fields`, and
/// stops at one more than `max_fields`: memory goes by what is expected, not by
/// what comes. Gives the record's length with its line end; `None` when it has not ended
/// yet, unless `at_end` says that nothing follows.
pub(super) fn next_record(
    input: &[u8],
    at_end: bool,
    max_fields: usize,
    fields: &mut Vec<Field>,
) -> Result<Option<usize>, CsvError> {
    fields.clear();
    each_field(input, at_end, |field| {
        if fields.len() >= max_fields {
            return Err(CsvError::FieldCount);
        }
        fields.push(field);
        Ok(())
    })
}

/// Length of the record at the front of `input`, however many fields it has;
/// `None` as with [`next_record`].
pub(super) fn record_len(input: &[u8], at_end: bool) -> Result<Option<usize>, CsvError> {
    each_field(input, at_end, |_| Ok(()))
}

#[inline]
fn each_field(
    input: &[u8],
    at_end: bool,
    mut field_found: impl FnMut(Field) -> Result<(), CsvError>,
) -> Result<Option<usize>, CsvError> {
    let mut at = 0;
    loop {
        let found = match input.get(at) {
            Some(b'"') => quoted(input, at.saturating_add(1), at_end)?,
            _ => unquoted(input, at, at_end)?,
        };
        let Some((field, next)) = found else { return Ok(None) };
        field_found(field)?;
        match next {
            Next::Field(start) => at = start,
            Next::Record(start) => return Ok(Some(start)),
        }
    }
}

/// Length of the line end at the front of `input`: 0 when there is none.
pub(super) fn line_end(input: &[u8]) -> usize {
    match input {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// What follows a field, by where it starts.
enum Next {
    Field(usize),
    Record(usize),
}

type Found = Option<(Field, Next)>;

fn unquoted(input: &[u8], start: usize, at_end: bool) -> Result<Found, CsvError> {
    let rest = input.get(start..).unwrap_or_default();
    let len = rest.iter().position(|b| matches!(b, b',' | b'\n' | b'\r' | b'"'));
    let Some(len) = len else {
        let end = Field { at: start..input.len(), quoted: false, escaped: false };
        return Ok(at_end.then_some((end, Next::Record(input.len()))));
    };
    let stop = start.saturating_add(len);
    let field = Field { at: start..stop, quoted: false, escaped: false };
    match after(input, stop, at_end) {
        After::Next(next) => Ok(Some((field, next))),
        After::Unknown => Ok(None),
        After::Other if rest.get(len) == Some(&b'"') => Err(CsvError::BareQuote),
        After::Other => Err(CsvError::BareCarriageReturn),
    }
}

fn quoted(input: &[u8], start: usize, at_end: bool) -> Result<Found, CsvError> {
    let mut at = start;
    let mut escaped = false;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let Some(len) = rest.iter().position(|b| *b == b'"') else {
            return if at_end { Err(CsvError::OpenQuote) } else { Ok(None) };
        };
        let close = at.saturating_add(len);
        let behind = close.saturating_add(1);
        if input.get(behind) == Some(&b'"') {
            at = behind.saturating_add(1);
            escaped = true;
            continue;
        }
        let field = Field { at: start..close, quoted: true, escaped };
        return match after(input, behind, at_end) {
            After::Next(next) => Ok(Some((field, next))),
            After::Unknown => Ok(None),
            After::Other => Err(CsvError::AfterQuote),
        };
    }
}

enum After {
    Next(Next),
    Unknown,
    Other,
}

/// What stands at `at`, behind a field.
fn after(input: &[u8], at: usize, at_end: bool) -> After {
    match input.get(at..).unwrap_or_default() {
        [] if at_end => After::Next(Next::Record(at)),
        [] => After::Unknown,
        [b'\r'] if !at_end => After::Unknown,
        [b',', ..] => After::Next(Next::Field(at.saturating_add(1))),
        rest => match line_end(rest) {
            0 => After::Other,
            len => After::Next(Next::Record(at.saturating_add(len))),
        },
    }
}

/// Appends a field's value to `out`, `""` undone.
pub(super) fn unescape(input: &[u8], field: &Field, out: &mut SecretBuf) {
    let mut rest = input.get(field.at.clone()).unwrap_or_default();
    while field.escaped
        && let Some(quote) = rest.iter().position(|b| *b == b'"')
    {
        let (value, behind) = rest.split_at(quote.saturating_add(1));
        out.extend_from_slice(value);
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Appends a value as a field, in quotes where it needs them.
pub(crate) fn escape(value: &[u8], out: &mut SecretBuf) {
    if !value.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(value);
        return;
    }
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
