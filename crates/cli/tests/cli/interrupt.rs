//! A command that is told to end leaves nothing behind.

use std::os::unix::net::UnixListener;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{program, tell, text};

/// A `call` to a service that never answers, once its output is begun.
fn hanging_call(folder: &TempDir) -> (Child, UnixListener) {
    let at = |name: &str| folder.path().join(name);
    let listener = UnixListener::bind(at("socket")).unwrap();
    std::fs::write(at("input"), "message").unwrap();
    let mut command = program();
    command.args(["call", "--json", "--job", "x", "--to"]);
    command.arg(format!("unix:{}", text(&at("socket"))));
    command.arg("--input").arg(at("input")).arg("--output").arg(at("output"));
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while partials(folder) == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing was begun");
        std::thread::yield_now();
    }
    (child, listener)
}

/// What a child has printed that was told to end; killed if it does not.
fn ended(mut child: Child) -> Output {
    let told = Instant::now();
    while child.try_wait().unwrap().is_none() && told.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait_with_output().unwrap()
}

fn partials(folder: &TempDir) -> usize {
    let entries = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_str().unwrap().ends_with(".partial")).count()
}

#[test]
fn an_interrupted_call_leaves_no_partial_result_and_says_that_it_was_interrupted() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let (child, _listener) = hanging_call(&folder);
        tell(&child, signal);
        let output = ended(child);
        assert_eq!(output.status.code(), Some(130), "{signal}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["error"]["code"], "interrupted", "{signal}");
        assert_eq!(partials(&folder), 0, "{signal}");
        assert!(!folder.path().join("output").exists());
    }
}

#[test]
fn a_command_that_waits_for_standard_input_can_be_interrupted() {
    let mut command = program();
    command.args(["verify", "--document", "-"]);
    let pipes = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // Until it hears signals itself, they end it as they end any program.
    let status = format!("/proc/{}/status", child.id());
    let caught = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
    let begun = Instant::now();
    while !std::fs::read_to_string(&status)
        .unwrap()
        .lines()
        .any(|line| caught(line).is_some_and(|signals| signals & (1 << 14) != 0))
    {
        assert!(begun.elapsed() < PATIENCE, "it hears no signals");
        std::thread::yield_now();
    }
    tell(&child, "TERM");
    let _open = child.stdin.take();
    let output = ended(child);
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error[interrupted]: "));
}

const PATIENCE: Duration = Duration::from_secs(20);
