//! Everything in `docs/protocol.md` that can be checked: each hex block decodes
//! to what the page says and is what an encoder writes, and its tables of limits
//! and errors are the code's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::collections::BTreeMap;

use strongroom_client::{ErrorBody, ErrorCode, Protect, RecipientSecretKey, RequestId, Status};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::seal::{Binding, Opener, StreamHeader};
use strongroom_wire::frame::{MAX_CONTROL_LEN, MAX_DATA_LEN, PREFACE, encode_head};
use strongroom_wire::message::{
    MAX_ARG_LEN, MAX_ARGS, MAX_NONCE_LEN, MAX_RECEIPT_LEN, MAX_SIGNATURE_LEN, MAX_TEXT_LEN,
};
use strongroom_wire::{
    Call, Event, FrameDecoder, FrameKind, Outcome, Payload, Request, Response, Run, Step, Trailer,
};

const PAGE: &str = include_str!("../../../docs/protocol.md");

const ID: RequestId = RequestId([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);

#[derive(Debug, PartialEq)]
enum Frame {
    Request(Request),
    Response(Response),
    Data(Vec<u8>),
    End(Trailer),
    Error(ErrorBody),
}

#[test]
fn every_connection_on_the_page_is_what_it_says() {
    let mut blocks = blocks();
    for (name, frames) in connections() {
        let bytes = blocks.remove(name).unwrap_or_else(|| panic!("the page lacks {name}"));
        assert_eq!(decode(&bytes), frames, "{name}");
        assert_eq!(hex::encode(encode(&frames)), hex::encode(&bytes), "{name}");
    }
    let rest: Vec<&str> = blocks.keys().copied().collect();
    assert_eq!(
        rest,
        ["sealed-info", "sealed-public-key", "sealed-stream", "sealed-user-data"],
        "a hex block that no test checks"
    );
}

#[test]
fn the_sealed_stream_on_the_page_opens_with_the_key_on_the_page() {
    let blocks = blocks();
    let secret = RecipientSecretKey::from_bytes(&(0..32).collect::<Vec<u8>>()).unwrap();
    assert_eq!(secret.public_key().as_bytes()[..], blocks["sealed-public-key"]);
    let stream = &blocks["sealed-stream"];
    let (header, length) = StreamHeader::parse(stream).unwrap().unwrap();
    let args = args();
    let nonce = Some(&b"owner's nonce"[..]);
    let input = &(0x40..0x60).collect::<Vec<u8>>();
    let binding =
        Binding { request_id: ID.0, job: "mask", args: &args, input, nonce, padded: false };
    assert_eq!(header.binding(), binding);
    assert_eq!(header.attestation(), b"document");

    let info = info(&binding);
    assert_eq!(hex::encode(info), hex::encode(&blocks["sealed-info"]));
    let mut attested = b"strongroom sealed result v1: attested\0".to_vec();
    attested.extend_from_slice(header.enc());
    attested.extend_from_slice(secret.public_key().as_bytes());
    attested.extend_from_slice(&info);
    let user_data = [&b"SRSEAL\0\x01"[..], &sha256(&attested)].concat();
    assert_eq!(hex::encode(&user_data), hex::encode(&blocks["sealed-user-data"]));

    let mut opener = Opener::new(&header, &binding, &secret, &user_data).unwrap();
    let mut plaintext = SecretBuf::new();
    let rest = &stream[length..];
    assert_eq!(opener.open(rest, &mut plaintext), Ok(rest.len()));
    opener.finish().unwrap();
    assert_eq!(plaintext.expose(), b"pan\n1111\n");
}

#[test]
fn the_limits_on_the_page_are_the_codes() {
    for row in [
        format!("| `DATA` payload | 1 to {MAX_DATA_LEN} |"),
        format!("| payload of any other frame | 1 to {MAX_CONTROL_LEN} |"),
        format!("`access_key_id`; `secret_access_key` | {MAX_TEXT_LEN} |"),
        format!("| each value in `args` | {MAX_ARG_LEN} |"),
        format!("| `signature` | 1 to {MAX_SIGNATURE_LEN} |"),
        format!("| `receipt` | 1 to {MAX_RECEIPT_LEN} |"),
        format!("| number of `args` | {MAX_ARGS} (a count) |"),
        format!("| `nonce` | {MAX_NONCE_LEN} |"),
    ] {
        assert!(PAGE.contains(&row), "{row}");
    }
    assert!(
        PAGE.contains(&hex::encode(
            strongroom_client::attestation::TrustRoot::aws_nitro().sha256()
        ))
    );
}

#[test]
fn the_errors_on_the_page_are_the_codes() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .skip_while(|line| !line.starts_with("| code |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let told: Vec<(String, bool)> =
        rows.iter().map(|row| (row[1].replace('`', ""), row[4] == "yes")).collect();
    let codes: Vec<(String, bool)> =
        ErrorCode::ALL.iter().map(|code| (code.to_string(), code.is_retryable())).collect();
    assert_eq!(told, codes);
    assert!(rows.iter().all(|row| row[4] == "yes" || row[4] == "no"));
}

fn args() -> BTreeMap<String, String> {
    BTreeMap::from([("tenant".into(), "acme".into())])
}

/// The frames of each named block, as the page's remarks have them.
fn connections() -> Vec<(&'static str, Vec<Frame>)> {
    let request = |deadline_ms, call| Frame::Request(Request { id: ID, deadline_ms, call });
    let response = |outcome| Frame::Response(Response { id: ID, outcome });
    let end = |bytes, records| Frame::End(Trailer { bytes, records, ..Trailer::default() });
    let status = Status {
        version: "0.1.0".into(),
        module_id: "i-1-enc1".into(),
        debug: false,
        credentials: true,
        jobs: vec!["mask".into()],
        manifest: (0x80..0xa0).collect::<Vec<u8>>().into(),
        receipt_key: [&[0x04][..], &[0xcc; 64]].concat().into(),
        counters: BTreeMap::new(),
    };
    let run = Run { job: "mask".into(), args: args(), ..Run::default() };
    let accepted = || response(Outcome::Run { protect: Protect::None });
    let refusal = ErrorBody::new(ErrorCode::DecryptFailed, "the message does not authenticate");
    vec![
        ("status-request", vec![request(None, Call::Status {})]),
        ("status-answer", vec![response(Outcome::Status(status)), end(0, None)]),
        (
            "run-request",
            vec![
                request(Some(30_000), Call::Run(run)),
                Frame::Data(vec![0x02, 0x05]),
                Frame::Data(vec![0x78, 0x00, 0x01]),
                end(5, None),
            ],
        ),
        ("run-answer", vec![accepted(), Frame::Data(b"pan\n1111\n".to_vec()), end(9, Some(1))]),
        ("run-error", vec![accepted(), Frame::Data(b"pan\n".to_vec()), Frame::Error(refusal)]),
    ]
}

/// The page's hex blocks by name.
fn blocks() -> BTreeMap<&'static str, Vec<u8>> {
    let mut blocks = BTreeMap::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```hex") else { continue };
        let name = name.trim();
        assert!(!name.is_empty(), "a hex block without a name is not checked");
        let digits: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(|line| line.split('#').next().unwrap().replace(' ', ""))
            .collect();
        assert!(blocks.insert(name, hex::decode(digits).unwrap()).is_none(), "{name} twice");
    }
    blocks
}

fn decode(mut bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let Step::Event { consumed, event } = decoder.next(bytes).unwrap() else {
            panic!("the block ends within a frame");
        };
        frames.push(match event {
            Event::Data(data) => Frame::Data(data.to_vec()),
            Event::Control(kind, cbor) => match kind {
                FrameKind::Request => Frame::Request(Request::decode(cbor).unwrap()),
                FrameKind::Response => Frame::Response(Response::decode(cbor).unwrap()),
                FrameKind::End => Frame::End(Trailer::decode(cbor).unwrap()),
                FrameKind::Error => Frame::Error(ErrorBody::decode(cbor).unwrap()),
                FrameKind::Data => panic!("data is no steering frame"),
            },
        });
        bytes = &bytes[consumed..];
    }
    frames
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    for frame in frames {
        let (kind, payload) = match frame {
            Frame::Request(request) => (FrameKind::Request, request.encode().unwrap()),
            Frame::Response(response) => (FrameKind::Response, response.encode().unwrap()),
            Frame::Data(data) => (FrameKind::Data, data.clone()),
            Frame::End(trailer) => (FrameKind::End, trailer.encode().unwrap()),
            Frame::Error(body) => (FrameKind::Error, body.encode().unwrap()),
        };
        bytes.extend(encode_head(kind, payload.len()).unwrap());
        bytes.extend(payload);
    }
    bytes
}

/// `info` after the page's formula.
fn info(binding: &Binding<'_>) -> [u8; 32] {
    let length = |bytes: usize| (bytes as u64).to_be_bytes();
    let sized = |bytes: &[u8]| [&length(bytes.len())[..], bytes].concat();
    let mut input = b"strongroom sealed result v1: info\0".to_vec();
    input.extend(binding.request_id);
    input.extend(sized(binding.job.as_bytes()));
    input.extend(length(binding.args.len()));
    for (name, value) in binding.args {
        input.extend(sized(name.as_bytes()));
        input.extend(sized(value.as_bytes()));
    }
    input.extend(sized(binding.input));
    input.push(u8::from(binding.nonce.is_some()));
    input.extend(sized(binding.nonce.unwrap_or_default()));
    input.push(u8::from(binding.padded));
    sha256(&input)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}
