//! Steering payloads: strictness, limits, and the examples of `docs/protocol.md`.

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
    let cases: [(usize, Make); 5] = [
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
    }
}
