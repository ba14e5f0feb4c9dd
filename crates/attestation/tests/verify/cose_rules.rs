//! The COSE_Sign1 shell: one shape, one algorithm, one signature.

use ciborium::Value;
use strongroom_attestation::{MAX_DOCUMENT_LEN, VerifyError};

use crate::maker::*;

/// The parts of a good document: protected, unprotected, payload, signature.
fn parts(forge: &Forge) -> Vec<Value> {
    let document: Value = ciborium::from_reader(forge.document().as_slice()).unwrap();
    document.into_array().unwrap()
}

/// Verifies a good document whose parts `knob` changed.
fn with_parts(knob: impl FnOnce(&mut Vec<Value>)) -> Result<(), VerifyError> {
    let forge = Forge::new();
    let mut parts = parts(&forge);
    knob(&mut parts);
    forge.verify_bytes(&cose(parts)).map(drop)
}

fn code(knob: impl FnOnce(&mut Vec<Value>)) -> &'static str {
    with_parts(knob).unwrap_err().code()
}

/// A document signed over the given protected header, context and all.
fn signed_as(context: &str, protected: &[u8], place: usize) -> Result<(), VerifyError> {
    let forge = Forge::new();
    let (protected, payload) = (Value::Bytes(protected.to_vec()), Value::Bytes(forge.payload()));
    let signed = Value::Array(vec![
        context.into(),
        protected.clone(),
        Value::Bytes(Vec::new()),
        payload.clone(),
    ]);
    let signature = Value::Bytes(raw_signature(place, &encode(&signed)));
    let document = cose(vec![protected, Value::Map(Vec::new()), payload, signature]);
    forge.verify_bytes(&document).map(drop)
}

const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

#[test]
fn the_parts_put_together_again_are_good() {
    with_parts(|_| {}).unwrap();
    signed_as("Signature1", ES384, LEAF).unwrap();
}

#[test]
fn any_other_protected_header_is_refused_however_well_signed() {
    let headers: [&[u8]; 10] = [
        &[],                                               // empty
        &[0xa0],                                           // no algorithm
        &[0xa1, 0x01, 0x26],                               // ES256
        &[0xa1, 0x01, 0x38, 0x23],                         // ES512
        &[0xa1, 0x01, 0x20],                               // -1, as QEMU's machine has
        &[0xa1, 0x01, 0x65, b'E', b'S', b'3', b'8', b'4'], // as text
        &[0xa2, 0x01, 0x38, 0x22, 0x01, 0x26],             // twice
        &[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x18, 0x63], // crit
        &[0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00],       // kid
        &[0xa1, 0x01, 0x39, 0x00, 0x22],                   // ES384 in a longer form
    ];
    for header in headers {
        let error = signed_as("Signature1", header, LEAF).unwrap_err();
        assert_eq!(error.code(), "cose-algorithm", "{header:02x?}");
    }
    assert_eq!(code(|parts| parts[0] = Value::Map(Vec::new())), "cose-structure");
}

#[test]
fn algorithm_in_the_unprotected_header_is_refused() {
    let algorithm = Value::Map(vec![(Value::from(1), Value::from(-35))]);
    assert_eq!(code(|parts| parts[1] = algorithm.clone()), "cose-structure");
    assert_eq!(
        code(|parts| {
            parts[0] = Value::Bytes(Vec::new());
            parts[1] = algorithm.clone();
        }),
        "cose-algorithm"
    );
}

#[test]
fn other_shapes_are_refused() {
    assert_eq!(code(|parts| parts.push(Value::Null)), "cose-structure");
    assert_eq!(code(|parts| drop(parts.pop())), "cose-structure");
    assert_eq!(code(|parts| parts[1] = Value::Null), "cose-structure");
    assert_eq!(code(|parts| parts[2] = Value::Null), "cose-structure");
    assert_eq!(code(|parts| parts[2] = Value::Map(Vec::new())), "cose-structure");
    assert_eq!(code(|parts| parts[2] = Value::Bytes(Vec::new())), "cose-structure");
    assert_eq!(code(|parts| parts[2] = Value::Bytes(vec![0; 16_385])), "cose-structure");
    assert_eq!(code(|parts| parts[3] = Value::Null), "cose-structure");
    assert_eq!(code(|parts| parts[3] = Value::Bytes(vec![0; 20_000])), "cose-structure");
}

#[test]
fn tag_18_twice_or_another_tag_is_refused() {
    let forge = Forge::new();
    let document = forge.document();
    for tags in [&[0xd2, 0xd2][..], &[0xd1], &[0xd8, 18], &[0xd9, 0xd9, 0xf7], &[0xd2, 0xc0]] {
        let tagged = [tags, &document].concat();
        assert_eq!(forge.verify_bytes(&tagged).unwrap_err().code(), "cbor", "{tags:02x?}");
    }
}

#[test]
fn bytes_after_the_document_are_refused() {
    let forge = Forge::new();
    let document = forge.document();
    for more in [&[0][..], &[0xf6], &document] {
        let longer = [document.as_slice(), more].concat();
        assert_eq!(forge.verify_bytes(&longer).unwrap_err().code(), "cbor");
    }
}

#[test]
fn a_document_over_the_limit_is_refused_before_it_is_read() {
    let forge = Forge::new();
    let mut document = forge.document();
    document.resize(MAX_DOCUMENT_LEN + 1, 0);
    assert_eq!(forge.verify_bytes(&document).unwrap_err().code(), "cose-structure");
}

#[test]
fn a_document_cut_anywhere_is_refused() {
    let forge = Forge::new();
    let document = forge.document();
    for end in 0..document.len() {
        assert!(forge.verify_bytes(&document[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_signature_of_another_length_or_form_is_refused() {
    for len in [0, 64, 95, 97, 132] {
        assert_eq!(code(|parts| parts[3] = Value::Bytes(vec![1; len])), "cose-structure", "{len}");
    }
    for byte in [0, 0xff] {
        assert_eq!(code(|parts| parts[3] = Value::Bytes(vec![byte; 96])), "cose-signature");
    }
    let swapped = |parts: &mut Vec<Value>| parts[3].as_bytes_mut().unwrap().rotate_left(48);
    assert_eq!(code(swapped), "cose-signature");
}

#[test]
fn both_forms_of_s_are_accepted() {
    with_parts(|parts| {
        let bytes = parts[3].as_bytes_mut().unwrap();
        let signature = p384::ecdsa::Signature::from_slice(bytes).unwrap();
        let (r, s) = signature.split_scalars();
        let other = p384::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
        assert_ne!(other, signature);
        *bytes = other.to_bytes().to_vec();
    })
    .unwrap();
}

#[test]
fn a_signature_over_anything_else_is_refused() {
    let signature = |bytes: &[u8]| Value::Bytes(raw_signature(LEAF, bytes));
    let payload = |parts: &[Value]| parts[2].as_bytes().unwrap().clone();
    assert_eq!(code(|parts| parts[3] = signature(&payload(parts))), "cose-signature");
    assert_eq!(signed_as("Signature", ES384, LEAF).unwrap_err().code(), "cose-signature");
    assert_eq!(signed_as("CounterSignature", ES384, LEAF).unwrap_err().code(), "cose-signature");
}

#[test]
fn a_signature_by_any_key_but_the_leafs_is_refused() {
    for place in [ROOT, REGION, ZONE, INSTANCE] {
        let error = signed_as("Signature1", ES384, place).unwrap_err();
        assert_eq!(error.code(), "cose-signature", "{place}");
    }
}

#[test]
fn a_swapped_payload_is_refused() {
    let mut other = Forge::new();
    other.set("nonce", Value::Bytes(b"other".to_vec()));
    let payload = Value::Bytes(other.payload());
    assert_eq!(code(|parts| parts[2] = payload), "cose-signature");
}

#[test]
fn the_payload_is_verified_as_received_not_as_it_would_be_written_again() {
    let mut other = Forge::new();
    other.indefinite = true;
    let payload = Value::Bytes(other.payload());
    assert_eq!(code(|parts| parts[2] = payload), "cose-signature");
}
