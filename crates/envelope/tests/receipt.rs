//! Receipts: only the attested key's, only in their one encoding, and the same
//! for an implementation of COSE and ECDSA that is not ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use coset::cbor::value::Value;
use coset::{CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, iana};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use proptest::prelude::*;
use strongroom_envelope::receipt::{
    MAX_RECEIPT_LEN, Receipt, ReceiptError, ReceiptKey, receipt_key_of, verify,
};

fn receipt() -> Receipt {
    Receipt {
        request_id: [1; 16],
        request_digest: [2; 32],
        job: "mask-customers".into(),
        manifest: [3; 32],
        keys: vec!["arn:aws:kms:eu-west-1:111122223333:key/k".into()],
        inputs: vec![[4; 32], [5; 32]],
        result: [6; 32],
        counter: 7,
        time_ms: 1_800_000_000_000,
        caller: Some("billing".into()),
        records: Some(8),
        dropped: Some(9),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn bytes(byte: u8, len: usize) -> Value {
    Value::Bytes(vec![byte; len])
}

/// [`receipt`] written down from the module's page.
fn entries() -> Vec<(Value, Value)> {
    vec![
        (text("n"), 7.into()),
        (text("t"), 1_800_000_000_000_u64.into()),
        (text("v"), 1.into()),
        (text("job"), text("mask-customers")),
        (text("req"), bytes(1, 16)),
        (text("keys"), Value::Array(vec![text("arn:aws:kms:eu-west-1:111122223333:key/k")])),
        (text("input"), Value::Array(vec![bytes(4, 32), bytes(5, 32)])),
        (text("caller"), text("billing")),
        (text("digest"), bytes(2, 32)),
        (text("result"), bytes(6, 32)),
        (text("dropped"), 9.into()),
        (text("records"), 8.into()),
        (text("manifest"), bytes(3, 32)),
    ]
}

fn encode(value: Value) -> Vec<u8> {
    value.to_vec().unwrap()
}

fn oracle_key() -> (SigningKey, Vec<u8>) {
    let key = SigningKey::from_slice(&[0x17; 32]).unwrap();
    let public = VerifyingKey::from(&key).to_sec1_point(false).as_bytes().to_vec();
    (key, public)
}

/// `payload` signed by the oracle in the way that receipts are.
fn sign(payload: Vec<u8>) -> Vec<u8> {
    sign_as(payload, iana::Algorithm::ES256, b"")
}

fn sign_as(payload: Vec<u8>, algorithm: iana::Algorithm, external: &[u8]) -> Vec<u8> {
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(algorithm).build())
        .payload(payload)
        .create_signature(external, |message| {
            let signature: Signature = oracle_key().0.sign(message);
            signature.to_bytes().to_vec()
        })
        .build()
        .to_vec()
        .unwrap()
}

fn verified(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
    verify(bytes, &oracle_key().1)
}

#[test]
fn receipt_signed_by_another_cose_implementation_is_read() {
    assert_eq!(verified(&sign(encode(Value::Map(entries())))), Ok(receipt()));
}

#[test]
fn our_receipt_verifies_in_another_cose_implementation() {
    let key = ReceiptKey::generate().unwrap();
    let sign1 = CoseSign1::from_slice(&key.sign(&receipt()).unwrap()).unwrap();
    assert!(sign1.unprotected.is_empty());
    let theirs = VerifyingKey::from_sec1_bytes(&key.public_key()).unwrap();
    sign1
        .verify_signature(b"", |signature, message| {
            theirs.verify(message, &Signature::from_slice(signature).unwrap())
        })
        .unwrap();
    assert_eq!(sign1.payload.unwrap(), encode(Value::Map(entries())));
}

#[test]
fn any_flipped_bit_is_refused() {
    let signed = sign(encode(Value::Map(entries())));
    for bit in 0..signed.len() * 8 {
        let mut changed = signed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verified(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn receipt_cut_or_lengthened_is_refused() {
    let signed = sign(encode(Value::Map(entries())));
    for len in 0..signed.len() {
        assert!(verified(&signed[..len]).is_err(), "{len}");
    }
    assert!(verified(&[&signed[..], b"\0"].concat()).is_err());
    assert!(verified(&[b"\0", &signed[..]].concat()).is_err());
}

#[test]
fn receipt_of_another_enclave_is_refused() {
    let (ours, other) = (ReceiptKey::generate().unwrap(), ReceiptKey::generate().unwrap());
    let signed = other.sign(&receipt()).unwrap();
    assert_eq!(verify(&signed, &ours.public_key()), Err(ReceiptError::Signature));
    assert_eq!(verify(&signed, &other.public_key()), Ok(receipt()));
}

#[test]
fn other_shapes_of_the_same_signed_content_are_refused() {
    let signed = sign(encode(Value::Map(entries())));
    let tagged = [b"\xD2", &signed[..]].concat();
    assert_eq!(verified(&tagged), Err(ReceiptError::NotAReceipt));
    let mut indefinite = signed.clone();
    indefinite[0] = 0x9F;
    indefinite.push(0xFF);
    assert_eq!(verified(&indefinite), Err(ReceiptError::NotAReceipt));
    // An unprotected header is not signed: here a key id.
    let mut unprotected = signed.clone();
    unprotected.splice(5..6, *b"\xA1\x04\x41\x00");
    assert_eq!(verified(&unprotected), Err(ReceiptError::NotAReceipt));
    // The payload's length in four bytes instead of two.
    assert_eq!(signed[6], 0x59);
    let mut long_head = signed.clone();
    long_head.splice(6..7, *b"\x5A\0\0");
    assert_eq!(verified(&long_head), Err(ReceiptError::NotAReceipt));
}

#[test]
fn other_algorithms_and_external_data_are_refused() {
    let payload = encode(Value::Map(entries()));
    let other = sign_as(payload.clone(), iana::Algorithm::ES384, b"");
    assert_eq!(verified(&other), Err(ReceiptError::NotAReceipt));
    let external = sign_as(payload, iana::Algorithm::ES256, b"x");
    assert_eq!(verified(&external), Err(ReceiptError::Signature));
}

#[test]
fn signed_payload_that_is_not_deterministic_is_refused() {
    let good = entries();
    let refused = |entries: Vec<(Value, Value)>, why: &str| {
        assert_eq!(
            verified(&sign(encode(Value::Map(entries)))),
            Err(ReceiptError::Payload),
            "{why}"
        );
    };
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    refused(swapped, "order");
    let mut twice = good.clone();
    twice.insert(0, good[0].clone());
    refused(twice, "duplicate key");
    let mut unknown = good.clone();
    unknown.push((text("zzzzzzzzz"), 1.into()));
    refused(unknown, "unknown key");
    let mut null = good.clone();
    null[7].1 = Value::Null;
    refused(null, "null for absent");
    for index in [0, 1, 2, 3, 4, 5, 6, 8, 9, 12] {
        let mut missing = good.clone();
        missing.remove(index);
        refused(missing, "missing key");
    }
    for (index, value) in [
        (0, Value::from(-1)),
        (0, Value::Float(7.0)),
        (2, 2.into()),
        (2, 0.into()),
        (3, bytes(b'a', 3)),
        (4, bytes(1, 15)),
        (6, Value::Array(vec![bytes(4, 33)])),
        (8, bytes(2, 31)),
        (9, Value::Array(vec![6.into(); 32])),
    ] {
        let mut wrong = good.clone();
        wrong[index].1 = value;
        refused(wrong, "type or length");
    }
    let values = Value::Array(good.iter().map(|entry| entry.1.clone()).collect());
    assert_eq!(verified(&sign(encode(values))), Err(ReceiptError::Payload), "array for map");
}

#[test]
fn signed_payload_with_long_heads_or_a_tail_is_refused() {
    let payload = encode(Value::Map(entries()));
    assert_eq!(payload[..4], *b"\xAD\x61n\x07");
    let refused = |payload: Vec<u8>| {
        assert_eq!(verified(&sign(payload)), Err(ReceiptError::Payload));
    };
    refused([&b"\xAD\x61n\x18\x07"[..], &payload[4..]].concat());
    refused([&b"\xB8\x0D"[..], &payload[1..]].concat());
    refused([b"\xBF", &payload[1..], b"\xFF"].concat());
    refused([&payload[..], b"\0"].concat());
    refused([&b"\xC0"[..], &payload].concat());
    refused(Vec::new());
    refused(vec![0x9F; 16_000]);
    refused(b"\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec());
}

#[test]
fn receipt_over_16_kib_is_neither_made_nor_read() {
    let key = ReceiptKey::generate().unwrap();
    let mut long = receipt();
    // 34 bytes each, and something over 500 around them.
    long.inputs = vec![[4; 32]; 460];
    let signed = key.sign(&long).unwrap();
    assert!(signed.len() <= MAX_RECEIPT_LEN);
    assert_eq!(verify(&signed, &key.public_key()), Ok(long.clone()));
    for inputs in [500, 3000] {
        long.inputs = vec![[4; 32]; inputs];
        assert_eq!(key.sign(&long), Err(ReceiptError::TooLong));
    }
    let padded = vec![0x84; MAX_RECEIPT_LEN + 1];
    assert_eq!(verify(&padded, &key.public_key()), Err(ReceiptError::TooLong));
}

#[test]
fn what_is_no_uncompressed_point_is_no_receipt_key() {
    let signed = sign(encode(Value::Map(entries())));
    let (key, public) = oracle_key();
    let compressed = VerifyingKey::from(&key).to_sec1_point(true).as_bytes().to_vec();
    let mut off_curve = public.clone();
    off_curve[64] ^= 1;
    for wrong in [&b""[..], &compressed, &off_curve, &public[..64], &[0; 65], &[4; 65]] {
        assert_eq!(verify(&signed, wrong), Err(ReceiptError::Key));
    }
}

#[test]
fn user_data_names_the_key_and_room_is_left_for_later_keys() {
    let key = ReceiptKey::generate().unwrap();
    let user_data = key.user_data();
    assert_eq!(receipt_key_of(&user_data), Ok(key.public_key()));
    let entry = (text("receipt_key"), Value::Bytes(key.public_key().to_vec()));
    assert_eq!(user_data, encode(Value::Map(vec![entry.clone()])));
    assert_eq!(user_data.len(), 80);
    let later = encode(Value::Map(vec![(text("later"), bytes(1, 65)), entry]));
    assert_eq!(receipt_key_of(&later), Ok(key.public_key()));
}

#[test]
fn user_data_of_any_other_kind_is_refused() {
    let (key, public) = (text("receipt_key"), oracle_key().1);
    let entry = (key.clone(), Value::Bytes(public.clone()));
    let map = |entries: &[(Value, Value)]| encode(Value::Map(entries.to_vec()));
    let good = map(std::slice::from_ref(&entry));
    assert!(receipt_key_of(&good).is_ok());
    for wrong in [
        Vec::new(),
        b"SRSEAL\x00\x01".to_vec(),
        [b"SRSEAL\x00\x01", &[7; 32][..]].concat(),
        map(&[]),
        map(&[entry.clone(), entry.clone()]),
        map(&[entry.clone(), (text("later"), 1.into())]),
        map(&[(1.into(), 1.into()), entry.clone()]),
        map(&[(Value::Bytes(b"receipt_key".to_vec()), Value::Bytes(public.clone()))]),
        map(&[(key.clone(), Value::Null)]),
        [&good[..], b"\0"].concat(),
        [b"\xBF", &good[1..], b"\xFF"].concat(),
        [&b"\xB8\x01"[..], &good[1..]].concat(),
        map(&[(text("a"), bytes(0, 450)), entry]),
        vec![0x81; 512],
    ] {
        assert_eq!(receipt_key_of(&wrong), Err(ReceiptError::UserData), "{wrong:02x?}");
    }
    let off_curve = map(&[(key, bytes(4, 65))]);
    assert_eq!(receipt_key_of(&off_curve), Err(ReceiptError::Key));
}

fn any_receipt() -> impl Strategy<Value = Receipt> {
    let digest = any::<[u8; 32]>;
    let numbers = (any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<Option<u64>>());
    let texts = (".{0,20}", prop::collection::vec(".{0,20}", 0..4), prop::option::of(".{0,9}"));
    let digests = (digest(), digest(), digest(), prop::collection::vec(digest(), 0..20));
    (any::<[u8; 16]>(), numbers, texts, digests).prop_map(
        |(
            request_id,
            (counter, time_ms, records, dropped),
            (job, keys, caller),
            (request_digest, manifest, result, inputs),
        )| Receipt {
            request_id,
            request_digest,
            job,
            manifest,
            keys,
            inputs,
            result,
            counter,
            time_ms,
            caller,
            records,
            dropped,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_signed_is_read_back(receipt in any_receipt()) {
        let key = ReceiptKey::generate().unwrap();
        let signed = key.sign(&receipt).unwrap();
        prop_assert_eq!(verify(&signed, &key.public_key()), Ok(receipt));
        // Deterministic: keys by length, then by their bytes.
        let payload = CoseSign1::from_slice(&signed).unwrap().payload.unwrap();
        let Value::Map(map) = Value::from_slice(&payload).unwrap() else { panic!("no map") };
        let keys: Vec<Vec<u8>> = map.into_iter().map(|(key, _)| encode(key)).collect();
        prop_assert!(keys.is_sorted());
    }

    #[test]
    fn no_payload_that_is_signed_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verified(&sign(bytes)).is_err());
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verified(&bytes).is_err());
        prop_assert!(receipt_key_of(&bytes).is_err());
    }
}
