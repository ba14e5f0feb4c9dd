//! `STRONGROOM_VECTORS=DIR cargo test --workspace vectors`: the folder of real
//! data that the tests of each crate run over holds something to run over.
#![allow(clippy::panic, missing_docs)]

use std::io::Write;
use std::path::Path;

/// The folders that some crate's `vectors` tests know.
const FOLDERS: [&str; 2] = ["attestation-real", "attestation-bad"];

#[test]
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn vectors_are_there_when_a_folder_is_named() {
    let Ok(named) = std::env::var("STRONGROOM_VECTORS") else { return };
    let dir = Path::new(&named);
    let mut found: Vec<&str> =
        FOLDERS.into_iter().filter(|name| has_manifest(&dir.join(name))).collect();
    if has_manifest(&dir.join("kms-cms")) || has_manifest(&dir.join("kms-cms/crafted")) {
        found.push("kms-cms");
    }
    // Written past the test harness, which keeps the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "vectors: {named} holds {found:?}");
    assert!(!found.is_empty(), "{named} holds none of {FOLDERS:?} and kms-cms");
}

fn has_manifest(folder: &Path) -> bool {
    folder.join("manifest.json").is_file()
}
