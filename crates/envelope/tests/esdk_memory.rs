//! Trust rule 9: once an Encryption SDK message was opened, or was not, neither
//! its plaintext nor a key of it is in memory.
//!
//! One test, so that no other one runs in the process while it looks.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use strongroom_envelope::esdk::{
    EncryptedDataKey, EncryptionContext, FrameLen, Header, Limits, Opener, Policy, Sealer,
};
use strongroom_envelope::{DataKey, SecretBuf};
use zeroize::Zeroize;

/// What exists in memory only under a mask, and its name.
type Marker = (&'static str, &'static [u8]);

const MASK: u8 = 0x5c;
const DATA_KEY: [u8; 32] = masked(53, 0x1d);
const PLAINTEXT: [u8; 32] = masked(31, 0x47);

/// What is derived from the data key was computed elsewhere, so that no copy of
/// ours is found.
const MARKERS: [Marker; 6] = [
    ("data key", &DATA_KEY),
    ("plaintext", &PLAINTEXT),
    (
        "pseudorandom key",
        &[
            0xc6, 0x80, 0x9e, 0xc3, 0xa8, 0xe7, 0x6a, 0x4b, 0x7d, 0xf2, 0x8d, 0x3b, 0x7b, 0x92,
            0x51, 0x7e,
        ],
    ),
    (
        "encryption key",
        &[
            0x81, 0x95, 0x04, 0xcd, 0x50, 0xb6, 0x71, 0x51, 0x3f, 0xb2, 0x3b, 0x87, 0x6a, 0xf8,
            0x74, 0x70,
        ],
    ),
    (
        "HMAC's inner state under the pseudorandom key",
        &[
            0xf2, 0x8e, 0x48, 0x47, 0xbe, 0x48, 0xaf, 0x1b, 0x27, 0x3e, 0x84, 0xf1, 0x2f, 0xec,
            0x3f, 0xb2,
        ],
    ),
    (
        "HMAC's outer state under the pseudorandom key",
        &[
            0x4a, 0xfd, 0xc4, 0xcb, 0xee, 0x1c, 0x92, 0x6f, 0x80, 0x78, 0xbe, 0xd3, 0xe6, 0x4f,
            0xa8, 0x93,
        ],
    ),
];

/// The plaintext in one frame, without a context.
const MESSAGE: &str = "0204786b76513c1ffac5a0836e49543712fdd8bb86614c2f0a15f0d3be996447220de8\
    00000001000170000169000163020000100036be2555ccd2f4046a2cba27429b8c63333dfe3ca05490c769cfb8e1\
    d52debec3a958eea937c72302e16074bc6cee1c2ffffffff00000001000000000000000000000001000000203\
    43ee4068334077394f2b4eae08036ff2bf8594e9af8e442ea38575cf9865a615a482f7f940ea6e051bbfdffc1c31\
    b1d";

const fn masked(step: usize, start: u8) -> [u8; 32] {
    let mut masked = [0; 32];
    let mut i = 0;
    while i < 32 {
        masked[i] = ((i * step) as u8) ^ start;
        i += 1;
    }
    masked
}

fn unmasked(masked: &[u8]) -> Vec<u8> {
    masked.iter().map(|byte| black_box(*byte) ^ MASK).collect()
}

/// Names of the markers that stand in writable memory.
fn found() -> Vec<&'static str> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        if !access.starts_with("rw") || line.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        buffer.resize((end - start) as usize, 0);
        if memory.read_exact_at(&mut buffer, start).is_ok() {
            search(&buffer, &mut found);
        }
        buffer.zeroize();
    }
    found
}

/// Adds the names of the markers in `bytes`; most places are left at their first
/// byte, so that a build without optimisation gets through.
fn search(bytes: &[u8], found: &mut Vec<&'static str>) {
    let mut first = [false; 256];
    for (_, masked) in &MARKERS {
        first[usize::from(masked[0] ^ MASK)] = true;
    }
    for at in (0..bytes.len()).filter(|at| first[usize::from(bytes[*at])]) {
        let here = MARKERS.iter().filter(|(_, masked)| stands_at(masked, &bytes[at..]));
        found.extend(here.map(|(name, _)| *name));
    }
}

fn stands_at(masked: &[u8], bytes: &[u8]) -> bool {
    let matches = |(byte, masked): (&u8, &u8)| *byte == black_box(*masked) ^ MASK;
    bytes.len() >= masked.len() && bytes.iter().zip(masked).all(matches)
}

/// Lends the data key, which handing over by value would leave copies of.
fn with_data_key<T>(work: impl FnOnce(&DataKey) -> T) -> T {
    let mut bytes = unmasked(&DATA_KEY);
    let key = DataKey::from_slice(&bytes).unwrap();
    bytes.zeroize();
    overwrite_stack();
    work(&key)
}

/// Only before what is looked at: it must not tidy up behind that.
#[inline(never)]
fn overwrite_stack() {
    black_box(&mut [0_u8; 4096]);
}

#[test]
fn no_plaintext_and_no_key_of_a_message_is_left_in_memory() {
    let mut message = hex::decode(MESSAGE).unwrap();
    let parse = |message: &[u8]| {
        Header::parse(message, &Limits::DEFAULT, &Policy::default()).unwrap().unwrap()
    };
    let (header, len) = parse(&message);

    let mut opener = with_data_key(|key| Opener::new(header, key).unwrap());
    let held = found();
    let only_the_key = held.iter().all(|name| *name == "encryption key");
    assert!(only_the_key && !held.is_empty(), "while it is opened: {held:?}");
    let mut plaintext = SecretBuf::new();
    assert_eq!(opener.open(&message[len..], &mut plaintext, 1024), Ok(message.len() - len));
    assert!(stands_at(&PLAINTEXT, plaintext.expose()));
    assert!(found().contains(&"plaintext"), "the search finds what is there");
    opener.finish().unwrap();
    drop(plaintext);
    assert!(found().is_empty(), "after it was opened: {:?}", found());

    // The last byte of the header's tag, then of the commitment.
    for behind in [1, 17] {
        message[len - behind] ^= 1;
        let header = parse(&message).0;
        assert!(with_data_key(|key| Opener::new(header, key)).is_err());
        assert!(found().is_empty(), "after it was refused: {:?}", found());
        message[len - behind] ^= 1;
    }

    seal();
    assert!(found().is_empty(), "after one was sealed: {:?}", found());
}

/// In pieces, so that some of the plaintext has to wait.
fn seal() {
    let keys =
        [EncryptedDataKey { provider_id: "p".into(), provider_info: vec![], ciphertext: vec![1] }];
    let (frame, context) = (FrameLen::new(100).unwrap(), EncryptionContext::default());
    let (mut out, mut plaintext) = (Vec::new(), unmasked(&PLAINTEXT));
    let mut sealer =
        with_data_key(|key| Sealer::new(key, &context, &keys, frame, &mut out).unwrap());
    for _ in 0..9 {
        sealer.seal(&plaintext, &mut out).unwrap();
    }
    plaintext.zeroize();
    sealer.finish(&mut out).unwrap();
}
