//! Documents of the simulated module, read with other libraries than made them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ciborium::Value;
use coset::{CborSerializable, CoseSign1};
use sha2::{Digest, Sha384};
use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmError};
use strongroom_attestation::{
    DebugMode, Mode, PcrValue, Policy, TrustRoot, UnixTime, VerifyError, verify,
};
use strongroom_sim::nsm::PayloadForm;
use strongroom_sim::{Clock, SimNsm, SimNsmBuilder};

const NOW_MS: u64 = 1_790_000_000_123;
const REQUEST: AttestationRequest<'_> = AttestationRequest {
    public_key: Some(b"public key"),
    user_data: Some(b""),
    nonce: Some(b"nonce"),
};

fn at(now_ms: u64) -> Clock {
    Arc::new(move || now_ms)
}

fn builder() -> SimNsmBuilder {
    SimNsm::builder().clock(at(NOW_MS))
}

fn root(nsm: &SimNsm) -> TrustRoot {
    TrustRoot::from_der(&nsm.trust_root_der()).unwrap()
}

fn any() -> Policy {
    Policy { debug: DebugMode::Allow, ..Policy::any_image() }
}

/// The payload's entries, after checking the COSE around them.
fn payload(document: &[u8]) -> (Vec<u8>, Vec<(String, Value)>) {
    let cose = CoseSign1::from_slice(document).unwrap();
    let bytes = cose.payload.unwrap();
    let map: Value = ciborium::from_reader(bytes.as_slice()).unwrap();
    let entries = map.into_map().unwrap();
    let named = entries.into_iter().map(|(name, value)| (name.into_text().unwrap(), value));
    (bytes, named.collect())
}

#[test]
fn a_document_verifies_under_its_root_and_says_what_was_asked() {
    let nsm = builder().build().unwrap();
    let document = nsm.attest(&REQUEST).unwrap();
    let verified =
        verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &Policy::any_image())
            .unwrap();
    assert_eq!(verified.public_key(), REQUEST.public_key);
    assert_eq!(verified.user_data(), REQUEST.user_data);
    assert_eq!(verified.nonce(), REQUEST.nonce);
    assert_eq!(verified.timestamp_ms(), NOW_MS);
    assert_eq!(verified.module_id(), nsm.module_id());
    assert_eq!(verified.mode(), Mode::Production);
    let pinned = Policy::for_pcrs([(0, nsm.describe_pcr(0).unwrap().value)]);
    assert!(verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &pinned).is_ok());
}

#[test]
fn a_document_of_another_start_does_not_verify() {
    let (one, other) = (builder().build().unwrap(), builder().build().unwrap());
    let document = one.attest(&REQUEST).unwrap();
    let refused = verify(&document, &root(&other), UnixTime::from_millis(NOW_MS), &any());
    assert!(matches!(refused, Err(VerifyError::RootMismatch { .. })));
}

#[test]
fn modules_under_one_root_differ_in_what_they_measure() {
    let one = builder().build().unwrap();
    let other = builder().ca(&one.ca()).image(b"evil").slot(2).build().unwrap();
    let document = other.attest(&REQUEST).unwrap();
    let now = UnixTime::from_millis(NOW_MS);
    assert!(verify(&document, &root(&one), now, &any()).is_ok());
    let pinned = Policy::for_pcrs([(0, one.describe_pcr(0).unwrap().value)]);
    assert!(matches!(
        verify(&document, &root(&one), now, &pinned),
        Err(VerifyError::PcrMismatch { index: 0, .. })
    ));
}

#[test]
fn the_bytes_have_the_shape_of_hardware() {
    let nsm = builder().build().unwrap();
    let document = nsm.attest(&AttestationRequest::default()).unwrap();
    // Untagged array of four, protected {1: -35}, unprotected empty, a payload
    // with a two-byte length, a signature of 96 bytes.
    assert_eq!(document[..8], [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59]);
    assert_eq!(document[document.len() - 98..][..2], [0x58, 96]);
    assert!((3800..5300).contains(&document.len()), "{}", document.len());

    let (bytes, entries) = payload(&document);
    assert_eq!((bytes[0], *bytes.last().unwrap()), (0xbf, 0xff));
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        "module_id digest timestamp pcrs certificate cabundle public_key user_data nonce";
    assert_eq!(names.join(" "), expected);
    assert_eq!(entries[1].1, Value::Text("SHA384".into()));
    assert_eq!(entries[3].1.as_map().unwrap().len(), 16);
    assert_eq!(entries[5].1.as_array().unwrap().len(), 4);
    for (name, value) in &entries[6..] {
        assert_eq!(value, &Value::Null, "{name}");
    }
    // The timestamp is an eight-byte integer.
    let timestamp = b"itimestamp\x1b";
    assert!(bytes.windows(timestamp.len()).any(|window| window == timestamp));
}

#[test]
fn the_older_payload_form_verifies_too() {
    let nsm = builder().payload_form(PayloadForm::Definite).build().unwrap();
    let document = nsm.attest(&REQUEST).unwrap();
    assert_eq!(payload(&document).0[0], 0xa9);
    assert!(verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &any()).is_ok());
}

#[test]
fn certificates_have_the_extensions_of_hardware() {
    let nsm = builder().build().unwrap();
    let (_, entries) = payload(&nsm.attest(&REQUEST).unwrap());
    let leaf = entries[4].1.as_bytes().unwrap();
    let bundle: Vec<&Vec<u8>> =
        entries[5].1.as_array().unwrap().iter().map(|der| der.as_bytes().unwrap()).collect();
    assert_eq!(bundle[0], &nsm.trust_root_der());
    let has = |der: &[u8], bytes: &[u8]| der.windows(bytes.len()).any(|window| window == bytes);
    // Leaf: keyUsage not critical (no BOOLEAN before the value), no key ids.
    assert!(has(leaf, &[6, 3, 0x55, 0x1d, 0x0f, 4, 4, 3, 2, 6, 0xc0]));
    assert!(has(leaf, &[6, 3, 0x55, 0x1d, 0x13, 1, 1, 0xff, 4, 2, 0x30, 0]));
    let (ski, aki) = ([6, 3, 0x55, 0x1d, 0x0e], [6, 3, 0x55, 0x1d, 0x23]);
    assert!(!has(leaf, &ski) && !has(leaf, &aki));
    // Authorities: path lengths none, 2, 1, 0.
    assert!(has(bundle[0], &[6, 3, 0x55, 0x1d, 0x13, 1, 1, 0xff, 4, 5, 0x30, 3, 1, 1, 0xff]));
    for (der, path_len) in bundle[1..].iter().zip([2, 1, 0]) {
        let constraint = [0x55, 0x1d, 0x13, 1, 1, 0xff, 4, 8, 0x30, 6, 1, 1, 0xff, 2, 1, path_len];
        assert!(has(der, &constraint), "path length {path_len}");
        assert_eq!(has(der, &aki), path_len != 0);
    }
    // Instance: keyCertSign only.
    assert!(has(bundle[3], &[0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4, 3, 2, 2, 4]));
    for der in bundle.into_iter().chain([leaf]) {
        assert!(der.len() <= 1024);
    }
}

#[test]
fn pcrs_follow_the_formulas() {
    let nsm = builder()
        .role_arn(Some("arn:aws:iam::123456789012:role/Webserver"))
        .instance_id("i-0d7ff222bf091ba40")
        .signing_certificate(b"certificate")
        .build()
        .unwrap();
    let pcr3 = nsm.pcr_hex(3).unwrap();
    assert!(pcr3.starts_with("78fce75d") && pcr3.ends_with("2e6921e6"), "{pcr3}");
    let once = |data: &[u8]| Sha384::new_with_prefix([0; 48]).chain_update(data).finalize();
    assert_eq!(nsm.pcr_hex(4).unwrap(), hex::encode(once(b"i-0d7ff222bf091ba40")));
    let certificate = once(&Sha384::digest(b"certificate"));
    assert_eq!(nsm.pcr_hex(8).unwrap(), hex::encode(certificate));
    let plain = builder().role_arn(None).build().unwrap();
    for index in [3, 5, 8, 15, 16, 31] {
        assert!(plain.describe_pcr(index).unwrap().value.is_zero(), "PCR{index}");
    }
}

#[test]
fn debug_mode_zeroes_the_image_but_not_role_and_instance() {
    let nsm =
        builder().signing_certificate(b"x").pcr(0, PcrValue([1; 48])).debug().build().unwrap();
    let document = nsm.attest(&REQUEST).unwrap();
    let verified = verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &any()).unwrap();
    assert_eq!(verified.mode(), Mode::Debug);
    for (index, zero) in [(0, true), (1, true), (2, true), (8, true), (3, false), (4, false)] {
        assert_eq!(verified.pcr(index).unwrap().is_zero(), zero, "PCR{index}");
    }
}

#[test]
fn the_leaf_is_used_again_and_renewed_before_it_ends() {
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let shared = clock.clone();
    let nsm = SimNsm::builder().clock(Arc::new(move || shared.load(Ordering::SeqCst)));
    let nsm = nsm.build().unwrap();
    let leaf_at = |hours: u64| {
        let now = NOW_MS + hours * 3_600_000;
        clock.store(now, Ordering::SeqCst);
        let document = nsm.attest(&REQUEST).unwrap();
        let verified = verify(&document, &root(&nsm), UnixTime::from_millis(now), &any());
        assert!(verified.is_ok(), "{verified:?}");
        payload(&document).1[4].1.clone()
    };
    let first = leaf_at(0);
    assert_eq!(leaf_at(1), first);
    assert_eq!(leaf_at(2), first);
    let second = leaf_at(3);
    assert_ne!(second, first);
    assert_ne!(leaf_at(24 * 30), second);
    // And a clock set back gets a leaf of its time.
    assert_ne!(leaf_at(0), second);
}

#[test]
fn a_document_as_of_another_time_verifies_then_and_leaves_the_module_as_it_was() {
    let nsm = builder().build().unwrap();
    for then in [NOW_MS - 86_400_000, NOW_MS + 3_600_000, NOW_MS + 86_400_000] {
        let document = nsm.attest_at(&REQUEST, then).unwrap();
        let verified = verify(&document, &root(&nsm), UnixTime::from_millis(then), &any());
        assert_eq!(verified.unwrap().timestamp_ms(), then);
    }
    assert_eq!(nsm.now_ms(), NOW_MS);
    let document = nsm.attest(&REQUEST).unwrap();
    let verified = verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &any());
    assert_eq!(verified.unwrap().timestamp_ms(), NOW_MS);
}

#[test]
fn a_document_ages() {
    let nsm = builder().build().unwrap();
    let document = nsm.attest(&REQUEST).unwrap();
    let policy = Policy { max_age: Some(Duration::from_secs(300)), ..any() };
    let verify_at = |ms| verify(&document, &root(&nsm), UnixTime::from_millis(ms), &policy);
    assert!(verify_at(NOW_MS + 300_000).is_ok());
    assert!(matches!(verify_at(NOW_MS + 300_001), Err(VerifyError::TooOld { .. })));
}

#[test]
fn fields_up_to_1024_bytes_are_taken_and_longer_ones_refused() {
    let nsm = builder().build().unwrap();
    let full = [7; 1024];
    let three =
        AttestationRequest { public_key: Some(&full), user_data: Some(&full), nonce: Some(&full) };
    let document = nsm.attest(&three).unwrap();
    assert!(verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &any()).is_ok());
    let long = [7; 1025];
    for request in [
        AttestationRequest { public_key: Some(&long), ..REQUEST },
        AttestationRequest { user_data: Some(&long), ..REQUEST },
        AttestationRequest { nonce: Some(&long), ..REQUEST },
    ] {
        assert_eq!(nsm.attest(&request), Err(NsmError::Refused("InvalidArgument")));
    }
}

#[test]
fn pcrs_are_extended_locked_and_then_shown() {
    let nsm = builder().build().unwrap();
    let read_only = Err(NsmError::Refused("ReadOnlyIndex"));
    assert_eq!(nsm.extend_pcr(0, b"x"), read_only);
    assert_eq!(nsm.extend_pcr(32, b"x"), Err(NsmError::Refused("InvalidIndex")));
    let first = nsm.extend_pcr(16, b"one").unwrap();
    let expected = Sha384::new_with_prefix(first.0).chain_update(b"two").finalize();
    assert_eq!(nsm.extend_pcr(16, b"two").unwrap().0[..], expected[..]);
    let shown =
        |nsm: &SimNsm| payload(&nsm.attest(&REQUEST).unwrap()).1[3].1.as_map().unwrap().len();
    assert_eq!(shown(&nsm), 16);
    nsm.lock_pcr(16).unwrap();
    assert_eq!(nsm.lock_pcr(16), Err(NsmError::Refused("ReadOnlyIndex")));
    assert_eq!(nsm.extend_pcr(16, b"x"), read_only);
    assert_eq!(shown(&nsm), 17);
    assert_eq!(nsm.lock_pcrs(33), Err(NsmError::Refused("InvalidIndex")));
    nsm.lock_pcrs(32).unwrap();
    assert_eq!(shown(&nsm), 32);
    let description = nsm.describe().unwrap();
    assert_eq!((description.max_pcrs, description.locked_pcrs.len()), (32, 32));
    let document = nsm.attest(&REQUEST).unwrap();
    assert!(verify(&document, &root(&nsm), UnixTime::from_millis(NOW_MS), &any()).is_ok());
}

#[test]
fn random_bytes_differ() {
    let nsm = builder().build().unwrap();
    let (mut one, mut two) = ([0; 300], [0; 300]);
    nsm.random(&mut one).unwrap();
    nsm.random(&mut two).unwrap();
    assert_ne!(one, two);
    assert!(one[256..].iter().any(|byte| *byte != 0));
}
