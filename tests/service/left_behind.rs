//! What a request leaves behind that its peer does not fetch: it counts for as
//! long as it is there.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_bytes::ByteBuf;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Payload, Request, RequestId, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, House, Plan};
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

/// The attack: have a result made that is as long as may be, do not read it, let
/// the deadline pass, and again.
#[tokio::test(flavor = "multi_thread")]
async fn attack_results_that_nobody_reads_outlive_their_requests_beyond_the_budget() {
    let little =
        |text: String| text.replace("[limits]", "[limits]\nmax_in_flight_bytes = \"24MiB\"");
    let house = House::built(Plan { manifest: little, ..Plan::default() }).await;
    let plaintext = vec![b'x'; 6 << 20];
    let message = house.encrypt(&house.customers, &ACME, &plaintext, 64 << 10).await;
    let deadline = 3000;
    let all = held(&message, deadline);
    let mut left = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(&house).await;
        stream.write_all(&all).await.unwrap();
        let mut some = [0; 64];
        stream.read_exact(&mut some).await.unwrap();
        tokio::time::sleep(Duration::from_millis(deadline + 200)).await;
        left.push(stream);
    }
    // All deadlines have passed, and all of it is still there.
    let mut kept = 0;
    for mut stream in left {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        eprintln!("{} bytes", rest.len());
        kept += rest.len();
    }
    assert!(kept > 24 << 20, "{kept} bytes");
}
