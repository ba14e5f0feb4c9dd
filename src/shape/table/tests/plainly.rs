//! The same, written down as plainly as can be: a look at one byte after the
//! other, and each field by itself. What is fast is compared with it.

use std::ops::Range;

use strongroom_envelope::SecretBuf;

use crate::manifest::fields::{BadRecords, UnknownFields};
use crate::shape::csv::CsvError;
use crate::shape::records::{RecordError, RecordProblem, Step};
use crate::shape::{Counts, Edit, Kind, Layout, Target, Value, Visitor};

/// The records of one plaintext.
pub(super) struct Plainly {
    layout: Layout,
    table: Table,
    begun: bool,
    look_again_at: usize,
    pub(super) counts: Counts,
}

impl Plainly {
    pub(super) fn new(layout: Layout) -> Self {
        let (table, counts) = (Table::default(), Counts::default());
        Self { layout, table, begun: false, look_again_at: 0, counts }
    }

    pub(super) fn process<V: Visitor>(
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
        let mut at = 0;
        if !self.begun {
            let mark = b"\xef\xbb\xbf";
            if input.len() < mark.len() && mark.starts_with(input) && !at_end {
                return Ok(0);
            }
            self.begun = true;
            at = if input.starts_with(mark) { mark.len() } else { 0 };
        }
        loop {
            let mark = target.mark();
            let step = self.table.step(&self.layout, &input[at..], at_end, &mut target);
            at += match step.map_err(|problem| self.error(problem))? {
                Step::None => break,
                Step::Between(len) => len,
                Step::Record(len) => {
                    self.counts.records += 1;
                    len
                }
                Step::Bad(len, _) if self.layout.bad_records == BadRecords::Drop => {
                    target.back_to(mark);
                    self.counts.dropped += 1;
                    len
                }
                Step::Bad(_, problem) => {
                    target.back_to(mark);
                    return Err(self.error(problem));
                }
            };
        }
        self.look_again_at = (2 * (input.len() - at)).min(self.layout.max_record);
        Ok(at)
    }

    fn error(&self, problem: RecordProblem) -> RecordError {
        let header = u64::from(self.table.columns.is_some());
        let record = self.counts.records + self.counts.dropped + header + 1;
        RecordError { record, problem }
    }
}

/// A CSV file's header row, once it has been read, and room to work.
#[derive(Default)]
struct Table {
    columns: Option<Vec<Column>>,
    fields: Vec<Field>,
    /// A value without its quotes, and what takes its place.
    value: SecretBuf,
    new: SecretBuf,
}

/// A column of the file.
struct Column {
    /// The numbers under which it is handed over.
    fields: Vec<usize>,
    /// Whether it is written.
    written: bool,
}

impl Table {
    /// Deals with the row at the front of `input`.
    fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        if input.is_empty() && at_end && self.columns.is_none() {
            return Err(CsvError::NoHeader.into());
        }
        let empty_line = line_end(input);
        if empty_line > 0 {
            return Ok(Step::Between(empty_line));
        }
        if input.is_empty() {
            return Ok(Step::None);
        }
        let max_fields = self.columns.as_ref().map_or(MAX_COLUMNS, Vec::len);
        let found = next_record(input, at_end, max_fields, &mut self.fields);
        let (found, count) = match found {
            // To leave it out, its end has to be found.
            Err(CsvError::FieldCount)
                if layout.bad_records == BadRecords::Drop && self.columns.is_some() =>
            {
                (record_len(input, at_end)?, None)
            }
            found => (found?, Some(self.fields.len())),
        };
        match found {
            Some(len) if len <= layout.max_record => self.record(layout, input, len, count, target),
            None if input.len() <= layout.max_record => Ok(Step::None),
            _ => Err(RecordProblem::TooLong),
        }
    }

    fn record<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        len: usize,
        count: Option<usize>,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        let Some(columns) = self.columns.take() else {
            let columns = self.read_header(layout, input, target)?;
            self.write_header(&columns, input, target);
            self.columns = Some(columns);
            return Ok(Step::Between(len));
        };
        let done = if count == Some(columns.len()) {
            self.row(layout, &columns, input, target)
        } else {
            Err(CsvError::FieldCount.into())
        };
        self.columns = Some(columns);
        Ok(match done {
            Ok(()) => Step::Record(len),
            Err(problem) => Step::Bad(len, problem),
        })
    }

    fn read_header<V: Visitor>(
        &self,
        layout: &Layout,
        input: &[u8],
        target: &Target<'_, V>,
    ) -> Result<Vec<Column>, CsvError> {
        // Without a header row these are data: erased like all the rest.
        let mut names = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let mut name = SecretBuf::new();
            unescape(input, field, &mut name);
            names.push(name);
        }
        let mut sorted: Vec<&[u8]> = names.iter().map(SecretBuf::expose).collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(CsvError::DuplicateColumn);
        }
        let wanted: Vec<String> = layout.fields.iter().map(ToString::to_string).collect();
        let missing = |name: &&String| sorted.binary_search(&name.as_bytes()).is_err();
        if let Some(name) = wanted.iter().find(missing) {
            return Err(CsvError::MissingColumn(name.clone()));
        }
        let column = |name: &SecretBuf| {
            let name = str::from_utf8(name.expose()).map_err(|_| CsvError::NotUtf8)?;
            let named = wanted.iter().enumerate().filter(|(_, wanted)| *wanted == name);
            let fields: Vec<usize> = named.map(|(field, _)| field).collect();
            let written = if fields.is_empty() {
                layout.unknown == UnknownFields::Keep
            } else {
                !fields.iter().any(|field| target.visitor.drops(*field))
            };
            Ok(Column { fields, written })
        };
        names.iter().map(column).collect()
    }

    fn write_header<V>(&self, columns: &[Column], input: &[u8], target: &mut Target<'_, V>) {
        let Some(out) = &mut target.out else { return };
        let mut row = Row::new(out);
        for (field, _) in self.fields.iter().zip(columns).filter(|(_, column)| column.written) {
            copy(input, field, row.field());
        }
        row.end();
    }

    fn row<V: Visitor>(
        &mut self,
        layout: &Layout,
        columns: &[Column],
        input: &[u8],
        target: &mut Target<'_, V>,
    ) -> Result<(), RecordProblem> {
        let Self { fields, value, new, .. } = self;
        target.visitor.begin();
        let mut row = target.out.as_deref_mut().map(Row::new);
        for (field, column) in fields.iter().zip(columns) {
            if row.is_some() && !column.written {
                continue;
            }
            let text = if field.escaped && !column.fields.is_empty() {
                value.clear();
                unescape(input, field, value);
                value.expose()
            } else {
                input.get(field.at.clone()).unwrap_or_default()
            };
            let edit = visit(layout, column, text, row.is_some(), target.visitor, new)?;
            let Some(row) = &mut row else { continue };
            match edit {
                // As it stood: what was written correctly reads back correctly.
                Edit::Keep => copy(input, field, row.field()),
                Edit::Text | Edit::Json => escape(new.expose(), row.field()),
                Edit::Drop => return Err(CsvError::DroppedValue.into()),
            }
        }
        if let Some(row) = row {
            row.end();
        }
        target.visitor.end().map_err(|(field, problem)| layout.bad_field(field, problem))
    }
}

/// Hands a value over under each of its numbers; when it is written, the first
/// edit stands.
fn visit<V: Visitor>(
    layout: &Layout,
    column: &Column,
    text: &[u8],
    writing: bool,
    visitor: &mut V,
    new: &mut SecretBuf,
) -> Result<Edit, RecordProblem> {
    for field in &column.fields {
        new.clear();
        let edit = visitor
            .field(*field, Value { kind: Kind::Text, text }, new)
            .map_err(|problem| layout.bad_field(*field, problem))?;
        if edit != Edit::Keep && writing {
            return Ok(edit);
        }
    }
    Ok(Edit::Keep)
}

/// Appends a field as it stands in `input`, with its quotes.
fn copy(input: &[u8], field: &Field, out: &mut SecretBuf) {
    let quote = usize::from(field.quoted);
    let raw = field.at.start.saturating_sub(quote)..field.at.end.saturating_add(quote);
    out.extend_from_slice(input.get(raw).unwrap_or_default());
}

/// A row as it is written.
struct Row<'a> {
    out: &'a mut SecretBuf,
    start: usize,
    first: bool,
}

impl<'a> Row<'a> {
    const fn new(out: &'a mut SecretBuf) -> Self {
        let start = out.len();
        Self { out, start, first: true }
    }

    /// Where the next field goes.
    fn field(&mut self) -> &mut SecretBuf {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out
    }

    fn end(self) {
        if self.first {
            return;
        }
        if self.out.len() == self.start {
            // One empty field alone would read back as an empty line.
            self.out.extend_from_slice(b"\"\"");
        }
        self.out.push(b'\n');
    }
}

/// A field of a record: where it stands, and whether it is quoted.
struct Field {
    /// Its bytes within the input, without the outer quotes.
    at: Range<usize>,
    /// Whether it stood in quotes.
    quoted: bool,
    /// Whether `""` stands in it, which means `"`.
    escaped: bool,
}

/// Finds the fields of the record at the front of `input`, into `fields`, and
/// stops at one more than `max_fields`: memory goes by what is expected, not by
/// what comes. Gives the record's length with its line end; `None` when it has not ended
/// yet, unless `at_end` says that nothing follows.
fn next_record(
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
fn record_len(input: &[u8], at_end: bool) -> Result<Option<usize>, CsvError> {
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
fn line_end(input: &[u8]) -> usize {
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
fn unescape(input: &[u8], field: &Field, out: &mut SecretBuf) {
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
fn escape(value: &[u8], out: &mut SecretBuf) {
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

/// Most columns of a file.
const MAX_COLUMNS: usize = 4096;
