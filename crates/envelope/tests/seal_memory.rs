//! Trust rule 9: after a result was sealed or opened, or a
//! `CiphertextForRecipient` was opened, its plaintext is nowhere in memory.
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

#[path = "cms/maker.rs"]
#[allow(dead_code, reason = "shared with tests/cms.rs, which uses all of it")]
mod maker;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use strongroom_envelope::SecretBuf;
use strongroom_envelope::cms::RecipientKey;
use strongroom_envelope::seal::{
    Binding, MAX_CHUNK_LEN, Opener, RecipientSecretKey, Setup, StreamHeader,
};
use zeroize::Zeroize;

/// A secret of 16 bytes that exists in memory only under a mask.
struct Marker([u8; 16]);

impl Marker {
    fn new(seed: u8) -> Self {
        Self(std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ seed))
    }

    /// The secret, over and over, for `length` bytes.
    fn fill(&self, length: usize) -> Vec<u8> {
        (0..length).map(|i| self.byte(i)).collect()
    }

    fn byte(&self, at: usize) -> u8 {
        std::hint::black_box(self.0[at % 16]) ^ 0x5c
    }

    /// How often the secret stands in writable memory.
    fn hits(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut buffer = Vec::new();
        let mut hits = 0;
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
                hits += self.count(&buffer);
            }
            buffer.zeroize();
        }
        hits
    }

    fn count(&self, bytes: &[u8]) -> usize {
        let matches = |window: &&[u8]| (0..16).all(|i| window[i] == self.byte(i));
        bytes.windows(16).filter(matches).count()
    }
}

#[test]
fn no_plaintext_is_left_in_memory_after_sealing_or_opening() {
    let marker = Marker::new(0xe1);
    let mut plaintext = marker.fill(2 * MAX_CHUNK_LEN + 4096);
    assert!(marker.hits() > 4096, "the search finds what is there");

    let args = BTreeMap::new();
    let binding = Binding {
        request_id: [1; 16],
        job: "job",
        args: &args,
        input: &[2; 32],
        nonce: None,
        padded: false,
    };
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let setup = Setup::new(&public, &binding).unwrap();
    let user_data = setup.user_data();
    let mut stream = Vec::new();
    let mut sealer = setup.start(b"document", &mut stream).unwrap();
    for piece in plaintext.chunks(7000) {
        sealer.seal(piece, &mut stream).unwrap();
    }
    sealer.finish(&mut stream).unwrap();
    plaintext.zeroize();
    assert_eq!(marker.hits(), 0, "after sealing");

    let (header, length) = StreamHeader::parse(&stream).unwrap().unwrap();
    let mut opener = Opener::new(&header, &binding, &secret, &user_data).unwrap();
    let mut out = SecretBuf::new();
    opener.open(&stream[length..], &mut out).unwrap();
    opener.finish().unwrap();
    assert!(marker.count(out.expose()) > 0);
    drop(out);
    assert_eq!(marker.hits(), 0, "after opening");

    let key = RecipientKey::generate().unwrap();
    let mut plaintext = marker.fill(1024);
    let message = maker::Shape::new(&key, &plaintext).build();
    plaintext.zeroize();
    // The maker leaves what it likes behind; only what opening adds counts.
    let before = marker.hits();
    let opened = key.open(&message).unwrap();
    assert!(marker.hits() > before);
    drop(opened);
    assert!(marker.hits() <= before, "after opening a CiphertextForRecipient");
}
