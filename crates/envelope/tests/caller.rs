//! Signed requests: nobody else's signature, no other request, and none twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::collections::BTreeSet;

use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use strongroom_envelope::caller::{
    CallerError, CallerKey, CallerSecret, DEFAULT_WINDOW_MS, Replay, ReplayError, message,
};

const NOW: u64 = 1_800_000_000_000;
const WINDOW: u64 = DEFAULT_WINDOW_MS;

fn a_message() -> Vec<u8> {
    message("i-0abc-enc0def", &[1; 16], b"\xA1run", &[2; 16], NOW)
}

#[test]
fn message_is_the_one_written_down() {
    let expected = [
        b"strongroom caller v1\0",
        &b"\0\x0Ei-0abc-enc0def"[..],
        &[1; 16],
        &Sha256::digest(b"\xA1run"),
        &[2; 16],
        &NOW.to_be_bytes(),
    ]
    .concat();
    assert_eq!(a_message(), expected);
}

#[test]
fn every_part_of_a_request_is_signed() {
    for secret in
        [CallerSecret::generate_ed25519().unwrap(), CallerSecret::generate_p256().unwrap()]
    {
        let key = secret.public_key().unwrap();
        let signature = secret.sign(&a_message()).unwrap();
        key.verify(&a_message(), &signature).unwrap();
        let id = "i-0abc-enc0def";
        for other in [
            message("i-0abc-enc0deg", &[1; 16], b"\xA1run", &[2; 16], NOW),
            message(id, &[3; 16], b"\xA1run", &[2; 16], NOW),
            message(id, &[1; 16], b"\xA1rum", &[2; 16], NOW),
            message(id, &[1; 16], b"\xA1run", &[3; 16], NOW),
            message(id, &[1; 16], b"\xA1run", &[2; 16], NOW + 1),
        ] {
            assert_eq!(key.verify(&other, &signature), Err(CallerError::Signature));
        }
    }
}

#[test]
fn any_flipped_bit_of_a_signature_and_any_other_length_is_refused() {
    for secret in
        [CallerSecret::generate_ed25519().unwrap(), CallerSecret::generate_p256().unwrap()]
    {
        let key = secret.public_key().unwrap();
        let signature = secret.sign(&a_message()).unwrap();
        for bit in 0..signature.len() * 8 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(&a_message(), &changed), Err(CallerError::Signature), "{bit}");
        }
        for wrong in [&b""[..], &signature[..63], &[&signature[..], b"\0"].concat(), &[0; 64]] {
            assert_eq!(key.verify(&a_message(), wrong), Err(CallerError::Signature));
        }
    }
}

#[test]
fn another_callers_signature_is_refused() {
    let (a, b) =
        (CallerSecret::generate_ed25519().unwrap(), CallerSecret::generate_p256().unwrap());
    let (key_a, key_b) = (a.public_key().unwrap(), b.public_key().unwrap());
    let c = CallerSecret::generate_ed25519().unwrap();
    for (secret, key) in [(&a, key_b), (&b, key_a), (&c, key_a)] {
        let signature = secret.sign(&a_message()).unwrap();
        assert_eq!(key.verify(&a_message(), &signature), Err(CallerError::Signature));
    }
}

#[test]
fn keys_under_which_anyone_could_sign_are_refused() {
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8_too = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let ff = "ff".repeat(30);
    let mut keys = vec!["00".repeat(32), format!("01{}", "00".repeat(31))];
    keys.extend([order_8.to_owned(), order_8_too.to_owned()]);
    keys.extend(["ec", "ed", "ee"].map(|first| format!("{first}{ff}7f")));
    for key in keys {
        let mut key = hex::decode(key).unwrap();
        assert_eq!(CallerKey::ed25519(&key), Err(CallerError::PublicKey), "{key:02x?}");
        key[31] ^= 0x80;
        assert_eq!(CallerKey::ed25519(&key), Err(CallerError::PublicKey), "{key:02x?}");
    }
}

#[test]
fn what_is_no_public_key_is_refused() {
    let ed25519 = *CallerSecret::generate_ed25519()
        .unwrap()
        .public_key()
        .unwrap()
        .as_bytes()
        .first_chunk::<32>()
        .unwrap();
    let p256 = *CallerSecret::generate_p256()
        .unwrap()
        .public_key()
        .unwrap()
        .as_bytes()
        .first_chunk::<65>()
        .unwrap();
    assert!(CallerKey::ed25519(&ed25519).is_ok() && CallerKey::p256(&p256).is_ok());
    for wrong in [&b""[..], &ed25519[..31], &p256] {
        assert_eq!(CallerKey::ed25519(wrong), Err(CallerError::PublicKey));
    }
    let mut off_curve = p256;
    off_curve[40] ^= 1;
    let compressed = [&[2], &p256[1..33]].concat();
    for wrong in [&b""[..], &p256[..64], &ed25519, &compressed, &off_curve, &[0; 65], &[4; 65]] {
        assert_eq!(CallerKey::p256(wrong), Err(CallerError::PublicKey));
    }
}

/// RFC 8032 section 7.1, test 3.
#[test]
fn ed25519_vector_of_the_rfc_verifies() {
    let key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let key = CallerKey::ed25519(&hex::decode(key).unwrap()).unwrap();
    let signature = hex::decode(signature).unwrap();
    assert_eq!(key.verify(b"\xAF\x82", &signature), Ok(()));
    assert_eq!(key.verify(b"\xAF\x83", &signature), Err(CallerError::Signature));
}

#[test]
fn p256_agrees_with_rustcrypto_both_ways_and_over_pkcs8() {
    let theirs = SigningKey::from_slice(&[0x17; 32]).unwrap();
    let public = VerifyingKey::from(&theirs).to_sec1_point(false).as_bytes().to_vec();
    let signature: Signature = theirs.sign(&a_message());
    CallerKey::p256(&public).unwrap().verify(&a_message(), &signature.to_bytes()).unwrap();

    let ours = CallerSecret::p256(theirs.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    assert_eq!(ours.public_key().unwrap().as_bytes(), public);
    let signature = Signature::from_slice(&ours.sign(&a_message()).unwrap()).unwrap();
    VerifyingKey::from(&theirs).verify(&a_message(), &signature).unwrap();

    let ours = CallerSecret::generate_p256().unwrap();
    let theirs = SigningKey::from_pkcs8_der(ours.to_pkcs8().unwrap().expose()).unwrap();
    let public = VerifyingKey::from(&theirs).to_sec1_point(false);
    assert_eq!(ours.public_key().unwrap().as_bytes(), public.as_bytes());
}

#[test]
fn private_key_survives_pkcs8_and_only_its_own_kind_reads_it() {
    // RFC 8410 section 10.3, as OpenSSL writes such a key.
    let der = hex::decode("302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842").unwrap();
    let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    let secret = CallerSecret::ed25519(&der).unwrap();
    assert_eq!(hex::encode(secret.public_key().unwrap().as_bytes()), public);
    assert_eq!(secret.to_pkcs8().unwrap().expose(), der);
    let p256 = CallerSecret::generate_p256().unwrap().to_pkcs8().unwrap();
    assert_eq!(CallerSecret::p256(&der).err(), Some(CallerError::SecretKey));
    assert_eq!(CallerSecret::ed25519(p256.expose()).err(), Some(CallerError::SecretKey));
    for len in 0..der.len() {
        assert_eq!(CallerSecret::ed25519(&der[..len]).err(), Some(CallerError::SecretKey));
    }
}

fn nonce(number: u64) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce
}

#[test]
fn request_played_again_is_refused_for_as_long_as_it_is_not_too_old() {
    let mut replay = Replay::new(WINDOW, 10);
    // Dated ahead: it stays acceptable for twice the window.
    let time = NOW + WINDOW;
    replay.accept("a", &nonce(1), time, NOW).unwrap();
    for now in [NOW, NOW + 1, NOW + WINDOW, NOW + 2 * WINDOW] {
        assert_eq!(replay.accept("a", &nonce(1), time, now), Err(ReplayError::Repeated));
    }
    let now = NOW + 2 * WINDOW + 1;
    assert_eq!(replay.accept("a", &nonce(1), time, now), Err(ReplayError::TooOld));
}

#[test]
fn nonce_used_again_with_another_time_is_refused() {
    let mut replay = Replay::new(WINDOW, 10);
    replay.accept("a", &nonce(1), NOW, NOW).unwrap();
    assert_eq!(replay.accept("a", &nonce(1), NOW + 1, NOW), Err(ReplayError::Repeated));
}

#[test]
fn times_outside_the_window_are_refused_to_the_millisecond() {
    let mut replay = Replay::new(WINDOW, 10);
    let mut accept = |n, time| replay.accept("a", &nonce(n), time, NOW);
    assert_eq!(accept(1, NOW - WINDOW - 1), Err(ReplayError::TooOld));
    assert_eq!(accept(2, NOW + WINDOW + 1), Err(ReplayError::FromTheFuture));
    assert_eq!(accept(3, NOW - WINDOW), Ok(()));
    assert_eq!(accept(4, NOW + WINDOW), Ok(()));
    assert_eq!(accept(5, 0), Err(ReplayError::TooOld));
    assert_eq!(accept(6, u64::MAX), Err(ReplayError::FromTheFuture));
    assert_eq!(replay.remembered("a"), 2, "a refused request took room");
}

#[test]
fn caller_that_fills_its_room_takes_nobody_elses() {
    let mut replay = Replay::new(WINDOW, 3);
    for n in 0..3 {
        replay.accept("a", &nonce(n), NOW, NOW).unwrap();
    }
    assert_eq!(replay.accept("a", &nonce(3), NOW, NOW), Err(ReplayError::Full));
    assert_eq!(replay.accept("a", &nonce(0), NOW, NOW), Err(ReplayError::Repeated));
    // The same nonce of another caller is another nonce.
    assert_eq!(replay.accept("b", &nonce(0), NOW, NOW), Ok(()));
    // Room comes back as the window passes.
    let later = NOW + WINDOW + 1;
    assert_eq!(replay.accept("a", &nonce(3), later, later), Ok(()));
    assert_eq!(replay.remembered("a"), 1);
}

#[test]
fn clock_set_back_brings_no_forgotten_request_back() {
    let mut replay = Replay::new(WINDOW, 10);
    replay.accept("a", &nonce(1), NOW, NOW).unwrap();
    // The clock jumps ahead, the entry is forgotten, the clock is put right.
    let ahead = NOW + 10 * WINDOW;
    replay.accept("a", &nonce(2), ahead, ahead).unwrap();
    assert_eq!(replay.accept("a", &nonce(1), NOW, NOW), Err(ReplayError::TooOld));
    // That does not lock the caller out.
    assert_eq!(replay.accept("a", &nonce(3), NOW + 1, NOW + 1), Ok(()));
}

proptest! {
    #[test]
    fn no_two_different_requests_have_the_same_message(
        a in ("[a-c]{0,3}", any::<[bool; 4]>()),
        b in ("[a-c]{0,3}", any::<[bool; 4]>()),
    ) {
        let make = |(id, bits): &(String, [bool; 4])| {
            let [request, run, nonce, time] = bits.map(u8::from);
            message(id, &[request; 16], &[run], &[nonce; 16], time.into())
        };
        prop_assert_eq!(a == b, make(&a) == make(&b));
    }

    #[test]
    fn no_request_is_ever_accepted_twice_whatever_the_clock_does(
        steps in prop::collection::vec((0..3_u8, 0..6_u64, 0..40_u64, 0..40_u64), 0..200),
    ) {
        let mut replay = Replay::new(8, 4);
        let mut accepted = BTreeSet::new();
        for (caller, number, time, now) in steps {
            let name = caller.to_string();
            if replay.accept(&name, &nonce(number), time, now).is_ok() {
                prop_assert!(time.abs_diff(now) <= 8);
                prop_assert!(accepted.insert((caller, number, time)), "accepted twice");
            }
            prop_assert!(replay.remembered(&name) <= 4);
        }
    }
}
