//! One JSON record: its fields handed over, and the record written anew.
//!
//! `serde_json` checks the syntax and finds where names and values stand; it is
//! asked for [`RawValue`]s only, names included, and for an object or array only
//! where one begins. Of everything else it keeps copies in memory that nobody
//! erases: of strings with escapes, and of the value that an error message is
//! about. It goes into nested values without recursion; this walk goes no deeper
//! than a pointer has steps.
//!
//! What is on the way to a field is written anew without white space; all the
//! rest that is kept is copied as it stands.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;
use strongroom_envelope::SecretBuf;

use super::tree::{State, Trail, Tree};
use crate::manifest::fields::{FieldPath, UnknownFields};
use crate::shape::json::{self, JsonError};
use crate::shape::records::RecordProblem;
use crate::shape::{Edit, Kind, Layout, MissingFields, Target, Value, Visitor};

/// The fields of a job's documents, and room to work.
pub(in crate::shape) struct Document {
    tree: Tree,
    trail: Trail,
    /// A name or text without its escapes, and what takes a value's place.
    text: SecretBuf,
    new: SecretBuf,
}

impl Document {
    pub(in crate::shape) fn new(fields: &[FieldPath]) -> Self {
        Self {
            tree: Tree::new(fields),
            trail: Trail::default(),
            text: SecretBuf::new(),
            new: SecretBuf::new(),
        }
    }

    /// Deals with the record that is all of `json`.
    pub(in crate::shape) fn record<V: Visitor>(
        &mut self,
        layout: &Layout,
        json: &[u8],
        target: &mut Target<'_, V>,
    ) -> Result<(), RecordProblem> {
        let json = str::from_utf8(json).map_err(|_| JsonError::NotUtf8)?;
        let json = json.trim_matches([' ', '\t', '\n', '\r']);
        if !is_container(json) {
            // A scalar, if it is anything.
            let scalar = serde_json::from_str::<IgnoredAny>(json);
            return Err(scalar.map_or(JsonError::Syntax, |_| JsonError::NotARecord).into());
        }
        target.visitor.begin();
        let state = self.trail.restart();
        let mut walk = Walk { document: self, layout, target, problem: None };
        walk.container(&state, json)?;
        target.visitor.end().map_err(|(field, problem)| layout.bad_field(field, problem))
    }
}

/// A walk through one record.
struct Walk<'w, 't, V> {
    document: &'w mut Document,
    layout: &'w Layout,
    target: &'w mut Target<'t, V>,
    /// Why it was broken off: `serde_json`'s errors hold nothing of ours.
    problem: Option<RecordProblem>,
}

/// An object or array at a place where fields lie further down.
struct Container {
    state: State,
    /// What [`Trail::enter`] gave.
    entered: usize,
    /// Whether nothing has been written of it yet.
    first: bool,
}

impl<V: Visitor> Walk<'_, '_, V> {
    fn container(&mut self, state: &State, json: &str) -> Result<(), RecordProblem> {
        let entered = self.document.trail.enter();
        let container = Container { state: state.clone(), entered, first: true };
        let mut parser = serde_json::Deserializer::from_str(json);
        let walked = if json.starts_with('{') {
            parser.deserialize_map(Members { walk: self, container })
        } else {
            parser.deserialize_seq(Elements { walk: self, container })
        };
        let walked = walked.and_then(|()| parser.end());
        self.document.trail.leave(entered);
        match (self.problem.take(), walked) {
            (Some(problem), _) => Err(problem),
            (None, Err(_)) => Err(JsonError::Syntax.into()),
            (None, Ok(())) => Ok(()),
        }
    }

    fn member(
        &mut self,
        object: &mut Container,
        name: &str,
        value: &str,
    ) -> Result<(), RecordProblem> {
        let inner = between_quotes(name);
        let Document { tree, trail, text, .. } = &mut *self.document;
        let plain = if inner.contains('\\') {
            text.clear();
            json::unescape(inner, text)?;
            str::from_utf8(text.expose()).map_err(|_| JsonError::NotUtf8)?
        } else {
            inner
        };
        let there = trail
            .member(tree, &object.state, object.entered, plain)
            .map_err(|field| JsonError::DuplicateName(self.layout.name(field)))?;
        self.place(object, &there, Some(name), value)
    }

    fn element(
        &mut self,
        array: &mut Container,
        index: usize,
        value: &str,
    ) -> Result<(), RecordProblem> {
        let Document { tree, trail, .. } = &mut *self.document;
        let there = trail.element(tree, &array.state, index);
        self.place(array, &there, None, value)
    }

    /// Deals with a member or element, at `there` in the tree.
    fn place(
        &mut self,
        container: &mut Container,
        there: &State,
        name: Option<&str>,
        value: &str,
    ) -> Result<(), RecordProblem> {
        let unknown = there.is_empty();
        if unknown && self.layout.unknown == UnknownFields::Drop {
            return Ok(());
        }
        let mark = self.target.mark();
        if !container.first {
            self.target.write(b",");
        }
        if let Some(name) = name {
            self.target.write(name.as_bytes());
            self.target.write(b":");
        }
        let stays = if unknown {
            self.target.write(value.as_bytes());
            true
        } else {
            self.value(there, value)?
        };
        if stays {
            container.first = false;
        } else {
            self.target.back_to(mark);
        }
        self.document.trail.back_to(&container.state);
        Ok(())
    }

    /// Deals with a value on the way to a field, or which is one. Gives whether
    /// it stays.
    fn value(&mut self, there: &State, json: &str) -> Result<bool, RecordProblem> {
        let Document { tree, trail, .. } = &*self.document;
        let below = tree.field_below(trail, there.clone());
        let named = tree.fields(trail, there.clone()).next().is_some();
        let edit = if named { self.visit(there, json)? } else { Edit::Keep };
        match (edit, below) {
            (Edit::Drop, _) => Ok(false),
            (Edit::Text, _) => {
                let new = str::from_utf8(self.document.new.expose());
                let new = new.map_err(|_| JsonError::NotUtf8)?;
                if let Some(out) = &mut self.target.out {
                    json::write_string(new, out);
                }
                Ok(true)
            }
            (Edit::Json, _) => {
                self.target.write(self.document.new.expose());
                Ok(true)
            }
            (Edit::Keep, Some(_)) if is_container(json) => {
                self.container(there, json).map(|()| true)
            }
            (Edit::Keep, Some(field)) if self.keeps_unknown() => {
                Err(JsonError::MissingField(self.layout.name(field)).into())
            }
            (Edit::Keep, _) => {
                if named {
                    self.target.write(json.as_bytes());
                }
                Ok(named)
            }
        }
    }

    /// Hands a value over under each of its numbers; when it is written, the
    /// first edit stands.
    fn visit(&mut self, there: &State, json: &str) -> Result<Edit, RecordProblem> {
        let Document { tree, trail, text, new } = &mut *self.document;
        let (kind, plain) = match json.as_bytes().first() {
            Some(b'"') => {
                let inner = between_quotes(json);
                if inner.contains('\\') {
                    text.clear();
                    json::unescape(inner, text)?;
                    (Kind::Text, text.expose())
                } else {
                    (Kind::Text, inner.as_bytes())
                }
            }
            Some(b'{' | b'[') => (Kind::Nested, json.as_bytes()),
            Some(b't' | b'f') => (Kind::Bool, json.as_bytes()),
            Some(b'n') => (Kind::Null, json.as_bytes()),
            _ => (Kind::Number, json.as_bytes()),
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
    fn ended(&mut self, container: &Container, array: bool) -> Result<(), RecordProblem> {
        if self.layout.missing == MissingFields::Allow {
            return Ok(());
        }
        let Document { tree, trail, .. } = &*self.document;
        match trail.missing(tree, &container.state, container.entered, array) {
            Some(field) => Err(JsonError::MissingField(self.layout.name(field)).into()),
            None => Ok(()),
        }
    }

    /// Whether what no rule names goes on as it is.
    fn keeps_unknown(&self) -> bool {
        self.target.out.is_some() && self.layout.unknown == UnknownFields::Keep
    }

    /// Breaks the walk off when something is wrong.
    fn or_stop<E: serde::de::Error>(&mut self, done: Result<(), RecordProblem>) -> Result<(), E> {
        done.map_err(|problem| {
            self.problem = Some(problem);
            E::custom("")
        })
    }
}

struct Members<'a, 'w, 't, V> {
    walk: &'a mut Walk<'w, 't, V>,
    container: Container,
}

impl<'de, V: Visitor> serde::de::Visitor<'de> for Members<'_, '_, '_, V> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { walk, mut container } = self;
        walk.target.write(b"{");
        while let Some(name) = map.next_key::<&RawValue>()? {
            let value = map.next_value::<&RawValue>()?;
            let done = walk.member(&mut container, name.get(), value.get());
            walk.or_stop(done)?;
        }
        walk.target.write(b"}");
        let done = walk.ended(&container, false);
        walk.or_stop(done)
    }
}

struct Elements<'a, 'w, 't, V> {
    walk: &'a mut Walk<'w, 't, V>,
    container: Container,
}

impl<'de, V: Visitor> serde::de::Visitor<'de> for Elements<'_, '_, '_, V> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { walk, mut container } = self;
        walk.target.write(b"[");
        let mut index = 0_usize;
        while let Some(value) = seq.next_element::<&RawValue>()? {
            let done = walk.element(&mut container, index, value.get());
            walk.or_stop(done)?;
            index = index.saturating_add(1);
        }
        walk.target.write(b"]");
        let done = walk.ended(&container, true);
        walk.or_stop(done)
    }
}

/// What stands between the quotes of a JSON string.
fn between_quotes(string: &str) -> &str {
    string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(string)
}

fn is_container(json: &str) -> bool {
    json.starts_with(['{', '['])
}
