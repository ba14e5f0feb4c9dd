//! CSV records: the columns that a header row names, and rows written anew.
//!
//! Cutting is [`super::csv`]'s. A column that the job names and the file lacks
//! is an error: renamed, it would pass as one that no rule is for.

use std::ops::Range;

use strongroom_envelope::SecretBuf;

use super::csv::{self, CsvError, Cuts, Excess, Scanner};
use super::records::{RecordProblem, Step};
use super::{Edit, FieldError, Kind, Layout, Target, Value, Visitor};
use crate::manifest::fields::{BadRecords, UnknownFields};

/// A CSV file's header row, once it has been read, and room to work.
#[derive(Default)]
pub(super) struct Table {
    columns: Option<Columns>,
    cuts: Cuts,
    room: Room,
}

/// What a header row says, by what becomes of the columns.
struct Columns {
    /// How many there are.
    count: usize,
    /// The columns with which something is done, in their order.
    parts: Vec<Part>,
}

/// Columns side by side that are dealt with as one.
struct Part {
    /// Their numbers. Just one, if it is handed over.
    columns: Range<usize>,
    /// The numbers under which it is handed over.
    fields: Vec<usize>,
    /// Whether it is written.
    written: bool,
}

/// For a value without its quotes, and for what takes its place.
#[derive(Default)]
struct Room {
    value: SecretBuf,
    new: SecretBuf,
}

impl Table {
    /// Whether the header row has been read.
    pub(super) const fn has_header(&self) -> bool {
        self.columns.is_some()
    }

    /// Deals with the row at the front of what `scanner` has not cut.
    pub(super) fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        scanner: &mut Scanner<'_>,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        let empty_line = scanner.empty_line();
        if empty_line > 0 {
            return Ok(Step::Between(empty_line));
        }
        let rest = scanner.rest().len();
        if rest == 0 {
            return match self.columns {
                None if scanner.at_end() => Err(CsvError::NoHeader.into()),
                _ => Ok(Step::None),
            };
        }
        let (max_fields, excess) = match &self.columns {
            None => (MAX_COLUMNS, Excess::Refuse),
            Some(columns) if layout.bad_records == BadRecords::Drop => {
                (columns.count, Excess::PassOver)
            }
            Some(columns) => (columns.count, Excess::Refuse),
        };
        match scanner.record(max_fields, excess, &mut self.cuts)? {
            Some(len) if len <= layout.max_record => {
                self.record(layout, scanner.input(), len, target)
            }
            None if rest <= layout.max_record => Ok(Step::None),
            _ => Err(RecordProblem::TooLong),
        }
    }

    fn record<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        len: usize,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        let Self { columns, cuts, room } = self;
        let Some(columns) = columns else {
            let read = Columns::read(layout, cuts, input, target.visitor)?;
            if let Some(out) = &mut target.out {
                read.write_header(cuts, input, out);
            }
            *columns = Some(read);
            return Ok(Step::Between(len));
        };
        if !cuts.are(columns.count) {
            return Ok(Step::Bad(len, CsvError::FieldCount.into()));
        }
        target.visitor.begin();
        let row = InputRow { layout, cuts, input };
        let done = match &mut target.out {
            Some(out) => columns.write_row(row, target.visitor, room, out),
            None => columns.read_row(row, target.visitor, room),
        };
        let done = done.and_then(|()| {
            target.visitor.end().map_err(|(field, problem)| layout.bad_field(field, problem))
        });
        Ok(match done {
            Ok(()) => Step::Record(len),
            Err(problem) => Step::Bad(len, problem),
        })
    }
}

/// A row as it was read.
#[derive(Clone, Copy)]
struct InputRow<'a> {
    layout: &'a Layout,
    cuts: &'a Cuts,
    input: &'a [u8],
}

impl Columns {
    fn read<V: Visitor>(
        layout: &Layout,
        cuts: &Cuts,
        input: &[u8],
        visitor: &V,
    ) -> Result<Self, CsvError> {
        // Without a header row these are data: erased like all the rest.
        let mut names = Vec::with_capacity(cuts.fields().len());
        for column in cuts.fields() {
            let (mut name, mut room) = (SecretBuf::new(), SecretBuf::new());
            let raw = cuts.raw(input, &(column..column.saturating_add(1)));
            name.extend_from_slice(cuts.value(raw, &mut room));
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
        let mut columns = Self { count: names.len(), parts: Vec::new() };
        for (column, name) in names.iter().enumerate() {
            let name = str::from_utf8(name.expose()).map_err(|_| CsvError::NotUtf8)?;
            let named = wanted.iter().enumerate().filter(|(_, wanted)| *wanted == name);
            let fields: Vec<usize> = named.map(|(field, _)| field).collect();
            let written = if fields.is_empty() {
                layout.unknown == UnknownFields::Keep
            } else {
                !fields.iter().any(|field| visitor.drops(*field))
            };
            columns.add(column, fields, written);
        }
        Ok(columns)
    }

    /// Adds a column, to the one before it where both are written as they stand.
    fn add(&mut self, column: usize, fields: Vec<usize>, written: bool) {
        if fields.is_empty() && !written {
            return;
        }
        let columns = column..column.saturating_add(1);
        match self.parts.last_mut() {
            Some(last)
                if last.columns.end == column && last.fields.is_empty() && fields.is_empty() =>
            {
                last.columns.end = columns.end;
            }
            _ => self.parts.push(Part { columns, fields, written }),
        }
    }

    fn write_header(&self, cuts: &Cuts, input: &[u8], out: &mut SecretBuf) {
        let mut row = OutputRow::new(out);
        for part in self.parts.iter().filter(|part| part.written) {
            row.field().extend_from_slice(cuts.raw(input, &part.columns));
        }
        row.end();
    }

    /// Hands a row's values over.
    fn read_row<V: Visitor>(
        &self,
        row: InputRow<'_>,
        visitor: &mut V,
        room: &mut Room,
    ) -> Result<(), RecordProblem> {
        for part in &self.parts {
            if part.fields.is_empty() {
                continue;
            }
            let text = row.cuts.value(row.cuts.raw(row.input, &part.columns), &mut room.value);
            for field in &part.fields {
                room.new.clear();
                let value = Value { kind: Kind::Text, text };
                visitor
                    .field(*field, value, &mut room.new)
                    .map_err(|problem| row.layout.bad_field(*field, problem))?;
            }
        }
        Ok(())
    }

    /// Writes a row anew, with the edits of those of its values that are handed
    /// over.
    fn write_row<V: Visitor>(
        &self,
        row: InputRow<'_>,
        visitor: &mut V,
        room: &mut Room,
        out: &mut SecretBuf,
    ) -> Result<(), RecordProblem> {
        let mut written = OutputRow::new(out);
        for part in self.parts.iter().filter(|part| part.written) {
            let raw = row.cuts.raw(row.input, &part.columns);
            let out = written.field();
            if part.fields.is_empty() {
                // As it stood: what was written correctly reads back correctly.
                out.extend_from_slice(raw);
                continue;
            }
            let text = row.cuts.value(raw, &mut room.value);
            let start = out.len();
            let edit = edit(&part.fields, text, visitor, out)
                .map_err(|(field, problem)| row.layout.bad_field(field, problem))?;
            match edit {
                Edit::Keep => {
                    out.truncate(start);
                    out.extend_from_slice(raw);
                }
                Edit::Text | Edit::Json => csv::quote_from(out, start, &mut room.new),
                Edit::Drop => return Err(CsvError::DroppedValue.into()),
            }
        }
        written.end();
        Ok(())
    }
}

/// Hands a value over under each of its numbers. The first edit stands: what it
/// appended to `out`.
#[inline]
fn edit<V: Visitor>(
    fields: &[usize],
    text: &[u8],
    visitor: &mut V,
    out: &mut SecretBuf,
) -> Result<Edit, (usize, FieldError)> {
    let start = out.len();
    for field in fields {
        out.truncate(start);
        let value = Value { kind: Kind::Text, text };
        let edit = visitor.field(*field, value, out).map_err(|problem| (*field, problem))?;
        if edit != Edit::Keep {
            return Ok(edit);
        }
    }
    Ok(Edit::Keep)
}

/// A row as it is written.
struct OutputRow<'a> {
    out: &'a mut SecretBuf,
    start: usize,
    first: bool,
}

impl<'a> OutputRow<'a> {
    const fn new(out: &'a mut SecretBuf) -> Self {
        let start = out.len();
        Self { out, start, first: true }
    }

    /// Where the next field goes.
    #[inline]
    fn field(&mut self) -> &mut SecretBuf {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out
    }

    #[inline]
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

/// Most columns of a file.
const MAX_COLUMNS: usize = 4096;

#[cfg(test)]
mod tests;
