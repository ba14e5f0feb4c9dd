//! JSON records: the elements of one array, or one document that is none.
//!
//! The walk through an element finds its end. Where it fails, the end is found by
//! counting brackets outside of strings, to tell a bad element from one that has
//! not ended; if the counting was misled, the element is not JSON. Then where the
//! next one begins is not certain either: syntax errors are never left out.

use super::document::{Document, End, is_json};
use super::json::JsonError;
use super::records::{RecordProblem, Step};
use super::{Layout, Target, Visitor};

/// The records of a document.
pub(super) struct Array {
    document: Document,
    place: Place,
    /// Whether an element has been written.
    written: bool,
}

/// Where in the document its next bytes stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its start.
    Start,
    /// At the start of a document that is not an array.
    Single,
    /// Behind the array's opening bracket.
    Opened,
    /// Behind a comma.
    Comma,
    /// Behind an element.
    Element,
    /// Behind the document.
    End,
}

impl Array {
    pub(super) fn new(layout: &Layout) -> Self {
        let document = Document::new(&layout.fields);
        Self { document, place: Place::Start, written: false }
    }

    /// Deals with what stands at the front of `input`.
    pub(super) fn step<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        let space = input.iter().take_while(|b| is_space(**b)).count();
        if space > 0 && self.place != Place::Single {
            return Ok(Step::Between(space));
        }
        let Some(first) = input.first() else {
            return if at_end && self.place != Place::End {
                Err(JsonError::Unended.into())
            } else {
                Ok(Step::None)
            };
        };
        match (self.place, first) {
            (Place::Start, b'[') => Ok(self.pass(b"[", Place::Opened, target)),
            (Place::Start | Place::Single, _) => self.single(layout, input, at_end, target),
            (Place::Opened | Place::Element, b']') => Ok(self.pass(b"]\n", Place::End, target)),
            (Place::Element, b',') => Ok(self.pass(b"", Place::Comma, target)),
            (Place::Opened | Place::Comma, _) => self.element(layout, input, at_end, target),
            (Place::Element | Place::End, _) => Err(JsonError::Syntax.into()),
        }
    }

    /// Passes over one byte of the array's own.
    fn pass<V>(&mut self, write: &[u8], place: Place, target: &mut Target<'_, V>) -> Step {
        target.write(write);
        self.place = place;
        Step::Between(1)
    }

    fn single<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        self.place = Place::Single;
        if input.len() > layout.max_record {
            return Err(RecordProblem::TooLong);
        }
        if !at_end {
            return Ok(Step::None);
        }
        self.place = Place::End;
        let done = self.document.record(layout, input, target);
        if done.is_ok() {
            target.write(b"\n");
        }
        dealt_with(input, done)
    }

    fn element<V: Visitor>(
        &mut self,
        layout: &Layout,
        input: &[u8],
        at_end: bool,
        target: &mut Target<'_, V>,
    ) -> Result<Step, RecordProblem> {
        let (mark, written) = (target.mark(), self.written);
        if written {
            target.write(b",\n");
        }
        let room = input.get(..layout.max_record).unwrap_or(input);
        if let Ok(len) = self.document.front(layout, room, End::Bracket, target) {
            self.written = true;
            self.place = Place::Element;
            return Ok(Step::Record(len));
        }
        target.back_to(mark);
        let len = match value_len(input) {
            Some(len) if len <= layout.max_record => len,
            None if input.len() <= layout.max_record && at_end => {
                return Err(JsonError::Unended.into());
            }
            None if input.len() <= layout.max_record => return Ok(Step::None),
            _ => return Err(RecordProblem::TooLong),
        };
        if written {
            target.write(b",\n");
        }
        let element = input.get(..len).unwrap_or_default();
        let done = self.document.record(layout, element, target);
        self.written = written || done.is_ok();
        self.place = Place::Element;
        dealt_with(element, done)
    }
}

/// What a record came to: only one that is well-formed to its end can be left
/// out.
fn dealt_with(record: &[u8], done: Result<(), RecordProblem>) -> Result<Step, RecordProblem> {
    match done {
        Ok(()) => Ok(Step::Record(record.len())),
        Err(problem @ RecordProblem::Json(JsonError::NotUtf8)) => Err(problem),
        Err(_) if !is_json(record) => Err(JsonError::Syntax.into()),
        Err(problem) => Ok(Step::Bad(record.len(), problem)),
    }
}

/// Length of the value at the front of `input`; `None` when it has not ended.
fn value_len(input: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0_usize;
    loop {
        match input.get(at)? {
            b'"' => at = at.saturating_add(string_len(input.get(at..)?)?),
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                at = at.saturating_add(1);
            }
            b'}' | b']' if depth > 0 => {
                depth = depth.saturating_sub(1);
                at = at.saturating_add(1);
            }
            // The array's own.
            b',' | b']' | b'}' if depth == 0 => return Some(at),
            byte if depth == 0 && is_space(*byte) => return Some(at),
            _ => {
                at = at.saturating_add(1);
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Length of the string at the front of `input`, with its quotes.
fn string_len(input: &[u8]) -> Option<usize> {
    let mut at = 1_usize;
    loop {
        let rest = input.get(at..)?;
        let found = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        let escape = usize::from(rest.get(found) == Some(&b'\\'));
        at = at.saturating_add(found).saturating_add(1).saturating_add(escape);
        if escape == 0 {
            return Some(at);
        }
    }
}

/// Whether JSON takes the byte for white space (RFC 8259 §2).
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
