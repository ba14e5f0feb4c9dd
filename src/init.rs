//! PID 1 of the image: what a machine needs before and after its one service.
//!
//! Mounts, modules, the heartbeat that nitro-cli waits for; then the service, as
//! a child process of the same binary; then its last words to the parent, and
//! the end of the machine. Whatever goes wrong ends in one line and a reboot,
//! which ends an enclave. Only as `/init` of the image: under another init the
//! binary is the service alone.

mod heartbeat;
mod kernel_log;
pub(crate) mod last_words;
mod modules;
mod mounts;
mod supervise;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot};

/// The name by which the kernel starts an image's PID 1.
pub(crate) const PATH: &str = "/init";

/// Argument of the service's process when this init has started it.
pub(crate) const UNDER_INIT: &str = "under-init";

/// Why the machine does not come up.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{target} cannot be mounted: {error}")]
    Mount { target: &'static str, error: std::io::Error },
    #[error("the module {name} cannot be loaded: {error}")]
    Module { name: String, error: std::io::Error },
    #[error("the parent did not answer the boot heartbeat (vsock port 9000): {0}")]
    Heartbeat(std::io::Error),
    #[error("the kernel was started with another command line than the image's own, {CMDLINE}")]
    Cmdline,
    #[error("the service cannot be started: {0}")]
    Service(std::io::Error),
}

/// Brings the machine up, runs the service, and ends the machine. Never returns:
/// a kernel whose PID 1 ends panics.
pub(crate) fn run() -> ! {
    let line = match catch_unwind(AssertUnwindSafe(boot)) {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the enclave's init has failed".to_owned(),
    };
    // Nothing may keep the machine from its end.
    let _ = catch_unwind(|| {
        let line = last_words::one_line(&line);
        say(&line);
        last_words::tell_parent(&line);
    });
    let _ = reboot(RebootCommand::Restart);
    loop {
        std::thread::park();
    }
}

/// Everything up to the service's end; gives its last words.
fn boot() -> Result<String, InitError> {
    mounts::mount_all()?;
    // Not even of PID 1; there is nowhere to write one to either.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    check_cmdline()?;
    modules::load_all()?;
    heartbeat::send()?;
    supervise::run_service()
}

/// The image format measures kernel and command line as one string of bytes, so
/// the PCRs stay the same when the beginning of the one is moved to the end of the
/// other. The image therefore has its command line as a file too.
fn check_cmdline() -> Result<(), InitError> {
    let read = |path| std::fs::read_to_string(path).map_err(|_| InitError::Cmdline);
    match has_words(&read("/proc/cmdline")?, &read(CMDLINE)?) {
        true => Ok(()),
        false => Err(InitError::Cmdline),
    }
}

/// Whether `words` stand in `line` one after the other; a hypervisor adds its
/// devices.
fn has_words(line: &str, words: &str) -> bool {
    let line: Vec<&str> = line.split_whitespace().collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    words.is_empty() || line.windows(words.len()).any(|window| window == words)
}

/// Where the image keeps its kernel's command line.
const CMDLINE: &str = "/cmdline";

/// A line on the console, which only a debug enclave's parent can read.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "strongroom: {line}");
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "PID 1 has no runtime whose threads it would block")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_that_was_cut_is_noticed_and_devices_that_were_added_are_not() {
        let own = "reboot=k panic=30 quiet";
        for (line, same) in [
            ("reboot=k panic=30 quiet\n", true),
            ("reboot=k panic=30 quiet virtio_mmio.device=4K@0xd0000000:5", true),
            ("earlier reboot=k panic=30 quiet", true),
            ("panic=30 quiet", false),
            ("t=k panic=30 quiet", false),
            ("reboot=k panic=30 quieter", false),
            ("reboot=k x panic=30 quiet", false),
            ("", false),
        ] {
            assert_eq!(has_words(line, own), same, "{line}");
        }
    }
}
