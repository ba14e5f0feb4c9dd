//! The cryptographic library alone: what no reader or writer of the format can
//! do without.

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf, hmac, rand};

use crate::thread_time::timed;

/// Additional data of a frame: message id, label, number, length.
const AAD: [u8; 32 + 28 + 4 + 8] = [3; 72];
/// What the tag of a short message's header covers.
const HEADER: [u8; 420] = [4; 420];

/// A key, and ciphertext of it in chunks: each with a nonce and a tag of its own.
pub struct Reference {
    key: LessSafeKey,
    chunk: usize,
    ciphertext: Vec<u8>,
    tags: Vec<[u8; 16]>,
    /// As long as what is opened before it is used; written again and again.
    piece: Vec<u8>,
}

impl Reference {
    /// Of `len` bytes, a piece of at most `piece` at once.
    pub fn new(len: usize, piece: usize, chunk: usize) -> Self {
        let mut new = Self {
            key: gcm(&[1; 32]),
            chunk,
            ciphertext: vec![7; len],
            tags: vec![[0; 16]; len.div_ceil(chunk)],
            piece: vec![0; piece],
        };
        for (number, (chunk, tag)) in (0..).zip(new.ciphertext.chunks_mut(chunk).zip(&mut new.tags))
        {
            let made = new.key.seal_in_place_separate_tag(nonce(number), Aad::from(&AAD), chunk);
            tag.copy_from_slice(made.unwrap().as_ref());
        }
        new
    }

    /// Opens all of it, each piece from where it arrived into the same memory;
    /// says how long that took.
    pub fn open(&mut self) -> Duration {
        let (mut arrived, mut took) = (Vec::new(), Duration::ZERO);
        let tags = self.tags.chunks(self.piece.len() / self.chunk);
        let mut numbers = 0..;
        for (piece, tags) in self.ciphertext.chunks(self.piece.len()).zip(tags) {
            arrived.clear();
            arrived.extend_from_slice(piece);
            let chunks = arrived.chunks(self.chunk).zip(tags);
            took += timed(|| {
                for (plaintext, (chunk, tag)) in self.piece.chunks_mut(self.chunk).zip(chunks) {
                    let nonce = nonce(numbers.next().unwrap());
                    let aad = Aad::from(&AAD);
                    self.key.open_separate_gather(nonce, aad, chunk, tag, plaintext).unwrap();
                }
                black_box(&self.piece);
            });
        }
        took
    }

    /// Opens the first chunk.
    pub fn open_chunk(&mut self) {
        let (chunk, aad) = (&self.ciphertext[..self.chunk], Aad::from(&AAD));
        let plaintext = &mut self.piece[..self.chunk];
        self.key.open_separate_gather(nonce(0), aad, chunk, &self.tags[0], plaintext).unwrap();
        black_box(&self.piece);
    }

    /// Seals as many bytes from one piece into another.
    pub fn seal(&mut self, plaintext: &[u8]) {
        let mut numbers = 0..;
        for _ in 0..self.ciphertext.len() / self.piece.len() {
            for (chunk, plaintext) in
                self.piece.chunks_mut(self.chunk).zip(plaintext.chunks(self.chunk))
            {
                let (mut tag, nonce) = ([0; 16], nonce(numbers.next().unwrap()));
                self.key
                    .seal_out_of_place_scatter(
                        nonce,
                        Aad::from(&AAD),
                        plaintext,
                        chunk,
                        &[],
                        &mut tag,
                    )
                    .unwrap();
                black_box(tag);
            }
            black_box(&self.piece);
        }
    }

    /// Seals as many bytes where they stand.
    pub fn seal_in_place(&mut self) {
        let mut numbers = 0..;
        for _ in 0..self.ciphertext.len() / self.piece.len() {
            for chunk in self.piece.chunks_mut(self.chunk) {
                let nonce = nonce(numbers.next().unwrap());
                let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&AAD), chunk);
                let _ = black_box(tag.unwrap());
            }
            black_box(&self.piece);
        }
    }

    /// What a message of one frame needs to be opened.
    pub fn open_message(&mut self) {
        derive_and_schedule();
        self.header_tag();
        self.open_chunk();
    }

    /// What a message of one frame needs to be sealed.
    pub fn seal_message(&mut self, plaintext: &[u8]) {
        rand::fill(&mut [0; 32]).unwrap();
        derive_and_schedule();
        self.header_tag();
        self.seal(plaintext);
    }

    pub fn header_tag(&self) {
        let (aad, mut tag) = (Aad::from(&HEADER), [0; 16]);
        let key = &self.key;
        key.seal_out_of_place_scatter(nonce(0), aad, &[], &mut [], &[], &mut tag).unwrap();
        black_box(tag);
    }
}

/// As the library's HKDF does it: it extracts again for each key.
pub fn derive_by_hkdf() {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA512, &[2; 32]).extract(&[1; 32]);
    for info in [&b"COMMITKEY"[..], b"\x04\x78DERIVEKEY"] {
        let mut key = [0; 32];
        prk.expand(&[info], Len).unwrap().fill(&mut key).unwrap();
        black_box(key);
    }
}

/// RFC 5869 by HMAC: extracts once.
pub fn derive() -> hmac::Tag {
    let prk = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &[2; 32]), &[1; 32]);
    let prk = hmac::Key::new(hmac::HMAC_SHA512, prk.as_ref());
    black_box(hmac::sign(&prk, b"COMMITKEY\x01"));
    hmac::sign(&prk, b"\x04\x78DERIVEKEY\x01")
}

pub fn key_schedule() {
    black_box(gcm(black_box(&[1; 32])));
}

pub fn sha384(message: &[u8], piece: usize) -> Duration {
    let mut hash = digest::Context::new(&digest::SHA384);
    let (mut arrived, mut took) = (Vec::new(), Duration::ZERO);
    for piece in message.chunks(piece) {
        arrived.clear();
        arrived.extend_from_slice(piece);
        took += timed(|| hash.update(&arrived));
    }
    black_box(hash.finish());
    took
}

fn derive_and_schedule() {
    black_box(gcm(&derive().as_ref()[..32]));
}

fn gcm(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
}

fn nonce(number: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

struct Len;

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        32
    }
}
