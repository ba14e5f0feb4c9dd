//! The payload map: nine fields, each with its type, length and value.
//! Every document here is correctly signed.

use ciborium::Value;

use crate::maker::*;
use crate::refused;

const MANDATORY: [&str; 6] =
    ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"];
const OPTIONAL: [&str; 3] = ["public_key", "user_data", "nonce"];

/// Signs a payload of any bytes and returns the refusal's code.
fn code_of_payload(payload: Vec<u8>) -> &'static str {
    let forge = Forge::new();
    forge.verify_bytes(&forge.sign(payload)).unwrap_err().code()
}

/// A good payload with raw CBOR put in as one more pair, or its head replaced.
fn with_extra(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut forge = Forge::new();
    forge.indefinite = true;
    let mut payload = forge.payload();
    payload.pop();
    [payload.as_slice(), key, value, &[0xff]].concat()
}

/// A good payload whose `field` has the raw CBOR `value`.
fn with_raw(field: &str, value: &[u8]) -> Vec<u8> {
    let mut pairs = Forge::new().pairs();
    pairs.retain(|(key, _)| key.as_text() != Some(field));
    let mut payload = encode_pairs(pairs, true);
    payload.pop();
    payload.extend(encode(&field.into()));
    payload.extend_from_slice(value);
    payload.push(0xff);
    payload
}

#[test]
fn a_mandatory_field_absent_or_null_is_refused() {
    for field in MANDATORY {
        let mut pairs = Forge::new().pairs();
        pairs.retain(|(key, _)| key.as_text() != Some(field));
        assert_eq!(code_of_payload(encode_pairs(pairs, false)), "field-missing", "{field}");
        let code = code_of_payload(with_raw(field, &[0xf6]));
        assert_eq!(code, if field == "pcrs" { "pcrs-invalid" } else { "field-invalid" }, "{field}");
    }
}

#[test]
fn a_field_twice_is_refused_even_with_the_same_value() {
    for field in MANDATORY.into_iter().chain(OPTIONAL) {
        for indefinite in [false, true] {
            let mut pairs = Forge::new().pairs();
            let again = pairs.iter().find(|(key, _)| key.as_text() == Some(field)).cloned();
            pairs.push(again.unwrap());
            let payload = encode_pairs(pairs, indefinite);
            assert_eq!(code_of_payload(payload), "field-duplicate", "{field}");
        }
    }
    refused("field-duplicate", |forge| {
        forge.set("nonce", Value::Null);
        forge.fields.push(("nonce".into(), Value::Bytes(vec![1])));
    });
}

#[test]
fn an_unknown_field_is_refused_whatever_its_key() {
    let keys = ["Nonce".into(), "nitrotpm_pcrs".into(), Value::from(1), Value::from(-1)];
    for key in keys.into_iter().chain(["".into(), Value::Bytes(b"nonce".to_vec()), Value::Null]) {
        refused("field-unknown", |forge| forge.fields.push((key, Value::Null)));
    }
}

#[test]
fn a_field_of_another_type_is_refused() {
    let values = [Value::from(1), "text".into(), Value::Bytes(vec![1]), Value::Array(Vec::new())];
    for field in MANDATORY.into_iter().chain(OPTIONAL) {
        for value in values.iter().chain([&Value::Map(Vec::new())]) {
            let fits = match field {
                "timestamp" => value.is_integer(),
                "certificate" | "public_key" | "user_data" | "nonce" => value.is_bytes(),
                "module_id" => value.is_text(),
                _ => false,
            };
            if !fits {
                let code = code_of_payload(with_raw(field, &encode(value)));
                assert!(matches!(code, "field-invalid" | "pcrs-invalid"), "{field}: {code}");
            }
        }
    }
}

#[test]
fn a_digest_but_sha384_is_refused() {
    for digest in ["SHA256", "SHA512", "sha384", "SHA384 ", ""] {
        refused("field-invalid", |forge| forge.set("digest", digest.into()));
    }
}

#[test]
fn a_timestamp_that_is_no_positive_integer_is_refused() {
    for timestamp in [Value::from(0), Value::from(-1), "1768478450000".into()] {
        refused("field-invalid", |forge| forge.set("timestamp", timestamp));
    }
    refused("cbor", |forge| forge.set("timestamp", Value::Float(1_768_478_450_000.0)));
}

#[test]
fn a_timestamp_in_seconds_or_beyond_u64_milliseconds_is_refused() {
    for timestamp in [NOW - 10, u64::MAX] {
        refused("timestamp-outside-certificate", |forge| {
            forge.set("timestamp", Value::from(timestamp));
        });
    }
}

#[test]
fn a_module_that_is_no_enclave_is_refused() {
    let ids = ["i-0123456789abcdef0-tpm0000000000000000", "i-0123456789abcdef0", "-enc00"];
    for id in ids.into_iter().chain(["i--enc0", "i-0-enc", "i-0-enc0\n", "x-0-enc0", "i-0-ENC0"]) {
        refused("not-an-enclave", |forge| forge.set("module_id", id.into()));
    }
    refused("field-invalid", |forge| forge.set("module_id", "".into()));
    refused("field-invalid", |forge| forge.set("module_id", "i".repeat(129).into()));
}

#[test]
fn pcrs_of_a_wrong_number_are_refused() {
    refused("pcrs-invalid", |forge| forge.pcrs().clear());
    refused("pcrs-invalid", |forge| {
        let all = (0..33).map(|index| (Value::from(index), Value::Bytes(vec![9; 48])));
        forge.set("pcrs", Value::Map(all.collect()));
    });
}

#[test]
fn a_pcr_index_out_of_range_or_of_another_type_is_refused() {
    let indices = [Value::from(32), Value::from(256), Value::from(u64::MAX), Value::from(-1)];
    for index in indices.into_iter().chain(["0".into(), Value::Bytes(vec![0]), Value::Null]) {
        refused("pcrs-invalid", |forge| forge.pcrs()[0].0 = index);
    }
    refused("cbor", |forge| forge.pcrs()[0].0 = Value::Bool(true));
}

#[test]
fn a_pcr_index_twice_is_refused_in_either_encoding() {
    refused("pcrs-invalid", |forge| {
        let again = forge.pcrs()[0].clone();
        forge.pcrs().push(again);
    });
    // 0 as one byte and as two.
    let value = [&[0x58, 48][..], &PCR0].concat();
    let pcrs = [&[0xa2, 0x00][..], &value, &[0x18, 0x00], &value].concat();
    assert_eq!(code_of_payload(with_raw("pcrs", &pcrs)), "pcrs-invalid");
}

#[test]
fn a_pcr_value_of_another_length_or_type_is_refused() {
    for len in [0, 32, 47, 49, 64] {
        refused("pcrs-invalid", |forge| forge.pcrs()[0].1 = Value::Bytes(vec![1; len]));
    }
    for value in [Value::Null, "a0".repeat(24).into(), Value::from(0)] {
        refused("pcrs-invalid", |forge| forge.pcrs()[0].1 = value);
    }
}

#[test]
fn certificates_and_cabundle_of_a_wrong_size_are_refused() {
    for certificate in [Vec::new(), vec![0x30; 1025]] {
        refused("field-invalid", |forge| {
            forge.set("certificate", Value::Bytes(certificate.clone()));
        });
        refused("field-invalid", |forge| {
            forge.set("cabundle", Value::Array(vec![Value::Bytes(certificate)]));
        });
    }
    refused("field-invalid", |forge| forge.set("cabundle", Value::Array(Vec::new())));
    refused("field-invalid", |forge| {
        forge.set("cabundle", Value::Array(vec![Value::Bytes(vec![0x30]); 9]));
    });
    refused("field-invalid", |forge| forge.set("cabundle", Value::Array(vec![Value::Null])));
}

#[test]
fn optional_fields_over_1024_bytes_and_an_empty_public_key_are_refused() {
    for field in OPTIONAL {
        refused("field-invalid", |forge| forge.set(field, Value::Bytes(vec![1; 1025])));
    }
    refused("field-invalid", |forge| forge.set("public_key", Value::Bytes(Vec::new())));
}

#[test]
fn bytes_after_the_payload_map_are_refused() {
    for indefinite in [false, true] {
        let mut forge = Forge::new();
        forge.indefinite = indefinite;
        let mut payload = forge.payload();
        payload.push(0xf6);
        assert_eq!(code_of_payload(payload), "cbor");
    }
}

#[test]
fn a_payload_map_whose_count_is_not_its_pairs_is_refused() {
    let payload = Forge::new().payload();
    assert_eq!(payload[0], 0xa9);
    for (head, code) in [(0xa8, "cbor"), (0xaa, "cbor"), (0xa0, "cbor"), (0xbf, "cbor")] {
        let mut payload = payload.clone();
        payload[0] = head;
        let found = code_of_payload(payload);
        assert!(found == code || found == "field-missing", "{head:02x}: {found}");
    }
    let huge = [&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &payload[1..]];
    assert_eq!(code_of_payload(huge.concat()), "cbor");
}

#[test]
fn a_payload_that_is_no_map_is_refused() {
    for payload in [&[0x80][..], &[0xf6], &[0xff], &[0x00]] {
        assert_eq!(code_of_payload(payload.to_vec()), "cose-structure", "{payload:02x?}");
    }
}

#[test]
fn deep_nesting_costs_nothing_and_is_refused() {
    for nest in [0x81, 0xc0, 0xa1, 0x9f, 0xbf] {
        let extra = with_extra(&[0x61, b'x'], &[nest; 4000]);
        assert_eq!(code_of_payload(extra), "field-unknown");
        let code = code_of_payload(with_raw("nonce", &[nest; 4000]));
        assert!(matches!(code, "cbor" | "field-invalid"), "{code}");
        let code = code_of_payload(vec![nest; 4000]);
        assert!(matches!(code, "cbor" | "field-unknown" | "cose-structure"), "{code}");
    }
}

#[test]
fn cbor_that_nitro_does_not_emit_is_refused_inside() {
    let chunked_text = [&[0x7f][..], &encode(&MODULE.into()), &[0xff]].concat();
    let tagged_nonce = [&[0xc2][..], &encode(&Value::Bytes(vec![1]))].concat();
    let value = [&[0x58, 48][..], &PCR0].concat();
    let indefinite_pcrs = [&[0xbf, 0x00][..], &value, &[0xff]].concat();
    for (field, value) in [
        ("module_id", chunked_text),
        ("nonce", vec![0x5f, 0x41, 1, 0xff]),
        ("nonce", tagged_nonce),
        ("nonce", vec![0xf7]),
        ("cabundle", vec![0x9f, 0x41, 1, 0xff]),
    ] {
        assert_eq!(code_of_payload(with_raw(field, &value)), "cbor", "{field}");
    }
    assert_eq!(code_of_payload(with_raw("pcrs", &indefinite_pcrs)), "pcrs-invalid");
}

#[test]
fn lengths_beyond_the_payload_are_refused() {
    for head in [0x5b, 0x9b, 0xbb] {
        let lie = [head, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for field in MANDATORY {
            assert_eq!(code_of_payload(with_raw(field, &lie)), "cbor", "{field}");
        }
    }
}
