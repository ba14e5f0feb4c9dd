//! What is in the product: nothing of the simulator, no oracle, and nothing that
//! docs/dependencies.md does not announce.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[test]
fn the_simulator_is_not_in_the_production_graph() {
    let graph = ["tree", "--offline", "-p", "strongroom", "-e", "normal,build"];
    for ours in ["sim", "emulator", "eif", "client"] {
        let ours = format!("strongroom-{ours}");
        assert_eq!(cargo(&[&graph[..], &["-i", &ours]].concat()), "");
    }
    // The same question does find what is there.
    let found = cargo(&[&graph[..], &["-i", "strongroom-wire"]].concat());
    assert!(found.contains("strongroom v"), "{found}");
}

#[test]
fn no_oracle_or_second_crypto_stack_is_in_the_production_graph() {
    let graph =
        cargo(&["tree", "--offline", "-p", "strongroom", "-e", "normal,build", "--prefix", "none"]);
    let names: Vec<&str> = graph.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"aws-lc-rs"));
    for unwanted in
        ["aes-gcm", "rsa", "p384", "p256", "ring", "openssl-sys", "native-tls", "rcgen", "ciborium"]
    {
        assert!(!names.contains(&unwanted), "{unwanted} is in the production graph");
    }
}

#[test]
fn the_production_binary_is_built_from_nothing_of_the_simulator() {
    // As a plain `cargo build` makes it, without the features that tests unify.
    let profile_dir = Path::new(env!("CARGO_BIN_EXE_strongroom")).parent().expect("a folder");
    let build = ["build", "--offline", "--quiet", "-p", "strongroom", "--bin", "strongroom"];
    let release = profile_dir.ends_with("release").then_some("--release");
    cargo(&build.into_iter().chain(release).collect::<Vec<_>>());
    let inputs = profile_dir.join("strongroom.d");
    let inputs =
        std::fs::read_to_string(&inputs).expect("cargo leaves a .d file beside the binary");
    assert!(inputs.contains("src/main.rs") && inputs.contains("crates/wire/"), "{inputs}");
    for unwanted in
        ["sim", "client", "cli", "emulator", "eif", "lab"].map(|ours| format!("crates/{ours}/"))
    {
        assert!(!inputs.contains(&unwanted), "{unwanted} is in the binary");
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_one_function() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut crates = 0;
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        let src = entry.unwrap().path().join("src");
        let first = ["lib.rs", "main.rs"].map(|file| src.join(file));
        let first = first.iter().find(|file| file.exists()).expect("a crate has a first file");
        let text = std::fs::read_to_string(first).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{}", first.display());
        crates += 1;
    }
    assert!(crates >= 9);
    let mut allowed = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let times = text.matches("(unsafe_code").count();
            if times > 0 {
                allowed.push((path.file_name().unwrap().to_owned(), times));
            }
        }
    }
    allowed.sort();
    // lib.rs denies it, entropy.rs makes the one exception.
    assert_eq!(allowed, [("entropy.rs".into(), 1), ("lib.rs".into(), 1)]);
}

/// Raw keys are for tests and for the parent's side: a job's data keys come from
/// KMS and from nowhere else.
#[test]
fn no_job_can_reach_a_raw_keyring() {
    fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    assert!(found.len() > 50, "{} files", found.len());
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        assert!(!text.contains("keyring"), "{} names a keyring", path.display());
    }
    assert!(root.join("crates/envelope/src/keyring.rs").exists(), "the guard has nothing to guard");
}

/// Names of the graph for the image's targets, with their features.
fn production_graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut versions = BTreeMap::<(String, String), BTreeSet<String>>::new();
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        let what = ["tree", "--offline", "-p", "strongroom", "-e", "normal,build"];
        let how = ["--target", target, "--prefix", "none", "-f", "{p}|{f}"];
        for line in cargo(&[what, how].concat()).lines() {
            let (package, features) = line.split_once('|').unwrap();
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap());
            if name.starts_with("strongroom") {
                continue;
            }
            let features = features.trim_end_matches(" (*)").split(',');
            let key = (name.to_owned(), version.trim_start_matches('v').to_owned());
            let known = versions.entry(key).or_default();
            known.extend(features.filter(|feature| !feature.is_empty()).map(str::to_owned));
        }
    }
    let count = |name: &str| versions.keys().filter(|(other, _)| other == name).count();
    let label = |(name, version): &(String, String)| match count(name) {
        1 => name.clone(),
        _ => format!("{name} {}", version.split('.').next().unwrap()),
    };
    versions.iter().map(|(key, features)| (label(key), features.clone())).collect()
}

/// The rows of docs/dependencies.md.
fn announced() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dependencies.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, why, keeper, features] = cells.as_slice() else { panic!("{line}") };
        assert!(!why.is_empty() && !keeper.is_empty(), "{name} has no reason or no keeper");
        let features = features.split(", ").map(|feature| feature.trim_matches('`').to_owned());
        let features = features.filter(|feature| feature != "–").collect();
        let twice = rows.insert(name.trim_matches('`').to_owned(), features);
        assert!(twice.is_none(), "{name} stands there twice");
    }
    rows
}

#[test]
fn no_crate_and_no_feature_enters_the_production_graph_unannounced() {
    let (graph, page) = (production_graph(), announced());
    let difference = |of: &BTreeMap<String, BTreeSet<String>>, from: &BTreeMap<_, _>| {
        let all = of.iter().filter(|(name, features)| from.get(*name) != Some(*features));
        all.map(|(name, features)| format!("{name} {features:?}")).collect::<Vec<_>>()
    };
    let (new, old) = (difference(&graph, &page), difference(&page, &graph));
    assert!(
        new.is_empty() && old.is_empty(),
        "docs/dependencies.md does not say what is built: in the graph {new:#?}, on the page {old:#?}"
    );
    assert!(graph.len() > 100, "the graph was not read: {graph:?}");
}
