//! The file systems of the image: what the kernel makes, and room for nothing.

use std::ffi::CStr;
use std::fs::File;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::InitError;

/// Mounts `/dev`, `/proc` and `/sys`, and moves standard streams to the console.
pub(super) fn mount_all() -> Result<(), InitError> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    one("devtmpfs", "/dev", plain, c"mode=0755")?;
    if let Ok(console) = File::options().read(true).write(true).open("/dev/console") {
        // The kernel did it already, unless its archive had no console.
        let _ = dup2_stdin(&console).and(dup2_stdout(&console)).and(dup2_stderr(&console));
    }
    let plain = plain | MountFlags::NODEV;
    one("proc", "/proc", plain | MountFlags::RDONLY, c"hidepid=2")?;
    one("sysfs", "/sys", plain | MountFlags::RDONLY, c"")
}

fn one(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static CStr,
) -> Result<(), InitError> {
    let failed = |error| InitError::Mount { target, error };
    std::fs::create_dir_all(target).map_err(failed)?;
    match mount(kind, target, kind, flags, data) {
        // The kernel may have mounted its devices itself.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}
