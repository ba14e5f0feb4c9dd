//! `join-count`: numbers about the records that two inputs have in common.
//!
//! Made by [`super`] for one request and fed with two plaintexts, one after the
//! other, by a shape as its [`Visitor`]. Of the first it keeps a keyed hash of
//! each value that is compared, never the value; the key is of this request and
//! gone with it, so what may be left of the hashes says nothing.
//!
//! A value that is absent, `null`, or empty after normalisation has nothing in
//! common with any other. A record can have one value to be compared.
//!
//! **What a parent learns**, or whoever reads the result: the number of distinct
//! values in common, or an [`Aggregator`]'s rows over the second input's records
//! that have one; for fewer values in common than `min_group_size` only that
//! there are fewer (or none). In an aggregate, distinct values count for the
//! size of a group, not records: a group is not large because one person has
//! many records. And what [`super::aggregate`] says of several results: whoever
//! can write one of the inputs can ask for a value of the other by filling up
//! the threshold with values that are known to be in common. Each owner decides
//! by the key policy whether this manifest may open its input at all. A record
//! with a value in common takes a little longer than one without: who feeds the
//! second input piece by piece and measures can guess how many a piece has.

use std::collections::BTreeMap;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use strongroom_envelope::SecretBuf;

use super::aggregate::{Aggregator, Cell, Member, RowWriter, Rows};
use super::normalise::Normaliser;
use crate::manifest::fields::FieldPath;
use crate::manifest::operations::JoinSpec;
use crate::shape::{Edit, FieldError, Kind, Value, Visitor};

/// Compares the records of two plaintexts.
pub struct JoinCount {
    hash: hmac::Key,
    normaliser: Normaliser,
    /// Hashes of the first input's values, and whether the second has them too.
    keys: BTreeMap<Member, bool>,
    max_keys: usize,
    /// Values in common.
    common: u64,
    min_group_size: u64,
    input: Input,
    /// The compared field's number, in the first input and in the second.
    on: [usize; 2],
    aggregator: Option<Aggregator>,
    record: Record,
    /// A value could not be kept: no result would be true.
    incomplete: bool,
}

/// Which input is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    First,
    Second,
}

/// What was found in the record that has not ended.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    /// A value to be compared, but there is nothing in it.
    Empty,
    Key(Member),
}

impl JoinCount {
    /// A join under a hash key of its own. `max_groups` is for its aggregate.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(spec: &JoinSpec, max_groups: usize) -> Result<Self, Unspecified> {
        Ok(Self {
            hash: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            normaliser: Normaliser::new(&spec.normalise),
            keys: BTreeMap::new(),
            max_keys: spec.max_keys,
            common: 0,
            min_group_size: spec.min_group_size,
            input: Input::First,
            on: [0, compared(spec)],
            aggregator: spec.aggregate.as_ref().map(|spec| Aggregator::new(spec, max_groups)),
            record: Record::Nothing,
            incomplete: false,
        })
    }

    /// The fields that it reads of the first input and of the second, each
    /// once; a [`Visitor`]'s numbers are places in these lists.
    #[must_use]
    pub fn fields(spec: &JoinSpec) -> [Vec<FieldPath>; 2] {
        let [first, second] = &spec.on;
        let mut fields = aggregated(spec);
        if !fields.contains(second) {
            fields.push(second.clone());
        }
        [vec![first.clone()], fields]
    }

    /// The first plaintext has ended; the records of the second follow.
    pub const fn next_input(&mut self) {
        self.input = Input::Second;
        self.record = Record::Nothing;
    }

    /// Bytes of memory that the hashes and the groups have, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let groups = self.aggregator.as_ref().map_or(0, Aggregator::memory);
        self.keys.len().saturating_mul(KEY_MEMORY).saturating_add(groups)
    }

    /// Writes the result: an aggregate's rows, or one row with the column
    /// `count`.
    ///
    /// # Errors
    /// [`FieldError::TooMany`] when a record could not be counted, even where the
    /// job leaves bad records out: the numbers would be wrong.
    pub fn finish(self, out: &mut SecretBuf, form: Rows) -> Result<(), FieldError> {
        if self.incomplete {
            return Err(FieldError::TooMany);
        }
        // As for groups: where one would do, there is nothing to hide.
        let shown = self.common >= self.min_group_size || self.min_group_size <= 1;
        match self.aggregator {
            Some(aggregator) if shown => return aggregator.finish(out, form),
            Some(aggregator) => aggregator.withhold(out, form),
            None => {
                let columns = [COUNT.to_owned()];
                let count = shown.then_some(Cell::Count(self.common));
                RowWriter::new(form, &columns, out).row(!shown, count.into_iter());
            }
        }
        Ok(())
    }

    fn take(&mut self, value: Value<'_>) -> Result<(), FieldError> {
        if !matches!(self.record, Record::Nothing) {
            return Err(FieldError::Several);
        }
        if value.kind == Kind::Nested {
            return Err(FieldError::Nested);
        }
        self.record = Record::Empty;
        if value.kind == Kind::Null {
            return Ok(());
        }
        let text = self.normaliser.apply(value.text)?;
        if !text.is_empty() {
            let tag = hmac::sign(&self.hash, text);
            let hash = tag.as_ref().first_chunk().ok_or(FieldError::TooLong)?;
            self.record = Record::Key(*hash);
        }
        self.normaliser.clear();
        Ok(())
    }

    fn keep(&mut self, key: Member) -> Result<(), FieldError> {
        if self.keys.len() >= self.max_keys && !self.keys.contains_key(&key) {
            self.incomplete = true;
            return Err(FieldError::TooMany);
        }
        self.keys.insert(key, false);
        Ok(())
    }

    fn look_up(&mut self, key: Member) -> Result<(), (usize, FieldError)> {
        let Some(found) = self.keys.get_mut(&key) else { return Ok(()) };
        if !std::mem::replace(found, true) {
            self.common = self.common.saturating_add(1);
        }
        match &mut self.aggregator {
            Some(aggregator) => aggregator.end_for(Some(&key)),
            None => Ok(()),
        }
    }
}

impl Visitor for JoinCount {
    fn begin(&mut self) {
        self.record = Record::Nothing;
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.begin();
        }
    }

    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        let [first, second] = self.on;
        if field == (if self.input == Input::First { first } else { second }) {
            self.take(value)?;
        }
        // Judged in every record: a bad one must not tell whether its key is in
        // common.
        if let (Input::Second, Some(aggregator)) = (self.input, &mut self.aggregator) {
            aggregator.field(field, value, new)?;
        }
        Ok(Edit::Keep)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        match (self.record, self.input) {
            (Record::Key(key), Input::First) => self.keep(key).map_err(|error| (0, error)),
            (Record::Key(key), Input::Second) => self.look_up(key),
            (Record::Nothing | Record::Empty, _) => Ok(()),
        }
    }
}

/// The number of the compared field in the second input.
fn compared(spec: &JoinSpec) -> usize {
    let [_, second] = &spec.on;
    let fields = aggregated(spec);
    fields.iter().position(|field| field == second).unwrap_or(fields.len())
}

/// The fields of the aggregate: they come first, so its numbers are the join's.
fn aggregated(spec: &JoinSpec) -> Vec<FieldPath> {
    spec.aggregate.as_ref().map(Aggregator::fields).unwrap_or_default()
}

/// The column of a result without an aggregate.
const COUNT: &str = "count";

/// Bytes of memory of a key: 17 in a node that is half full at worst.
const KEY_MEMORY: usize = 40;

#[cfg(test)]
mod tests;
