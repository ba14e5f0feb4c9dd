//! The sandbox, in a process of its own: serving goes on in it, and whatever else
//! a taken-over process would try ends it or is refused.
//!
//! Each test runs this test program again as [`child`], which confines itself as
//! the enclave does and then does one deed. The parent judges by its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    dead_code
)]

#[path = "service/house.rs"]
mod house;

#[path = "sandbox/deeds.rs"]
mod deeds;
#[path = "sandbox/serving.rs"]
mod serving;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// How a deed has ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The kernel has ended the process for it.
    Killed,
    /// It was refused with this error.
    Refused(i32),
    /// It was done.
    Done,
}

/// The confined process. Does nothing when the tests run it among themselves.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child() {
    if let Some(deed) = std::env::var_os(DEED) {
        deeds::confined(deed.to_str().unwrap());
    }
}

/// Runs this program again as the confined process.
fn command(deed: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env(DEED, deed);
    command
}

/// Has the confined process do a deed.
fn attempt(deed: &str) -> End {
    let output = command(deed).output().unwrap();
    // Without it, the end would say nothing about the deed.
    assert!(said(&output, deeds::CONFINED), "{deed} did not get as far: {output:?}");
    match (output.status.signal(), output.status.code()) {
        (Some(libc::SIGSYS), _) => End::Killed,
        (None, Some(0)) => End::Done,
        (None, Some(code)) if code >= deeds::REFUSED => End::Refused(code - deeds::REFUSED),
        _ => panic!("{deed}: {output:?}"),
    }
}

fn said(output: &Output, line: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).lines().any(|found| found.ends_with(line))
}

const DEED: &str = "STRONGROOM_TEST_DEED";

#[test]
fn what_serving_does_goes_on() {
    for deed in deeds::HARMLESS {
        assert_eq!(attempt(deed), End::Done, "{deed}");
    }
}

#[test]
fn a_forbidden_call_ends_the_process_whatever_its_arguments() {
    for (name, _) in deeds::FORBIDDEN {
        assert_eq!(attempt(name), End::Killed, "{name}");
    }
}

#[test]
fn an_allowed_call_with_arguments_that_serving_does_not_use_ends_the_process() {
    for (name, ..) in deeds::MISUSED {
        assert_eq!(attempt(name), End::Killed, "{name}");
    }
}

#[test]
fn files_are_refused_and_never_opened() {
    for (name, _) in deeds::SPARED {
        assert_eq!(attempt(name), End::Refused(libc::ENOSYS), "{name}");
    }
}

#[test]
fn no_thread_escapes_that_was_there_before() {
    assert_eq!(attempt("old-thread"), End::Killed);
}

#[test]
fn programs_files_and_processes_are_out_of_reach_of_the_standard_library_too() {
    assert_eq!(attempt("spawn-program"), End::Killed);
    assert_eq!(attempt("become-program"), End::Killed);
    assert_eq!(attempt("connect-tcp"), End::Killed);
    assert_eq!(attempt("open-file"), End::Refused(libc::ENOSYS));
}
