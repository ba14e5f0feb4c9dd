//! A result as a file that is there whole or not at all.
//!
//! Written beside its final place under another name and renamed when the call
//! has succeeded. Used by the `…_to_file` calls.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::fs::{File, rename};
use tokio::io::AsyncWriteExt as _;

use crate::error::Error;
use crate::verifier::random;

/// A file in the making. Removed when dropped before [`PartialFile::commit`].
pub(crate) struct PartialFile {
    file: File,
    temporary: Temporary,
    path: PathBuf,
}

impl PartialFile {
    /// Creates it beside `path`, readable by its owner only.
    ///
    /// Blocks for the moment that takes: if it were awaited, a call dropped in
    /// that moment would leave a file that nobody removes.
    pub(crate) fn beside(path: &Path) -> Result<Self, Error> {
        let temporary = temporary_name(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = File::from_std(options.open(&temporary).map_err(Error::Output)?);
        Ok(Self { file, temporary: Temporary(Some(temporary)), path: path.to_owned() })
    }

    /// Where to write.
    pub(crate) const fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, replacing one that was there.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.file.flush().await.map_err(Error::Output)?;
        self.file.sync_all().await.map_err(Error::Output)?;
        let Some(temporary) = &self.temporary.0 else { return Ok(()) };
        rename(temporary, &self.path).await.map_err(Error::Output)?;
        self.temporary.0 = None;
        Ok(())
    }
}

/// A file to remove on drop.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing is left to be done about a failure here; the name says
            // that the file is no result.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// `.<name>.<16 hex digits>.partial`, which nobody can have put there before.
fn temporary_name(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| {
        Error::Output(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))
    })?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{:016x}.partial", u64::from_be_bytes(random()?)));
    Ok(path.with_file_name(temporary))
}
