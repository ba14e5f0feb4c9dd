//! Steering payloads: strictness, limits, and the examples of `docs/protocol.md`.

use std::collections::BTreeMap;

use super::*;
use crate::{ErrorBody, ErrorCode};
use proptest::prelude::*;

fn request(call: Call) -> Request {
    Request { id: RequestId([7; 16]), deadline_ms: None, call }
}

fn run(job: &str) -> Run {
    Run { job: job.into(), ..Run::default() }
}

#[test]
fn the_worked_request_of_the_specification_is_these_bytes() {
    let mut run = run("mask-customers");
    run.args.insert("tenant".into(), "acme".into());
    let mut request = request(Call::Run(run));
    request.deadline_ms = Some(30_000);
    let cbor = concat!(
        "a3",
        "626964",
        "5007070707070707070707070707070707",
        "6b646561646c696e655f6d73",
        "197530",
        "6463616c6c",
        "a1",
        "6372756e",
        "a2",
        "636a6f62",
        "6e6d61736b2d637573746f6d657273",
        "6461726773",
        "a1",
        "6674656e616e74",
        "6461636d65",
    );
    assert_eq!(hex::encode(request.encode().unwrap()), cbor);
    assert_eq!(Request::decode(&hex::decode(cbor).unwrap()).unwrap(), request);
}

#[test]
fn unknown_repeated_and_trailing_are_refused() {
    for (what, cbor) in [
        (
            "unknown key",
            "a3626964500707070707070707070707070707070764 63616c6c a166737461747573a0 6178 01",
        ),
        (
            "key twice",
            "a3626964500707070707070707070707070707070762 6964500707070707070707070707070707070764 63616c6ca166737461747573a0",
        ),
        (
            "trailing byte",
            "a262696450070707070707070707070707070707076463616c6ca166737461747573a0 00",
        ),
        (
            "argument twice",
            "a262696450070707070707070707070707070707076463616c6ca16372756ea2636a6f62616a6461726773a2617861796178617a",
        ),
        ("unknown call", "a262696450070707070707070707070707070707076463616c6ca163666c79a0"),
        (
            "key in a call without arguments",
            "a262696450070707070707070707070707070707076463616c6ca166737461747573a1617801",
        ),
        ("short id", "a2626964420707 6463616c6ca166737461747573a0"),
        ("no call", "a16269645007070707070707070707070707070707"),
        ("an array", "80"),
        ("nothing", ""),
    ] {
        let bytes = hex::decode(cbor.replace(' ', "")).unwrap();
        assert_eq!(Request::decode(&bytes), Err(MessageError::Cbor), "{what}");
    }
    let good = "a262696450070707070707070707070707070707076463616c6ca166737461747573a0";
    assert!(Request::decode(&hex::decode(good).unwrap()).is_ok(), "the base of the cases above");
}

#[test]
fn deep_nesting_is_refused_without_overflowing_the_stack() {
    let mut bytes = vec![0x81; crate::frame::MAX_CONTROL_LEN];
    assert_eq!(Request::decode(&bytes), Err(MessageError::Cbor));
    bytes.fill(0xa1);
    assert_eq!(Request::decode(&bytes), Err(MessageError::Cbor));
    bytes.fill(0xd2);
    assert_eq!(Request::decode(&bytes), Err(MessageError::Cbor));
}

#[test]
fn every_text_is_accepted_at_its_limit_and_refused_one_past() {
    fn text(len: usize) -> String {
        "x".repeat(len)
    }
    type Make = Box<dyn Fn(usize) -> Request>;
    let with_job = |len| request(Call::Run(run(&text(len))));
    let with_arg = |len| {
        let mut run = run("j");
        run.args.insert("a".into(), text(len));
        request(Call::Run(run))
    };
    let with_nonce =
        |len| request(Call::Attest(Attest { nonce: Some(ByteBuf::from(vec![1; len])) }));
    let with_args = |count: usize| {
        let mut run = run("j");
        run.args = (0..count).map(|i| (i.to_string(), String::new())).collect();
        request(Call::Run(run))
    };
    let with_token = |len| {
        request(Call::Credentials(Credentials {
            access_key_id: "AKIA".into(),
            secret_access_key: "s".into(),
            session_token: Some(text(len)),
            expires_at: None,
        }))
    };
    let with_name = |len| {
        let mut run = run("j");
        run.args.insert(text(len), String::new());
        request(Call::Run(run))
    };
    let with_caller = |len| request(Call::Signed(Signed { caller: text(len), ..signed() }));
    let cases: [(usize, Make); 7] = [
        (MAX_TEXT_LEN, Box::new(with_name)),
        (MAX_TEXT_LEN, Box::new(with_caller)),
        (MAX_TEXT_LEN, Box::new(with_job)),
        (MAX_ARG_LEN, Box::new(with_arg)),
        (MAX_NONCE_LEN, Box::new(with_nonce)),
        (MAX_ARGS, Box::new(with_args)),
        (MAX_TOKEN_LEN, Box::new(with_token)),
    ];
    for (limit, make) in cases {
        assert!(make(limit).encode().is_ok());
        let past = serde_cbor::to_vec(&make(limit + 1)).unwrap();
        assert!(matches!(Request::decode(&past), Err(MessageError::TooLong(_))));
        assert!(make(limit + 1).encode().is_err());
    }
}

fn signed() -> Signed {
    Signed {
        run: run("j").encode().unwrap().into(),
        caller: "billing".into(),
        nonce: vec![1; CALLER_NONCE_LEN].into(),
        time_ms: 1,
        signature: vec![2; 64].into(),
    }
}

#[test]
fn keys_digests_nonces_and_signatures_have_their_length_and_no_other() {
    let bytes = |length: usize| ByteBuf::from(vec![1; length]);
    type Make = fn(ByteBuf) -> Request;
    let cases: [(usize, Make); 3] = [
        (DIGEST_LEN, |digest| request(Call::Run(Run { input_sha256: Some(digest), ..run("j") }))),
        (CALLER_NONCE_LEN, |nonce| request(Call::Signed(Signed { nonce, ..signed() }))),
        (64, |signature| request(Call::Signed(Signed { signature, ..signed() }))),
    ];
    for (length, make) in cases {
        assert!(Request::decode(&make(bytes(length)).encode().unwrap()).is_ok());
    }
    for (length, make) in [cases[0], cases[1]] {
        for wrong in [0, length - 1, length + 1] {
            let cbor = serde_cbor::to_vec(&make(bytes(wrong))).unwrap();
            assert!(matches!(Request::decode(&cbor), Err(MessageError::Length(_))), "{wrong}");
            assert!(make(bytes(wrong)).encode().is_err());
        }
    }
    let (_, with_signature) = cases[2];
    for (length, good) in [(0, false), (1, true), (MAX_SIGNATURE_LEN, true), (257, false)] {
        let cbor = serde_cbor::to_vec(&with_signature(bytes(length))).unwrap();
        assert_eq!(Request::decode(&cbor).is_ok(), good, "{length}");
    }
}

fn status_with(counters: BTreeMap<String, u64>) -> Response {
    let status = Status {
        version: "1".into(),
        module_id: "i".into(),
        debug: false,
        credentials: true,
        jobs: Vec::new(),
        manifest: vec![0; DIGEST_LEN].into(),
        receipt_key: vec![0; RECEIPT_KEY_LEN].into(),
        counters,
    };
    Response { id: RequestId([7; 16]), outcome: Outcome::Status(status) }
}

#[test]
fn counters_are_bounded_in_number_and_name_and_need_not_be_there() {
    let numbered = |count: usize| (0..count).map(|n| (format!("counter{n}"), u64::MAX)).collect();
    let named = |len: usize| BTreeMap::from([("n".repeat(len), 1)]);
    for (counters, good) in [
        (numbered(0), true),
        (numbered(MAX_COUNTERS), true),
        (numbered(MAX_COUNTERS + 1), false),
        (named(MAX_COUNTER_NAME_LEN), true),
        (named(MAX_COUNTER_NAME_LEN + 1), false),
    ] {
        let response = status_with(counters);
        let cbor = serde_cbor::to_vec(&response).unwrap();
        assert_eq!(Response::decode(&cbor).ok(), good.then(|| response.clone()));
        assert_eq!(response.encode().is_ok(), good);
    }
    // A service without counters says nothing of them.
    let none = serde_cbor::to_vec(&status_with(BTreeMap::new())).unwrap();
    assert!(!none.windows(8).any(|bytes| bytes == b"counters"));
}

#[test]
fn a_counter_that_comes_twice_is_refused() {
    let cbor = serde_cbor::to_vec(&status_with(BTreeMap::from([("a".into(), 1), ("b".into(), 2)])));
    let cbor = cbor.unwrap();
    assert!(Response::decode(&cbor).is_ok());
    let at = cbor.windows(2).position(|bytes| bytes == [0x61, b'b']).unwrap();
    let mut twice = cbor.clone();
    twice[at + 1] = b'a';
    assert!(Response::decode(&twice).is_err());
}

#[test]
fn a_status_without_a_whole_digest_or_key_is_refused() {
    let status = |manifest: usize, key: usize| {
        let status = Status {
            version: "1".into(),
            module_id: "i".into(),
            debug: false,
            credentials: true,
            jobs: Vec::new(),
            manifest: vec![0; manifest].into(),
            receipt_key: vec![0; key].into(),
            counters: BTreeMap::new(),
        };
        let response = Response { id: RequestId([7; 16]), outcome: Outcome::Status(status) };
        Response::decode(&serde_cbor::to_vec(&response).unwrap()).is_ok()
    };
    assert!(status(DIGEST_LEN, RECEIPT_KEY_LEN));
    for (manifest, key) in [(31, 65), (33, 65), (0, 65), (32, 64), (32, 66), (32, 0)] {
        assert!(!status(manifest, key), "{manifest} {key}");
    }
}

#[test]
fn a_receipt_is_bounded_and_never_empty() {
    for (length, good) in [(0, false), (1, true), (MAX_RECEIPT_LEN, true), (16385, false)] {
        let receipt = Some(ByteBuf::from(vec![0x84; length]));
        let trailer = Trailer { receipt, ..Trailer::default() };
        assert_eq!(trailer.encode().is_ok(), good, "{length}");
        assert_eq!(Trailer::decode(&serde_cbor::to_vec(&trailer).unwrap()).is_ok(), good);
    }
}

#[test]
fn a_run_read_alone_or_from_a_signed_request_is_as_strict_as_one_in_a_request() {
    let with = |cbor: &str| Signed { run: hex::decode(cbor).unwrap().into(), ..signed() }.run();
    assert_eq!(with("a1636a6f62616a"), Ok(run("j")));
    for (what, cbor) in [
        ("unknown key", "a2636a6f62616a617801"),
        ("key twice", "a2636a6f62616a636a6f62616a"),
        ("trailing byte", "a1636a6f62616a00"),
        ("no job", "a0"),
        ("nothing", ""),
    ] {
        assert_eq!(with(cbor), Err(MessageError::Cbor), "{what}");
    }
    let digest = Run { input_sha256: Some(vec![1].into()), ..run("j") };
    let digest = hex::encode(serde_cbor::to_vec(&digest).unwrap());
    assert_eq!(with(&digest), Err(MessageError::Length("input_sha256")));
    let job = hex::encode(serde_cbor::to_vec(&run(&"x".repeat(MAX_TEXT_LEN + 1))).unwrap());
    assert!(matches!(with(&job), Err(MessageError::TooLong(_))));
}

#[test]
fn a_payload_that_no_frame_can_hold_is_not_encoded() {
    let with_args = |count: usize| {
        let mut run = run("j");
        run.args = (0..count).map(|i| (format!("{i:02}"), "x".repeat(MAX_TEXT_LEN))).collect();
        request(Call::Run(run)).encode()
    };
    assert!(with_args(63).is_ok_and(|cbor| cbor.len() <= crate::frame::MAX_CONTROL_LEN));
    assert!(matches!(with_args(64), Err(MessageError::TooLong(_))));
}

#[test]
fn credentials_that_no_header_can_carry_are_refused() {
    let with = |id: &str, secret: &str, token: Option<&str>| {
        let credentials = Credentials {
            access_key_id: id.into(),
            secret_access_key: secret.into(),
            session_token: token.map(str::to_owned),
            expires_at: None,
        };
        Request::decode(&serde_cbor::to_vec(&request(Call::Credentials(credentials))).unwrap())
    };
    assert!(with("AKIA1", "s/+=", Some("t==")).is_ok());
    for (id, secret, token) in [
        ("AKIA\n", "s", None),
        ("AK\0IA", "s", None),
        ("", "s", None),
        ("AKIA", "", None),
        ("AKIA", "s s", None),
        ("AKIA", "s", Some("t\r\nx-evil: 1")),
        ("AKIA", "s", Some("")),
        ("AKIÄ", "s", None),
    ] {
        assert_eq!(with(id, secret, token), Err(MessageError::Credential), "{id:?} {token:?}");
    }
}

#[test]
fn credentials_never_show_in_debug_output() {
    let call = Call::Credentials(Credentials {
        access_key_id: "AKIACANARY".into(),
        secret_access_key: "canary-secret".into(),
        session_token: Some("canary-token".into()),
        expires_at: None,
    });
    let shown = format!("{:?}", request(call)).to_lowercase();
    assert!(!shown.contains("canary"), "{shown}");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        id: [u8; 16],
        deadline_ms: Option<u64>,
        job in ".{0,20}",
        args in prop::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        seal_to in prop::option::of(prop::collection::vec(any::<u8>(), 32)),
    ) {
        let seal_to = seal_to.map(ByteBuf::from);
        let call = Call::Run(Run { job, args, seal_to, ..Run::default() });
        let request = Request { id: RequestId(id), deadline_ms, call };
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }

    #[test]
    fn a_signed_run_comes_back_byte_for_byte(
        run in prop::collection::vec(any::<u8>(), 0..200),
        caller in ".{0,20}",
        nonce: [u8; CALLER_NONCE_LEN],
        time_ms: u64,
        signature in prop::collection::vec(any::<u8>(), 1..=MAX_SIGNATURE_LEN),
    ) {
        let run = ByteBuf::from(run);
        let nonce = ByteBuf::from(nonce.to_vec());
        let signed = Signed { run, caller, nonce, time_ms, signature: signature.into() };
        let request = request(Call::Signed(signed));
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }

    #[test]
    fn a_run_alone_survives_the_wire(job in ".{0,20}", digest: Option<[u8; 32]>) {
        let input_sha256 = digest.map(|digest| ByteBuf::from(digest.to_vec()));
        let run = Run { job, input_sha256, ..Run::default() };
        prop_assert_eq!(Run::decode(&run.encode().unwrap()), Ok(run));
    }

    #[test]
    fn a_trailer_survives_the_wire(
        bytes: u64,
        records: Option<u64>,
        dropped: Option<u64>,
        receipt in prop::option::of(prop::collection::vec(any::<u8>(), 1..200)),
    ) {
        let trailer = Trailer { bytes, records, dropped, receipt: receipt.map(ByteBuf::from) };
        prop_assert_eq!(Trailer::decode(&trailer.encode().unwrap()), Ok(trailer));
    }

    #[test]
    fn errors_survive_the_wire(message in ".{0,40}", record: Option<u64>, pcr: [u8; 32]) {
        let mut body = ErrorBody::new(ErrorCode::KeyDenied, message);
        body.record = record;
        body.pcrs.insert(0, ByteBuf::from(pcr.to_vec()));
        prop_assert_eq!(ErrorBody::decode(&body.encode().unwrap()), Ok(body));
    }

    #[test]
    fn no_payload_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = Trailer::decode(&bytes);
        let _ = ErrorBody::decode(&bytes);
        let _ = Run::decode(&bytes);
    }
}
