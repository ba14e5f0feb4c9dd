//! Result rows, as CSV or NDJSON: for operations whose result is no record.
//!
//! The first column of every row is [`SUPPRESSED`]. It is `true` in a row that
//! stands for what is not shown, and its place is fixed, so no value of the data
//! can pass for it.
//!
//! ```text
//! CSV (RFC 4180, ends of lines LF)      NDJSON
//! suppressed,country,people             (no header)
//! false,DE,120                          {"suppressed":false,"country":"DE","people":120}
//! false,,7                              {"suppressed":false,"country":null,"people":7}
//! true,,5                               {"suppressed":true,"country":null,"people":5}
//! true,,                                {"suppressed":true,"country":null,"people":null}
//! ```

use strongroom_envelope::SecretBuf;

use super::decimal::{Decimal, text};
use crate::shape::csv;

/// How result rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A header row, then a row each.
    Csv,
    /// A JSON object per line.
    Ndjson,
}

/// Name of the first column. A job's own columns need other names.
pub(super) const SUPPRESSED: &str = "suppressed";

/// A value of a row. Empty in CSV, and `null` in JSON, where there is none.
pub(in crate::operation) enum Cell<'a> {
    /// A value of the data.
    Text(&'a [u8]),
    /// A computed number.
    Number(Decimal),
    /// How many.
    Count(u64),
    /// Nothing.
    None,
}

/// Writes rows of the same columns.
pub(in crate::operation) struct RowWriter<'a> {
    form: Rows,
    columns: &'a [String],
    out: &'a mut SecretBuf,
}

impl<'a> RowWriter<'a> {
    /// Begins with the header row, where there is one.
    pub(in crate::operation) fn new(
        form: Rows,
        columns: &'a [String],
        out: &'a mut SecretBuf,
    ) -> Self {
        if form == Rows::Csv {
            out.extend_from_slice(SUPPRESSED.as_bytes());
            for name in columns {
                out.push(b',');
                csv::escape(name.as_bytes(), out);
            }
            out.push(b'\n');
        }
        Self { form, columns, out }
    }

    /// Writes a row, with a cell for each column.
    pub(in crate::operation) fn row<'c>(
        &mut self,
        suppressed: bool,
        cells: impl Iterator<Item = Cell<'c>>,
    ) {
        match self.form {
            Rows::Csv => text(self.out, format_args!("{suppressed}")),
            Rows::Ndjson => text(self.out, format_args!("{{\"{SUPPRESSED}\":{suppressed}")),
        }
        let columns = self.columns;
        // The cells may end early: nothing is where they are not.
        let cells = cells.chain(std::iter::repeat_with(|| Cell::None));
        for (name, cell) in columns.iter().zip(cells) {
            self.out.push(b',');
            if self.form == Rows::Ndjson {
                json_string(name.as_bytes(), self.out);
                self.out.push(b':');
            }
            self.cell(&cell);
        }
        if self.form == Rows::Ndjson {
            self.out.push(b'}');
        }
        self.out.push(b'\n');
    }

    fn cell(&mut self, cell: &Cell<'_>) {
        match (cell, self.form) {
            (Cell::Text(value), Rows::Csv) => csv::escape(value, self.out),
            (Cell::Text(value), Rows::Ndjson) => json_string(value, self.out),
            (Cell::Number(number), _) => number.write(self.out),
            (Cell::Count(count), _) => text(self.out, format_args!("{count}")),
            (Cell::None, Rows::Csv) => {}
            (Cell::None, Rows::Ndjson) => self.out.extend_from_slice(b"null"),
        }
    }
}

/// Appends UTF-8 as a JSON string (RFC 8259 §7).
fn json_string(value: &[u8], out: &mut SecretBuf) {
    out.push(b'"');
    for piece in value.split_inclusive(|b| matches!(b, b'"' | b'\\' | ..=0x1f)) {
        match piece.split_last() {
            Some((last @ (b'"' | b'\\'), before)) => {
                out.extend_from_slice(before);
                out.extend_from_slice(&[b'\\', *last]);
            }
            Some((last @ ..=0x1f, before)) => {
                out.extend_from_slice(before);
                text(out, format_args!("\\u{last:04x}"));
            }
            _ => out.extend_from_slice(piece),
        }
    }
    out.push(b'"');
}
