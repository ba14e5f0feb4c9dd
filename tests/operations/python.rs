//! The other implementations, which are in Python.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Whether there is a Python to compare with; says so when there is none.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
pub fn interpreter() -> Option<String> {
    let named = std::env::var("STRONGROOM_PYTHON").ok();
    if named.is_none() {
        eprintln!("skipped: STRONGROOM_PYTHON names no Python to compare with; use tests/run");
    }
    named
}

/// Has a task of `oracle.py` done.
pub fn run(python: &str, task: &str, parameters: &Value) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/operations/oracle.py");
    let mut child = Command::new(python)
        .args([script, task])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(parameters.to_string().as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{task}: {stderr}\nIf a module is missing: pip install -r tests/interop/requirements.txt, or use tests/run"
    );
}
