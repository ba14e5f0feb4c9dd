//! The simulator is not in the product: not in its graph, not in its binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

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
