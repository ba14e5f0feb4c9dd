//! Runs the program.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The program, with an environment without credentials, colours or endpoints.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroomctl"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    program().args(args).output().unwrap()
}

/// Runs a command with `--json`, and gives its exit code and its document.
pub(crate) fn run_json<S: AsRef<std::ffi::OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> (i32, Value) {
    json_of(program().args(args).arg("--json"))
}

pub(crate) fn json_of(command: &mut Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stdout));
    });
    (output.status.code().unwrap(), json)
}

/// The reason code of a command that must fail with exit code 1.
pub(crate) fn refused<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    error_of(args)["code"].as_str().unwrap().to_owned()
}

/// Why a command fails that must fail with exit code 1.
pub(crate) fn error_of<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    failed(args, 1)
}

/// Why a command fails that must be told that it is used wrongly.
pub(crate) fn misused<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    failed(args, 2)
}

fn failed<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>, exit_code: i32) -> Value {
    let (code, json) = run_json(args);
    assert_eq!(code, exit_code, "{json}");
    assert!(!json["error"]["message"].as_str().unwrap().is_empty(), "{json}");
    json["error"].clone()
}

/// Runs what a user would paste into a shell.
pub(crate) fn shell(script: &str) -> Output {
    let folder = Path::new(env!("CARGO_BIN_EXE_strongroomctl")).parent().unwrap();
    Command::new("/bin/sh").args(["-ec", script]).env_clear().env("PATH", folder).output().unwrap()
}

/// Sends a signal to a program that runs.
pub(crate) fn tell(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
