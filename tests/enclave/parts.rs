//! What a boot needs and cargo does not build: from the environment.

use std::path::PathBuf;
use std::process::Command;

/// Paths of everything that an image is made of and booted with.
#[derive(Clone, Debug)]
pub struct Parts {
    pub qemu: PathBuf,
    pub kernel: PathBuf,
    /// The product's binary, static.
    pub product: PathBuf,
    /// The laboratory's, static: the same with KMS roots of the image.
    pub lab: PathBuf,
    pub strongroomctl: PathBuf,
}

/// The parts, or nothing and a line that says so.
pub fn parts() -> Option<Parts> {
    let missing = |name: &str| {
        eprintln!("skipped: {name} is not set; `tests/enclave/run` boots the image");
    };
    let path = |name: &str| match std::env::var_os(name) {
        Some(path) => Some(PathBuf::from(path)),
        None => {
            missing(name);
            None
        }
    };
    Some(Parts {
        qemu: path("STRONGROOM_QEMU")?,
        kernel: path("STRONGROOM_KERNEL")?,
        product: path("STRONGROOM_BINARY")?,
        lab: path("STRONGROOM_LAB_BINARY")?,
        strongroomctl: path("STRONGROOM_CTL")?,
    })
}

impl Parts {
    /// Runs `strongroomctl`, which must succeed; gives what it printed.
    pub fn strongroomctl<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> String {
        let output = Command::new(&self.strongroomctl).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "strongroomctl: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}
