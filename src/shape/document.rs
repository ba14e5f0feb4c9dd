//! One JSON record: its fields handed over, and the record written anew.
//!
//! For [`super::lines`] and [`super::array`]. One walk with a [`Scanner`] checks
//! the syntax, finds where names and values stand, and where the record ends.
//! Memory holds nothing of it but what is erased: a text without its escapes,
//! and a visitor's edit. Nested values are passed over without recursion; the
//! walk goes no deeper than a pointer has steps.
//!
//! What is on the way to a field is written anew without white space; all the
//! rest that is kept is copied as it stands, in stretches as long as can be.

use std::ops::Range;

use strongroom_envelope::SecretBuf;

use super::json::scan::{Nesting, Quoted, Scanner};
use super::json::{self, JsonError};
use super::records::RecordProblem;
use super::tree::{Name, State, Trail, Tree};
use super::{Edit, Kind, Layout, MissingFields, Target, Value, Visitor};
use crate::manifest::fields::{FieldPath, UnknownFields};

/// The fields of a job's documents, and room to work.
pub(super) struct Document {
    tree: Tree,
    trail: Trail,
    nesting: Nesting,
    /// A name or text without its escapes, and what takes a value's place.
    text: SecretBuf,
    new: SecretBuf,
}

/// Where a record ends that is at the front of more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its text.
    Text,
    /// Before a line feed, or with its text where `or_text`.
    Line {
        /// Whether the text is no part of a longer one.
        or_text: bool,
    },
    /// With its last bracket.
    Bracket,
}

impl Document {
    pub(super) fn new(fields: &[FieldPath]) -> Self {
        let tree = Tree::new(fields);
        Self {
            trail: Trail::new(&tree),
            tree,
            nesting: Nesting::default(),
            text: SecretBuf::new(),
            new: SecretBuf::new(),
        }
    }

    /// Deals with the record that is all of `json`.
    pub(super) fn record<V: Visitor>(
        &mut self,
        layout: &Layout,
        json: &[u8],
        target: &mut Target<'_, V>,
    ) -> Result<(), RecordProblem> {
        let done = self.front(layout, json, End::Text, target);
        done.map(|_| ()).map_err(|problem| with_utf8(json, *problem))
    }

    /// Deals with the record at the front of `json` and gives its length. One
    /// that has not ended is not JSON; nor is one that is not UTF-8: the caller,
    /// who knows where it ends, asks [`with_utf8`].
    pub(super) fn front<V: Visitor>(
        &mut self,
        layout: &Layout,
        json: &[u8],
        end: End,
        target: &mut Target<'_, V>,
    ) -> Walked<usize> {
        let scan = Scanner::new(json, matches!(end, End::Line { .. }));
        let state = self.trail.restart();
        let mut walk = Walk { document: self, layout, target, scan, copied: 0..0, outermost: None };
        walk.record(&state, end)?;
        let len = walk.scan.at();
        target.visitor.end().map_err(|(field, problem)| layout.bad_field(field, problem))?;
        Ok(len)
    }
}

/// What is wrong with a record that came to `problem`: first of all, bytes that
/// are not UTF-8.
pub(super) fn with_utf8(record: &[u8], problem: RecordProblem) -> RecordProblem {
    if str::from_utf8(record).is_err() { JsonError::NotUtf8.into() } else { problem }
}

/// Whether all of `text` is JSON.
pub(super) fn is_json(text: &[u8]) -> bool {
    let mut scan = Scanner::new(text, false);
    scan.space();
    let value = scan.value(&mut Nesting::default());
    scan.space();
    value.is_some() && scan.ended()
}

/// What a step of the walk comes to. What is wrong is boxed: that is rare, and
/// the rest quicker without it.
pub(super) type Walked<T> = Result<T, Box<RecordProblem>>;

/// A walk through one record.
struct Walk<'w, 't, 'j, V> {
    document: &'w mut Document,
    layout: &'w Layout,
    target: &'w mut Target<'t, V>,
    scan: Scanner<'j>,
    /// What has been kept, but not written yet, as more may follow on it.
    copied: Range<usize>,
    /// Where the outermost member's value, or element, begins that it is in.
    outermost: Option<usize>,
}

/// An object or array at a place where fields lie further down.
struct Container {
    state: State,
    /// What [`Trail::enter`] gave.
    number: u64,
    array: bool,
    /// Whether it is the record itself.
    outermost: bool,
    /// Whether nothing has been written of it yet.
    first: bool,
    /// Where the last comma stands.
    comma: usize,
}

impl<V: Visitor> Walk<'_, '_, '_, V> {
    /// Walks through the whole record.
    fn record(&mut self, state: &State, end: End) -> Walked<()> {
        match self.scan.space() {
            b'{' | b'[' => {
                self.target.visitor.begin();
                let walked = self.container(state, true);
                if let Err(problem) = walked {
                    return Err(self.first_problem(problem));
                }
            }
            // A scalar, if it is anything.
            _ => {
                self.scan.scalar().ok_or_else(syntax)?;
                self.end(end)?;
                return Err(Box::new(JsonError::NotARecord.into()));
            }
        }
        self.end(end)?;
        self.write_copied();
        Ok(())
    }

    /// Passes over what may stand behind the record.
    fn end(&mut self, end: End) -> Walked<()> {
        let ends = match end {
            End::Bracket => true,
            End::Text => {
                self.scan.space();
                self.scan.ended()
            }
            End::Line { or_text } => self.scan.space() == b'\n' || (or_text && self.scan.ended()),
        };
        if ends { Ok(()) } else { Err(syntax()) }
    }

    /// Whatever is wrong within a member or element, its syntax comes first.
    #[cold]
    fn first_problem(&mut self, problem: Box<RecordProblem>) -> Box<RecordProblem> {
        let Some(value) = self.outermost else { return problem };
        self.scan.back_to(value);
        match self.scan.value(&mut self.document.nesting) {
            Some(()) => problem,
            None => syntax(),
        }
    }

    /// Walks through an object or array, which begins here.
    fn container(&mut self, state: &State, outermost: bool) -> Walked<()> {
        let array = self.scan.peek() == b'[';
        let number = self.document.trail.enter();
        let (at, state) = (self.scan.at(), state.clone());
        let mut container = Container { state, number, array, outermost, first: true, comma: at };
        self.copy_byte(at);
        self.scan.bump();
        let closing = if array { b']' } else { b'}' };
        if self.scan.space() != closing {
            if array { self.elements(&mut container)? } else { self.members(&mut container)? }
        }
        self.copy_byte(self.scan.at());
        self.scan.bump();
        self.ended(&container)
    }

    /// Walks through an object's members, to its closing bracket.
    fn members(&mut self, object: &mut Container) -> Walked<()> {
        loop {
            let name = self.scan.name().ok_or_else(syntax)?;
            if object.outermost {
                self.outermost = Some(self.scan.at());
            }
            let there = self.member(object, &name)?;
            self.place(object, &there, Some(name.span))?;
            match self.scan.space() {
                b',' => self.comma(object),
                b'}' => return Ok(()),
                _ => return Err(syntax()),
            }
        }
    }

    /// Walks through an array's elements, to its closing bracket.
    fn elements(&mut self, array: &mut Container) -> Walked<()> {
        let mut index = 0_usize;
        loop {
            if array.outermost {
                self.outermost = Some(self.scan.at());
            }
            let Document { tree, trail, .. } = &mut *self.document;
            let there = trail.element(tree, &array.state, array.number, index);
            self.place(array, &there, None)?;
            match self.scan.space() {
                b',' => self.comma(array),
                b']' => return Ok(()),
                _ => return Err(syntax()),
            }
            index = index.saturating_add(1);
        }
    }

    fn comma(&mut self, container: &mut Container) {
        container.comma = self.scan.at();
        self.scan.bump();
        self.scan.space();
    }

    /// Where the member of a name is in the tree.
    fn member(&mut self, object: &Container, name: &Quoted) -> Walked<State> {
        let Document { tree, trail, text, .. } = &mut *self.document;
        let name = if name.escaped {
            Name::new(unescaped(&self.scan, name, text)?)
        } else {
            let inner = inner(name);
            Name::at_front(self.scan.from(inner.start), inner.len())
        };
        let there = trail.member(tree, &object.state, object.number, name);
        there.map_err(|field| Box::new(JsonError::DuplicateName(self.layout.name(field)).into()))
    }

    /// Deals with the member or element that stands here, at `there` in the tree.
    fn place(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<Range<usize>>,
    ) -> Walked<()> {
        if there.is_empty() {
            let start = self.scan.at();
            self.pass()?;
            if self.layout.unknown == UnknownFields::Keep {
                self.keep(container, name);
                self.copy(start..self.scan.at());
            }
            return Ok(());
        }
        self.known(container, there, name)?;
        self.document.trail.back_to(&container.state);
        Ok(())
    }

    /// Deals with a member or element on the way to a field, or which is one.
    fn known(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<Range<usize>>,
    ) -> Walked<()> {
        let start = self.scan.at();
        let Document { tree, trail, .. } = &*self.document;
        let below = tree.field_below(trail, there.clone());
        let named = tree.fields(trail, there.clone()).next().is_some();
        let edit = if named { self.visit(there)? } else { Edit::Keep };
        match (edit, below) {
            (Edit::Drop, _) => {}
            (Edit::Text, _) => {
                let new = str::from_utf8(self.document.new.expose());
                new.map_err(|_| Box::new(JsonError::NotUtf8.into()))?;
                self.keep(container, name);
                self.write_copied();
                let new = str::from_utf8(self.document.new.expose()).unwrap_or_default();
                if let Some(out) = &mut self.target.out {
                    json::write_string(new, out);
                }
            }
            (Edit::Json, _) => {
                self.keep(container, name);
                self.write_copied();
                self.target.write(self.document.new.expose());
            }
            (Edit::Keep, Some(below)) => {
                let end = self.scan.at();
                self.scan.back_to(start);
                if matches!(self.scan.peek(), b'{' | b'[') {
                    self.keep(container, name);
                    return self.container(there, false);
                }
                if self.keeps_unknown() {
                    let field = self.layout.name(below);
                    return Err(Box::new(JsonError::MissingField(field).into()));
                }
                if named {
                    self.scan.back_to(end);
                    self.keep(container, name);
                    self.copy(start..end);
                } else {
                    self.pass()?;
                }
            }
            (Edit::Keep, None) => {
                self.keep(container, name);
                self.copy(start..self.scan.at());
            }
        }
        Ok(())
    }

    /// Passes over a value, and hands it over under each of its numbers; when it
    /// is written, the first edit stands.
    fn visit(&mut self, there: &State) -> Walked<Edit> {
        let Document { tree, trail, nesting, text, new } = &mut *self.document;
        let start = self.scan.at();
        let (kind, plain) = match self.scan.peek() {
            b'"' => {
                let string = self.scan.string().ok_or_else(syntax)?;
                if string.escaped {
                    (Kind::Text, unescaped(&self.scan, &string, text)?)
                } else {
                    (Kind::Text, self.scan.slice(inner(&string)))
                }
            }
            first => {
                self.scan.value(nesting).ok_or_else(syntax)?;
                let kind = match first {
                    b'{' | b'[' => Kind::Nested,
                    b't' | b'f' => Kind::Bool,
                    b'n' => Kind::Null,
                    _ => Kind::Number,
                };
                (kind, self.scan.slice(start..self.scan.at()))
            }
        };
        for field in tree.fields(trail, there.clone()) {
            new.clear();
            let value = Value { kind, text: plain };
            let edit = self.target.visitor.field(field, value, new);
            let edit = edit.map_err(|problem| self.layout.bad_field(field, problem))?;
            if edit != Edit::Keep && self.target.out.is_some() {
                return Ok(edit);
            }
        }
        Ok(Edit::Keep)
    }

    /// What has to be seen to when a container has ended.
    fn ended(&mut self, container: &Container) -> Walked<()> {
        if container.outermost {
            self.outermost = None;
        }
        if self.layout.missing == MissingFields::Allow {
            return Ok(());
        }
        let Container { state, number, array, .. } = container;
        let Document { tree, trail, .. } = &*self.document;
        match trail.missing(tree, state, *number, *array) {
            Some(field) => Err(Box::new(JsonError::MissingField(self.layout.name(field)).into())),
            None => Ok(()),
        }
    }

    /// Whether what no rule names goes on as it is.
    fn keeps_unknown(&self) -> bool {
        self.target.out.is_some() && self.layout.unknown == UnknownFields::Keep
    }

    /// Passes over a value.
    fn pass(&mut self) -> Walked<()> {
        self.scan.value(&mut self.document.nesting).ok_or_else(syntax)
    }

    /// Writes what stands before a value that stays: a comma when it is not the
    /// first, and its name.
    fn keep(&mut self, container: &mut Container, name: Option<Range<usize>>) {
        if !container.first {
            self.copy_byte(container.comma);
        }
        container.first = false;
        if let Some(name) = name {
            let end = name.end;
            self.copy(name);
            // The colon, wherever it stands behind white space.
            match self.scan.slice(end..end.saturating_add(1)) {
                b":" => self.copy_byte(end),
                _ => {
                    self.write_copied();
                    self.target.write(b":");
                }
            }
        }
    }

    fn copy_byte(&mut self, at: usize) {
        self.copy(at..at.saturating_add(1));
    }

    /// Writes a stretch of the record, with the next when that follows on it.
    fn copy(&mut self, span: Range<usize>) {
        if span.start != self.copied.end {
            self.write_copied();
            self.copied.start = span.start;
        }
        self.copied.end = span.end;
    }

    /// Writes what was kept since the last time.
    fn write_copied(&mut self) {
        let copied = std::mem::replace(&mut self.copied, 0..0);
        self.target.write(self.scan.slice(copied));
    }
}

/// What stands between a string's quotes.
fn inner(string: &Quoted) -> Range<usize> {
    string.span.start.saturating_add(1)..string.span.end.saturating_sub(1)
}

/// What a string means that has escapes.
#[cold]
fn unescaped<'t>(scan: &Scanner<'_>, string: &Quoted, text: &'t mut SecretBuf) -> Walked<&'t [u8]> {
    text.clear();
    let inner = str::from_utf8(scan.slice(inner(string))).map_err(|_| JsonError::NotUtf8);
    inner.and_then(|inner| json::unescape(inner, text)).map_err(RecordProblem::from)?;
    Ok(text.expose())
}

#[cold]
fn syntax() -> Box<RecordProblem> {
    Box::new(JsonError::Syntax.into())
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
