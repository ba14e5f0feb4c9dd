//! `mask`: a CSV file with its columns masked, kept or dropped by rule.
//!
//! What a parent learns: the columns that are kept, what each rule leaves of
//! the others (below), the number of rows, and, from the sizes of input and
//! output and how they follow each other, how long rows are: to a frame's
//! length. A masked value does not show its own length, nor a dropped column
//! anything but its share of the row's.

use std::collections::BTreeMap;

use strongroom_envelope::SecretBuf;

use super::RecordError;
use super::csv::{self, CsvError, Field};
use crate::manifest::{MaskRule, UnknownColumns};

/// The operation at work on one file.
pub struct Mask {
    rules: BTreeMap<String, MaskRule>,
    unknown: UnknownColumns,
    max_record: usize,
    /// Rule per column of the file, once the header row has been read.
    columns: Option<Vec<MaskRule>>,
    /// Records seen, the header row included.
    records: u64,
    /// A record that has not ended is looked at again when it has grown to this
    /// length: twice what it was, so that each byte is looked at twice at most.
    look_again_at: usize,
    fields: Vec<Field>,
    /// A value without its quotes, and what is left of one.
    scratch: SecretBuf,
    masked: SecretBuf,
}

impl Mask {
    /// Masks by `rules`; no record may be longer than `max_record` bytes.
    #[must_use]
    pub fn new(
        rules: BTreeMap<String, MaskRule>,
        unknown: UnknownColumns,
        max_record: usize,
    ) -> Self {
        Self {
            rules,
            unknown,
            max_record,
            columns: None,
            records: 0,
            look_again_at: 0,
            fields: Vec::new(),
            scratch: SecretBuf::new(),
            masked: SecretBuf::new(),
        }
    }

    pub(super) fn process(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<(), RecordError> {
        self.records(input, out, false)
    }

    /// Number of data rows.
    pub(super) fn finish(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<u64, RecordError> {
        self.records(input, out, true)?;
        match self.columns {
            None => Err(RecordError { record: 1, problem: CsvError::NoHeader }),
            Some(_) => Ok(self.records.saturating_sub(1)),
        }
    }

    fn records(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
        at_end: bool,
    ) -> Result<(), RecordError> {
        if input.len() < self.look_again_at && !at_end {
            return Ok(());
        }
        let mut at = 0;
        let result = loop {
            match self.record(input.expose().get(at..).unwrap_or_default(), at_end, out) {
                Ok(0) => break Ok(()),
                Ok(len) => at = at.saturating_add(len),
                Err(problem) => {
                    let record = self.records.saturating_add(1);
                    break Err(RecordError { record, problem });
                }
            }
        };
        input.consume(at);
        self.look_again_at = input.len().saturating_mul(2).min(self.max_record);
        result
    }

    /// Deals with one record at the front of `input` and gives its length; 0
    /// when there is no whole one.
    fn record(
        &mut self,
        input: &[u8],
        at_end: bool,
        out: &mut SecretBuf,
    ) -> Result<usize, CsvError> {
        let input = match (&self.columns, input.strip_prefix(BYTE_ORDER_MARK)) {
            // Only the header row can stand at the very start.
            (None, Some(rest)) if self.records == 0 => {
                return self.record_at(rest, at_end, out).map(|len| match len {
                    0 => 0,
                    len => len.saturating_add(BYTE_ORDER_MARK.len()),
                });
            }
            _ => input,
        };
        self.record_at(input, at_end, out)
    }

    fn record_at(
        &mut self,
        input: &[u8],
        at_end: bool,
        out: &mut SecretBuf,
    ) -> Result<usize, CsvError> {
        let empty_line = csv::line_end(input);
        if empty_line > 0 || input.is_empty() {
            return Ok(empty_line);
        }
        let max_fields = self.columns.as_ref().map_or(MAX_COLUMNS, Vec::len);
        let mut fields = std::mem::take(&mut self.fields);
        let found = csv::next_record(input, at_end, max_fields, &mut fields);
        let done = match found {
            Ok(Some(len)) if len <= self.max_record => {
                self.masked(input, &fields, out).map(|()| len)
            }
            Ok(None) if input.len() < self.max_record => Ok(0),
            Ok(_) => Err(CsvError::TooLong),
            Err(problem) => Err(problem),
        };
        self.fields = fields;
        done
    }

    fn masked(
        &mut self,
        input: &[u8],
        fields: &[Field],
        out: &mut SecretBuf,
    ) -> Result<(), CsvError> {
        match self.columns.take() {
            None => {
                let columns = self.read_header(input, fields)?;
                let header = columns.iter().map(|rule| match rule {
                    MaskRule::Drop => MaskRule::Drop,
                    MaskRule::Redact | MaskRule::Last4 | MaskRule::Initials | MaskRule::Keep => {
                        MaskRule::Keep
                    }
                });
                self.write(input, fields, header, out)?;
                self.columns = Some(columns);
            }
            Some(columns) if columns.len() == fields.len() => {
                self.write(input, fields, columns.iter().copied(), out)?;
                self.columns = Some(columns);
            }
            Some(_) => return Err(CsvError::FieldCount),
        }
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    fn read_header(&self, input: &[u8], fields: &[Field]) -> Result<Vec<MaskRule>, CsvError> {
        // Without a header row these are data: erased like all the rest.
        let mut names = Vec::with_capacity(fields.len());
        for field in fields {
            let mut name = SecretBuf::new();
            csv::unescape(input, field, &mut name);
            names.push(name);
        }
        let mut sorted: Vec<&[u8]> = names.iter().map(SecretBuf::expose).collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(CsvError::DuplicateColumn);
        }
        let missing = |name: &&String| sorted.binary_search(&name.as_bytes()).is_err();
        if let Some(name) = self.rules.keys().find(missing) {
            return Err(CsvError::MissingColumn(name.clone()));
        }
        let unknown = match self.unknown {
            UnknownColumns::Drop => MaskRule::Drop,
            UnknownColumns::Keep => MaskRule::Keep,
        };
        let rule = |name: &SecretBuf| {
            let name = str::from_utf8(name.expose()).map_err(|_| CsvError::NotUtf8)?;
            Ok(self.rules.get(name).copied().unwrap_or(unknown))
        };
        names.iter().map(rule).collect()
    }

    fn write(
        &mut self,
        input: &[u8],
        fields: &[Field],
        rules: impl Iterator<Item = MaskRule>,
        out: &mut SecretBuf,
    ) -> Result<(), CsvError> {
        let start = out.len();
        let mut first = true;
        for (field, rule) in fields.iter().zip(rules) {
            if rule == MaskRule::Drop {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            self.apply(rule, input, field, out)?;
        }
        if first {
            return Ok(());
        }
        if out.len() == start {
            // One empty field alone would read back as an empty line.
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
        Ok(())
    }

    fn apply(
        &mut self,
        rule: MaskRule,
        input: &[u8],
        field: &Field,
        out: &mut SecretBuf,
    ) -> Result<(), CsvError> {
        let raw = input.get(field.at.clone()).unwrap_or_default();
        match rule {
            MaskRule::Drop => {}
            MaskRule::Redact => out.extend_from_slice(b"***"),
            // As it stood: what was written correctly reads back correctly.
            MaskRule::Keep if field.quoted => {
                out.push(b'"');
                out.extend_from_slice(raw);
                out.push(b'"');
            }
            MaskRule::Keep => out.extend_from_slice(raw),
            // Nothing in a field without quotes can need them.
            MaskRule::Last4 | MaskRule::Initials if !field.quoted => reduce(rule, raw, out)?,
            MaskRule::Last4 | MaskRule::Initials => {
                self.scratch.clear();
                csv::unescape(input, field, &mut self.scratch);
                self.masked.clear();
                reduce(rule, self.scratch.expose(), &mut self.masked)?;
                csv::escape(self.masked.expose(), out);
            }
        }
        Ok(())
    }
}

fn reduce(rule: MaskRule, value: &[u8], out: &mut SecretBuf) -> Result<(), CsvError> {
    let value = str::from_utf8(value).map_err(|_| CsvError::NotUtf8)?;
    if rule == MaskRule::Last4 {
        last4(value, out);
    } else {
        initials(value, out);
    }
    Ok(())
}

fn last4(value: &str, out: &mut SecretBuf) {
    out.extend_from_slice(b"****");
    let shows = value.chars().nth(SHORTEST_FOR_LAST4.saturating_sub(1)).is_some();
    let last = value.char_indices().rev().nth(3).and_then(|(at, _)| value.get(at..));
    if let (true, Some(last)) = (shows, last) {
        out.extend_from_slice(last.as_bytes());
    }
}

fn initials(value: &str, out: &mut SecretBuf) {
    for first in value.split_whitespace().filter_map(|word| word.chars().next()) {
        out.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
        out.push(b'.');
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Most columns of a file.
const MAX_COLUMNS: usize = 4096;

/// Characters a value must have before four of them are shown.
const SHORTEST_FOR_LAST4: usize = 8;

#[cfg(test)]
mod tests;
