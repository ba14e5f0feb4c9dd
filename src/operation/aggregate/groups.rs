//! Groups of records, and what is known of each: for [`super`].
//!
//! The keys are plaintext, and what is known of a group of one is that record's
//! values: both are erased on drop, and stay where they are in memory until then.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use strongroom_envelope::SecretBuf;
use zeroize::Zeroize;

use super::decimal::Decimal;
use crate::shape::FieldError;

/// Whom a record is about, where one may have several: a keyed hash.
pub(in crate::operation) type Member = [u8; 16];

/// Group-by values: UTF-8, joined by [`GroupKey::SEPARATOR`], which UTF-8 does
/// not have.
#[derive(Default)]
pub(super) struct GroupKey(SecretBuf);

impl GroupKey {
    pub(super) const SEPARATOR: u8 = 0xff;

    fn new(key: &[u8]) -> Self {
        let mut copy = SecretBuf::with_capacity(key.len());
        copy.extend_from_slice(key);
        Self(copy)
    }

    /// The values; for no fields at all, one that is empty.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.expose().split(|byte| *byte == Self::SEPARATOR)
    }
}

impl Borrow<[u8]> for GroupKey {
    fn borrow(&self) -> &[u8] {
        self.0.expose()
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for GroupKey {}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.expose().cmp(other.0.expose())
    }
}

/// A field's numbers, added up.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) sum: Decimal,
    /// Zero while there are none, as is `max`.
    pub(super) min: Decimal,
    pub(super) max: Decimal,
}

impl Tally {
    /// Adds a number.
    pub(super) fn add(&mut self, number: Decimal) {
        self.merge(&Self { count: 1, sum: number, min: number, max: number });
    }

    /// Adds those of another.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let first = self.count == 0;
        self.min = if first { other.min } else { self.min.min(other.min) };
        self.max = if first { other.max } else { self.max.max(other.max) };
        self.sum = self.sum.plus(other.sum);
        self.count = self.count.saturating_add(other.count);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        let Self { count, sum, min, max } = self;
        count.zeroize();
        sum.zeroize();
        min.zeroize();
        max.zeroize();
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How many stand behind a number: records, or members where records have one.
#[derive(Default)]
pub(super) struct Crowd {
    pub(super) records: u64,
    /// No more than are asked for.
    members: BTreeSet<Member>,
}

impl Crowd {
    /// Counts a record, and its member while there are fewer than `enough`.
    /// Gives how many bytes of memory that took.
    fn join(&mut self, member: Option<&Member>, enough: u64) -> usize {
        self.records = self.records.saturating_add(1);
        let memory = if self.members.is_empty() { FIRST_MEMBER_MEMORY } else { MEMBER_MEMORY };
        if member.is_some_and(|member| self.take(*member, enough)) { memory } else { 0 }
    }

    fn merge(&mut self, other: &Self, enough: u64) {
        self.records = self.records.saturating_add(other.records);
        for member in &other.members {
            self.take(*member, enough);
        }
    }

    fn take(&mut self, member: Member, enough: u64) -> bool {
        let few = u64::try_from(self.members.len()).is_ok_and(|members| members < enough);
        few && self.members.insert(member)
    }

    /// Whether `enough` stand behind it.
    pub(super) fn is(&self, enough: u64) -> bool {
        if self.members.is_empty() {
            self.records >= enough
        } else {
            u64::try_from(self.members.len()).is_ok_and(|members| members >= enough)
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.records.zeroize();
    }
}

/// A group's numbers of one field.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) tally: Tally,
    /// The records that have one.
    pub(super) crowd: Crowd,
}

/// What is known of a group.
pub(super) struct Group {
    pub(super) crowd: Crowd,
    /// By number of the field among those that are computed with.
    pub(super) numbers: Vec<Numbers>,
}

impl Group {
    fn new(fields: usize) -> Self {
        // Never grown, which would leave a copy behind.
        let numbers = std::iter::repeat_with(Numbers::default).take(fields).collect();
        Self { crowd: Crowd::default(), numbers }
    }

    /// Adds a record. Gives how many bytes of memory that took.
    fn add(&mut self, record: &[Tally], member: Option<&Member>, enough: u64) -> usize {
        let mut memory = self.crowd.join(member, enough);
        for (numbers, tally) in self.numbers.iter_mut().zip(record) {
            if tally.count > 0 {
                numbers.tally.merge(tally);
                memory = memory.saturating_add(numbers.crowd.join(member, enough));
            }
        }
        memory
    }

    pub(super) fn merge(&mut self, other: &Self, enough: u64) {
        self.crowd.merge(&other.crowd, enough);
        for (numbers, others) in self.numbers.iter_mut().zip(&other.numbers) {
            numbers.tally.merge(&others.tally);
            numbers.crowd.merge(&others.crowd, enough);
        }
    }
}

/// The groups by their keys.
pub(super) struct Groups {
    groups: BTreeMap<GroupKey, Box<Group>>,
    most: usize,
    fields: usize,
    /// Members to be told apart in each.
    enough: u64,
    memory: usize,
}

impl Groups {
    /// No groups yet, and never more than `most`.
    pub(super) const fn new(most: usize, fields: usize, enough: u64) -> Self {
        Self { groups: BTreeMap::new(), most, fields, enough, memory: 0 }
    }

    /// Adds a record to the group of this key.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        record: &[Tally],
        member: Option<&Member>,
    ) -> Result<(), FieldError> {
        let (enough, full) = (self.enough, self.groups.len() >= self.most);
        let group = match self.groups.get_mut(key) {
            Some(group) => group,
            None if full => return Err(FieldError::TooMany),
            None => self.open(key),
        };
        let taken = group.add(record, member, enough);
        self.memory = self.memory.saturating_add(taken);
        Ok(())
    }

    /// Makes a group, of no records yet.
    pub(super) fn open(&mut self, key: &[u8]) -> &mut Group {
        let numbers = size_of::<Numbers>().saturating_mul(self.fields);
        let memory = GROUP_MEMORY.saturating_add(key.len()).saturating_add(numbers);
        self.memory = self.memory.saturating_add(memory);
        let group = Box::new(self.empty());
        self.groups.entry(GroupKey::new(key)).or_insert(group)
    }

    /// A group of its own.
    pub(super) fn empty(&self) -> Group {
        Group::new(self.fields)
    }

    /// Bytes of memory that they have, about.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// All groups, in the order of their keys' values.
    pub(super) fn sorted(&self) -> Vec<(&GroupKey, &Group)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(key, group)| (key, &**group)).collect();
        // The separator is above every letter: `a, x` would stand behind `ab, x`.
        groups.sort_by(|(a, _), (b, _)| a.values().cmp(b.values()));
        groups
    }
}

/// Bytes of memory of a group beside its key and its numbers: its key's and its
/// own place in the map, their heads, and three blocks of the heap.
const GROUP_MEMORY: usize = 240;

/// Bytes of memory of a set's first member, which comes with a node for eleven.
const FIRST_MEMBER_MEMORY: usize = 208;

/// Bytes of memory of each further one: 16 in a node that is half full at worst.
const MEMBER_MEMORY: usize = 40;
