//! The QEMU that machines run in: whether it is there and has what it takes.
//!
//! Called by `machine.rs` before anything is started. It needs a device that
//! only newer versions have: `vhost-user-test-device`, which carries any virtio
//! device by its number.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A QEMU that can run a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    program: PathBuf,
    version: String,
}

impl Qemu {
    /// Looks at a program: a path, or a name to be looked up in `PATH`.
    ///
    /// # Errors
    /// [`QemuError`], which says how to get one that will do.
    pub fn at(program: &Path) -> Result<Self, QemuError> {
        let output = ask(program, &["--version"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().and_then(version);
        let Some(version) = version.filter(|_| output.status.success()) else {
            return Err(QemuError::NotQemu { program: program.to_owned() });
        };
        let device = format!("{DEVICE},help");
        let output = ask(program, &["-M", "none", "-display", "none", "-device", &device])?;
        let options = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !options.contains("virtio-id=") {
            return Err(QemuError::NoDevice { program: program.to_owned(), version });
        }
        Ok(Self { program: program.to_owned(), version })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version, like `11.1.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Why machines cannot run in a program.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It cannot be started.
    #[error("{} cannot be run: {source}. {GET_ONE}", .program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is some other program.
    #[error("{} is not QEMU: it does not say so when asked for its version. {GET_ONE}", .program.display())]
    NotQemu {
        /// The program.
        program: PathBuf,
    },
    /// It is too old, or built without what machines need.
    #[error("QEMU {version} ({}) has no {DEVICE}, which carries /dev/nsm. {GET_ONE}", .program.display())]
    NoDevice {
        /// The program.
        program: PathBuf,
        /// Its version.
        version: String,
    },
}

fn ask(program: &Path, args: &[&str]) -> Result<Output, QemuError> {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| QemuError::Run { program: program.to_owned(), source })
}

/// `QEMU emulator version 11.1.3 (…)`.
fn version(line: &str) -> Option<String> {
    let rest = line.strip_prefix("QEMU emulator version ")?;
    rest.split_whitespace().next().map(Into::into)
}

/// Carries any virtio device whose backend is another program.
pub(crate) const DEVICE: &str = "vhost-user-test-device";

const GET_ONE: &str = "Run `image/qemu` of the strongroom repository, which unpacks one that will do and prints its path";

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that says what a test wants.
    fn program(dir: &Path, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn what_will_not_do_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Qemu::at(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, QemuError::Run { .. }));
        let other = Qemu::at(&program(dir.path(), "echo GNU bash, version 5.2")).unwrap_err();
        assert!(matches!(other, QemuError::NotQemu { .. }));
        let old =
            "case $1 in --version) echo 'QEMU emulator version 7.2.1 (Debian)';; *) exit 1;; esac";
        let old = Qemu::at(&program(dir.path(), old)).unwrap_err();
        assert!(old.to_string().contains("QEMU 7.2.1"), "{old}");
        for error in [missing, other, old] {
            assert!(error.to_string().contains("image/qemu"), "{error}");
        }
    }

    #[test]
    fn one_with_the_device_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let new = "case $1 in --version) echo 'QEMU emulator version 11.1.3 (x)';; \
                   *) echo '  virtio-id=<uint16>';; esac";
        let qemu = Qemu::at(&program(dir.path(), new)).unwrap();
        assert_eq!(qemu.version(), "11.1.3");
    }
}
