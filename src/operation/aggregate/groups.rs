//! Groups of records, and what is known of each: for [`super`].
//!
//! The keys are plaintext, and what is known of a group of one is that record's
//! values: both are erased on drop, and stay where they are in memory until then.

use std::collections::BTreeSet;

use strongroom_envelope::SecretBuf;
use zeroize::Zeroize;

use super::decimal::Decimal;
use super::index::Index;
use crate::shape::FieldError;

/// Whom a record is about, where one may have several: a keyed hash.
pub(in crate::operation) type Member = [u8; 16];

/// Group-by values: UTF-8, joined by [`GroupKey::SEPARATOR`], which UTF-8 does
/// not have.
pub(super) struct GroupKey(SecretBuf);

impl GroupKey {
    pub(super) const SEPARATOR: u8 = 0xff;

    fn new(key: &[u8]) -> Self {
        let mut copy = SecretBuf::with_capacity(key.len());
        copy.extend_from_slice(key);
        Self(copy)
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// The values; for no fields at all, one that is empty.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.expose().split(|byte| *byte == Self::SEPARATOR)
    }
}

/// A field's numbers, added up.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    /// Of no meaning while there are none, as are `min` and `max`.
    pub(super) sum: Decimal,
    pub(super) min: Decimal,
    pub(super) max: Decimal,
}

impl Tally {
    /// Adds a number.
    #[inline]
    pub(super) fn add(&mut self, number: Decimal) {
        self.put(1, number, number, number);
    }

    /// Adds those of another.
    #[inline]
    pub(super) fn merge(&mut self, other: &Self) {
        if other.count > 0 {
            self.put(other.count, other.sum, other.min, other.max);
        }
    }

    #[inline]
    fn put(&mut self, count: u64, sum: Decimal, min: Decimal, max: Decimal) {
        if self.count == 0 {
            (self.count, self.sum, self.min, self.max) = (count, sum, min, max);
            return;
        }
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        self.sum = self.sum.plus(sum);
        self.count = self.count.saturating_add(count);
    }

    /// Has none from here on. What it had is overwritten by the next, or erased
    /// on drop.
    #[inline]
    pub(super) const fn forget(&mut self) {
        self.count = 0;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { count, sum, min, max } = self;
        count.zeroize();
        sum.zeroize();
        min.zeroize();
        max.zeroize();
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
    /// In the order in which they were opened.
    #[expect(clippy::vec_box, reason = "a group that is moved would leave a copy behind")]
    groups: Vec<Box<Entry>>,
    index: Index,
    most: usize,
    fields: usize,
    /// Members to be told apart in each.
    enough: u64,
    /// The number of the record at hand.
    pub(super) record: u64,
    /// Bytes of memory of the groups, without the index.
    memory: usize,
}

/// A group and what it is found by.
struct Entry {
    key: GroupKey,
    /// The number of the record that opened it, from 1.
    record: u64,
    group: Group,
}

impl Groups {
    /// No groups yet, and never more than `most`.
    pub(super) fn new(most: usize, fields: usize, enough: u64) -> Self {
        let (groups, index) = (Vec::new(), Index::new());
        Self { groups, index, most, fields, enough, record: 0, memory: 0 }
    }

    /// Adds a record to the group of this key.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        record: &[Tally],
        member: Option<&Member>,
    ) -> Result<(), FieldError> {
        let enough = self.enough;
        let taken = self.get_or_open(key)?.add(record, member, enough);
        self.memory = self.memory.saturating_add(taken);
        Ok(())
    }

    /// The group of this key; a new one, where there may be one more.
    pub(super) fn get_or_open(&mut self, key: &[u8]) -> Result<&mut Group, FieldError> {
        let hash = self.index.hash(key);
        let is_it = |at: usize| self.groups.get(at).is_some_and(|entry| entry.key.bytes() == key);
        let at = match self.index.find(hash, is_it) {
            Some(at) => at,
            None if self.groups.len() >= self.most => return Err(FieldError::TooMany),
            None => self.open(hash, key),
        };
        // It is there: the index holds places of groups, and groups only come.
        let entry = self.groups.get_mut(at).ok_or(FieldError::TooMany)?;
        Ok(&mut entry.group)
    }

    fn open(&mut self, hash: u64, key: &[u8]) -> usize {
        let numbers = size_of::<Numbers>().saturating_mul(self.fields);
        let memory = GROUP_MEMORY.saturating_add(key.len()).saturating_add(numbers);
        self.memory = self.memory.saturating_add(memory);
        let at = self.groups.len();
        let (key, group) = (GroupKey::new(key), self.empty());
        self.groups.push(Box::new(Entry { key, record: self.record, group }));
        self.index.insert(hash, at);
        at
    }

    /// Adds the groups of another one that has the same fields. Those for which
    /// there is no room are lost, and an error.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), FieldError> {
        let enough = self.enough;
        let mut result = Ok(());
        for entry in &other.groups {
            match self.get_or_open(entry.key.bytes()) {
                Ok(group) => group.merge(&entry.group, enough),
                Err(error) => result = Err(error),
            }
        }
        self.memory = self.memory.saturating_add(other.memory);
        result
    }

    /// How many there may be.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.groups.len()
    }

    /// The keys of all but the first `count`, with the numbers of the records
    /// that opened them.
    pub(super) fn opened_since(&self, count: usize) -> impl Iterator<Item = (u64, &[u8])> {
        let opened = self.groups.get(count..).unwrap_or_default();
        opened.iter().map(|entry| (entry.record, entry.key.bytes()))
    }

    /// A group of its own.
    pub(super) fn empty(&self) -> Group {
        Group::new(self.fields)
    }

    /// Bytes of memory that they have, about.
    pub(super) fn memory(&self) -> usize {
        self.memory.saturating_add(self.index.memory())
    }

    /// All groups, in the order of their keys' values.
    pub(super) fn sorted(&self) -> Vec<(&GroupKey, &Group)> {
        let mut groups: Vec<_> =
            self.groups.iter().map(|entry| (&entry.key, &entry.group)).collect();
        // The separator is above every letter: `a, x` would stand behind `ab, x`.
        groups.sort_by(|(a, _), (b, _)| a.values().cmp(b.values()));
        groups
    }
}

/// Bytes of memory of a group beside its key, its numbers and its place in the
/// index: its place in the list, its head, and three blocks of the heap.
const GROUP_MEMORY: usize = 240;

/// Bytes of memory of a set's first member, which comes with a node for eleven.
const FIRST_MEMBER_MEMORY: usize = 208;

/// Bytes of memory of each further one: 16 in a node that is half full at worst.
const MEMBER_MEMORY: usize = 40;
