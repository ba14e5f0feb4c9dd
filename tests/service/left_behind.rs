//! What a request leaves behind that its peer does not fetch: it counts for as
//! long as it is there.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_bytes::ByteBuf;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Payload, Request, RequestId, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, House, Plan, mask};
use crate::raw::{connect, end, frame, owned};

/// A run whose result is held until its end: it is for that input alone.
fn held(message: &[u8], deadline_ms: u64) -> Vec<u8> {
    let call = Call::Run(Run {
        job: "rotate".into(),
        args: owned(&[("tenant", "acme")]),
        input_sha256: Some(ByteBuf::from(digest(&SHA256, message).as_ref())),
        ..Run::default()
    });
    let request = Request { id: RequestId([1; 16]), deadline_ms: Some(deadline_ms), call };
    let mut all = [&PREFACE[..], &frame(FrameKind::Request, &request.encode().unwrap())].concat();
    message.chunks(1 << 16).for_each(|piece| all.extend(frame(FrameKind::Data, piece)));
    all.extend(end(message.len()));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_nobody_reads_count_for_as_long_as_they_are_there() {
    let little =
        |text: String| text.replace("[limits]", "[limits]\nmax_in_flight_bytes = \"24MiB\"");
    let house = House::built(Plan { manifest: little, ..Plan::default() }).await;
    let plaintext = vec![b'x'; 6 << 20];
    let message = house.encrypt(&house.customers, &ACME, &plaintext, 64 << 10).await;
    let deadline = 3000;
    let all = held(&message, deadline);
    let mut left = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&house).await;
        stream.write_all(&all).await.unwrap();
        let mut some = [0; 64];
        let read = stream.read(&mut some).await.unwrap();
        assert!(read > 0, "there was no answer");
        tokio::time::sleep(Duration::from_millis(deadline + 200)).await;
        left.push(stream);
    }
    // All deadlines have passed.
    let mut kept = 0;
    for mut stream in left {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
        kept += rest.len();
    }
    assert!(kept < 24 << 20, "{kept} bytes were there at once");
    let status = house.run(&mask("acme"), &house.acme().await).await;
    assert!(status.is_ok(), "the memory was not given back: {status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_a_result_slowly_is_let_go_when_its_request_is_over() {
    let short = |text: String| text.replace("[limits]", "[limits]\nidle_timeout_secs = 2");
    let house = House::built(Plan { manifest: short, ..Plan::default() }).await;
    let plaintext = vec![b'x'; 12 << 20];
    let message = house.encrypt(&house.customers, &ACME, &plaintext, 64 << 10).await;
    let mut stream = connect(&house).await;
    stream.write_all(&held(&message, 3000)).await.unwrap();
    let started = tokio::time::Instant::now();
    let mut taken = 0;
    // A frame every second: never idle.
    let mut piece = vec![0; 1 << 20];
    while let Ok(read @ 1..) = stream.read(&mut piece[..1 << 20]).await {
        taken += read;
        if taken % (1 << 20) < read {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let elapsed = started.elapsed();
    assert!(taken < 11 << 20 && elapsed < Duration::from_secs(10), "{taken} {elapsed:?}");
}
