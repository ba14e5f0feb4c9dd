//! Files: bounded reads, outputs that are there whole or not at all, secrets
//! that only their owner can read.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_client::Error as ClientError;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::args::FileArgs;
use crate::error::CliError;

/// Reads a file (`-`: standard input) of at most `max` bytes.
pub(crate) fn read_small(path: &Path, max: u64) -> Result<Vec<u8>, CliError> {
    let bytes = read_start(path, max.saturating_add(1))?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= max => Ok(bytes),
        _ => Err(CliError::FileTooLarge { path: path.to_owned(), max }),
    }
}

/// Reads the first bytes of a file (`-`: standard input), at most `len`.
pub(crate) fn read_start(path: &Path, len: u64) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::file("read", path, source);
    let mut bytes = Vec::new();
    if is_standard(path) {
        io::stdin().lock().take(len).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// Opens the input, says how long it is when that is known, and prepares the
/// output, which must be another file.
pub(crate) async fn open_both(files: &FileArgs) -> Result<(Input, Option<u64>, Sink), CliError> {
    let (input, total) = open_input_beside(&files.input, &files.output).await?;
    Ok((input, total, Sink::create(&files.output)?))
}

/// Opens an input, which must be another file than the output.
pub(crate) async fn open_input_beside(
    input: &Path,
    output: &Path,
) -> Result<(Input, Option<u64>), CliError> {
    if is_same_file(input, output) {
        let path = output.display();
        return Err(CliError::Usage(format!("--output would replace the input {path}")));
    }
    open_input(input).await
}

/// SHA-256 of a file (`-`: standard input), of any length.
pub(crate) fn sha256(path: &Path) -> Result<[u8; 32], CliError> {
    let failed = |source| CliError::file("read", path, source);
    let mut input: Box<dyn Read> = match is_standard(path) {
        true => Box::new(io::stdin()),
        false => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut digest = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        let len = input.read(&mut piece).map_err(failed)?;
        if len == 0 {
            break;
        }
        digest.update(piece.get(..len).unwrap_or_default());
    }
    let digest = digest.finish();
    digest.as_ref().try_into().map_err(|_| CliError::Internal("a SHA-256 is not 32 bytes"))
}

async fn open_input(path: &Path) -> Result<(Input, Option<u64>), CliError> {
    if is_standard(path) {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let failed = |source| CliError::file("read", path, source);
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// Bytes that are read.
pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;

/// An output in the making. A file gets its name in [`Sink::commit`]; before, and
/// after a failure, there is nothing there (or what was there before).
pub(crate) struct Sink {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    file: Option<(TempPath, PathBuf)>,
}

impl Sink {
    /// Prepares to write `path`, readable by its owner only; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        if is_standard(path) {
            return Ok(Self { writer: Box::new(tokio::io::stdout()), file: None });
        }
        let failed = |source| CliError::file("write", path, source);
        // A link stays one; what it leads to is replaced.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if is_special(&place) {
            // A device or a pipe is written to; a folder says that it is one.
            let file = std::fs::OpenOptions::new().write(true).open(&place).map_err(failed)?;
            let writer = Box::new(tokio::fs::File::from_std(file));
            return Ok(Self { writer, file: None });
        }
        let (file, temporary) = beside(&place).map_err(failed)?.into_parts();
        let writer = Box::new(tokio::fs::File::from_std(file));
        Ok(Self { writer, file: Some((temporary, place)) })
    }

    pub(crate) fn writer(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        &mut *self.writer
    }

    /// A failure of the call that wrote here. A file in the making is gone then:
    /// there is nothing that could be discarded.
    pub(crate) fn failed(&self, error: ClientError) -> CliError {
        match (error, &self.file) {
            (ClientError::Partial { source, .. }, Some(_)) => CliError::Unwritten(*source),
            (error, _) => CliError::Client(error),
        }
    }

    /// Gives the file its name.
    pub(crate) async fn commit(mut self) -> Result<(), CliError> {
        let path = self.file.as_ref().map_or_else(|| PathBuf::from("-"), |(_, path)| path.clone());
        let failed = |source| CliError::file("write", &path, source);
        self.writer.flush().await.map_err(failed)?;
        match self.file {
            Some((temporary, path)) => {
                let failed = |source| CliError::file("write", &path, source);
                temporary.persist(&path).map_err(|error| failed(error.error))
            }
            None => Ok(()),
        }
    }
}

/// Writes a whole file at once, readable by its owner only.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::file("write", path, source);
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if is_special(&place) {
        return std::fs::write(&place, bytes).map_err(failed);
    }
    let mut file = beside(&place).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(&place).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Makes a new file with `mode`; one that is there already is left alone.
pub(crate) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::file("create", path, source);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}

/// Whether the path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether both paths lead to one regular file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    if is_standard(one) || is_standard(other) {
        return false;
    }
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        _ => false,
    }
}

/// A device, a pipe or a folder: nothing that could be replaced by a file.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| !data.is_file())
}

fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".strongroomctl-")
        .suffix(".partial")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// Bytes read at a time.
const PIECE: usize = 64 << 10;
