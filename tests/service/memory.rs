//! Memory: what requests hold is counted, whatever they hold it for.

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{ErrorCode, FrameKind};
use tokio::io::AsyncWriteExt;

use crate::house::{ACME, House};
use crate::raw::{Line, connect, frame, run_of};
use crate::workshop::{Wrapped, house_with};

const SIGN: &str = r#"
[[job]]
name = "sign"
operation = "sign"
secret = "seed"
input = { key = "$customers", context = { purpose = "support" } }
sign = { algorithm = "ed25519" }
output = { protect = "none" }
"#;

/// Requests that stall before their end hold what they hold: then another one
/// is told `busy`, and served when they are gone.
async fn stalled_requests_count(house: &House, job: &str, input: &[u8], count: usize) {
    let asked = run_of(job, &[]);
    let serve = || async { Line::to(house).await.ask(&asked, &[input]).await.error };
    assert_eq!(serve().await, None);
    let pieces: Vec<u8> = input[..input.len() - 20]
        .chunks(1 << 19)
        .flat_map(|piece| frame(FrameKind::Data, piece))
        .collect();
    let stalled = [&PREFACE[..], &asked, &pieces].concat();
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = connect(house).await;
        let _ = stream.write_all(&stalled).await;
        held.push(stream);
    }
    let mut refused = None;
    for _ in 0..50 {
        refused = serve().await.map(|error| error.code);
        if refused.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused, Some(ErrorCode::Busy), "{job}");
    drop(held);
    for _ in 0..100 {
        if serve().await.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{job}: the memory was not given back");
}

#[tokio::test]
async fn a_message_that_is_held_whole_to_be_signed_counts_against_the_memory_of_all() {
    let key = Ed25519KeyPair::generate().unwrap();
    let secrets = [Wrapped::of("seed", key.to_pkcs8v1().unwrap().as_ref().to_vec())];
    let limits = |text: String| {
        let ours = "max_frame = \"4KiB\"\nmax_record = \"4MiB\"\nmax_in_flight_bytes = \"20MiB\"";
        text.replace("max_frame = \"1MiB\"\nmax_record = \"4KiB\"", ours)
    };
    let house = house_with(SIGN, &secrets, limits).await;
    let input = house.encrypt(&house.customers, &ACME, &vec![b'x'; 4 << 20], 4096).await;
    stalled_requests_count(&house, "sign", &input, 8).await;
}
