//! A reader of parts of one plaintext, with numbers of its own: for
//! [`super::stream`].

use strongroom_envelope::SecretBuf;

use super::ledger::{Opened, Outcome};
use super::{Aggregator, Rows};
use crate::shape::{Counts, FieldError, RecordError, Records};

/// Records, and what is computed over them.
pub(super) struct Lane {
    records: Records,
    aggregator: Aggregator,
    /// How many of the groups have been told of, where they are.
    told: Option<usize>,
    /// What there was to others, whose numbers were added.
    others: Counts,
}

impl Lane {
    pub(super) fn new(records: Records, aggregator: Aggregator) -> Self {
        Self { records, aggregator, told: None, others: Counts::default() }
    }

    /// Tells of new groups from here on.
    pub(super) fn tell(&mut self) {
        self.told = Some(self.aggregator.groups.len());
    }

    /// Reads what can be read at the front of `bytes`, or all of it `at_end`.
    /// Gives how many bytes that were, and what became of them.
    pub(super) fn part(&mut self, bytes: &[u8], at_end: bool) -> (usize, Outcome) {
        let (behind, begun) = (behind(&self.records), self.aggregator.groups.record);
        let result = self.records.process(bytes, at_end, &mut self.aggregator, None);
        let (used, error) = match result {
            Ok(used) => (used, None),
            Err(error) => {
                let record = error.record.saturating_sub(behind);
                (0, Some(RecordError { record, ..error }))
            }
        };
        let mut opened = Vec::new();
        if let Some(told) = &mut self.told {
            let groups = &self.aggregator.groups;
            opened.extend(groups.opened_since(*told).map(|(record, key)| {
                let mut copy = SecretBuf::with_capacity(key.len());
                copy.extend_from_slice(key);
                Opened { record: record.saturating_sub(begun), key: copy }
            }));
            *told = groups.len();
        }
        let records = self::behind(&self.records).saturating_sub(behind);
        (used, Outcome { records, opened, error })
    }

    /// Reads whole records. What was left behind them would be an error, never
    /// passed over.
    pub(super) fn whole(&mut self, bytes: &[u8]) -> Outcome {
        let (used, outcome) = self.part(bytes, false);
        match bytes.get(used..) {
            Some(rest @ [_, ..]) if outcome.error.is_none() => {
                let (_, more) = self.part(rest, true);
                outcome.then(more)
            }
            _ => outcome,
        }
    }

    /// An aggregator of the same job, without groups.
    pub(super) fn another_aggregator(&self) -> Aggregator {
        self.aggregator.another()
    }

    /// The groups' keys.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[u8]> {
        self.aggregator.groups.opened_since(0).map(|(_, key)| key)
    }

    /// Adds another one's numbers, of which some may be missing.
    pub(super) fn merge(&mut self, other: &Self, incomplete: bool) {
        self.aggregator.merge(&other.aggregator);
        self.aggregator.incomplete |= incomplete;
        self.others = other.counts();
    }

    /// What there was, that of others included.
    pub(super) const fn counts(&self) -> Counts {
        let (own, others) = (self.records.counts(), self.others);
        Counts {
            records: own.records.saturating_add(others.records),
            dropped: own.dropped.saturating_add(others.dropped),
        }
    }

    /// Writes the result.
    pub(super) fn finish(self, out: &mut SecretBuf, form: Rows) -> Result<(), FieldError> {
        self.aggregator.finish(out, form)
    }

    /// Bytes of memory that the groups have, about.
    pub(super) fn memory(&self) -> usize {
        self.aggregator.memory()
    }
}

/// How many records have been read, those left out included.
const fn behind(records: &Records) -> u64 {
    let counts = records.counts();
    counts.records.saturating_add(counts.dropped)
}
