//! What becomes of a member or element that the job names, or that holds one
//! which it names.
//!
//! Part of the walk in [`super`]: hands the value to the visitor and writes what
//! it puts in its place, straight to where it will stand.

use std::ops::Range;

use super::{Container, Room, Walk, Walked, inner, syntax, unescaped};
use crate::shape::json::{self, JsonError};
use crate::shape::tree::State;
use crate::shape::{Edit, Kind, Target, Value, Visitor};

impl<V: Visitor> Walk<'_, '_, '_, V> {
    /// Deals with a member or element which is at `there` in the tree.
    pub(super) fn known(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<Range<usize>>,
    ) -> Walked<()> {
        if self.tree.fields(&self.room.trail, there.clone()).next().is_some() {
            self.field(container, there, name)?;
        } else {
            self.on_the_way(container, there, name)?;
        }
        self.room.trail.back_to(&container.state);
        Ok(())
    }

    /// Deals with a member or element which is no field, but may hold one.
    fn on_the_way(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<Range<usize>>,
    ) -> Walked<()> {
        if self.at_container() {
            let at = self.scan.at();
            self.keep(container, name, at..at);
            return self.container(there, false);
        }
        self.none_below(there)?;
        self.pass()
    }

    /// Deals with a member or element which is a field.
    fn field(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<Range<usize>>,
    ) -> Walked<()> {
        let start = self.scan.at();
        let first = container.first;
        let before = self.target.mark().saturating_add(self.copied.len());
        // Most edits are texts: the new one is written where it will stand, with
        // the quotes of the old one if that was a string.
        let quoted = self.scan.peek() == b'"';
        self.keep(container, name, start..start.wrapping_add(usize::from(quoted)));
        self.write_copied();
        if !quoted {
            self.write(b"\"");
        }
        let mark = self.target.mark();
        match self.visit(there)? {
            Edit::Drop => {
                self.target.back_to(before);
                container.first = first;
            }
            Edit::Text => self.end_text(mark, quoted)?,
            Edit::Json => {
                self.take_back(mark);
                self.target.write(self.room.new.expose());
            }
            Edit::Keep => {
                self.target.back_to(mark.saturating_sub(1));
                let end = self.scan.at();
                self.scan.back_to(start);
                let below = self.tree.field_below(&self.room.trail, there.clone());
                if self.at_container() && below.is_some() {
                    return self.container(there, false);
                }
                self.none_below(there)?;
                self.scan.back_to(end);
                self.copy(start..end);
            }
        }
        Ok(())
    }

    /// Passes over a value, and hands it over under each of its numbers; when it
    /// is written, the first edit stands.
    fn visit(&mut self, there: &State) -> Walked<Edit> {
        let Room { trail, nesting, text, new } = &mut *self.room;
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
        let value = Value { kind, text: plain };
        let Target { visitor, out } = &mut *self.target;
        let written = out.is_some();
        let new = out.as_deref_mut().unwrap_or(new);
        let mark = new.len();
        for field in self.tree.fields(trail, there.clone()) {
            let edit = visitor.field(field, value, new);
            let edit = edit.map_err(|problem| self.layout.bad_field(field, problem))?;
            if edit != Edit::Keep && written {
                return Ok(edit);
            }
            new.truncate(mark);
        }
        Ok(Edit::Keep)
    }

    /// Ends the text that was appended since `mark`, behind a quote; where a
    /// string was before that ends here, with its quote.
    fn end_text(&mut self, mark: usize, quoted: bool) -> Walked<()> {
        let Some(out) = &mut self.target.out else { return Ok(()) };
        if json::is_plain(out.expose().get(mark..).unwrap_or_default()) {
            if quoted {
                self.copy_byte(self.scan.at().saturating_sub(1));
            } else {
                out.push(b'"');
            }
            return Ok(());
        }
        self.take_back(mark);
        let new = str::from_utf8(self.room.new.expose());
        let new = new.map_err(|_| Box::new(JsonError::NotUtf8.into()))?;
        if let Some(out) = &mut self.target.out {
            json::write_string(new, out);
        }
        Ok(())
    }

    /// Takes what was appended since `mark` into [`Room::new`], and the quote
    /// before it off.
    fn take_back(&mut self, mark: usize) {
        let Room { new, .. } = &mut *self.room;
        new.clear();
        if let Some(out) = &self.target.out {
            new.extend_from_slice(out.expose().get(mark..).unwrap_or_default());
        }
        self.target.back_to(mark.saturating_sub(1));
    }

    fn at_container(&self) -> bool {
        matches!(self.scan.peek(), b'{' | b'[')
    }

    /// What there is to be said of a value in which there can be no field.
    fn none_below(&self, there: &State) -> Walked<()> {
        match self.tree.field_below(&self.room.trail, there.clone()) {
            Some(field) if self.keeps_unknown() => {
                Err(Box::new(JsonError::MissingField(self.layout.name(field)).into()))
            }
            _ => Ok(()),
        }
    }
}
