//! An aggregate over one plaintext: by one reader, or by two at the same time.
//!
//! Made by [`crate::operation`] for one request. A plaintext that is long enough
//! is cut into parts where records end ([`Cut`]). A helper, a thread of this
//! request's own, takes parts while it has room; the request's thread, which
//! opens the plaintext, takes the others. Each has its own [`Aggregator`], and
//! they are added up at the end: sums are exact, so the result does not depend on
//! who read what. Errors are those of one reader ([`Ledger`]).
//!
//! The helper ends with the request, which waits for it whatever happens, so that
//! no plaintext outlives the request; a panic in it is one of the request.

use strongroom_envelope::SecretBuf;

use super::cut::Cut;
use super::helper::Helper;
use super::lane::Lane;
use super::ledger::{Ledger, Outcome, Rules};
use super::{Aggregator, Rows};
use crate::operation::helpers::Helpers;
use crate::shape::{Counts, FieldError, Layout, RecordError, Records};

/// Computes over the records of one plaintext.
pub(in crate::operation) struct Aggregation {
    own: Lane,
    layout: Layout,
    max_groups: usize,
    /// Records that this thread has read while there was no team.
    records: u64,
    /// Where parts end; `None` where one reader takes whatever comes.
    cut: Option<Cut>,
    /// Shortest and longest part, in bytes.
    parts: [usize; 2],
    /// Bytes that are waited for.
    wanted: usize,
    helpers: Option<Helpers>,
    /// What a helper has to read before its first part. There when a part has
    /// been read.
    preface: Option<Vec<u8>>,
    team: Option<Box<Team>>,
}

/// The other reader, and who has read what.
struct Team {
    helper: Helper,
    ledger: Ledger,
    /// Parts there are.
    parts: u64,
}

impl Team {
    /// Settles what the helper has ended, or, to whoever waits, all it has.
    fn settle_ended(&mut self, wait: bool) -> Result<(), RecordError> {
        while let Some((part, outcome)) = self.helper.ended(wait) {
            self.ledger.settle(part, outcome)?;
        }
        Ok(())
    }
}

impl Aggregation {
    /// One that may have `max_groups` groups.
    pub(in crate::operation) fn new(
        layout: Layout,
        aggregator: Aggregator,
        max_groups: usize,
    ) -> Self {
        Self {
            own: Lane::new(Records::new(layout.clone()), aggregator),
            layout,
            max_groups,
            records: 0,
            cut: None,
            parts: [MIN_PART, MAX_PART],
            wanted: 0,
            helpers: None,
            preface: None,
            team: None,
        }
    }

    /// Lets it have a helper, if one is free when the plaintext is long.
    pub(in crate::operation) fn help(&mut self, helpers: &Helpers) {
        self.helpers = Some(helpers.clone());
        self.cut = Cut::of(self.layout.shape);
    }

    /// Takes what can be dealt with off the front of `input`.
    pub(in crate::operation) fn process(
        &mut self,
        input: &mut SecretBuf,
        at_end: bool,
    ) -> Result<(), RecordError> {
        let (bytes, mut used) = (input.expose(), 0);
        let rest = |used| bytes.get(used..).unwrap_or_default();
        while !at_end && let Some(cut) = self.cut {
            match self.next_part(cut, rest(used)) {
                0 => break,
                len => {
                    self.part(cut, rest(used).get(..len).unwrap_or_default())?;
                    used = used.saturating_add(len);
                }
            }
        }
        if at_end || self.cut.is_none() {
            let (len, outcome) = self.own.part(rest(used), at_end);
            self.settle_own(outcome)?;
            used = used.saturating_add(len);
        }
        input.consume(used);
        if at_end { self.end_help() } else { Ok(()) }
    }

    /// Writes the result, and says what there was.
    pub(in crate::operation) fn finish(
        self,
        out: &mut SecretBuf,
        form: Rows,
    ) -> Result<Counts, FieldError> {
        let counts = self.own.counts();
        self.own.finish(out, form)?;
        Ok(counts)
    }

    /// Bytes of memory that it has beside `input`.
    pub(in crate::operation) fn memory(&self) -> usize {
        let shared = self
            .team
            .as_ref()
            .map_or(0, |team| team.helper.memory().saturating_add(team.ledger.memory()));
        self.own.memory().saturating_add(shared)
    }

    /// Length of the part at the front of `input`; zero while it is too short,
    /// and when there is to be one reader from here on.
    fn next_part(&mut self, cut: Cut, input: &[u8]) -> usize {
        let [min, max] = self.parts;
        if input.len() < self.wanted.max(min) {
            return 0;
        }
        let len = match cut.whole(input.get(..max).unwrap_or(input)) {
            0 => cut.whole(input),
            len => len,
        };
        // As a reader does: so each byte is looked at few times.
        self.wanted = if len == 0 { input.len().saturating_mul(2) } else { 0 };
        self.wanted = self.wanted.min(self.layout.max_record.saturating_add(1));
        if len == 0 && input.len() > self.layout.max_record {
            // Where the next record begins depends on what is made of this one.
            self.cut = None;
        }
        len
    }

    /// Reads whole records, or has them read.
    fn part(&mut self, cut: Cut, part: &[u8]) -> Result<(), RecordError> {
        if self.preface.is_none() {
            self.preface = cut.preface(part);
            // Without, nobody else can read on.
            self.cut = self.preface.is_some().then_some(cut);
        } else if self.team.is_none() {
            self.team = self.start(cut);
            self.cut = self.team.is_some().then_some(cut);
        }
        match &mut self.team {
            Some(team) if team.helper.has_room() => {
                team.helper.give(team.parts, part);
                team.parts = team.parts.saturating_add(1);
                team.settle_ended(false)
            }
            Some(_) | None => {
                let outcome = self.own.whole(part);
                self.settle_own(outcome)
            }
        }
    }

    fn start(&mut self, cut: Cut) -> Option<Box<Team>> {
        let taken = self.helpers.as_ref()?.take()?;
        let mut lane = Lane::new(Records::new(self.layout.clone()), self.own.another_aggregator());
        // Nothing but the header row, which has been read by another one.
        let (_, outcome) = lane.part(self.preface.as_ref()?, false);
        if outcome.error.is_some() {
            return None;
        }
        lane.tell();
        self.own.tell();
        let rules = Rules {
            max_groups: self.max_groups,
            bad_records: self.layout.bad_records,
            field: self.layout.fields.first().map(ToString::to_string).unwrap_or_default(),
            headers: cut.headers(),
        };
        let ledger = Ledger::new(rules, self.records, self.own.groups());
        Some(Box::new(Team { helper: Helper::start(lane, taken)?, ledger, parts: 0 }))
    }

    fn settle_own(&mut self, outcome: Outcome) -> Result<(), RecordError> {
        let Some(team) = &mut self.team else {
            if let Some(error) = outcome.error {
                let record = error.record.saturating_add(self.records);
                return Err(RecordError { record, ..error });
            }
            self.records = self.records.saturating_add(outcome.records);
            return Ok(());
        };
        let failed = outcome.error.is_some();
        let part = team.parts;
        team.parts = part.saturating_add(1);
        team.ledger.settle(part, outcome)?;
        // What comes before an error may have one of its own.
        team.settle_ended(failed)
    }

    /// Waits for the helper and adds up.
    fn end_help(&mut self) -> Result<(), RecordError> {
        let Some(mut team) = self.team.take() else { return Ok(()) };
        team.settle_ended(true)?;
        let incomplete = team.ledger.is_incomplete();
        if let Some(lane) = team.helper.end() {
            self.own.merge(&lane, incomplete);
        }
        self.cut = None;
        Ok(())
    }
}

/// Shortest part, in bytes, but for the last: handing one over takes some
/// microseconds, reading 64 KiB some hundreds.
const MIN_PART: usize = 64 << 10;

/// Longest part, in bytes, of records that are not longer: neither reader waits
/// long for the other in the end.
const MAX_PART: usize = 256 << 10;

#[cfg(test)]
mod tests;
