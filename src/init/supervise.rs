//! The service's process: started, watched, reaped.

use std::io::{ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use super::{InitError, UNDER_INIT, kernel_log, pause};

/// Runs the service to its end; gives the line that says why it ended.
pub(super) fn run_service() -> Result<String, InitError> {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new("/proc/self/exe")
        .arg0("strongroom")
        .arg(UNDER_INIT)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(InitError::Service)?;
    // Piped two lines above.
    let words = child.stdout.take();
    Ok(watch(&child, words))
}

/// Watches the service: what it says on its standard output, which is one line
/// when it gives up, and its end. A thread that hangs in the module's driver
/// can hold up the end by minutes, so the line is enough.
fn watch(child: &Child, mut words: Option<ChildStdout>) -> String {
    let (mut line, mut said_at) = (Vec::new(), None);
    loop {
        if let Some(status) = reap(child) {
            drain(&mut words, &mut line);
            return reason(&line, Some(status));
        }
        if said_at.is_some_and(|at: Instant| at.elapsed() > GRACE) {
            return reason(&line, None);
        }
        listen(&mut words, &mut line);
        if line.contains(&b'\n') && said_at.is_none() {
            said_at = Some(Instant::now());
        }
    }
}

/// Reaps whatever has ended; the service's status when it was among them.
fn reap(child: &Child) -> Option<WaitStatus> {
    let mut service = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if i32::try_from(child.id()).ok() == Some(Pid::as_raw(Some(pid))) {
                    service = Some(status);
                }
            }
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return service,
        }
    }
}

/// Waits for a word of the service, for a second at most.
fn listen(words: &mut Option<ChildStdout>, line: &mut Vec<u8>) {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let Some(pipe) = words else {
        pause(TICK);
        return;
    };
    let mut fds = [PollFd::new(&*pipe, PollFlags::IN)];
    if poll(&mut fds, Some(&second)).is_ok_and(|ready| ready > 0) {
        read_some(words, line);
    }
}

fn read_some(words: &mut Option<ChildStdout>, line: &mut Vec<u8>) {
    let mut piece = [0; MAX_LINE];
    let Some(pipe) = words else { return };
    match pipe.read(&mut piece) {
        Ok(len) if len > 0 => {
            let room = MAX_LINE.saturating_sub(line.len());
            line.extend(piece.iter().take(len.min(room)));
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Ok(_) | Err(_) => *words = None,
    }
}

fn drain(words: &mut Option<ChildStdout>, line: &mut Vec<u8>) {
    // Its writer is gone: this comes to an end.
    while words.is_some() {
        read_some(words, line);
    }
}

/// Why the service ended: in its own words, or else by its status.
fn reason(line: &[u8], status: Option<WaitStatus>) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.lines().next().unwrap_or_default().trim();
    if !line.is_empty() {
        return line.to_owned();
    }
    let Some(status) = status else { return "the service has ended".to_owned() };
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(libc::SIGSYS)) => forbidden(kernel_log::last_forbidden_call()),
        (_, Some(libc::SIGKILL)) => "the service was killed (signal 9): \
             the enclave's memory is probably too small for it"
            .to_owned(),
        (_, Some(signal)) => format!("the service was killed by signal {signal}"),
        (Some(code), None) => format!("the service has ended with exit code {code}"),
        (None, None) => "the service has ended".to_owned(),
    }
}

fn forbidden(call: Option<u32>) -> String {
    let arch = std::env::consts::ARCH;
    let which = call.map_or_else(String::new, |call| format!(" (number {call} on {arch})"));
    format!("the service was killed: it made a system call that its sandbox does not allow{which}")
}

/// How long the service may take to end after its last word.
const GRACE: Duration = Duration::from_secs(1);

const TICK: Duration = Duration::from_millis(200);

/// Longest word of the service that is taken, in bytes.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// Runs a shell command to its end as the service is run.
    fn last_line(script: &str) -> String {
        let mut child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let words = child.stdout.take();
        // Not `watch`, which would reap other tests' children.
        let (mut words, mut line) = (words, Vec::new());
        drain(&mut words, &mut line);
        let status = child.wait().unwrap();
        let _ = status.signal();
        reason(&line, None)
    }

    #[test]
    fn the_services_own_line_is_what_is_told() {
        assert_eq!(
            last_line("echo the manifest is refused; echo more; exit 1"),
            "the manifest is refused"
        );
        assert_eq!(last_line("exit 3"), "the service has ended");
        assert!(last_line("yes x | head -c 100000 | tr -d '\\n'").len() <= MAX_LINE);
    }

    #[test]
    fn a_forbidden_call_is_named_where_it_is_known() {
        assert!(forbidden(Some(59)).contains("number 59"));
        assert!(!forbidden(None).contains("number"));
    }
}
