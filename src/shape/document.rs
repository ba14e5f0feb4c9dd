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

mod field;
mod kept;

use std::ops::Range;

use strongroom_envelope::SecretBuf;

use super::json::scan::{Nesting, Quoted, Scanner};
use super::json::{self, JsonError};
use super::records::RecordProblem;
use super::tree::{Name, State, Trail, Tree};
use super::{Layout, MissingFields, Target, Visitor};
use crate::manifest::fields::{FieldPath, UnknownFields};

/// The fields of a job's documents, and room to work.
pub(super) struct Document {
    tree: Tree,
    room: Room,
}

/// What a walk works with.
struct Room {
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
        let room = Room {
            trail: Trail::new(&tree),
            nesting: Nesting::default(),
            text: SecretBuf::new(),
            new: SecretBuf::new(),
        };
        Self { tree, room }
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
    /// who knows where it ends, asks [`with_utf8`]. Nothing is left in the target of
    /// a record that is bad.
    pub(super) fn front<V: Visitor>(
        &mut self,
        layout: &Layout,
        json: &[u8],
        end: End,
        target: &mut Target<'_, V>,
    ) -> Walked<usize> {
        let mark = target.mark();
        let done = self.walk(layout, json, end, target);
        if done.is_err() {
            target.back_to(mark);
        }
        done
    }

    fn walk<V: Visitor>(
        &mut self,
        layout: &Layout,
        json: &[u8],
        end: End,
        target: &mut Target<'_, V>,
    ) -> Walked<usize> {
        let Self { tree, room } = self;
        let scan = Scanner::new(json, matches!(end, End::Line { .. }));
        let state = room.trail.restart();
        let mut walk = Walk { tree, room, layout, target, scan, copied: 0..0, outermost: None };
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
    tree: &'w Tree,
    room: &'w mut Room,
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
        match self.scan.value(&mut self.room.nesting) {
            Some(()) => problem,
            None => syntax(),
        }
    }

    /// Walks through an object or array, which begins here.
    fn container(&mut self, state: &State, outermost: bool) -> Walked<()> {
        let array = self.scan.peek() == b'[';
        let number = self.room.trail.enter();
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
            self.member(object, &name)?;
            self.place(object, Some(name.span))?;
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
            self.room.trail.element(self.tree, &array.state, array.number, index);
            self.place(array, None)?;
            match self.scan.space() {
                b',' => self.comma(array),
                b']' => return Ok(()),
                _ => return Err(syntax()),
            }
            index = index.saturating_add(1);
        }
    }

    #[inline]
    fn comma(&mut self, container: &mut Container) {
        container.comma = self.scan.at();
        self.scan.bump();
        self.scan.space();
    }

    /// Goes to where the member of a name is in the tree.
    #[inline]
    fn member(&mut self, object: &Container, name: &Quoted) -> Walked<()> {
        let Room { trail, text, .. } = &mut *self.room;
        let name = if name.escaped {
            Name::new(unescaped(&self.scan, name, text)?)
        } else {
            let inner = inner(name);
            Name::at_front(self.scan.from(inner.start), inner.len())
        };
        let member = trail.member(self.tree, &object.state, object.number, name);
        member.map_err(|field| Box::new(JsonError::DuplicateName(self.layout.name(field)).into()))
    }

    /// Deals with the member or element that stands here.
    #[inline]
    fn place(&mut self, container: &mut Container, name: Option<Range<usize>>) -> Walked<()> {
        let there = self.room.trail.further_than(&container.state);
        if !there.is_empty() {
            return self.known(container, &there, name);
        }
        let start = self.scan.at();
        self.pass()?;
        if self.layout.unknown == UnknownFields::Keep {
            self.keep(container, name, start..self.scan.at());
        }
        Ok(())
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
        match self.room.trail.missing(self.tree, state, *number, *array) {
            Some(field) => Err(Box::new(JsonError::MissingField(self.layout.name(field)).into())),
            None => Ok(()),
        }
    }

    /// Whether what no rule names goes on as it is.
    fn keeps_unknown(&self) -> bool {
        self.target.out.is_some() && self.layout.unknown == UnknownFields::Keep
    }

    /// Passes over a value.
    #[inline]
    fn pass(&mut self) -> Walked<()> {
        self.scan.value(&mut self.room.nesting).ok_or_else(syntax)
    }
}

/// What stands between a string's quotes.
fn inner(string: &Quoted) -> Range<usize> {
    string.span.start.wrapping_add(1)..string.span.end.wrapping_sub(1)
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
