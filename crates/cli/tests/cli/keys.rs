//! `keygen`: the files it makes.

use std::os::unix::fs::PermissionsExt;

use crate::program::{refused, run, run_json, text};

#[test]
fn a_secret_key_is_for_its_owner_only_and_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owner.key");
    let output = run(["keygen", "--output", &text(&path)]);
    assert!(output.status.success());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();
    let digits = secret.trim().strip_prefix("STRONGROOM-SECRET-KEY-1:").unwrap();
    assert_eq!(digits.len(), 64);
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!shown.contains(digits));
    let public = std::fs::read_to_string(folder.path().join("owner.key.pub")).unwrap();
    assert!(public.trim().len() == 64 && shown.contains(public.trim()), "{shown}");
}

#[test]
fn a_key_that_is_there_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("owner.key"));
    assert_eq!(run_json(["keygen", "--output", &path]).0, 0);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(refused(["keygen", "--output", &path]), "file");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_public_key_is_not_taken_for_a_secret_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("owner.key"));
    assert_eq!(run_json(["keygen", "--output", &path]).0, 0);
    let (public, out) = (format!("{path}.pub"), text(&folder.path().join("out")));
    let code =
        refused(["open", "--seal-key", &public, "--any-image", "--input", &path, "--output", &out]);
    assert_eq!(code, "key-file");
    assert!(!folder.path().join("out").exists());
}
