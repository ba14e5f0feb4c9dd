//! A file of customers with which every job of a manifest can be tried.

use std::collections::BTreeMap;

use strongroom::manifest::Manifest;
use strongroom::manifest::fields::{FieldPath, FieldRule, MaskRule};
use strongroom::manifest::operations::OperationSpec;

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
        line(columns.iter().map(|(name, rule)| cell(&value(name, rule, row))).collect())
    });
    std::iter::once(line(names)).chain(rows).collect::<String>().into_bytes()
}

/// Every column that a job has a rule for, and one such rule.
fn columns(manifest: &Manifest) -> BTreeMap<&str, &FieldRule> {
    let mut all = BTreeMap::new();
    for job in manifest.jobs.values() {
        let OperationSpec::Fields(spec) = &job.operation else { continue };
        for (path, rule) in &spec.rules {
            if let FieldPath::Column(name) = path {
                all.insert(name.as_str(), rule);
            }
        }
    }
    all
}

fn value(name: &str, rule: &FieldRule, row: u32) -> String {
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
