//! A file of customers with which every job of a manifest can be tried.

use std::collections::BTreeMap;

use strongroom::manifest::Manifest;
use strongroom::manifest::fields::{FieldPath, FieldRule, MaskRule};
use strongroom::manifest::operations::{AggregateSpec, Compute, OperationSpec, Test};

use crate::commands::demo::small_customers;

/// The demo's customers, if they have every column that the jobs name; else a
/// few made-up ones with exactly those columns.
pub(super) fn customers(manifest: &Manifest) -> Vec<u8> {
    let columns = columns(manifest);
    let made = small_customers();
    let header = made.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_there =
        |name: &str| header.split(|byte| *byte == b',').any(|column| column == name.as_bytes());
    if columns.keys().all(|name| is_there(name)) {
        return made;
    }
    let line = |cells: Vec<String>| format!("{}\n", cells.join(","));
    let names = columns.keys().map(|name| cell(name)).collect();
    let rows = (1..=ROWS).map(|row| {
        line(columns.iter().map(|(name, kind)| cell(&value(name, *kind, row))).collect())
    });
    std::iter::once(line(names)).chain(rows).collect::<String>().into_bytes()
}

/// Every column that a job names, and what its values have to be like.
fn columns(manifest: &Manifest) -> BTreeMap<&str, Kind<'_>> {
    let mut all = BTreeMap::new();
    for job in manifest.jobs.values() {
        for (path, kind) in named(&job.operation) {
            if let FieldPath::Column(name) = path {
                // A text would be no number; a number is a text.
                let known = all.entry(name.as_str()).or_insert(kind);
                if matches!(kind, Kind::Number) {
                    *known = kind;
                }
            }
        }
    }
    all
}

/// What the values of a column have to be like.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// As this rule is for.
    Rule(&'a FieldRule),
    /// Numbers, to compute with.
    Number,
    /// Anything.
    Text,
}

/// The fields that an operation names.
fn named(operation: &OperationSpec) -> Vec<(&FieldPath, Kind<'_>)> {
    match operation {
        OperationSpec::Fields(spec) => {
            spec.rules.iter().map(|(path, rule)| (path, Kind::Rule(rule))).collect()
        }
        OperationSpec::Match(spec) => vec![(&spec.field, Kind::Text)],
        OperationSpec::Aggregate(spec) => aggregated(spec).collect(),
        OperationSpec::JoinCount(spec) => {
            let on = spec.on.iter().map(|path| (path, Kind::Text));
            on.chain(spec.aggregate.iter().flat_map(aggregated)).collect()
        }
        OperationSpec::Reencrypt | OperationSpec::Open | OperationSpec::Sign(_) => Vec::new(),
    }
}

fn aggregated(spec: &AggregateSpec) -> impl Iterator<Item = (&FieldPath, Kind<'_>)> {
    let groups = spec.group_by.iter().map(|path| (path, Kind::Text));
    let conditions = spec.conditions.iter().map(|condition| match condition.test {
        Test::AtLeast(_) | Test::Below(_) => (&condition.field, Kind::Number),
        Test::Equals(_) | Test::Not(_) | Test::OneOf(_) => (&condition.field, Kind::Text),
    });
    let numbers = spec.compute.values().filter_map(|compute| match compute {
        Compute::Sum(path) | Compute::Mean(path) | Compute::Min(path) | Compute::Max(path) => {
            Some((path, Kind::Number))
        }
        Compute::Count => None,
    });
    groups.chain(conditions).chain(numbers)
}

fn value(name: &str, kind: Kind<'_>, row: u32) -> String {
    let rule = match kind {
        Kind::Rule(rule) => rule,
        Kind::Number => return row.to_string(),
        Kind::Text => return format!("{name} {row}"),
    };
    match rule {
        FieldRule::Mask(MaskRule::Last4 | MaskRule::First6Last4) | FieldRule::Token(_) => {
            format!("400000123456{row:04}")
        }
        FieldRule::Mask(MaskRule::Initials) => "Aisha Bergstrom".to_owned(),
        FieldRule::Mask(MaskRule::Email) => format!("customer{row}@example.com"),
        FieldRule::Mask(MaskRule::YearOfDate) => format!("19{:02}-05-17", row % 100),
        FieldRule::Mask(MaskRule::Generalise(_)) => row.to_string(),
        FieldRule::Mask(MaskRule::Redact | MaskRule::Keep | MaskRule::Drop)
        | FieldRule::Detoken(_)
        | FieldRule::Index(_) => format!("{name} {row}"),
    }
}

/// One cell (RFC 4180, section 2).
fn cell(text: &str) -> String {
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

const ROWS: u32 = 100;
