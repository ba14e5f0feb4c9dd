//! What an aggregate does with each field, made from its [`AggregateSpec`] once
//! per request: for [`super`].

use std::collections::BTreeMap;

use super::Cell;
use super::decimal::Decimal;
use super::groups::{Group, Tally};
use crate::manifest::fields::FieldPath;
use crate::manifest::operations::{AggregateSpec, Compute, Test};

/// An aggregate's fields by number, and what its rows consist of.
pub(super) struct Plan {
    /// By number of the field.
    pub(super) roles: Vec<Role>,
    /// Number of the field that says whose a record is.
    pub(super) per: Option<usize>,
    /// Numbers of the fields whose values make the groups, in order.
    pub(super) group_by: Vec<usize>,
    /// How many fields there are to compute with.
    pub(super) numbers: usize,
    /// Conditions that a record must fulfil.
    pub(super) conditions: usize,
    /// Computed columns, in order.
    computed: Vec<Computed>,
    /// Names of all columns, in order.
    pub(super) columns: Vec<String>,
    /// Records that a group must have to be shown: zero where one would do, and
    /// there is nothing to hide.
    pub(super) enough: u64,
}

/// What a field is for.
#[derive(Default)]
pub(super) struct Role {
    /// Its values make groups.
    pub(super) groups: bool,
    /// It says whose the record is.
    pub(super) person: bool,
    /// Its number among the fields that are computed with.
    pub(super) number: Option<usize>,
    /// Its values have to be numbers.
    pub(super) is_numeric: bool,
    /// A record may have only one value of it.
    pub(super) is_single: bool,
    /// What its value must be.
    pub(super) tests: Vec<Check>,
}

/// A [`Test`] with its bound read. A bound that is no number is never kept:
/// what cannot be judged is not counted.
pub(super) enum Check {
    OneOf(Vec<String>),
    Not(String),
    AtLeast(Option<Decimal>),
    Below(Option<Decimal>),
}

impl Check {
    fn new(test: &Test) -> Self {
        let number = |text: &str| Decimal::parse(text.as_bytes());
        match test {
            Test::Equals(text) => Self::OneOf(vec![text.clone()]),
            Test::Not(text) => Self::Not(text.clone()),
            Test::OneOf(texts) => Self::OneOf(texts.clone()),
            Test::AtLeast(bound) => Self::AtLeast(number(bound)),
            Test::Below(bound) => Self::Below(number(bound)),
        }
    }

    /// Whether a value is what it must be.
    pub(super) fn holds(&self, text: &[u8], number: Option<Decimal>) -> bool {
        match self {
            Self::OneOf(texts) => texts.iter().any(|one| one.as_bytes() == text),
            Self::Not(other) => other.as_bytes() != text,
            Self::AtLeast(bound) => number.zip(*bound).is_some_and(|(n, bound)| n >= bound),
            Self::Below(bound) => number.zip(*bound).is_some_and(|(n, bound)| n < bound),
        }
    }
}

/// A [`Compute`], with the number of its field among those computed with.
enum Computed {
    Count,
    Sum(usize),
    Mean(usize),
    Min(usize),
    Max(usize),
}

impl Computed {
    fn of<'a>(&self, group: &Group, enough: u64) -> Cell<'a> {
        let of = |slot: usize, compute: fn(&Tally) -> Option<Decimal>| {
            let numbers = group.numbers.get(slot).filter(|numbers| numbers.crowd.is(enough));
            numbers.and_then(|numbers| compute(&numbers.tally)).map_or(Cell::None, Cell::Number)
        };
        match self {
            Self::Count => Cell::Count(group.crowd.records),
            Self::Sum(slot) => of(*slot, |tally| Some(tally.sum)),
            Self::Mean(slot) => of(*slot, |tally| tally.sum.mean(tally.count)),
            Self::Min(slot) => of(*slot, |tally| (tally.count > 0).then_some(tally.min)),
            Self::Max(slot) => of(*slot, |tally| (tally.count > 0).then_some(tally.max)),
        }
    }
}

impl Plan {
    pub(super) fn new(spec: &AggregateSpec) -> Self {
        let fields = fields(spec);
        let number_of = |path: &FieldPath| fields.iter().position(|field| field == path);
        let mut roles: Vec<Role> = fields.iter().map(|_| Role::default()).collect();
        let mut role_of = |path: &FieldPath, change: &mut dyn FnMut(&mut Role)| {
            if let Some(role) = number_of(path).and_then(|number| roles.get_mut(number)) {
                change(role);
            }
        };
        for path in &spec.group_by {
            role_of(path, &mut |role| role.groups = true);
        }
        if let Some(path) = &spec.per {
            role_of(path, &mut |role| role.person = true);
        }
        for condition in &spec.conditions {
            role_of(&condition.field, &mut |role| role.tests.push(Check::new(&condition.test)));
        }
        let slots = slots(spec);
        for (path, slot) in &slots {
            role_of(path, &mut |role| role.number = Some(*slot));
        }
        for role in &mut roles {
            let bound = |test: &Check| matches!(test, Check::AtLeast(_) | Check::Below(_));
            role.is_single = role.groups || role.person || !role.tests.is_empty();
            role.is_numeric = role.number.is_some() || role.tests.iter().any(bound);
        }
        Self {
            roles,
            per: spec.per.as_ref().and_then(number_of),
            group_by: spec.group_by.iter().filter_map(number_of).collect(),
            numbers: slots.len(),
            conditions: spec.conditions.len(),
            computed: spec.compute.values().map(|compute| computed(compute, &slots)).collect(),
            columns: columns(spec),
            enough: if spec.min_group_size > 1 { spec.min_group_size } else { 0 },
        }
    }

    /// The computed cells of a group's row; those that too few records have a
    /// value for are empty.
    pub(super) fn numbers_of<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = Cell<'a>> {
        self.computed.iter().map(|computed| computed.of(group, self.enough))
    }
}

/// The fields that an aggregate reads, each once: those it groups by, those of
/// its conditions, those it computes with, and the one that says whose a record is.
pub(super) fn fields(spec: &AggregateSpec) -> Vec<FieldPath> {
    let conditions = spec.conditions.iter().map(|condition| &condition.field);
    let computed = spec.compute.values().filter_map(field_of);
    let mut fields: Vec<FieldPath> = Vec::new();
    for field in spec.group_by.iter().chain(conditions).chain(computed).chain(&spec.per) {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }
    fields
}

/// The names of a result's columns, without the first: group-by fields as the
/// manifest has them, then the computed ones by name.
pub(super) fn columns(spec: &AggregateSpec) -> Vec<String> {
    let group_by = spec.group_by.iter().map(ToString::to_string);
    group_by.chain(spec.compute.keys().cloned()).collect()
}

const fn field_of(compute: &Compute) -> Option<&FieldPath> {
    match compute {
        Compute::Count => None,
        Compute::Sum(field) | Compute::Mean(field) | Compute::Min(field) | Compute::Max(field) => {
            Some(field)
        }
    }
}

/// Fields that are computed with, numbered.
fn slots(spec: &AggregateSpec) -> BTreeMap<&FieldPath, usize> {
    let mut slots = BTreeMap::new();
    for field in spec.compute.values().filter_map(field_of) {
        let next = slots.len();
        slots.entry(field).or_insert(next);
    }
    slots
}

fn computed(compute: &Compute, slots: &BTreeMap<&FieldPath, usize>) -> Computed {
    // Every field is there; a number past the last has no value.
    let slot = |field| slots.get(field).copied().unwrap_or(usize::MAX);
    match compute {
        Compute::Count => Computed::Count,
        Compute::Sum(field) => Computed::Sum(slot(field)),
        Compute::Mean(field) => Computed::Mean(slot(field)),
        Compute::Min(field) => Computed::Min(slot(field)),
        Compute::Max(field) => Computed::Max(slot(field)),
    }
}
