//! What the kernel's log says about a forbidden system call.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use rustix::fs::OFlags;

use super::pause;

/// The number of the last system call that the kernel ended a process for.
///
/// The kernel writes its record on a thread of its own, so it may come after the
/// process's end; it never comes from a kernel without audit.
pub(super) fn last_forbidden_call() -> Option<u32> {
    (0..TRIES).find_map(|_| {
        let call = in_the_log();
        if call.is_none() {
            pause(PAUSE);
        }
        call
    })
}

fn in_the_log() -> Option<u32> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()).ok()?;
    let (mut log, mut record, mut last) = (File::from(log), [0; MAX_RECORD], None);
    // A record per read, until there is none.
    for _ in 0..MAX_RECORDS {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(len) => {
                let text = String::from_utf8_lossy(record.get(..len).unwrap_or_default());
                last = forbidden_call(&text).or(last);
            }
            // Overwritten meanwhile: the next read goes on after it.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => break,
        }
    }
    last
}

/// The system call in an audit record of seccomp (`type=1326`).
fn forbidden_call(record: &str) -> Option<u32> {
    let (_, rest) = record.split_once("type=1326 ")?;
    let call = rest.split_whitespace().find_map(|word| word.strip_prefix("syscall="))?;
    call.parse().ok()
}

const MAX_RECORD: usize = 8192;
const MAX_RECORDS: usize = 100_000;
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_system_call_of_a_seccomp_record_is_found() {
        let record = "5,231,3401,-;audit: type=1326 audit(1.2:3): auid=4294967295 uid=0 gid=0 \
            ses=1 pid=43 comm=\"strongroom\" exe=\"/init\" sig=31 arch=c000003e syscall=59 compat=0";
        assert_eq!(forbidden_call(record), Some(59));
        assert_eq!(forbidden_call("6,1,2,-;audit: type=1400 syscall=59"), None);
        assert_eq!(forbidden_call("6,1,2,-;audit: type=1326 syscall=x"), None);
    }

    proptest! {
        #[test]
        fn no_record_panics(record in ".{0,200}") {
            let _ = forbidden_call(&record);
        }
    }
}
