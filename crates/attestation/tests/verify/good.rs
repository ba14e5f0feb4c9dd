//! What real hypervisors emit, in all its variety, is accepted.

use ciborium::Value;
use strongroom_attestation::{Mode, PcrValue, Report};

use crate::accepted;
use crate::maker::*;

#[test]
fn what_the_document_says_is_what_comes_out() {
    let forge = Forge::new();
    let document = forge.verify().unwrap();
    assert_eq!(document.module_id(), MODULE);
    assert_eq!(document.timestamp_ms(), (NOW - 10) * 1000);
    assert_eq!(document.mode(), Mode::Production);
    assert_eq!(document.pcrs().len(), 16);
    assert_eq!(document.pcr(0), Some(&PcrValue(PCR0)));
    assert_eq!(document.pcr(16), None);
    assert_eq!(document.public_key(), Some(&[1; 294][..]));
    assert_eq!(document.user_data(), Some(&b"user data"[..]));
    assert_eq!(document.nonce(), Some(&b"nonce"[..]));
    assert_eq!(document.root_sha256(), forge.root().sha256());
}

#[test]
fn the_report_is_plain_json() {
    let report = serde_json::to_value(Report::from(&Forge::new().verify().unwrap())).unwrap();
    assert_eq!(report["mode"], "production");
    assert_eq!(report["module_id"], MODULE);
    assert_eq!(report["pcrs"]["0"], "a0".repeat(48));
    assert_eq!(report["nonce"], hex::encode("nonce"));
}

#[test]
fn indefinite_payload_map_and_tag_18_are_accepted() {
    accepted(|forge| forge.indefinite = true);
    let forge = Forge::new();
    assert!(forge.verify_bytes(&forge.tagged_document()).is_ok());
}

#[test]
fn optional_fields_may_be_absent_null_or_full() {
    for field in ["public_key", "user_data", "nonce"] {
        accepted(|forge| forge.remove(field));
        accepted(|forge| forge.set(field, Value::Null));
        accepted(|forge| forge.set(field, Value::Bytes(vec![5; 1024])));
    }
    let document = accepted(|forge| forge.set("public_key", Value::Null));
    assert_eq!(document.public_key(), None);
}

#[test]
fn empty_user_data_is_not_absent_user_data() {
    let document = accepted(|forge| forge.set("user_data", Value::Bytes(Vec::new())));
    assert_eq!(document.user_data(), Some(&[][..]));
}

#[test]
fn a_pcr_that_the_application_locked_is_reported() {
    let document = accepted(|forge| {
        forge.pcrs().push((Value::from(16), Value::Bytes(vec![9; 48])));
    });
    assert_eq!(document.pcr(16), Some(&PcrValue([9; 48])));
}

#[test]
fn all_32_pcrs_are_accepted() {
    accepted(|forge| {
        let all = (0..32).map(|index| (Value::from(index), Value::Bytes(vec![9; 48])));
        forge.set("pcrs", Value::Map(all.collect()));
    });
}

#[test]
fn fields_may_come_in_any_order() {
    accepted(|forge| forge.fields.reverse());
}

#[test]
fn a_leaf_without_basic_constraints_is_an_end_entity() {
    accepted(|forge| forge.certificates[LEAF].remove_extension(BASIC_CONSTRAINTS));
}

#[test]
fn an_unknown_extension_that_is_not_critical_is_ignored() {
    accepted(|forge| {
        forge.certificates[LEAF].extensions.push((&[1, 2, 3], false, vec![5, 0]));
    });
}

#[test]
fn a_shorter_chain_is_a_chain() {
    accepted(|forge| {
        forge.certificates.remove(ZONE);
        forge.certificates[2].signer = REGION;
    });
}

#[test]
fn every_certificate_is_valid_in_its_first_and_last_second() {
    for place in [ROOT, REGION, ZONE, INSTANCE, LEAF] {
        accepted(|forge| forge.certificates[place].not_after = NOW);
    }
    accepted(|forge| {
        forge.certificates[LEAF].not_before = NOW;
        forge.set("timestamp", Value::from(NOW * 1000));
    });
}
