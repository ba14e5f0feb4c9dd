//! Encryption SDK messages beside the primitives they are made of, on one core.
//!
//! `cargo bench -p strongroom-envelope --bench esdk [-- FILTER]`
//!
//! Long messages go through as in the service: each piece of 256 KiB is copied to
//! where it would have arrived, then opened into one buffer, which is erased; only
//! the copying is not counted. The reference is AES-256-GCM of the cryptographic
//! library alone over the same lengths in the same kind of buffers, one call for
//! each chunk of a frame's length, with nonces and additional data as long as a
//! frame's; for signed suites it is SHA-384 of the message. Short messages are
//! opened and sealed whole, beside the calls that their format asks for:
//! HKDF-SHA512 (extract, and expand twice), a key schedule, a tag over the header,
//! a frame.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs
)]

#[path = "esdk/reference.rs"]
mod reference;
#[path = "support/thread_time.rs"]
mod thread_time;

use std::hint::black_box;
use std::time::Duration;

use reference::Reference;
use strongroom_envelope::esdk::{
    EncryptedDataKey, EncryptionContext, FrameLen, Header, Limits, Opener, Policy, Sealer, Signer,
};
use strongroom_envelope::{DataKey, SecretBuf};
use thread_time::{Pair, ThreadTime, compare, criterion, timed};

/// Of a long message.
const LEN: usize = 64 << 20;
/// Most that the service opens before it works on it.
const PIECE: usize = 256 << 10;
const FRAMES: [usize; 2] = [4 << 10, 64 << 10];
/// Of a short message, all of it one frame.
const SHORT: usize = 1 << 10;
const MANY: u32 = 64;

fn main() {
    let mut criterion = criterion();
    open(&mut criterion);
    open_signed(&mut criterion);
    seal(&mut criterion);
    short(&mut criterion);
    criterion.final_summary();
}

fn open(criterion: &mut criterion::Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("open");
    for frame in FRAMES {
        let message = message(LEN, frame);
        let (mut plaintext, mut arrived) = (SecretBuf::new(), Vec::new());
        let mut reference = Reference::new(LEN, PIECE, frame);
        compare(
            &mut group,
            Pair {
                name: &format!("{} KiB frames beside AES-256-GCM", frame >> 10),
                bytes: LEN,
                ours: &mut || open_in_pieces(&message, &mut plaintext, &mut arrived),
                reference: &mut || reference.open(),
            },
        );
    }
}

fn open_signed(criterion: &mut criterion::Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("open signed");
    for frame in FRAMES {
        let message = signed(LEN, frame);
        let (mut plaintext, mut arrived) = (SecretBuf::new(), Vec::new());
        compare(
            &mut group,
            Pair {
                name: &format!("{} KiB frames beside SHA-384", frame >> 10),
                bytes: LEN,
                ours: &mut || open_in_pieces(&message, &mut plaintext, &mut arrived),
                reference: &mut || reference::sha384(&message, PIECE),
            },
        );
    }
}

fn seal(criterion: &mut criterion::Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("seal");
    let plaintext = vec![7; PIECE];
    for frame in FRAMES {
        let mut out = Vec::new();
        let mut reference = Reference::new(LEN, PIECE, frame);
        compare(
            &mut group,
            Pair {
                name: &format!("{} KiB frames beside AES-256-GCM", frame >> 10),
                bytes: LEN,
                ours: &mut || timed(|| seal_in_pieces(&plaintext, frame, &mut out)),
                reference: &mut || timed(|| reference.seal(&plaintext)),
            },
        );
        compare(
            &mut group,
            Pair {
                name: &format!("{} KiB frames beside AES-256-GCM in place", frame >> 10),
                bytes: LEN,
                ours: &mut || timed(|| seal_in_pieces(&plaintext, frame, &mut out)),
                reference: &mut || timed(|| reference.seal_in_place()),
            },
        );
    }
}

fn short(criterion: &mut criterion::Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("short");
    let (key, plaintext) = (key(), [7; SHORT]);
    let message = message(SHORT, 4 << 10);
    let mut opened = SecretBuf::new();
    let mut reference = Reference::new(SHORT, SHORT, SHORT);
    compare(
        &mut group,
        Pair {
            name: "open 1 KiB beside HKDF and AES-256-GCM",
            bytes: 0,
            ours: &mut || many(|| open_whole(&message, &mut opened)),
            reference: &mut || many(|| reference.open_message()),
        },
    );
    let (context, keys) = (context(), [encrypted_key()]);
    let mut out = Vec::new();
    let mut seal_whole = || {
        out.clear();
        let frame = FrameLen::DEFAULT;
        let mut sealer = Sealer::new(&key, &context, &keys, frame, &mut out).unwrap();
        sealer.seal(&plaintext, &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        black_box(&out);
    };
    compare(
        &mut group,
        Pair {
            name: "seal 1 KiB beside HKDF and AES-256-GCM",
            bytes: 0,
            ours: &mut || many(&mut seal_whole),
            reference: &mut || many(|| reference.seal_message(&plaintext)),
        },
    );
    primitives(&mut group, &mut reference, &message);
}

/// What a short message consists of, one by one.
fn primitives(
    group: &mut criterion::BenchmarkGroup<'_, ThreadTime>,
    reference: &mut Reference,
    message: &[u8],
) {
    group.bench_function("header parsed", |bencher| {
        bencher.iter(|| black_box(parse(black_box(message)).1));
    });
    group.bench_function("keys derived by the library's HKDF", |bencher| {
        bencher.iter(reference::derive_by_hkdf);
    });
    group.bench_function("keys derived, extracting once", |bencher| {
        bencher.iter(reference::derive);
    });
    group.bench_function("AES-256-GCM key schedule", |bencher| {
        bencher.iter(reference::key_schedule);
    });
    group.bench_function("header tag", |bencher| bencher.iter(|| reference.header_tag()));
    group.bench_function("frame of 1 KiB", |bencher| {
        bencher.iter(|| reference.open_chunk());
    });
}

/// Opens a message as the service does, never more than a piece at once, and
/// says how long the opening took.
fn open_in_pieces(message: &[u8], plaintext: &mut SecretBuf, arrived: &mut Vec<u8>) -> Duration {
    let (header, len) = parse(message);
    let mut opener = Opener::new(header, &key()).unwrap();
    let (mut rest, mut took) = (&message[len..], Duration::ZERO);
    while !rest.is_empty() {
        arrived.clear();
        arrived.extend_from_slice(&rest[..rest.len().min(PIECE)]);
        let mut used = 0;
        took += timed(|| {
            used = opener.open(arrived, plaintext, PIECE).unwrap();
            black_box(plaintext.expose());
            plaintext.clear();
        });
        rest = &rest[used..];
    }
    opener.finish().unwrap();
    took
}

fn open_whole(message: &[u8], plaintext: &mut SecretBuf) {
    let (header, len) = parse(message);
    let mut opener = Opener::new(header, &key()).unwrap();
    opener.open(&message[len..], plaintext, PIECE).unwrap();
    opener.finish().unwrap();
    black_box(plaintext.expose());
    plaintext.clear();
}

/// What one of many costs: reading the clock takes a while too.
fn many(mut work: impl FnMut()) -> Duration {
    timed(|| (0..MANY).for_each(|_| work())) / MANY
}

fn seal_in_pieces(plaintext: &[u8], frame: usize, out: &mut Vec<u8>) {
    let frame = FrameLen::new(frame).unwrap();
    let mut sealer = Sealer::new(&key(), &context(), &[encrypted_key()], frame, out).unwrap();
    for _ in 0..LEN / PIECE {
        sealer.seal(plaintext, out).unwrap();
        black_box(&*out);
        out.clear();
    }
    sealer.finish(out).unwrap();
    out.clear();
}

fn parse(message: &[u8]) -> (Header, usize) {
    Header::parse(message, &Limits::DEFAULT, &Policy::default()).unwrap().unwrap()
}

fn message(len: usize, frame: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = FrameLen::new(frame).unwrap();
    let keys = [encrypted_key()];
    let mut sealer = Sealer::new(&key(), &context(), &keys, frame, &mut out).unwrap();
    sealer.seal(&vec![7; len], &mut out).unwrap();
    sealer.finish(&mut out).unwrap();
    out
}

fn signed(len: usize, frame: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let (frame, signer) = (FrameLen::new(frame).unwrap(), Signer::new(&context()).unwrap());
    let mut sealer = Sealer::signed(&key(), signer, &[encrypted_key()], frame, &mut out).unwrap();
    sealer.seal(&vec![7; len], &mut out).unwrap();
    sealer.finish(&mut out).unwrap();
    out
}

fn key() -> DataKey {
    DataKey::from_slice(&[1; 32]).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new([("purpose", "support"), ("tenant", "acme")]).unwrap()
}

/// As long as KMS makes them.
fn encrypted_key() -> EncryptedDataKey {
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    EncryptedDataKey {
        provider_id: "aws-kms".into(),
        provider_info: arn.into(),
        ciphertext: vec![5; 184],
    }
}
