//! How answers and failures are shown: for people, or as one JSON document.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::environment;
use crate::error::CliError;

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colour = !json && std::io::stdout().is_terminal() && !environment::no_colour();
        Self { json, colour }
    }

    /// Shows the answer: `value` as JSON, or `text` for people.
    pub(crate) fn answer(&self, value: &impl Serialize, text: &str) -> Result<(), CliError> {
        let shown = if self.json {
            serde_json::to_string_pretty(value).map_err(std::io::Error::from)
        } else {
            Ok(text.trim_end().to_owned())
        };
        let written = shown.and_then(|shown| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{shown}")?;
            out.flush()
        });
        written.map_err(CliError::Stdout)
    }

    /// As [`Output::answer`], beside a result that has standard output for itself.
    pub(crate) fn note(
        &self,
        beside_result: bool,
        value: &impl Serialize,
        text: &str,
    ) -> Result<(), CliError> {
        if !beside_result {
            return self.answer(value, text);
        }
        let shown = match self.json {
            true => serde_json::to_string(value).unwrap_or_default(),
            false => text.trim_end().to_owned(),
        };
        // The result is out: a closed standard error takes nothing from it.
        let _ = writeln!(std::io::stderr().lock(), "{shown}");
        Ok(())
    }

    /// Shows why the command failed.
    pub(crate) fn failure(&self, error: &CliError) {
        // These have shown their one document, with what failed in it.
        let shown = matches!(error, CliError::Demo { .. } | CliError::PolicyHoles(_));
        if self.json && !shown {
            let _ = self.answer(&error.to_json(), "");
        } else {
            let _ = write!(std::io::stderr().lock(), "{}", error.to_text());
        }
    }

    /// Shows what was wrong with the command line, as JSON.
    pub(crate) fn usage(&self, message: &str) {
        let message = message.trim().trim_start_matches("error: ");
        let _ = self.answer(&json!({ "error": { "code": "usage", "message": message } }), "");
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Text of somebody else's choosing, fit for a terminal and a log line.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(MAX_FOREIGN) {
        if c.is_control()
            || matches!(
                c,
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            )
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, scale) in UNITS {
        if bytes >= scale {
            let tenths = bytes.saturating_mul(10).checked_div(scale).unwrap_or_default();
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// Most characters shown of one text from elsewhere.
const MAX_FOREIGN: usize = 2048;
