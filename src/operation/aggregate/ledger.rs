//! What became of the parts of a plaintext, put in their order: for
//! [`super::stream`].
//!
//! Parts are read at the same time and end in any order. What a request says of
//! them must not depend on that: the first error of the stream, with the number
//! of its record; and the first record that has one group more than there may be,
//! whoever of the readers has which groups.

use std::collections::BTreeMap;

use strongroom_envelope::SecretBuf;

use super::groups::Groups;
use crate::manifest::fields::BadRecords;
use crate::shape::{FieldError, RecordError, RecordProblem};

/// What became of a part.
pub(super) struct Outcome {
    /// Records there were, those left out included.
    pub(super) records: u64,
    /// Groups that its reader did not have before.
    pub(super) opened: Vec<Opened>,
    /// What stopped it. The record's number counts from the start of the part,
    /// as if that had a header row where the shape has one.
    pub(super) error: Option<RecordError>,
}

impl Outcome {
    /// What became of this part and of another one behind it, as of one.
    pub(super) fn then(mut self, mut more: Self) -> Self {
        for opened in &mut more.opened {
            opened.record = opened.record.saturating_add(self.records);
        }
        self.opened.append(&mut more.opened);
        self.error = more.error.map(|error| {
            let record = error.record.saturating_add(self.records);
            RecordError { record, ..error }
        });
        self.records = self.records.saturating_add(more.records);
        self
    }
}

/// A group that a record was the first of, to a reader.
pub(super) struct Opened {
    /// The record's number in the part, from 1. Right where no record is left
    /// out.
    pub(super) record: u64,
    pub(super) key: SecretBuf,
}

/// Parts in their order.
pub(super) struct Ledger {
    /// All groups of the parts that are settled. They have no numbers.
    groups: Groups,
    /// The part that is settled next.
    next: u64,
    /// Records before it.
    records: u64,
    /// Parts behind it that have ended.
    waiting: BTreeMap<u64, Outcome>,
    rules: Rules,
    /// There was a group more than there may be.
    incomplete: bool,
}

/// What a ledger goes by.
pub(super) struct Rules {
    pub(super) max_groups: usize,
    pub(super) bad_records: BadRecords,
    /// Name of the field that one group too many is an error of.
    pub(super) field: String,
    /// Rows before the records that have numbers too.
    pub(super) headers: u64,
}

impl Ledger {
    /// Begins with part 0, behind so many records with these groups.
    pub(super) fn new<'a>(
        rules: Rules,
        records: u64,
        groups: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let mut known = Groups::new(rules.max_groups, 0, 0);
        let mut incomplete = false;
        for key in groups {
            incomplete |= known.get_or_open(key).is_err();
        }
        Self { groups: known, next: 0, records, waiting: BTreeMap::new(), rules, incomplete }
    }

    /// Takes what became of a part, and deals with all that have none before them
    /// that is missing.
    ///
    /// # Errors
    /// The first of the stream.
    pub(super) fn settle(&mut self, part: u64, outcome: Outcome) -> Result<(), RecordError> {
        self.waiting.insert(part, outcome);
        while let Some(outcome) = self.waiting.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            for opened in &outcome.opened {
                if self.groups.get_or_open(opened.key.expose()).is_err() {
                    self.one_too_many(opened.record)?;
                }
            }
            if let Some(error) = outcome.error {
                let record = error.record.saturating_add(self.records);
                return Err(RecordError { record, ..error });
            }
            self.records = self.records.saturating_add(outcome.records);
        }
        Ok(())
    }

    /// Whether a record could not be counted.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Bytes of memory that the groups have, about, and what waits to be settled.
    pub(super) fn memory(&self) -> usize {
        let waiting = self.waiting.values().flat_map(|outcome| &outcome.opened);
        let size = |opened: &Opened| opened.key.capacity().saturating_add(size_of::<Opened>());
        self.groups.memory().saturating_add(waiting.map(size).sum())
    }

    fn one_too_many(&mut self, record: u64) -> Result<(), RecordError> {
        self.incomplete = true;
        match self.rules.bad_records {
            BadRecords::Drop => Ok(()),
            BadRecords::Refuse => {
                let field = self.rules.field.clone();
                let record = record.saturating_add(self.records).saturating_add(self.rules.headers);
                let problem = RecordProblem::Field { field, problem: FieldError::TooMany };
                Err(RecordError { record, problem })
            }
        }
    }
}

#[cfg(test)]
mod tests;
