//! How many values a second one core turns into tokens and indexes:
//! `cargo test --release -p strongroom-envelope --test token_rate -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::time::Instant;

use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::{BlindIndex, Normalise};
use strongroom_envelope::token::{Alphabet, Ff1, Siv, TokenKey};

const VALUES: u32 = 500_000;

fn rate(name: &str, mut turn: impl FnMut(&mut SecretBuf)) {
    let mut out = SecretBuf::with_capacity(1024);
    let start = Instant::now();
    for _ in 0..VALUES {
        out.clear();
        turn(&mut out);
    }
    let second = start.elapsed().as_secs_f64();
    println!("{name:40} {:>10.0} values/s", f64::from(VALUES) / second);
}

#[test]
#[ignore = "measures; proves nothing"]
fn values_a_second() {
    let key = TokenKey::new(&[1; 32]).unwrap();
    let siv = Siv::new(&key, "email", "tenant-0001").unwrap();
    let digits = Ff1::new(&key, "pan", "tenant-0001", Alphabet::Digits).unwrap();
    let alphanumeric = Ff1::new(&key, "iban", "tenant-0001", Alphabet::Alphanumeric).unwrap();
    let steps = [Normalise::Trim, Normalise::Lowercase];
    let index = BlindIndex::new(&key, "email", "tenant-0001", &steps, 16).unwrap();

    rate("SIV, 16 bytes", |out| siv.tokenize(b"anna@example.org", out).unwrap());
    let mut token = SecretBuf::new();
    siv.tokenize(b"anna@example.org", &mut token).unwrap();
    rate("SIV back, 16 bytes", |out| siv.detokenize(token.expose(), out).unwrap());
    rate("SIV, 256 bytes", |out| siv.tokenize(&[7; 256], out).unwrap());
    rate("FF1, 16 digits", |out| digits.encrypt("4111 1111 1111 1111", out).unwrap());
    rate("FF1 back, 16 digits", |out| digits.decrypt("4111 1111 1111 1111", out).unwrap());
    rate("FF1, 72 digits", |out| digits.encrypt(&"7".repeat(72), out).unwrap());
    let iban = "DE89370400440532013000";
    rate("FF1, 22 alphanumeric", |out| alphanumeric.encrypt(iban, out).unwrap());
    rate("index, 16 bytes, two steps", |out| index.index("Anna@Example.org", out).unwrap());
}
