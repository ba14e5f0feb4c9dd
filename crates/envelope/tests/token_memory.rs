//! Trust rule 9: once values were turned into tokens, back, and into indexes,
//! neither they nor the keys are in memory; nor is a message that was signed.
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
use std::sync::Arc;

use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::{BlindIndex, Normalise};
use strongroom_envelope::signing::{SignatureAlgorithm, SigningKey};
use strongroom_envelope::token::{Alphabet, Ff1, Siv, TokenKey};
use zeroize::Zeroize;

/// Bytes that exist in memory only under a mask.
struct Marker {
    name: &'static str,
    masked: &'static [u8],
}

const MASK: u8 = 0x5c;

/// 40 alphanumeric characters, what FF1 makes of them on the way, and the keys
/// derived from [`secret`]: computed elsewhere, so that no copy of ours is found.
const VALUE: [u8; 40] = [
    0x38, 0x1b, 0x30, 0x11, 0x33, 0x35, 0x25, 0x2e, 0x30, 0x3a, 0x24, 0x04, 0x6d, 0x2e, 0x08, 0x32,
    0x25, 0x1a, 0x3a, 0x6f, 0x2a, 0x1d, 0x6b, 0x12, 0x09, 0x28, 0x1a, 0x13, 0x05, 0x6a, 0x3d, 0x1a,
    0x6c, 0x37, 0x18, 0x0d, 0x14, 0x1e, 0x2b, 0x28,
];
const MARKERS: [Marker; 15] = [
    Marker { name: "secret", masked: &SECRET },
    Marker { name: "signing key, seed", masked: &SEED },
    Marker { name: "signing key, scalar", masked: &SCALAR },
    Marker { name: "signing key, scalar from its last byte", masked: &reversed(SCALAR) },
    Marker { name: "value, first half", masked: VALUE.first_chunk::<16>().unwrap() },
    Marker { name: "value, second half", masked: VALUE.last_chunk::<16>().unwrap() },
    Marker {
        name: "numerals",
        masked: &[
            0x7b, 0x4c, 0x73, 0x4a, 0x6e, 0x70, 0x60, 0x69, 0x73, 0x75, 0x67, 0x7d, 0x5d, 0x69,
            0x41, 0x6d,
        ],
    },
    Marker {
        name: "NUM(A)",
        masked: &[
            0x21, 0x10, 0x00, 0x95, 0x46, 0x5c, 0x94, 0x68, 0x79, 0xc4, 0xff, 0x8d, 0x66, 0xb2,
            0x09, 0x5c,
        ],
    },
    Marker {
        name: "NUM(B)",
        masked: &[
            0x3b, 0x08, 0x26, 0x8b, 0x39, 0x06, 0x35, 0xe8, 0x8a, 0xe2, 0xbd, 0xcf, 0x0c, 0x49,
            0x21, 0x5c,
        ],
    },
    Marker {
        name: "MAC key of AES-SIV",
        masked: &[
            0x43, 0x22, 0x2d, 0x3b, 0x4c, 0x71, 0xb0, 0x34, 0x03, 0x5e, 0x3b, 0x93, 0xc3, 0x1a,
            0x4a, 0x6d,
        ],
    },
    Marker {
        name: "cipher key of AES-SIV",
        masked: &[
            0x41, 0x62, 0x81, 0xdd, 0xf8, 0xd8, 0xfc, 0x6b, 0xb6, 0x77, 0x5a, 0x8d, 0x40, 0x81,
            0xa0, 0xea,
        ],
    },
    Marker {
        name: "key of FF1",
        masked: &[
            0x2f, 0xe6, 0x32, 0xa5, 0x46, 0x8e, 0x47, 0xaa, 0xca, 0xb1, 0x7c, 0x50, 0x4b, 0x92,
            0x1c, 0x94,
        ],
    },
    Marker {
        name: "key of the index",
        masked: &[
            0x83, 0x0a, 0x1e, 0xae, 0x7f, 0xa2, 0x19, 0x57, 0x08, 0x21, 0x3d, 0x82, 0xaf, 0xd9,
            0x04, 0xbd,
        ],
    },
    Marker {
        name: "HMAC's inner state under the key of the index",
        masked: &[
            0x79, 0xeb, 0x8d, 0x7c, 0xfd, 0x04, 0x31, 0x91, 0x3e, 0xdf, 0x06, 0x33, 0xc2, 0x34,
            0x19, 0xc0,
        ],
    },
    Marker {
        name: "HMAC's outer state under the key of the index",
        masked: &[
            0xa4, 0xb1, 0x08, 0x83, 0x10, 0xc5, 0x65, 0x9a, 0xa8, 0xde, 0x16, 0x6f, 0x22, 0xfa,
            0x67, 0xf3,
        ],
    },
];

const SECRET: [u8; 32] = masked(37, 0x11);
const SEED: [u8; 32] = masked(41, 0x29);
const SCALAR: [u8; 32] = masked(43, 0x37);

const fn masked(step: usize, start: u8) -> [u8; 32] {
    let mut masked = [0; 32];
    let mut i = 0;
    while i < 32 {
        masked[i] = ((i * step) as u8) ^ start;
        i += 1;
    }
    masked
}

const fn reversed(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes.reverse();
    bytes
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
    for marker in &MARKERS {
        first[usize::from(marker.masked[0] ^ MASK)] = true;
    }
    for at in (0..bytes.len()).filter(|at| first[usize::from(bytes[*at])]) {
        found.extend(MARKERS.iter().filter(|m| m.stands_at(&bytes[at..])).map(|m| m.name));
    }
}

impl Marker {
    fn stands_at(&self, bytes: &[u8]) -> bool {
        let matches = |(byte, masked): (&u8, &u8)| *byte == black_box(*masked) ^ MASK;
        bytes.len() >= self.masked.len() && bytes.iter().zip(self.masked).all(matches)
    }
}

#[test]
fn no_value_and_no_key_is_left_in_memory() {
    expand_keys_and_look();
    sign_and_look(SignatureAlgorithm::Ed25519, unmasked(&SEED));
    sign_and_look(SignatureAlgorithm::EcdsaP256Sha256, sec1());
    let mut secret = unmasked(&SECRET);
    let mut value = unmasked(&VALUE);
    let both = found();
    assert!(both.contains(&"secret") && both.contains(&"value, first half"), "{both:?}");

    let key = TokenKey::new(&secret).unwrap();
    secret.zeroize();
    assert!(found().contains(&"key of FF1"), "the search finds what is there");
    let siv = Siv::new(&key, "name", "acme").unwrap();
    let ff1 = Ff1::new(&key, "name", "acme", Alphabet::Alphanumeric).unwrap();
    let steps = [Normalise::Trim, Normalise::Lowercase, Normalise::CollapseSpaces];
    let index = BlindIndex::new(&key, "name", "acme", &steps, 16).unwrap();

    let mut out = SecretBuf::new();
    siv.tokenize(&value, &mut out).unwrap();
    ff1.encrypt(std::str::from_utf8(&value).unwrap(), &mut out).unwrap();
    index.index(std::str::from_utf8(&value).unwrap(), &mut out).unwrap();
    value.zeroize();
    let left: Vec<_> = found().into_iter().filter(|name| !name.contains("key")).collect();
    assert!(left.is_empty(), "after making tokens: {left:?}");

    let mut back = SecretBuf::new();
    let (token, rest) = out.expose().split_at(out.len() - 40 - 32);
    siv.detokenize(token, &mut back).unwrap();
    ff1.decrypt(std::str::from_utf8(&rest[..40]).unwrap(), &mut back).unwrap();
    let whole = Marker { name: "value", masked: &VALUE };
    assert!(whole.stands_at(back.expose()) && whole.stands_at(&back.expose()[40..]));
    let mut changed = token.to_vec();
    changed[30] ^= 1;
    assert!(siv.detokenize(&changed, &mut back).is_err());
    drop(back);
    let left: Vec<_> = found().into_iter().filter(|name| !name.contains("key")).collect();
    assert!(left.is_empty(), "after turning tokens back: {left:?}");

    drop((key, siv, ff1, index));
    assert!(found().is_empty(), "after the request: {:?}", found());
}

/// RFC 5915's ECPrivateKey of a P-256 key, without the public key.
fn sec1() -> Vec<u8> {
    let mut sec1 = Vec::with_capacity(64);
    sec1.extend([0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20]);
    sec1.extend(SCALAR.iter().map(|byte| black_box(*byte) ^ MASK));
    sec1.extend([0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    sec1
}

/// Nothing is called in between that might overwrite what was left behind.
fn expand_keys_and_look() {
    let mut secret = unmasked(&SECRET);
    let key = TokenKey::new(&secret).unwrap();
    secret.zeroize();
    let siv = Siv::new(&key, "name", "acme").unwrap();
    let ff1 = Ff1::new(&key, "name", "acme", Alphabet::Alphanumeric).unwrap();
    drop((siv, ff1));
    let index = BlindIndex::new(&key, "name", "acme", &[], 16).unwrap();
    let states = found().iter().filter(|name| name.starts_with("HMAC")).count();
    assert!(states >= 2, "the search finds what is there");
    index.index("value", &mut SecretBuf::new()).unwrap();
    drop((key, index));
    assert!(found().is_empty(), "after expanding keys: {:?}", found());
}

fn sign_and_look(algorithm: SignatureAlgorithm, mut private_key: Vec<u8>) {
    let signing = Arc::new(SigningKey::new(algorithm, &private_key).unwrap());
    private_key.zeroize();
    let mut message = unmasked(&VALUE);
    let mut signer = signing.sign_message(1024);
    signer.update(&message).unwrap();
    message.zeroize();
    signer.finish().unwrap();
    drop(signing);
    assert!(found().is_empty(), "after {algorithm:?}: {:?}", found());
}
