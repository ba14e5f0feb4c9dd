//! Time, and what the verifier expects of a genuine document.

use std::time::Duration;

use ciborium::Value;
use strongroom_attestation::{DebugMode, MAX_FUTURE_SKEW, Mode, PcrValue, Policy, UnixTime};

use crate::maker::*;
use crate::{accepted, refused};

/// A document made `ahead` seconds after the verifier's clock, its leaf valid.
fn made_ahead(forge: &mut Forge, ahead: u64) {
    forge.set("timestamp", Value::from((NOW + ahead) * 1000));
}

/// An enclave in debug mode: PCR0, 1, 2 zero, PCR4 real.
fn debug(forge: &mut Forge) {
    for (_, value) in forge.pcrs().iter_mut().take(3) {
        *value = Value::Bytes(vec![0; 48]);
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_and_no_more() {
    let skew = MAX_FUTURE_SKEW.as_secs();
    assert_eq!(skew, 300);
    accepted(|forge| made_ahead(forge, skew));
    refused("timestamp-future", |forge| made_ahead(forge, skew + 1));
    refused("timestamp-future", |forge| {
        forge.set("timestamp", Value::from((NOW + skew) * 1000 + 1));
    });
}

#[test]
fn a_document_made_outside_its_leafs_validity_is_refused() {
    refused("timestamp-outside-certificate", |forge| {
        forge.set("timestamp", Value::from((NOW - 60) * 1000 - 1));
    });
    refused("timestamp-outside-certificate", |forge| {
        forge.certificates[LEAF].not_after = NOW;
        forge.set("timestamp", Value::from((NOW + 1) * 1000));
    });
}

#[test]
fn a_document_older_than_the_policy_allows_is_refused() {
    let max_age = |millis| {
        move |forge: &mut Forge| forge.policy.max_age = Some(Duration::from_millis(millis))
    };
    accepted(max_age(10_000));
    refused("too-old", max_age(9_999));
    accepted(|forge| {
        max_age(0)(forge);
        made_ahead(forge, 30);
    });
}

#[test]
fn debug_mode_is_refused_unless_allowed_and_pcr4_does_not_save_it() {
    refused("debug-mode", debug);
    refused("debug-mode", |forge| drop(forge.pcrs().remove(0)));
    refused("debug-mode", |forge| {
        debug(forge);
        forge.policy = Policy::for_pcrs([(0, PcrValue::ZERO), (4, PcrValue([4; 48]))]);
    });
    let document = accepted(|forge| {
        debug(forge);
        forge.policy.debug = DebugMode::Allow;
    });
    assert_eq!(document.mode(), Mode::Debug);
}

#[test]
fn debug_mode_allowed_still_does_not_match_a_real_pcr0() {
    refused("pcr-mismatch", |forge| {
        debug(forge);
        forge.policy = Policy::for_pcrs([(0, PcrValue(PCR0))]);
        forge.policy.debug = DebugMode::Allow;
    });
}

#[test]
fn the_default_policy_accepts_no_document() {
    refused("image-unpinned", |forge| forge.policy = Policy::default());
    refused("debug-mode", |forge| {
        forge.policy = Policy::default();
        debug(forge);
    });
}

#[test]
fn a_policy_of_the_instance_or_the_role_alone_names_no_image() {
    refused("image-unpinned", |forge| {
        forge.policy = Policy::for_pcrs([(3, PcrValue::ZERO), (4, PcrValue([4; 48]))]);
    });
}

#[test]
fn every_pcr_named_must_have_one_of_its_values() {
    accepted(|forge| forge.policy = Policy::for_pcrs([(0, PcrValue(PCR0))]));
    accepted(|forge| {
        forge.policy = Policy::for_pcrs([
            (0, PcrValue([7; 48])),
            (0, PcrValue(PCR0)),
            (4, PcrValue([4; 48])),
            (8, PcrValue::ZERO),
        ]);
    });
    for wrong in [(0, PcrValue([7; 48])), (4, PcrValue([7; 48])), (16, PcrValue::ZERO)] {
        refused("pcr-mismatch", |forge| {
            forge.policy = Policy::for_pcrs([(1, PcrValue([1; 48])), wrong]);
        });
    }
    refused("pcr-mismatch", |forge| drop(forge.policy.pcrs.insert(0, Vec::new())));
}

#[test]
fn a_pcr_mismatch_names_the_pcr_and_all_values() {
    let mut forge = Forge::new();
    forge.policy = Policy::for_pcrs([(0, PcrValue([7; 48])), (0, PcrValue([8; 48]))]);
    let message = forge.verify().unwrap_err().to_string();
    let [found, first, second] = ["a0", "07", "08"].map(|byte| byte.repeat(48));
    assert_eq!(message, format!("PCR0 is {found}, expected {first} or {second}"));
}

#[test]
fn nonce_user_data_and_public_key_must_be_the_expected() {
    type Expect = fn(&mut Policy, Option<Vec<u8>>);
    let cases: [(&str, &str, &[u8], Expect); 3] = [
        ("nonce", "nonce-mismatch", b"nonce", |policy, value| policy.nonce = value),
        ("user_data", "user-data-mismatch", b"user data", |p, value| p.user_data = value),
        ("public_key", "public-key-mismatch", &[1; 294], |p, value| p.public_key = value),
    ];
    for (field, code, right, expect) in cases {
        accepted(|forge| expect(&mut forge.policy, Some(right.to_vec())));
        for wrong in [&b"other"[..], &right[1..], &[right, &[0]].concat(), b""] {
            refused(code, |forge| expect(&mut forge.policy, Some(wrong.to_vec())));
        }
        for absent in [true, false] {
            refused(code, |forge| {
                expect(&mut forge.policy, Some(right.to_vec()));
                if absent { forge.remove(field) } else { forge.set(field, Value::Null) }
            });
        }
    }
    // Expecting an empty nonce is not expecting none.
    refused("nonce-mismatch", |forge| {
        forge.policy.nonce = Some(Vec::new());
        forge.remove("nonce");
    });
}

#[test]
fn a_forged_document_is_never_reported_as_a_policy_failure() {
    let mut forge = Forge::new();
    forge.policy = Policy::for_pcrs([(0, PcrValue([7; 48]))]);
    forge.policy.nonce = Some(b"other".to_vec());
    forge.policy.max_age = Some(Duration::ZERO);
    forge.now = UnixTime::from_secs(NOW + 86_400 * 365);
    let mut document = forge.document();
    assert_eq!(forge.verify_bytes(&document).unwrap_err().code(), "certificate-expired");
    *document.last_mut().unwrap() ^= 1;
    assert_eq!(forge.verify_bytes(&document).unwrap_err().code(), "cose-signature");
}
