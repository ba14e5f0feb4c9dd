//! Command lines to show: each can be pasted into a POSIX shell as it is.

use std::fmt;

use serde::{Serialize, Serializer};

/// A command line, in parts that stay together on a line.
pub(crate) struct CommandLine(Vec<String>);

impl CommandLine {
    /// Begins with `command`, which is taken as it is.
    pub(crate) fn new(command: &str) -> Self {
        Self(vec![command.to_owned()])
    }

    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.0.push(name.to_owned());
        self
    }

    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.0.push(format!("{name} {}", quoted(value)));
        self
    }

    /// For people: broken before a line gets too long, where its parts allow it.
    pub(crate) fn broken(&self) -> String {
        let (mut shown, mut column) = (String::new(), 0);
        for part in &self.0 {
            let len = part.chars().count();
            if column > 0 && column + len + " ".len() + CONTINUED.len() > WIDTH {
                shown.push_str(CONTINUED);
                shown.push_str("\n ");
                column = 1;
            }
            if column > 0 {
                shown.push(' ');
                column += 1;
            }
            shown.push_str(part);
            column += len;
        }
        shown
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As one word for a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// At the end of a line that goes on.
const CONTINUED: &str = " \\";
/// Columns of a terminal.
const WIDTH: usize = 100;
