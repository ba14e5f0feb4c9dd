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

mod decimal;
mod groups;
mod plan;
mod rows;

use aws_lc_rs::hmac;
use strongroom_envelope::SecretBuf;

use crate::manifest::fields::FieldPath;
use crate::manifest::operations::AggregateSpec;
use crate::shape::{Edit, FieldError, Kind, Value, Visitor};

use decimal::Decimal;
pub(super) use groups::Member;
use groups::{Group, GroupKey, Groups, Tally};
use plan::{Plan, Role};
pub use rows::Rows;
pub(super) use rows::{Cell, RowWriter};

/// Computes over the records of one plaintext.
pub struct Aggregator {
    plan: Plan,
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
        let plan = Plan::new(spec);
        let mut groups = Groups::new(max_groups, plan.numbers, plan.enough);
        if plan.group_by.is_empty() {
            // The one group of all is there even without a record.
            groups.open(&[]);
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
    pub const fn memory(&self) -> usize {
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
        let tallies = &self.record.tallies;
        let key = self.record.key.collect(&self.plan.group_by, &self.record.texts);
        let terms = tallies.iter().fold(self.terms, |sum, tally| sum.saturating_add(tally.count));
        let added = if terms > decimal::MAX_TERMS {
            Err(FieldError::TooMany)
        } else {
            self.groups.add(key, tallies, member)
        };
        self.terms = terms;
        self.incomplete |= added.is_err();
        added.map_err(|error| (self.plan.group_by.first().copied().unwrap_or_default(), error))
    }
}

impl Visitor for Aggregator {
    fn begin(&mut self) {
        self.record.clear();
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

/// What was collected of the record that has not ended. Erased by the next.
struct Record {
    /// Group-by values, by number of the field.
    texts: Vec<SecretBuf>,
    /// Whether there was a value, by number of the field.
    seen: Vec<bool>,
    /// What is computed with.
    tallies: Vec<Tally>,
    /// Conditions that are fulfilled.
    fulfilled: usize,
    /// Whose it is.
    person: Member,
    key: Key,
}

impl Record {
    fn new(plan: &Plan) -> Self {
        Self {
            texts: plan.roles.iter().map(|_| SecretBuf::new()).collect(),
            seen: vec![false; plan.roles.len()],
            tallies: (0..plan.numbers).map(|_| Tally::default()).collect(),
            fulfilled: 0,
            person: NOBODY,
            key: Key::default(),
        }
    }

    fn clear(&mut self) {
        self.texts.iter_mut().for_each(SecretBuf::clear);
        self.seen.fill(false);
        self.tallies.iter_mut().for_each(Tally::clear);
        self.fulfilled = 0;
        self.person = NOBODY;
    }

    fn take(&mut self, field: usize, role: &Role, value: Value<'_>) -> Result<(), FieldError> {
        if value.kind == Kind::Nested {
            return Err(FieldError::Nested);
        }
        if let Some(seen) = self.seen.get_mut(field) {
            if *seen && role.is_single() {
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
        let fulfilled = role.tests.iter().filter(|test| test.holds(value.text, number)).count();
        self.fulfilled = self.fulfilled.saturating_add(fulfilled);
        Ok(())
    }

    fn take_text(&mut self, field: usize, text: &[u8]) -> Result<(), FieldError> {
        if text.len() > MAX_GROUP_VALUE {
            return Err(FieldError::TooLong);
        }
        str::from_utf8(text).map_err(|_| FieldError::NotUtf8)?;
        if let Some(own) = self.texts.get_mut(field) {
            own.extend_from_slice(text);
        }
        Ok(())
    }
}

/// A group's key, put together anew for each record.
#[derive(Default)]
struct Key(SecretBuf);

impl Key {
    fn collect(&mut self, group_by: &[usize], texts: &[SecretBuf]) -> &[u8] {
        self.0.clear();
        for (index, text) in group_by.iter().filter_map(|field| texts.get(*field)).enumerate() {
            if index > 0 {
                self.0.push(GroupKey::SEPARATOR);
            }
            self.0.extend_from_slice(text.expose());
        }
        self.0.expose()
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
