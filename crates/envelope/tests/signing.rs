//! Signatures that OpenSSL made the key for and verifies, and keys that are not
//! taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use proptest::prelude::*;
use strongroom_envelope::signing::{SignatureAlgorithm, SigningError, SigningKey};
use tempfile::TempDir;

use SignatureAlgorithm::{EcdsaP256Sha256, EcdsaSecp256k1Sha256, Ed25519, RsaPssSha256};

const ALL: [SignatureAlgorithm; 4] = [EcdsaP256Sha256, EcdsaSecp256k1Sha256, Ed25519, RsaPssSha256];

fn openssl(dir: &Path, args: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
    let output = output.expect("these tests need the openssl command");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn keygen(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        EcdsaP256Sha256 => "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        EcdsaSecp256k1Sha256 => "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        Ed25519 => "-algorithm ED25519",
        RsaPssSha256 => "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    }
}

/// A key of OpenSSL's as PKCS#8, and a directory that has it as `key.der`.
fn generate(parameters: &str) -> (TempDir, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    openssl(dir.path(), &format!("genpkey {parameters} -outform DER -out traditional.der"));
    openssl(
        dir.path(),
        "pkcs8 -topk8 -nocrypt -inform DER -in traditional.der -outform DER -out key.der",
    );
    let key = std::fs::read(dir.path().join("key.der")).unwrap();
    (dir, key)
}

/// Whether OpenSSL finds `signature` to be that of `message` under `public`.
fn verifies(
    algorithm: SignatureAlgorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in [("public", public), ("message", message), ("signature", signature)] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let how = match algorithm {
        EcdsaP256Sha256 | EcdsaSecp256k1Sha256 => "-rawin -digest sha256",
        Ed25519 => "-rawin",
        RsaPssSha256 => {
            "-rawin -digest sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:32"
        }
    };
    let args = "pkeyutl -verify -pubin -inkey public -keyform DER -in message -sigfile signature";
    Command::new("openssl")
        .args(args.split(' ').chain(how.split(' ')))
        .current_dir(dir.path())
        .output()
        .unwrap()
        .status
        .success()
}

fn sign(key: &Arc<SigningKey>, parts: &[&[u8]]) -> Vec<u8> {
    let mut signer = key.sign_message(1 << 20);
    for part in parts {
        signer.update(part).unwrap();
    }
    signer.finish().unwrap()
}

#[test]
fn openssl_verifies_what_was_signed_and_nothing_else() {
    for algorithm in ALL {
        let (dir, key) = generate(keygen(algorithm));
        let key = Arc::new(SigningKey::new(algorithm, &key).unwrap());
        let public = key.public_key_der().unwrap();
        let expected = openssl(dir.path(), "pkey -inform DER -in key.der -pubout -outform DER");
        assert_eq!(public, expected, "{algorithm:?}");

        let message = [7; 200_000].as_slice();
        for parts in [vec![message], message.chunks(1021).collect(), vec![b"", message, b""]] {
            let signature = sign(&key, &parts);
            assert!(verifies(algorithm, &public, message, &signature), "{algorithm:?}");
            assert!(!verifies(algorithm, &public, &message[1..], &signature), "{algorithm:?}");
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(!verifies(algorithm, &public, message, &changed), "{algorithm:?}");
        }
    }
}

#[test]
fn a_digest_is_signed_as_its_message_is_but_not_by_ed25519() {
    for algorithm in ALL {
        let (_dir, key) = generate(keygen(algorithm));
        let key = SigningKey::new(algorithm, &key).unwrap();
        let public = key.public_key_der().unwrap();
        let signed = key.sign_digest(digest(&SHA256, b"message").as_ref().try_into().unwrap());
        if algorithm == Ed25519 {
            assert_eq!(signed, Err(SigningError::Digest));
        } else {
            assert!(verifies(algorithm, &public, b"message", &signed.unwrap()), "{algorithm:?}");
        }
    }
}

#[test]
fn an_ec_key_may_be_sec1() {
    for algorithm in [EcdsaP256Sha256, EcdsaSecp256k1Sha256] {
        let (dir, key) = generate(keygen(algorithm));
        let sec1 = openssl(dir.path(), "ec -inform DER -in key.der -outform DER");
        assert_ne!(sec1, key);
        let sec1 = Arc::new(SigningKey::new(algorithm, &sec1).unwrap());
        let public = sec1.public_key_der().unwrap();
        assert_eq!(public, SigningKey::new(algorithm, &key).unwrap().public_key_der().unwrap());
        assert!(verifies(algorithm, &public, b"message", &sign(&sec1, &[b"message"])));
    }
}

#[test]
fn an_ed25519_key_may_be_pkcs8_v2_or_a_seed() {
    let v2 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let v2 = Arc::new(SigningKey::new(Ed25519, v2.as_ref()).unwrap());
    let public = v2.public_key_der().unwrap();
    assert!(verifies(Ed25519, &public, b"message", &sign(&v2, &[b"message"])));

    // RFC 8032, section 7.1, test 2.
    let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    let seed = Arc::new(SigningKey::new(Ed25519, &hex::decode(seed).unwrap()).unwrap());
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                     085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(hex::encode(sign(&seed, &[&[0x72]])), signature);
}

#[test]
fn a_message_beyond_its_limit_is_not_signed_in_part() {
    let key = Arc::new(SigningKey::new(Ed25519, &[1; 32]).unwrap());
    let mut signer = key.sign_message(10);
    signer.update(b"12345").unwrap();
    signer.update(b"67890").unwrap();
    signer.update(b"").unwrap();
    assert_eq!(signer.update(b"1"), Err(SigningError::MessageTooLong));
    assert_eq!(signer.update(b""), Err(SigningError::MessageTooLong));
    assert_eq!(signer.finish(), Err(SigningError::MessageTooLong));

    let mut signer = key.sign_message(0);
    assert_eq!(signer.update(&[0; 1000]), Err(SigningError::MessageTooLong));
    assert_eq!(key.sign_message(0).finish().unwrap(), sign(&key, &[]));
}

#[test]
fn a_key_of_another_algorithm_curve_or_kind_is_refused() {
    let dir = TempDir::new().unwrap();
    for algorithm in ALL {
        let (_dir, key) = generate(keygen(algorithm));
        for other in ALL.into_iter().filter(|other| *other != algorithm) {
            let refused = SigningKey::new(other, &key).err();
            assert_eq!(refused, Some(SigningError::Key), "{algorithm:?} as {other:?}");
        }
        let public = SigningKey::new(algorithm, &key).unwrap().public_key_der().unwrap();
        assert!(SigningKey::new(algorithm, &public).is_err(), "{algorithm:?}");
        std::fs::write(dir.path().join("key.der"), &key).unwrap();
        let pem = openssl(dir.path(), "pkey -inform DER -in key.der -outform PEM");
        assert!(SigningKey::new(algorithm, &pem).is_err(), "{algorithm:?}");
    }
    let (_dir, p384) = generate("-algorithm EC -pkeyopt ec_paramgen_curve:P-384");
    assert!(SigningKey::new(EcdsaP256Sha256, &p384).is_err());
    let (_dir, x25519) = generate("-algorithm X25519");
    assert!(SigningKey::new(Ed25519, &x25519).is_err());
}

#[test]
fn an_rsa_key_of_fewer_than_2048_or_more_than_4096_bits_is_refused() {
    for (bits, taken) in [(1024, false), (2040, false), (4096, true), (4104, false)] {
        let (_dir, key) = generate(&format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"));
        assert_eq!(SigningKey::new(RsaPssSha256, &key).is_ok(), taken, "{bits} bits");
    }
}

#[test]
fn a_key_cut_short_or_followed_by_anything_is_refused() {
    for algorithm in ALL {
        let (_dir, key) = generate(keygen(algorithm));
        for len in (0..key.len()).filter(|len| algorithm != Ed25519 || *len != 32) {
            assert!(SigningKey::new(algorithm, &key[..len]).is_err(), "{algorithm:?} {len}");
        }
        for after in [&b"\0"[..], &key, &[0; SigningKey::MAX_KEY_LEN]] {
            let longer = [&key, after].concat();
            assert!(SigningKey::new(algorithm, &longer).is_err(), "{algorithm:?}");
        }
    }
}

/// Attributes, which RFC 5208 lets a key have, make it as long as one likes.
#[test]
fn a_key_longer_than_kms_could_have_wrapped_is_refused() {
    let (_dir, key) = generate(keygen(EcdsaP256Sha256));
    let of_length = |len: usize| {
        let padding = vec![0; len - (key.len() - 3) - 8];
        let contents = [
            &[0x30, 0x82][..],
            &u16::try_from(len - 4).unwrap().to_be_bytes(),
            &key[3..],
            &[0xa0, 0x82],
            &u16::try_from(padding.len()).unwrap().to_be_bytes(),
            &padding,
        ];
        contents.concat()
    };
    assert_eq!(key[..2], [0x30, 0x81], "two bytes of length before the contents");
    assert_eq!(of_length(SigningKey::MAX_KEY_LEN).len(), SigningKey::MAX_KEY_LEN);
    assert!(SigningKey::new(EcdsaP256Sha256, &of_length(SigningKey::MAX_KEY_LEN)).is_ok());
    assert!(SigningKey::new(EcdsaP256Sha256, &of_length(SigningKey::MAX_KEY_LEN + 1)).is_err());
}

proptest! {
    #[test]
    fn no_key_panics(
        key in prop::collection::vec(any::<u8>(), 0..200),
        algorithm in prop::sample::select(ALL.as_slice()),
    ) {
        let taken = SigningKey::new(algorithm, &key).is_ok();
        prop_assert_eq!(taken, algorithm == Ed25519 && key.len() == 32);
    }

    #[test]
    fn any_split_of_a_message_gives_the_same_ed25519_signature(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..6),
    ) {
        let key = Arc::new(SigningKey::new(Ed25519, &[1; 32]).unwrap());
        let split: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(sign(&key, &split), sign(&key, &[&parts.concat()]));
    }
}
