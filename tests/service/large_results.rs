//! Results that leave while the request goes on: whole and in order, and as well
//! refused, cut off or given up as others.

use std::time::Duration;

use strongroom_envelope::esdk::{Header, Limits, Policy};
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{ErrorCode, FrameKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, House, Plan, key_policy, mask, open};
use crate::raw::{Line, connect, end, frame, run, run_of, talk};

/// A CSV file of about `mib` MiB, and what masking makes of it.
fn customers(mib: usize) -> (String, String) {
    let (mut csv, mut masked) = ("name,pan,email,city\n".to_owned(), "name,pan,city\n".to_owned());
    for row in 0.. {
        if csv.len() > mib << 20 {
            break;
        }
        csv.push_str(&format!("Ada Lovelace,4111{row:012},ada{row}@canary.example,London\n"));
        masked.push_str(&format!("A.L.,****{:04},London\n", row % 10_000));
    }
    (csv, masked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_is_whole_and_in_order_in_every_form() {
    let house = House::new().await;
    let (csv, masked) = customers(5);
    for frame in [4 << 10, 64 << 10, 1 << 20] {
        let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), frame).await;
        let (result, summary) = house.run(&mask("acme"), &message).await.unwrap();
        assert_eq!(summary.received, result.len() as u64);
        assert!(result == masked.as_bytes(), "frames of {frame}: other bytes");
    }
    let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 64 << 10).await;
    let rotate = run_of("rotate", &[("tenant", "acme")]);
    let rotated = Line::to(&house).await.ask(&rotate, &[&message]).await.whole();
    // Were the policy to let the parent, it could open it.
    let open_policy = key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    house.nitro.kms.put_key_policy(&house.archive, &open_policy).unwrap();
    let (header, _) =
        Header::parse(&rotated, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let (encrypted, context) = (&header.encrypted_data_keys()[0], header.encryption_context());
    let key = house.decrypt_data_key(&house.parent, encrypted, context).await.unwrap();
    assert!(open(&rotated, &key) == csv.as_bytes(), "rotated: other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_a_large_piece_is_told_and_the_connection_goes_on() {
    let house = House::new().await;
    let (csv, masked) = customers(3);
    let good = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 64 << 10).await;
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let mut line = Line::to(&house).await;
    for _ in 0..3 {
        let answer = line.ask(&run(), &[&changed]).await;
        assert!(answer.data.len() > 64 << 10, "it was to fail late");
        assert_eq!(answer.refusal().code, ErrorCode::DecryptFailed);
        assert_eq!(line.ask(&run(), &[&good]).await.whole(), masked.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_a_large_result_is_let_go_and_one_that_leaves_harms_nobody() {
    let short = |text: String| text.replace("[limits]", "[limits]\nidle_timeout_secs = 1");
    let house = House::built(Plan { manifest: short, ..Plan::default() }).await;
    let (csv, _) = customers(3);
    let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 64 << 10).await;
    let mut all = [&PREFACE[..], &run()].concat();
    message.chunks(1 << 16).for_each(|piece| all.extend(frame(FrameKind::Data, piece)));
    all.extend(end(message.len()));

    let mut stream = connect(&house).await;
    stream.write_all(&all).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // What had left is all there is: no end, and nothing more is coming.
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut answer));
    let _ = ended.await.expect("the connection was kept");
    assert!(answer.len() < 1 << 19, "{} bytes", answer.len());

    let mut stream = connect(&house).await;
    stream.write_all(&all[..1 << 20]).await.unwrap();
    let mut some = [0; 1 << 12];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    let (kinds, error) = talk(&house, &[&PREFACE[..], &run(), &end(0)].concat()).await;
    assert!(error.is_some(), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_a_piece_that_is_leaving_is_given_back() {
    let little =
        |text: String| text.replace("[limits]", "[limits]\nmax_in_flight_bytes = \"48MiB\"");
    let house = House::built(Plan { manifest: little, ..Plan::default() }).await;
    let (csv, masked) = customers(3);
    let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 64 << 10).await;
    for _ in 0..40 {
        assert!(house.run(&mask("acme"), &message).await.unwrap().0 == masked.as_bytes());
    }
}
