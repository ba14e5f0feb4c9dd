//! CSV records: the columns that a header row names, and rows written anew.
//!
//! Cutting is [`super::csv`]'s. A column that the job names and the file lacks
//! is an error: renamed, it would pass as one that no rule is for.

use strongroom_envelope::SecretBuf;

use super::csv::{self, CsvError, Field};
use super::records::{RecordProblem, Step};
use super::{Edit, Kind, Layout, Target, Value, Visitor};
use crate::manifest::fields::{BadRecords, UnknownFields};

/// A CSV file's header row, once it has been read, and room to work.
#[derive(Default)]
pub(super) struct Table {
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
    /// Whether the header row has been read.
    pub(super) const fn has_header(&self) -> bool {
        self.columns.is_some()
    }

    /// Deals with the row at the front of `input`.
    pub(super) fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        if input.is_empty() && at_end && self.columns.is_none() {
            return Err(CsvError::NoHeader.into());
        }
        let empty_line = csv::line_end(input);
        if empty_line > 0 {
            return Ok(Step::Between(empty_line));
        }
        if input.is_empty() {
            return Ok(Step::None);
        }
        let max_fields = self.columns.as_ref().map_or(MAX_COLUMNS, Vec::len);
        let found = csv::next_record(input, at_end, max_fields, &mut self.fields);
        let (found, count) = match found {
            // To leave it out, its end has to be found.
            Err(CsvError::FieldCount)
                if layout.bad_records == BadRecords::Drop && self.columns.is_some() =>
            {
                (csv::record_len(input, at_end)?, None)
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
            csv::unescape(input, field, &mut name);
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
                csv::unescape(input, field, value);
                value.expose()
            } else {
                input.get(field.at.clone()).unwrap_or_default()
            };
            let edit = visit(layout, column, text, row.is_some(), target.visitor, new)?;
            let Some(row) = &mut row else { continue };
            match edit {
                // As it stood: what was written correctly reads back correctly.
                Edit::Keep => copy(input, field, row.field()),
                Edit::Text | Edit::Json => csv::escape(new.expose(), row.field()),
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

/// Most columns of a file.
const MAX_COLUMNS: usize = 4096;
