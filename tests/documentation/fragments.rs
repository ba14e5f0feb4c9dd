//! Manifests of the documentation, whole or in parts. A part is put into the
//! smallest manifest there is, with the secrets and callers that it names.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use strongroom::manifest::Manifest;
use toml::{Table, Value};

use crate::blocks::{Block, all_blocks};

pub(crate) const KEY: &str =
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A part of a manifest with all that is needed around it.
pub(crate) fn completed(part: &str) -> String {
    let table: Table = part.parse().unwrap_or_else(|error| panic!("{error}\n{part}"));
    let mut text = part.to_owned();
    for (name, minimal) in [
        ("enclave", "[enclave]\nname = \"strongroom\"\ncpu_count = 2\nmemory_mib = 512\n"),
        ("listen", "[listen]\nvsock_port = 5005\n"),
        ("kms", "[kms]\nregion = \"eu-west-1\"\n"),
    ] {
        if !table.contains_key(name) {
            text += minimal;
        }
    }
    let jobs = list(&table, "job");
    if jobs.is_empty() {
        text += &format!(
            "[[job]]\nname = \"any\"\noperation = \"reencrypt\"\n\
             input = {{ key = \"{KEY}\", context = {{ purpose = \"any\" }} }}\n\
             output = {{ protect = \"kms\", key = \"{KEY}\", context = {{}} }}\n"
        );
    }
    let secrets = jobs.iter().filter_map(|job| job.get("secret")?.as_str());
    for name in missing(&table, "secret", secrets) {
        write!(
            text,
            "[[secret]]\nname = \"{name}\"\nkey = \"{KEY}\"\n\
             context = {{ purpose = \"{name}\" }}\nwrapped = \"AQID\"\n"
        )
        .unwrap();
    }
    let callers = jobs.iter().filter_map(|job| job.get("callers")?.as_array()).flatten();
    for name in missing(&table, "caller", callers.filter_map(Value::as_str)) {
        write!(text, "[[caller]]\nname = \"{name}\"\npublic_key = \"{}\"\n", "ab".repeat(32))
            .unwrap();
    }
    text
}

/// The names that are used and stand for nothing in the part.
fn missing<'a>(
    table: &Table,
    what: &str,
    used: impl Iterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let defined = list(table, what);
    let defined: Vec<_> = defined.iter().filter_map(|item| item.get("name")?.as_str()).collect();
    used.filter(|name| !defined.contains(name)).collect()
}

fn list(table: &Table, name: &str) -> Vec<Table> {
    let items = table.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    items.into_iter().filter_map(|item| item.try_into().ok()).collect()
}

fn manifests() -> Vec<Block> {
    let blocks: Vec<_> =
        all_blocks().into_iter().filter(|block| block.language == "toml").collect();
    assert!(blocks.len() > 15, "where are they? {}", blocks.len());
    blocks
}

#[test]
fn every_manifest_of_the_documentation_is_accepted() {
    for block in manifests() {
        let whole = completed(&block.text);
        if let Err(error) = Manifest::parse(&whole) {
            panic!("docs/{}, line {}: {error}", block.page, block.line);
        }
    }
}

#[test]
fn every_operation_and_every_key_of_a_job_stands_in_a_manifest_of_the_documentation() {
    let text: String = manifests().into_iter().map(|block| block.text).collect();
    for operation in [
        "mask",
        "reencrypt",
        "tokenize",
        "detokenize",
        "index",
        "match",
        "aggregate",
        "join-count",
        "sign",
        "open",
    ] {
        assert!(text.contains(&format!("operation = \"{operation}\"")), "{operation}");
    }
    for key in [
        "args = {",
        "pattern =",
        "max_length =",
        "callers =",
        "encryption = \"none\"",
        "encryption = \"plain-envelope\"",
        "required_context =",
        "commitment =",
        "signatures =",
        "bad_records =",
        "fields = {",
        "signed = true",
        "pad_to =",
        "max_data_keys =",
        "max_groups =",
        "[cache]",
        "reuse = {",
        "unknown_fields =",
        "tenant =",
        "[[secret]]",
        "[[caller]]",
    ] {
        assert!(text.contains(key), "no manifest of the documentation shows {key}");
    }
}

#[test]
fn a_part_that_is_no_manifest_is_noticed() {
    let typo = completed("[[job]]\nname = \"x\"\noperation = \"maks\"\n");
    assert!(Manifest::parse(&typo).is_err());
}

#[test]
fn the_limits_of_the_documentation_are_those_of_the_code() {
    let page = crate::blocks::page("manifest.md");
    let (_, table) = page.split_once("| key | default | most | what it bounds |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut keys = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, key, default, most, ..] = cells.as_slice() else { panic!("{row}") };
        let limits = |value: &str| {
            // Room for the longest frame and record.
            let room = "max_in_flight_bytes = \"64GiB\"\n";
            let room = if *key == "max_in_flight_bytes" { "" } else { room };
            Manifest::parse(&completed(&format!("[limits]\n{room}{key} = {value}\n")))
                .map(|manifest| format!("{:?}", manifest.limits))
                .map_err(|error| error.to_string())
        };
        let room = "[limits]\nmax_in_flight_bytes = \"64GiB\"\n";
        let room = if *key == "max_in_flight_bytes" { "" } else { room };
        let unsaid = Manifest::parse(&completed(room)).unwrap().limits;
        assert_eq!(limits(default).unwrap(), format!("{unsaid:?}"), "{key}");
        if *most != "–" {
            limits(most).unwrap();
            let more = match most.strip_suffix("MiB\"") {
                Some(number) => format!("{}1MiB\"", number),
                None => format!("{most}0"),
            };
            assert!(limits(&more).unwrap_err().contains(key), "{key} = {more}");
        }
        keys += 1;
    }
    assert_eq!(keys, 12);
}

#[test]
fn the_bounds_of_kept_keys_of_the_documentation_are_those_of_the_code() {
    let page = crate::blocks::page("manifest.md");
    let (_, section) = page.split_once("## `[cache]`").unwrap();
    let (_, table) = section.split_once("| key | default | most | what it bounds |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cache = |lines: &str| {
        Manifest::parse(&completed(&format!("[cache]\n{lines}\n")))
            .map(|manifest| manifest.cache)
            .map_err(|error| error.to_string())
    };
    let mut keys = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, key, default, most, ..] = cells.as_slice() else { panic!("{row}") };
        assert_eq!(cache(&format!("{key} = {default}")), cache(""), "{key}");
        if *most != "–" {
            cache(&format!("{key} = {most}")).unwrap();
            let more: u64 = most.parse::<u64>().unwrap() + 1;
            assert!(cache(&format!("{key} = {more}")).unwrap_err().contains(key), "{key}");
        }
        keys += 1;
    }
    assert_eq!(keys, 4);
}
