//! What AWS's own check program (`nsm-check`) proves of hardware, and what no
//! hardware must do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_cbor::Value;
use strongroom_attestation::{Policy, TrustRoot, UnixTime, VerifiedDocument, verify};

use super::*;

fn module() -> SimNsm {
    SimNsm::builder().role_arn(None).build().unwrap()
}

fn ask(nsm: &SimNsm, request: &Request) -> Response {
    let bytes = answer(nsm, &serde_cbor::to_vec(request).unwrap());
    assert!(bytes.len() <= RESPONSE_LEN);
    serde_cbor::from_slice(&bytes).unwrap()
}

fn pcr(nsm: &SimNsm, index: u16) -> (bool, Vec<u8>) {
    match ask(nsm, &Request::DescribePCR { index }) {
        Response::DescribePCR { lock, data } => (lock, data),
        other => panic!("{other:?}"),
    }
}

fn is_error(response: &Response, code: &str) -> bool {
    matches!(response, Response::Error(found) if format!("{found:?}") == code)
}

fn attestation(fields: [Option<Vec<u8>>; 3]) -> Request {
    let [user_data, nonce, public_key] = fields.map(|field| field.map(ByteBuf::from));
    Request::Attestation { user_data, nonce, public_key }
}

fn document(nsm: &SimNsm, request: &Request) -> VerifiedDocument {
    let Response::Attestation { document } = ask(nsm, request) else { panic!("no document") };
    let root = TrustRoot::from_der(&nsm.trust_root_der()).unwrap();
    let now = UnixTime::from_millis(nsm.now_ms());
    verify(&document, &root, now, &Policy::any_image()).unwrap()
}

#[test]
fn a_fresh_module_describes_itself_as_hardware_does() {
    let nsm = module();
    let Response::DescribeNSM { max_pcrs, locked_pcrs, digest, module_id, version_major, .. } =
        ask(&nsm, &Request::DescribeNSM)
    else {
        panic!("no description")
    };
    assert_eq!((max_pcrs, digest, version_major), (32, Digest::SHA384, 1));
    assert!(locked_pcrs.into_iter().eq(0..16));
    assert_eq!(module_id, nsm.module_id());
}

#[test]
fn a_fresh_modules_pcrs_are_as_hardwares() {
    let nsm = module();
    for index in 0..32 {
        let (lock, data) = pcr(&nsm, index);
        assert_eq!((lock, data.len()), (index < 16, 48), "PCR{index}");
        let zero = data.iter().all(|byte| *byte == 0);
        assert_eq!(zero, ![0, 1, 2, 4].contains(&index), "PCR{index}");
    }
    assert!(is_error(&ask(&nsm, &Request::DescribePCR { index: 32 }), "InvalidIndex"));
    assert!(is_error(&ask(&nsm, &Request::DescribePCR { index: 256 }), "InvalidIndex"));
    assert!(is_error(&ask(&nsm, &Request::DescribePCR { index: u16::MAX }), "InvalidIndex"));
}

#[test]
fn pcrs_extend_until_they_are_locked() {
    let nsm = module();
    let extend = |index, data: &[u8]| ask(&nsm, &Request::ExtendPCR { index, data: data.to_vec() });
    let Response::ExtendPCR { data } = extend(16, b"one") else { panic!("not extended") };
    assert_eq!(pcr(&nsm, 16), (false, data.clone()));
    let Response::ExtendPCR { data: again } = extend(16, b"one") else { panic!("not extended") };
    assert_ne!(again, data);

    assert!(matches!(ask(&nsm, &Request::LockPCR { index: 16 }), Response::LockPCR));
    assert_eq!(pcr(&nsm, 16), (true, again));
    for index in [0, 15, 16] {
        assert!(is_error(&extend(index, b"two"), "ReadOnlyIndex"), "PCR{index}");
        let lock = ask(&nsm, &Request::LockPCR { index });
        assert!(is_error(&lock, "ReadOnlyIndex"), "PCR{index}");
    }
    assert!(is_error(&extend(32, b""), "InvalidIndex"));
    assert!(is_error(&ask(&nsm, &Request::LockPCR { index: 32 }), "InvalidIndex"));
}

#[test]
fn a_range_is_locked_even_when_all_of_it_is_but_never_beyond_the_last() {
    let nsm = module();
    for _ in 0..2 {
        let locked = ask(&nsm, &Request::LockPCRs { range: 32 });
        assert!(matches!(locked, Response::LockPCRs));
    }
    assert!((0..32).all(|index| pcr(&nsm, index).0));
    assert!(is_error(&ask(&nsm, &Request::LockPCRs { range: 33 }), "InvalidIndex"));
    assert_eq!(document(&nsm, &attestation([None, None, None])).pcrs().len(), 32);
}

#[test]
fn a_document_carries_1024_bytes_in_each_of_its_three_fields_and_no_more() {
    let nsm = module();
    let [a, b, c] = [1, 2, 3].map(|byte| vec![byte; 1024]);
    let full = attestation([Some(a.clone()), Some(b.clone()), Some(c.clone())]);
    let verified = document(&nsm, &full);
    assert_eq!(verified.user_data(), Some(a.as_slice()));
    assert_eq!(verified.nonce(), Some(b.as_slice()));
    assert_eq!(verified.public_key(), Some(c.as_slice()));
    for at in 0..3 {
        let mut fields = [const { None }; 3];
        fields[at] = Some(vec![0; 1025]);
        assert!(is_error(&ask(&nsm, &attestation(fields)), "InvalidArgument"), "field {at}");
    }
}

#[test]
fn an_absent_field_is_absent_and_an_empty_one_empty() {
    let verified = document(&module(), &attestation([Some(Vec::new()), None, None]));
    assert_eq!((verified.user_data(), verified.nonce()), (Some(&b""[..]), None));
}

#[test]
fn random_is_256_bytes_and_never_the_same() {
    let nsm = module();
    let [one, two] = [(); 2].map(|()| match ask(&nsm, &Request::GetRandom) {
        Response::GetRandom { random } => random,
        other => panic!("{other:?}"),
    });
    assert_eq!((one.len(), two.len()), (256, 256));
    assert_ne!(one, two);
}

#[test]
fn answers_are_spelt_as_the_driver_expects() {
    let nsm = module();
    let text = |text: &str| serde_cbor::to_vec(&Value::Text(text.into())).unwrap();
    let map = |name: &str, value| {
        serde_cbor::to_vec(&Value::Map(BTreeMap::from([(Value::Text(name.into()), value)])))
            .unwrap()
    };
    // Bare text for what has no arguments, a map of one entry for the rest;
    // bytes are byte strings.
    let range = Value::Map(BTreeMap::from([(Value::Text("range".into()), Value::Integer(32))]));
    assert_eq!(answer(&nsm, &map("LockPCRs", range)), text("LockPCRs"));
    let unknown = map("Error", Value::Text("InvalidOperation".into()));
    assert_eq!(answer(&nsm, &text("OpenSesame")), unknown);
    assert_eq!(answer(&nsm, b""), unknown);
    assert_eq!(answer(&nsm, &text("GetRandom"))[..20], *b"\xa1iGetRandom\xa1frandom\x59");
}

#[test]
fn a_request_of_4096_bytes_is_read_and_a_longer_one_is_not() {
    let nsm = module();
    let of = |len: usize| {
        let frame =
            serde_cbor::to_vec(&Request::ExtendPCR { index: 20, data: vec![0; 256] }).unwrap();
        let data = vec![0; 256 + len - frame.len()];
        let bytes = serde_cbor::to_vec(&Request::ExtendPCR { index: 20, data }).unwrap();
        assert_eq!(bytes.len(), len);
        serde_cbor::from_slice::<Response>(&answer(&nsm, &bytes)).unwrap()
    };
    assert!(matches!(of(MAX_REQUEST_LEN), Response::ExtendPCR { .. }));
    assert!(is_error(&of(MAX_REQUEST_LEN + 1), "InputTooLarge"));
}

#[test]
fn nesting_without_end_is_refused() {
    let nsm = module();
    for byte in [0x81, 0x9f, 0xa1, 0xbf, 0xc0, 0x7f, 0x5f] {
        let response = serde_cbor::from_slice(&answer(&nsm, &[byte; MAX_REQUEST_LEN])).unwrap();
        assert!(is_error(&response, "InvalidOperation"), "{byte:02x}");
    }
}

fn requests() -> impl Strategy<Value = Request> {
    let field = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..1100));
    prop_oneof![
        any::<u16>().prop_map(|index| Request::DescribePCR { index }),
        (0u16..40, proptest::collection::vec(any::<u8>(), 0..600))
            .prop_map(|(index, data)| Request::ExtendPCR { index, data }),
        (0u16..40).prop_map(|index| Request::LockPCR { index }),
        (0u16..40).prop_map(|range| Request::LockPCRs { range }),
        Just(()).prop_map(|()| Request::DescribeNSM),
        Just(()).prop_map(|()| Request::GetRandom),
        [field(), field(), field()].prop_map(attestation),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_sequence_of_requests_gets_answers_of_its_kinds(
        sequence in proptest::collection::vec(requests(), 1..12),
    ) {
        let nsm = module();
        for request in &sequence {
            let response = ask(&nsm, request);
            let named = |value: String| value.split([' ', '(']).next().unwrap().to_owned();
            let (asked, answered) = (format!("{request:?}"), format!("{response:?}"));
            prop_assert!(
                is_error(&response, "InvalidIndex")
                    || is_error(&response, "ReadOnlyIndex")
                    || is_error(&response, "InvalidArgument")
                    || named(asked.clone()) == named(answered.clone()),
                "{asked} → {answered}",
            );
        }
    }

    #[test]
    fn no_bytes_go_unanswered(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let response: Response = serde_cbor::from_slice(&answer(&module(), &bytes)).unwrap();
        prop_assert!(matches!(response, Response::Error(_)));
    }

    #[test]
    fn a_request_with_any_byte_changed_is_answered_all_the_same(
        request in requests(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = serde_cbor::to_vec(&request).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let answered = answer(&module(), &bytes);
        prop_assert!(answered.len() <= RESPONSE_LEN);
        prop_assert!(serde_cbor::from_slice::<Response>(&answered).is_ok());
    }
}
