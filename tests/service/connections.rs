//! Connections: what is no request, who stalls, who leaves, and how many.

use std::time::Duration;

use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, ErrorCode, FrameKind, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, MASKED, Plan};
use crate::raw::{connect, end, frame, request, run, talk};

#[tokio::test]
async fn what_is_no_request_is_answered_with_bad_request() {
    let house = House::new().await;
    let status = request(Call::Status {});
    let with_preface = |bytes: &[u8]| [&PREFACE[..], bytes].concat();
    for (what, bytes) in [
        ("another protocol", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("version 2", [b"SROOM\0\0\x02", &status[..]].concat()),
        ("data before a request", with_preface(&frame(FrameKind::Data, b"x"))),
        ("an end before a request", with_preface(&end(0))),
        ("a response", with_preface(&frame(FrameKind::Response, b"\xa0"))),
        ("a request that is no CBOR", with_preface(&frame(FrameKind::Request, b"\xff"))),
        ("a request over 64 KiB", with_preface(&[1, 0, 0, 0, 0, 1, 0, 1])),
        ("an unknown kind", with_preface(&[9, 0, 0, 0, 0, 0, 0, 1, 0])),
        ("a request within a request", with_preface(&[run(), status.clone()].concat())),
        (
            "a trailer that counts too much",
            with_preface(&[run(), frame(FrameKind::Data, b"\x02"), end(2)].concat()),
        ),
        (
            "a trailer that counts too little",
            with_preface(&[run(), frame(FrameKind::Data, b"\x02\x04"), end(1)].concat()),
        ),
        ("an end of the stream within a frame", with_preface(&status[..9])),
        (
            "an end of the stream within a body",
            with_preface(&[run(), frame(FrameKind::Data, b"\x02")].concat()),
        ),
    ] {
        let (kinds, error) = talk(&house, &bytes).await;
        assert_eq!(error.map(|body| body.code), Some(ErrorCode::BadRequest), "{what}: {kinds:?}");
    }
}

#[tokio::test]
async fn requests_sent_one_after_another_without_waiting_are_answered_in_order() {
    let house = House::new().await;
    let message = house.acme().await;
    let one = [run(), frame(FrameKind::Data, &message), end(message.len())].concat();
    let all = [&PREFACE[..], &one, &request(Call::Status {}), &one].concat();
    let (kinds, error) = talk(&house, &all).await;
    assert_eq!(error, None);
    let ends = kinds.iter().filter(|kind| **kind == FrameKind::End).count();
    assert_eq!(ends, 3, "{kinds:?}");
}

#[tokio::test]
async fn a_connection_goes_on_after_an_error_once_the_body_has_come_to_its_end() {
    let house = House::new().await;
    let message = house.acme().await;
    let named = |job: &str, tenant: Option<&str>| {
        let args = tenant.map(|tenant| ("tenant".to_owned(), tenant.to_owned()));
        let run = Run { job: job.into(), args: args.into_iter().collect(), ..Run::default() };
        request(Call::Run(run))
    };
    let body = |bytes: &[u8]| [frame(FrameKind::Data, bytes), end(bytes.len())].concat();
    for (what, start, input) in [
        ("unknown job", named("nope", None), message.clone()),
        ("missing argument", named("mask", None), message.clone()),
        ("another tenant", named("mask", Some("globex")), message.clone()),
        ("no message", named("mask", Some("acme")), vec![b'x'; 300_000]),
        ("a changed message", run(), [&message[..], b"x"].concat()),
    ] {
        let pieces: Vec<u8> =
            input.chunks(1 << 19).flat_map(|piece| frame(FrameKind::Data, piece)).collect();
        let all =
            [&PREFACE[..], &start, &pieces, &end(input.len()), &run(), &body(&message)].concat();
        let (kinds, error) = talk(&house, &all).await;
        assert!(error.is_some() && kinds.last() == Some(&FrameKind::End), "{what}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_answered_as_any_other() {
    let house = House::new().await;
    let message = house.acme().await;
    let all =
        [&PREFACE[..], &run(), &frame(FrameKind::Data, &message), &end(message.len())].concat();
    let mut stream = connect(&house).await;
    for byte in all {
        stream.write_all(&[byte]).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.windows(MASKED.len()).any(|window| window == MASKED.as_bytes()));
}

#[tokio::test]
async fn a_peer_that_leaves_at_any_byte_harms_nobody() {
    let house = House::new().await;
    let message = house.acme().await;
    let all =
        [&PREFACE[..], &run(), &frame(FrameKind::Data, &message), &end(message.len())].concat();
    for cut in 0..all.len() {
        let mut stream = connect(&house).await;
        stream.write_all(&all[..cut]).await.unwrap();
        drop(stream);
    }
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}

#[tokio::test]
async fn a_peer_that_stalls_is_let_go_after_the_idle_timeout() {
    let short = |text: String| text.replace("[limits]", "[limits]\nidle_timeout_secs = 1");
    let house = House::built(Plan { manifest: short, ..Plan::default() }).await;
    for start in [
        &[][..],
        &PREFACE[..5],
        &[&PREFACE[..], &run()[..20]].concat(),
        &[&PREFACE[..], &run()].concat(),
    ] {
        let mut stream = connect(&house).await;
        stream.write_all(start).await.unwrap();
        let mut answer = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(6), stream.read_to_end(&mut answer)).await;
        closed.expect("the connection was kept").unwrap();
    }
}

#[tokio::test]
async fn a_request_head_that_trickles_in_is_cut_off_though_it_never_stalls() {
    let short = |text: String| text.replace("[limits]", "[limits]\nidle_timeout_secs = 1");
    let house = House::built(Plan { manifest: short, ..Plan::default() }).await;
    let (mut reading, mut writing) = connect(&house).await.into_split();
    let head = [&PREFACE[..], &run()].concat();
    let trickle = tokio::spawn(async move {
        for byte in head {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    });
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(6), reading.read_to_end(&mut answer));
    closed.await.expect("the connection was kept").unwrap();
    trickle.abort();
}

#[tokio::test]
async fn one_connection_too_many_is_told_busy_and_the_others_are_served() {
    let few = |text: String| text.replace("[limits]", "[limits]\nmax_connections = 2");
    let house = House::built(Plan { manifest: few, ..Plan::default() }).await;
    let (mut first, mut second) = (house.client().await, house.client().await);
    first.status().await.unwrap();
    second.status().await.unwrap();
    let error = house.client().await.status().await.unwrap_err();
    assert_eq!(error.service().map(|body| body.code), Some(ErrorCode::Busy));
    assert!(error.is_retryable());
    first.status().await.unwrap();
    drop(second);
    for _ in 0..100 {
        if house.client().await.status().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the slot was not given back");
}

#[tokio::test]
async fn requests_that_hold_all_the_memory_make_the_next_busy_and_give_it_back() {
    let tight = |text: String| text.replace("[limits]", "[limits]\nmax_in_flight_bytes = \"7MiB\"");
    let house = House::built(Plan { manifest: tight, ..Plan::default() }).await;
    let csv = format!("name,pan,city\n{}", "A B,4111111111111111,X\n".repeat(40_000));
    let message =
        house.encrypt(&house.customers, &crate::house::ACME, csv.as_bytes(), 1 << 20).await;
    // Senders who stop just before the end of a frame of nearly 1 MiB.
    let cut = message.len() - 100;
    let pieces: Vec<u8> =
        message[..cut].chunks(1 << 20).flat_map(|piece| frame(FrameKind::Data, piece)).collect();
    let stalled = [&PREFACE[..], &run(), &pieces].concat();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&house).await;
        let _ = stream.write_all(&stalled).await;
        held.push(stream);
    }
    let mut refused = None;
    for _ in 0..100 {
        match house.mask(&message).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => {
                refused = error.service().map(|body| body.code);
                break;
            }
        }
    }
    assert_eq!(refused, Some(ErrorCode::Busy));
    // Others who ask for little are served all the while.
    assert_eq!(house.mask(&house.acme().await).await.unwrap(), MASKED);
    drop(held);
    for _ in 0..100 {
        if house.mask(&message).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the memory was not given back");
}
