//! Numbers about groups of records; no record leaves.
//!
//! Made by [`super`] for one request, fed by a shape as its [`Visitor`], asked
//! for its rows when the plaintext has ended. It trusts the manifest to be what
//! the data's owner wants; it trusts no value.
//!
//! **Values.** A value that is absent, `null` or empty is none: it counts for no
//! sum, mean, minimum or maximum and fulfils no bound; records without a value
//! to be grouped by are one group, shown as empty. The sum of none is 0; their
//! mean, minimum and maximum are empty. An absent or `null` value fulfils no
//! condition at all; the empty text is a text like others to those that compare
//! texts. Values are told apart by their text: `1` and `"1"` are the same, `1`
//! and `1.0` are two. Where a pointer names several values of a record, all of
//! them are computed with; a field that is grouped by or has a condition can
//! have one only. Numbers are taken to nine digits behind the point (`decimal.rs`).
//!
//! **Bad records.** Whether a record is bad depends on it alone: all fields that
//! the job names are judged, whether or not the record fulfils the conditions
//! (or has a key in common, in a join). Else an error, or a count of dropped
//! records, would tell of one record what is to be told of groups only.
//!
//! **What a parent learns**, or whoever reads the result:
//! - of groups with at least `min_group_size` records (or, with `per`, of so many
//!   persons): their values and numbers.
//!   A minimum or maximum is the value of one record, in a group of any size.
//! - that there are smaller groups, as one row for all of them, without their
//!   number or values. It has numbers only when the merged groups have together
//!   as many records as one must have to be shown.
//! - no number that comes from fewer records than that: in a large group where
//!   few records have the field, it is empty.
//! - whatever can be told from several results: who knows a total, or the same
//!   data with one record less, can subtract. Nothing here remembers what was
//!   asked before; the data's owner decides by the jobs of the manifest, and who
//!   can write into the data can tell its own records from the others.
//! - from time, memory, and the refusal of more groups than may be held: about
//!   how many records and groups there are.

mod cut;
mod decimal;
mod groups;
mod helper;
mod index;
mod lane;
mod ledger;
mod plan;
mod rows;
mod stream;

use std::sync::Arc;

use aws_lc_rs::hmac;
use strongroom_envelope::SecretBuf;
use zeroize::Zeroizing;

use crate::manifest::fields::FieldPath;
use crate::manifest::operations::AggregateSpec;
use crate::shape::{Edit, FieldError, Kind, Value, Visitor};

use decimal::Decimal;
pub(super) use groups::Member;
use groups::{Group, GroupKey, Groups, Tally};
use plan::{Plan, Role};
pub use rows::Rows;
pub(super) use rows::{Cell, RowWriter};
pub(super) use stream::Aggregation;

/// Computes over the records of one plaintext.
pub struct Aggregator {
    plan: Arc<Plan>,
    record: Record,
    groups: Groups,
    /// Numbers that went into groups.
    terms: u64,
    /// Something could not be counted: no result would be true.
    incomplete: bool,
    /// Hashes whose a record is, where groups are counted by that.
    persons: Option<hmac::Key>,
}

impl Aggregator {
    /// An aggregate that may have `max_groups` groups.
    #[must_use]
    pub fn new(spec: &AggregateSpec, max_groups: usize) -> Self {
        Self::of(Arc::new(Plan::new(spec)), max_groups)
    }

    fn of(plan: Arc<Plan>, max_groups: usize) -> Self {
        let mut groups = Groups::new(max_groups, plan.numbers, plan.enough);
        if plan.group_by.is_empty() {
            // The one group of all is there even without a record.
            let _ = groups.get_or_open(&[]);
        }
        let record = Record::new(&plan);
        Self { record, groups, plan, terms: 0, incomplete: false, persons: None }
    }

    /// Gives what an aggregate with [`AggregateSpec::per`] needs: a key that no
    /// other request has, to tell apart whose a record is. Without, there are no
    /// numbers.
    #[must_use]
    pub fn with_key(mut self, key: hmac::Key) -> Self {
        self.persons = self.plan.per.map(|_| key);
        self
    }

    /// One for other records of the same plaintext, to be merged later.
    fn another(&self) -> Self {
        let another = Self::of(Arc::clone(&self.plan), self.groups.most());
        Self { persons: self.persons.clone(), ..another }
    }

    /// Adds the numbers of another one, which [`Self::another`] made.
    fn merge(&mut self, other: &Self) {
        self.terms = self.terms.saturating_add(other.terms);
        let merged = self.groups.merge(&other.groups);
        self.incomplete |= other.incomplete || merged.is_err() || self.terms > decimal::MAX_TERMS;
    }

    /// The fields that it reads, each once; a [`Visitor`]'s numbers are places
    /// in this list.
    #[must_use]
    pub fn fields(spec: &AggregateSpec) -> Vec<FieldPath> {
        plan::fields(spec)
    }

    /// The names of the result's columns in order, behind [`SUPPRESSED`].
    #[must_use]
    pub fn columns(spec: &AggregateSpec) -> Vec<String> {
        plan::columns(spec)
    }

    /// Bytes of memory that the groups have, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.groups.memory()
    }

    /// Writes the result: a row per group that is large enough, by the bytes of
    /// its values, then one for all the others if there are any.
    ///
    /// # Errors
    /// [`FieldError::TooMany`] when a record could not be counted, even where the
    /// job leaves bad records out: the numbers would be wrong.
    pub fn finish(self, out: &mut SecretBuf, form: Rows) -> Result<(), FieldError> {
        if self.incomplete {
            return Err(FieldError::TooMany);
        }
        let enough = self.plan.enough;
        let mut writer = RowWriter::new(form, &self.plan.columns, out);
        let mut rest: Option<Group> = None;
        for (key, group) in self.groups.sorted() {
            if group.crowd.is(enough) {
                let values = key.values().take(self.plan.group_by.len()).map(value_cell);
                writer.row(false, values.chain(self.plan.numbers_of(group)));
            } else {
                rest.get_or_insert_with(|| self.groups.empty()).merge(group, enough);
            }
        }
        if let Some(rest) = rest {
            let values = self.plan.group_by.iter().map(|_| Cell::None);
            let shown = rest.crowd.is(enough).then_some(&rest);
            let numbers = shown.into_iter().flat_map(|rest| self.plan.numbers_of(rest));
            writer.row(true, values.chain(numbers));
        }
        Ok(())
    }

    /// Writes one row that says that there is something, and nothing else.
    pub(super) fn withhold(&self, out: &mut SecretBuf, form: Rows) {
        RowWriter::new(form, &self.plan.columns, out).row(true, std::iter::empty());
    }

    /// The record is complete, and about `member` where a member may have
    /// several.
    ///
    /// # Errors
    /// As [`Visitor::end`].
    pub(super) fn end_for(&mut self, member: Option<&Member>) -> Result<(), (usize, FieldError)> {
        if self.record.fulfilled < self.plan.conditions {
            return Ok(());
        }
        let Record { tallies, texts, key, .. } = &mut self.record;
        let terms = tallies.iter().fold(self.terms, |sum, tally| sum.saturating_add(tally.count));
        let added = if terms > decimal::MAX_TERMS {
            Err(FieldError::TooMany)
        } else {
            let key = key.collect(&self.plan.group_by, texts);
            key.and_then(|key| self.groups.add(key, tallies, member))
        };
        self.terms = terms;
        self.incomplete |= added.is_err();
        added.map_err(|error| (self.plan.group_by.first().copied().unwrap_or_default(), error))
    }
}

impl Visitor for Aggregator {
    fn begin(&mut self) {
        self.groups.record = self.groups.record.saturating_add(1);
        self.record.forget();
    }

    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        _new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        if let Some(role) = self.plan.roles.get(field) {
            self.record.take(field, role, value)?;
            if let (true, Some(key)) = (role.person && !value.text.is_empty(), &self.persons) {
                self.record.person = member(key, value);
            }
        }
        Ok(Edit::Keep)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        match (self.plan.per, &self.persons) {
            (None, _) => self.end_for(None),
            (Some(_), Some(_)) => {
                let person = self.record.person;
                self.end_for(Some(&person))
            }
            (Some(_), None) => {
                self.incomplete = true;
                Ok(())
            }
        }
    }
}

/// The hash of whose a record is; nobody's for `null`.
fn member(key: &hmac::Key, value: Value<'_>) -> Member {
    if value.kind == Kind::Null {
        return NOBODY;
    }
    let hash = hmac::sign(key, value.text);
    hash.as_ref().first_chunk().copied().unwrap_or(NOBODY)
}

/// Whose a record is that does not say it: all of these are one.
const NOBODY: Member = [0; 16];

/// What was collected of the record that has not ended. The next one overwrites
/// it; what is left at the end of the request is erased then.
struct Record {
    /// Group-by values, by number of the field.
    texts: Vec<Text>,
    /// Whether there was a value, by number of the field.
    seen: Vec<bool>,
    /// What is computed with.
    tallies: Vec<Tally>,
    /// Conditions that are fulfilled.
    fulfilled: usize,
    /// Whose it is.
    person: Member,
    key: Text,
}

impl Record {
    fn new(plan: &Plan) -> Self {
        let room = |role: &Role| Text::new(if role.groups { MAX_GROUP_VALUE } else { 0 });
        let separated = MAX_GROUP_VALUE.saturating_add(1);
        Self {
            texts: plan.roles.iter().map(room).collect(),
            seen: vec![false; plan.roles.len()],
            tallies: (0..plan.numbers).map(|_| Tally::default()).collect(),
            fulfilled: 0,
            person: NOBODY,
            key: Text::new(plan.group_by.len().saturating_mul(separated)),
        }
    }

    #[inline]
    fn forget(&mut self) {
        self.texts.iter_mut().for_each(Text::forget);
        self.seen.fill(false);
        self.tallies.iter_mut().for_each(Tally::forget);
        self.fulfilled = 0;
        self.person = NOBODY;
    }

    #[inline]
    fn take(&mut self, field: usize, role: &Role, value: Value<'_>) -> Result<(), FieldError> {
        if value.kind == Kind::Nested {
            return Err(FieldError::Nested);
        }
        if let Some(seen) = self.seen.get_mut(field) {
            if *seen && role.is_single {
                return Err(FieldError::Several);
            }
            *seen = true;
        }
        if value.kind == Kind::Null {
            return Ok(());
        }
        if role.groups {
            self.take_text(field, value.text)?;
        }
        let number = match value.text {
            [] => None,
            text if role.is_numeric => Some(Decimal::parse(text).ok_or(FieldError::NotANumber)?),
            _ => None,
        };
        if let Some((tally, number)) = role.number.and_then(|n| self.tallies.get_mut(n)).zip(number)
        {
            tally.add(number);
        }
        if !role.tests.is_empty() {
            let fulfilled = role.tests.iter().filter(|test| test.holds(value.text, number)).count();
            self.fulfilled = self.fulfilled.saturating_add(fulfilled);
        }
        Ok(())
    }

    #[inline]
    fn take_text(&mut self, field: usize, text: &[u8]) -> Result<(), FieldError> {
        if text.len() > MAX_GROUP_VALUE {
            return Err(FieldError::TooLong);
        }
        if !text.is_ascii() {
            str::from_utf8(text).map_err(|_| FieldError::NotUtf8)?;
        }
        match self.texts.get_mut(field) {
            Some(own) => own.append(text),
            None => Ok(()),
        }
    }
}

/// A value of the record at hand, in memory that is never moved. Erased on drop,
/// and not for each record.
struct Text {
    bytes: Zeroizing<Vec<u8>>,
    len: usize,
}

impl Text {
    fn new(room: usize) -> Self {
        Self { bytes: Zeroizing::new(vec![0; room]), len: 0 }
    }

    const fn forget(&mut self) {
        self.len = 0;
    }

    #[inline]
    fn append(&mut self, more: &[u8]) -> Result<(), FieldError> {
        let end = self.len.saturating_add(more.len());
        let room = self.bytes.get_mut(self.len..end).ok_or(FieldError::TooLong)?;
        room.copy_from_slice(more);
        self.len = end;
        Ok(())
    }

    fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// A group's key, put together of its values; one alone is the key.
    #[inline]
    fn collect<'a>(
        &'a mut self,
        group_by: &[usize],
        texts: &'a [Self],
    ) -> Result<&'a [u8], FieldError> {
        if let [field] = group_by {
            return Ok(texts.get(*field).map(Self::expose).unwrap_or_default());
        }
        self.forget();
        for (index, text) in group_by.iter().filter_map(|field| texts.get(*field)).enumerate() {
            if index > 0 {
                self.append(&[GroupKey::SEPARATOR])?;
            }
            self.append(text.expose())?;
        }
        Ok(self.expose())
    }
}

const fn value_cell(value: &[u8]) -> Cell<'_> {
    if value.is_empty() { Cell::None } else { Cell::Text(value) }
}

/// Longest value that is grouped by, in bytes: what makes a group has a short
/// name, and a result shows it.
const MAX_GROUP_VALUE: usize = 1024;

#[cfg(test)]
pub(super) mod tests;
