//! Services that break the protocol: each way ends in its own error, and no
//! part of a result passes for the whole.

use std::time::Duration;

use strongroom_client::{Error, ErrorBody, ErrorCode, Job, Protect, ProtocolError, RequestId};
use strongroom_wire::frame::{FrameError, MAX_CONTROL_LEN, MAX_DATA_LEN, PREFACE};
use strongroom_wire::{FrameKind, MessageError, Outcome, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, repeat};

use crate::peer::{Service, accepted, answering, control, end, frame, job, pair, whole};

fn refused() -> Vec<u8> {
    control(FrameKind::Error, &ErrorBody::new(ErrorCode::DecryptFailed, "no"))
}

fn head(kind: u8, flags: u8, reserved: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![kind, flags, reserved, 0];
    bytes.extend(u32::try_from(len).unwrap().to_be_bytes());
    bytes
}

/// Frames after a correct preface.
type Script = fn(RequestId) -> Vec<Vec<u8>>;

#[tokio::test]
async fn every_breach_of_the_protocol_is_named_and_gives_no_result() {
    use ProtocolError as P;
    let cases: Vec<(&str, Script, ProtocolError)> = vec![
        ("another id", |_| vec![accepted(RequestId([0; 16]), Protect::None)], P::OtherRequest),
        (
            "an answer to another call",
            |id| {
                let outcome = Outcome::Credentials {};
                vec![control(FrameKind::Response, &Response { id, outcome })]
            },
            P::OtherCall,
        ),
        ("data first", |_| vec![frame(FrameKind::Data, b"x")], P::Unexpected("DATA")),
        ("end first", |_| vec![end(0)], P::Unexpected("END")),
        (
            "two responses",
            |id| vec![accepted(id, Protect::None), accepted(id, Protect::None)],
            P::Unexpected("RESPONSE"),
        ),
        (
            "a request from the service",
            |id| vec![accepted(id, Protect::None), frame(FrameKind::Request, b"\xa0")],
            P::Unexpected("REQUEST"),
        ),
        (
            "one byte too few counted",
            |id| vec![accepted(id, Protect::None), frame(FrameKind::Data, b"abc"), end(2)],
            P::ByteCount { announced: 2, received: 3 },
        ),
        (
            "one byte too many counted",
            |id| vec![accepted(id, Protect::None), frame(FrameKind::Data, b"abc"), end(4)],
            P::ByteCount { announced: 4, received: 3 },
        ),
        (
            "a frame after the end",
            |id| vec![accepted(id, Protect::None), end(0), frame(FrameKind::Data, b"more")],
            P::AfterEnd,
        ),
        (
            "an error after the end",
            |id| vec![accepted(id, Protect::None), end(0), refused()],
            P::AfterEnd,
        ),
        (
            "half a frame after the end",
            |id| vec![accepted(id, Protect::None), end(0), vec![3]],
            P::AfterEnd,
        ),
        (
            "a response that is no CBOR",
            |_| vec![frame(FrameKind::Response, b"\xff")],
            P::Message(MessageError::Cbor),
        ),
        (
            "an end with an unknown key",
            |id| vec![accepted(id, Protect::None), frame(FrameKind::End, b"\xa1\x61x\x00")],
            P::Message(MessageError::Cbor),
        ),
        (
            "an error that is no CBOR",
            |_| vec![frame(FrameKind::Error, b"\xa0")],
            P::Message(MessageError::Cbor),
        ),
        ("an unknown kind", |_| vec![head(6, 0, 0, 1)], P::Frame(FrameError::UnknownKind(6))),
        ("a flag", |_| vec![head(2, 1, 0, 1)], P::Frame(FrameError::Reserved)),
        ("a reserved byte", |_| vec![head(2, 0, 1, 1)], P::Frame(FrameError::Reserved)),
        (
            "an empty data frame",
            |id| vec![accepted(id, Protect::None), head(3, 0, 0, 0)],
            P::Frame(FrameError::Length { len: 0, max: MAX_DATA_LEN }),
        ),
        (
            "a data frame over its limit",
            |id| vec![accepted(id, Protect::None), head(3, 0, 0, MAX_DATA_LEN + 1)],
            P::Frame(FrameError::Length { len: MAX_DATA_LEN as u32 + 1, max: MAX_DATA_LEN }),
        ),
        (
            "a steering frame of 4 GiB",
            |_| vec![head(2, 0, 0, 0xffff_ffff)],
            P::Frame(FrameError::Length { len: 0xffff_ffff, max: MAX_CONTROL_LEN }),
        ),
    ];
    for (what, script, expected) in cases {
        let (mut client, _peer) =
            answering(move |request, _| [PREFACE.to_vec(), script(request.id).concat()].concat());
        let mut output = Vec::new();
        let error = client.run(&job(), &b"in"[..], &mut output).await.expect_err(what);
        match error.cause() {
            Error::Protocol(found) => assert_eq!(*found, expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_received(&error, &output, what);
        assert!(!error.is_retryable(), "{what}");
        let again = client.run(&job(), &b""[..], &mut Vec::new()).await;
        assert!(matches!(again, Err(Error::GivenUp)), "{what}: the connection was used again");
    }
}

#[tokio::test]
async fn another_protocol_is_refused_at_its_first_bytes() {
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SROOM\0\0\x02 and more", b"SROOM\0\0\0x"]
    {
        let (mut client, _peer) = answering(|_, _| bytes.to_vec());
        let error = client.status().await.unwrap_err();
        let expected = ProtocolError::Frame(FrameError::Preface);
        assert!(matches!(error, Error::Protocol(found) if found == expected));
    }
}

#[tokio::test]
async fn an_answer_cut_after_any_byte_is_no_answer() {
    let parts: [&[u8]; 2] = [b"masked rows, ", b"and some more"];
    let length = whole(RequestId([0; 16]), Protect::None, &parts).len();
    for cut in 0..length {
        let (mut client, _peer) = answering(move |request, _| {
            let mut answer = whole(request.id, Protect::None, &parts);
            answer.truncate(cut);
            answer
        });
        let mut output = Vec::new();
        let error = client.run(&job(), &b"in"[..], &mut output).await.unwrap_err();
        assert!(matches!(error.cause(), Error::Cut), "cut at {cut}: {error:?}");
        assert!(error.is_retryable());
        assert_received(&error, &output, &format!("cut at {cut}"));
    }
    let (mut client, _peer) = answering(move |request, _| whole(request.id, Protect::None, &parts));
    let mut output = Vec::new();
    let summary = client.run(&job(), &b"in"[..], &mut output).await.unwrap();
    assert_eq!(output, b"masked rows, and some more", "uncut, it passes");
    assert_eq!((summary.sent, summary.received), (2, 26));
}

#[tokio::test]
async fn an_error_voids_the_data_before_it() {
    let cases: [&'static [&'static [u8]]; 3] = [&[], &[b"four"], &[b"four", b"more"]];
    for parts in cases {
        let (mut client, _peer) = answering(move |request, _| {
            let mut answer = [PREFACE.to_vec(), accepted(request.id, Protect::None)].concat();
            parts.iter().for_each(|part| answer.extend(frame(FrameKind::Data, part)));
            answer.extend(refused());
            answer
        });
        let mut output = Vec::new();
        let error = client.run(&job(), &b"in"[..], &mut output).await.unwrap_err();
        assert_eq!(error.service().unwrap().code, ErrorCode::DecryptFailed);
        assert_received(&error, &output, "error after data");
    }
}

#[tokio::test]
async fn an_answer_that_ends_before_its_input_is_refused() {
    let (mut client, far) = pair();
    let peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let request = service.request().await.unwrap();
        service.write(&whole(request.id, Protect::None, &[b"quick"])).await;
        service
    });
    let mut output = Vec::new();
    let error = client.run(&job(), repeat(7), &mut output).await.unwrap_err();
    let cause = error.cause();
    assert!(matches!(cause, Error::Protocol(ProtocolError::EarlyEnd)), "{error:?}");
    assert_received(&error, &output, "early end");
    drop(peer);
}

#[tokio::test]
async fn an_error_stops_a_client_that_is_still_sending() {
    let (mut client, far) = pair();
    let peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        service.request().await.unwrap();
        service.write(&[&PREFACE[..], &refused()].concat()).await;
        // Reads no more and keeps the connection open.
        service
    });
    let error = client.run(&job(), repeat(7), &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.service().unwrap().code, ErrorCode::DecryptFailed);
    let mut service = peer.await.unwrap();
    let mut rest = Vec::new();
    let closed = service.stream.read_to_end(&mut rest);
    let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
    closed.expect("the client stops sending and closes").unwrap();
    assert!(matches!(client.status().await, Err(Error::GivenUp)), "the connection was kept");
}

#[tokio::test]
async fn a_service_that_is_full_is_heard_though_it_reads_nothing() {
    let (mut client, mut far) = pair();
    let busy = control(FrameKind::Error, &ErrorBody::new(ErrorCode::Busy, "full"));
    far.write_all(&[&PREFACE[..], &busy].concat()).await.unwrap();
    drop(far);
    let error = client.run(&job(), repeat(7), &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.service().unwrap().code, ErrorCode::Busy);
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_service_slower_than_the_deadline_is_given_up() {
    let (mut client, far) = pair();
    let peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let (request, _) = service.whole_request().await.unwrap();
        // One byte a second: never silent, never done.
        for byte in whole(request.id, Protect::None, &[&[0; 100]]) {
            service.write(&[byte]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        request
    });
    let begun = tokio::time::Instant::now();
    let mut output = Vec::new();
    let job = job().deadline(Duration::from_secs(90));
    let error = client.run(&job, &b"in"[..], &mut output).await.unwrap_err();
    assert!(matches!(error.cause(), Error::Deadline), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 90);
    assert!(!output.is_empty(), "some data came in time");
    assert_received(&error, &output, "slow");
    assert_eq!(peer.await.unwrap().deadline_ms, Some(90_000), "the service is told");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_reads_is_given_up_at_the_deadline() {
    let (mut client, far) = pair();
    let error = client.run(&job(), repeat(7), &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, Error::Deadline), "{error:?}");
    drop(far);
}

#[tokio::test]
async fn a_request_over_a_limit_is_never_sent() {
    let (mut client, far) = pair();
    for job in [
        Job::new("x".repeat(1025)),
        Job::new("j").arg("a", "x".repeat(4097)),
        // Each within its limit, together over a frame's.
        (0..64).fold(Job::new("j"), |job, i| job.arg(i.to_string(), "x".repeat(1024))),
    ] {
        let error = client.run(&job, &b""[..], &mut Vec::new()).await.unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{error:?}");
    }
    drop(client);
    let mut service = Service::new(far);
    assert!(service.next().await.is_none(), "something was sent");
}

/// An error says exactly how many bytes the output has that it must not trust.
fn assert_received(error: &Error, output: &[u8], what: &str) {
    match error {
        Error::Partial { received, .. } => {
            assert_eq!(*received, output.len() as u64, "{what}");
            assert_ne!(*received, 0, "{what}");
        }
        _ => assert!(output.is_empty(), "{what}: bytes that the error does not speak of"),
    }
}
