//! The result, as JSON or as a table.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::Row;
use crate::output::Output;

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) transport: &'static str,
    /// CPUs that this machine has for everything in it.
    pub(super) cpus: usize,
    pub(super) rows: Vec<Row>,
    /// What a reader has to know.
    pub(super) notes: Vec<String>,
}

impl Report {
    pub(super) fn text(&self, output: &Output) -> String {
        let mut text = String::new();
        let mut before = String::new();
        for row in &self.rows {
            let title = match row.case.is_empty() {
                true => row.row.to_owned(),
                false => format!("{}, {}", row.row, row.case),
            };
            if title != before {
                let columns = format!("{:>12} {:>12} {:>8}", "service", "raw echo", "ratio");
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "\n{} {}",
                    output.bold(&format!("{title:<36}")),
                    output.dim(&columns)
                );
                before = title;
            }
            let what = format!("{} ({})", row.of, row.unit);
            let echo = row.echo.map_or_else(String::new, number);
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
            let _ =
                writeln!(text, "  {what:<34} {:>12} {echo:>12} {ratio:>8}", number(row.service));
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{}", output.dim(note));
        }
        text
    }
}

/// Three digits that say something, and no exponent.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
