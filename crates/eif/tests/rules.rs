//! Every rule of the format, by a file that breaks it and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use strongroom_eif::{EifError, Image};

const KERNEL: (u16, &[u8]) = (1, b"kernel");
const CMDLINE: (u16, &[u8]) = (2, b"cmdline");
const RAMDISK: (u16, &[u8]) = (3, b"ramdisk");
const SIGNATURE: (u16, &[u8]) = (4, b"signature");
const METADATA: (u16, &[u8]) = (5, b"{}");
const ALL: [(u16, &[u8]); 5] = [KERNEL, CMDLINE, METADATA, RAMDISK, SIGNATURE];

/// A file with these sections and a CRC-32 that fits.
fn file(version: u16, sections: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 548];
    out[..4].copy_from_slice(b".eif");
    out[4..6].copy_from_slice(&version.to_be_bytes());
    out[26..28].copy_from_slice(&(sections.len() as u16).to_be_bytes());
    for (index, (kind, data)) in sections.iter().enumerate() {
        let (offset, len) = (out.len() as u64, data.len() as u64);
        if index < 32 {
            out[28 + 8 * index..][..8].copy_from_slice(&offset.to_be_bytes());
            out[284 + 8 * index..][..8].copy_from_slice(&len.to_be_bytes());
        }
        out.extend(kind.to_be_bytes());
        out.extend([0; 2]);
        out.extend(len.to_be_bytes());
        out.extend(*data);
    }
    with_crc(out)
}

fn with_crc(mut file: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..544]);
    hasher.update(&file[548..]);
    file[544..548].copy_from_slice(&hasher.finalize().to_be_bytes());
    file
}

fn error(file: &[u8]) -> EifError {
    Image::parse(file).expect_err("a rule is broken")
}

#[test]
fn sound_files_are_read() {
    for (version, sections) in [
        (4, &ALL[..]),
        (4, &[METADATA, CMDLINE, KERNEL]),
        (3, &[KERNEL, CMDLINE, SIGNATURE]),
        (2, &[CMDLINE, KERNEL, RAMDISK, RAMDISK]),
    ] {
        let file = file(version, sections);
        let image = Image::parse(&file).unwrap();
        assert_eq!(
            (image.version(), image.kernel(), image.cmdline()),
            (version, KERNEL.1, "cmdline")
        );
        let ramdisks = sections.iter().filter(|section| section.0 == 3).count();
        assert_eq!(image.ramdisks().count(), ramdisks);
    }
    let most = [&[KERNEL, CMDLINE, METADATA][..], &[RAMDISK; 29]].concat();
    assert_eq!(Image::parse(&file(4, &most)).unwrap().ramdisks().count(), 29);
}

#[test]
fn a_header_that_breaks_a_rule_is_refused() {
    let good = file(4, &ALL);
    let changed = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        error(&with_crc(file))
    };
    let reserved = |error| matches!(error, EifError::Reserved(_));
    assert_eq!(changed(0, b".elf"), EifError::Magic);
    for version in [0, 1, 5, u16::MAX] {
        assert_eq!(changed(4, &version.to_be_bytes()), EifError::Version(version));
    }
    assert!(reserved(changed(6, &[0, 2])), "a flag");
    assert!(reserved(changed(24, &[0, 1])), "the reserved field");
    assert!(reserved(changed(540, &[0, 0, 0, 1])), "the unused field");
    assert!(reserved(changed(28 + 8 * 20, &[0, 0, 0, 0, 0, 0, 2, 0])), "an unused offset");
    assert!(reserved(changed(284 + 8 * 31, &[0, 0, 0, 0, 0, 0, 0, 1])), "an unused size");
    assert!(reserved(changed(26, &[0, 4])), "a section that is not counted");
    for count in [0, 1, 33, u16::MAX] {
        assert_eq!(changed(26, &count.to_be_bytes()), EifError::SectionCount(count));
    }
    assert!(matches!(error(&[&good[..9], b"x", &good[10..]].concat()), EifError::Crc { .. }));
    for len in 0..548 {
        let error = error(&good[..len]);
        assert!(matches!(error, EifError::Short(_) | EifError::Magic), "{len} bytes: {error}");
    }
}

#[test]
fn a_table_that_is_not_the_file_is_refused() {
    let good = file(4, &ALL);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = good.clone();
        change(&mut file);
        error(&with_crc(file))
    };
    let section = |error, index: usize, text: &str| match error {
        EifError::Section { index: found, problem } => found == index && problem.contains(text),
        _ => false,
    };
    let offset = |index: usize, value: u64| {
        changed(&|file| file[28 + 8 * index..][..8].copy_from_slice(&value.to_be_bytes()))
    };
    for value in [0, 547, 549, 1 << 40, u64::MAX] {
        assert!(section(offset(0, value), 0, "begin"), "first offset {value}");
    }
    assert!(section(offset(1, 548), 1, "begin"), "the same section twice");
    let size = |value: u64| changed(&|file| file[284..292].copy_from_slice(&value.to_be_bytes()));
    for value in [5, 7, u64::MAX] {
        assert!(section(size(value), 0, "length"), "size {value}");
    }
    // Both say the same, and it is not so.
    for value in [1 << 20, u64::MAX] {
        let found = changed(&|file| {
            file[284..292].copy_from_slice(&u64::to_be_bytes(value));
            file[552..560].copy_from_slice(&u64::to_be_bytes(value));
        });
        assert!(matches!(found, EifError::Short(_)), "{value}: {found}");
    }
    assert!(section(changed(&|file| file[551] = 1), 0, "flags"));
    for kind in [0, 6, 0xFF] {
        assert!(section(changed(&|file| file[549] = kind), 0, "type"), "type {kind}");
    }
    let swapped = changed(&|file| {
        let first: Vec<u8> = file[28..36].to_vec();
        file.copy_within(36..44, 28);
        file[36..44].copy_from_slice(&first);
    });
    assert!(section(swapped, 0, "begin"), "a table in another order than the file");
    assert!(matches!(changed(&|file| file.push(0)), EifError::Structure(_)), "bytes at the end");
    assert!(
        matches!(changed(&|file| file.truncate(file.len() - 1)), EifError::Short(_)),
        "a byte missing"
    );
}

#[test]
fn sections_that_do_not_make_an_image_are_refused() {
    let long = vec![0; 32_769];
    for (version, sections, problem) in [
        (4, vec![CMDLINE, METADATA], "no kernel"),
        (4, vec![KERNEL, METADATA], "no command line"),
        (4, vec![KERNEL, CMDLINE], "no metadata"),
        (4, vec![KERNEL, CMDLINE, METADATA, KERNEL], "two kernels"),
        (4, vec![KERNEL, CMDLINE, METADATA, CMDLINE], "two command lines"),
        (4, vec![KERNEL, CMDLINE, METADATA, METADATA], "metadata twice"),
        (4, vec![KERNEL, CMDLINE, METADATA, SIGNATURE, SIGNATURE], "two signatures"),
        (4, vec![KERNEL, CMDLINE, METADATA, (4, &long)], "too large"),
        (4, vec![RAMDISK, KERNEL, CMDLINE, METADATA], "before its kernel"),
        (4, vec![KERNEL, (2, b"a\0b"), METADATA], "no text"),
        (4, vec![KERNEL, (2, b"a\xffb"), METADATA], "no text"),
        (2, vec![KERNEL, CMDLINE, SIGNATURE], "signed"),
    ] {
        let error = error(&file(version, &sections)).to_string();
        assert!(error.contains(problem), "{problem}: {error}");
    }
    assert!(Image::parse(&file(4, &[KERNEL, CMDLINE, METADATA, (4, &long[1..])])).is_ok());
}
