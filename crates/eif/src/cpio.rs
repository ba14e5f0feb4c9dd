//! cpio archives of the kind the kernel unpacks ("newc", `070701`).
//!
//! Written so that the same entries give the same bytes: sorted by name, times
//! and owners zero, inode numbers counted. Read strictly and within bounds, to
//! say what an image holds. The kernel's documentation
//! (`driver-api/early-userspace/buffer-format.rst`) is the source.

use std::collections::BTreeMap;

/// An archive to write.
#[derive(Debug, Default)]
pub struct Archive<'a> {
    entries: BTreeMap<&'a str, (u32, &'a [u8])>,
}

/// Why an archive cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// A path that an archive cannot hold.
    #[error("`{0}` is no path within an image: such as `init` or `etc/x`")]
    Path(String),
    /// A file of 4 GiB or more.
    #[error("`{0}` is too large for a cpio archive")]
    TooLarge(String),
    /// Not an archive, or a damaged one.
    #[error("the ramdisk is no cpio archive: {0}")]
    Malformed(&'static str),
    /// More than is listed here.
    #[error("the ramdisk has more than {MAX_ENTRIES} entries")]
    TooMany,
}

impl<'a> Archive<'a> {
    /// Adds a regular file, and the folders above it.
    ///
    /// # Errors
    /// [`CpioError::Path`]: paths are relative, without `.` and `..`.
    pub fn file(&mut self, path: &'a str, mode: u32, data: &'a [u8]) -> Result<(), CpioError> {
        self.add(path, S_IFREG | (mode & 0o7777), data)
    }

    /// Adds a folder of mode 0755, and those above it.
    ///
    /// # Errors
    /// [`CpioError::Path`].
    pub fn folder(&mut self, path: &'a str) -> Result<(), CpioError> {
        self.add(path, FOLDER, &[])
    }

    fn add(&mut self, path: &'a str, mode: u32, data: &'a [u8]) -> Result<(), CpioError> {
        let refuse = || CpioError::Path(path.to_owned());
        let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(sound) || path == TRAILER {
            return Err(refuse());
        }
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..at).ok_or_else(refuse)?;
            let above = self.entries.entry(folder).or_insert((FOLDER, &[]));
            if above.0 & S_IFMT != S_IFDIR {
                return Err(refuse());
            }
        }
        let old = self.entries.insert(path, (mode, data));
        match old {
            None => Ok(()),
            Some((old, _)) if old == FOLDER && mode == FOLDER => Ok(()),
            Some(_) => Err(refuse()),
        }
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// [`CpioError::TooLarge`] for a file of 4 GiB or more.
    pub fn write(&self) -> Result<Vec<u8>, CpioError> {
        let mut out = Vec::new();
        for (inode, (name, (mode, data))) in (1_u32..).zip(&self.entries) {
            write_entry(&mut out, inode, name, *mode, data)?;
        }
        write_entry(&mut out, 0, TRAILER, 0, &[])?;
        Ok(out)
    }
}

fn write_entry(
    out: &mut Vec<u8>,
    inode: u32,
    name: &str,
    mode: u32,
    data: &[u8],
) -> Result<(), CpioError> {
    let too_large = || CpioError::TooLarge(name.to_owned());
    let name_len = name.len().checked_add(1).and_then(|len| u32::try_from(len).ok());
    let links = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
    out.extend(MAGIC);
    for field in [
        inode,
        mode,
        0, // owner
        0, // group
        links,
        0, // time
        u32::try_from(data.len()).map_err(|_| too_large())?,
        0, // device, major and minor
        0,
        0, // device that the entry is, major and minor
        0,
        name_len.ok_or_else(too_large)?,
        0, // checksum: only another kind of archive has one
    ] {
        out.extend(format!("{field:08X}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    pad(out);
    out.extend(data);
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// An entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path as it stands there.
    pub name: &'a str,
    /// Type and permissions, as `stat(2)` has them.
    pub mode: u32,
    /// Content of a file, target of a link.
    pub data: &'a [u8],
}

/// The entries of one archive, or of several one after the other as the kernel
/// takes them.
///
/// # Errors
/// [`CpioError::Malformed`] and [`CpioError::TooMany`].
pub fn read(archive: &[u8]) -> Result<Vec<Entry<'_>>, CpioError> {
    let (mut at, mut entries) = (0, Vec::new());
    loop {
        // Zeros may fill the room between two archives.
        while archive.get(at) == Some(&0) {
            at = at.saturating_add(1);
        }
        if at >= archive.len() {
            return Ok(entries);
        }
        // The kernel refuses it too ("broken padding").
        if !at.is_multiple_of(4) {
            return Err(CpioError::Malformed("an entry begins at no multiple of 4 bytes"));
        }
        let (entry, next) = read_entry(archive, at)?;
        if entry.name != TRAILER {
            entries.push(entry);
        }
        if entries.len() > MAX_ENTRIES {
            return Err(CpioError::TooMany);
        }
        at = next;
    }
}

fn read_entry(archive: &[u8], at: usize) -> Result<(Entry<'_>, usize), CpioError> {
    let cut = CpioError::Malformed("it ends within an entry");
    let piece = |from: usize, len: usize| {
        let end = from.checked_add(len)?;
        Some((archive.get(from..end)?, end))
    };
    let (head, name_at) = piece(at, HEAD_LEN).ok_or(cut.clone())?;
    let fields = head
        .strip_prefix(MAGIC)
        .ok_or(CpioError::Malformed("an entry does not start with 070701"))?;
    let field = |index: usize| {
        let digits =
            fields.chunks(8).nth(index).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or(CpioError::Malformed("a field of an entry is no number"))
    };
    let len = |index| field(index).map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    let (mode, data_len, name_len) = (field(1)?, len(6)?, len(11)?);
    let (name, name_end) = piece(name_at, name_len).ok_or(cut.clone())?;
    let name = name
        .strip_suffix(&[0])
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| !name.contains('\0'))
        .ok_or(CpioError::Malformed("the name of an entry is no text"))?;
    let data_at = aligned(name_end).ok_or(cut.clone())?;
    let (data, data_end) = piece(data_at, data_len).ok_or(cut.clone())?;
    let next = aligned(data_end).ok_or(cut)?;
    Ok((Entry { name, mode, data }, next))
}

const fn aligned(at: usize) -> Option<usize> {
    at.checked_next_multiple_of(4)
}

const MAGIC: &[u8; 6] = b"070701";
const TRAILER: &str = "TRAILER!!!";
const HEAD_LEN: usize = 110;
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const FOLDER: u32 = S_IFDIR | 0o755;

/// Most entries that are listed; a container's image has some thousands.
pub const MAX_ENTRIES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_that_would_lead_elsewhere_are_refused() {
        for path in ["", "/", "/init", "a//b", "../x", "a/./b", "a/", "TRAILER!!!", "a\0b"] {
            assert!(Archive::default().file(path, 0o644, b"").is_err(), "{path:?}");
        }
        let mut archive = Archive::default();
        archive.file("a", 0o644, b"").unwrap();
        assert!(archive.file("a/b", 0o644, b"").is_err(), "a file is no folder");
        assert!(archive.file("a", 0o644, b"").is_err(), "the same path twice");
    }

    #[test]
    fn folders_above_a_file_come_before_it() {
        let mut archive = Archive::default();
        archive.file("modules/nsm.ko", 0o600, b"x").unwrap();
        archive.folder("dev").unwrap();
        let bytes = archive.write().unwrap();
        let names: Vec<_> = read(&bytes).unwrap().iter().map(|e| (e.name, e.mode)).collect();
        assert_eq!(
            names,
            [("dev", 0o040_755), ("modules", 0o040_755), ("modules/nsm.ko", 0o100_600)]
        );
    }

    #[test]
    fn broken_archives_are_refused_for_what_is_wrong() {
        let mut archive = Archive::default();
        archive.file("abc", 0o644, b"data").unwrap();
        let good = archive.write().unwrap();
        let changed = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            bad
        };
        for (problem, bad) in [
            ("070701", changed(0, b"070702")),
            ("070701", changed(0, &[0x1f, 0x8b, 8])),
            ("no number", changed(14, b"+0000001")),
            ("ends within", changed(54, b"FFFFFFFF")),
            ("ends within", changed(94, b"FFFFFFFF")),
            ("no text", changed(94, b"00000000")),
            ("no text", changed(110, &[0xff])),
            ("no text", changed(111, b"\0")),
            ("no text", changed(113, b"d")),
            ("ends within", good[..good.len() - 4].to_vec()),
            ("multiple of 4", [&[0; 2], &good[..]].concat()),
        ] {
            let error = read(&bad).unwrap_err().to_string();
            assert!(error.contains(problem), "{problem}: {error}");
        }
    }

    #[test]
    fn gnu_cpio_lists_what_was_written() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut archive = Archive::default();
        archive.file("etc/hello", 0o644, b"hello").unwrap();
        let cpio = Command::new("cpio")
            .arg("-tv")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut cpio) = cpio else {
            // Past the test harness, which would swallow it.
            let mut out = std::io::stderr();
            writeln!(out, "skipped: there is no `cpio` command").unwrap();
            return;
        };
        cpio.stdin.take().unwrap().write_all(&archive.write().unwrap()).unwrap();
        let listed = cpio.wait_with_output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("etc/hello") && listed.contains("drwxr-xr-x"), "{listed}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(files in prop::collection::btree_map("[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
            let mut archive = Archive::default();
            for (name, data) in &files {
                archive.file(name, 0o644, data).unwrap();
            }
            let bytes = archive.write().unwrap();
            let twice = [&bytes[..], &[0; 8], &bytes[..]].concat();
            let read_back = read(&twice).unwrap();
            prop_assert_eq!(read_back.len(), 2 * files.len());
            for (entry, (name, data)) in read_back.iter().zip(&files) {
                prop_assert_eq!(entry.name, name.as_str());
                prop_assert_eq!(entry.data, data.as_slice());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..110) {
            let _ = read(&bytes);
            let mut archive = Archive::default();
            archive.file("a", 0o644, b"data").unwrap();
            let mut written = archive.write().unwrap();
            if let Some(byte) = bytes.first() {
                written[at] = *byte;
            }
            let _ = read(&written);
        }
    }
}
