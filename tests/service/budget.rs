//! Memory that is taken before KMS has answered: whoever connects can make the
//! service take it, so it counts.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_client::ErrorCode;
use strongroom_envelope::esdk::EncryptedDataKey;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Payload, Request, RequestId, Run};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::house::{ACME, Foundation, House, Plan, mask, seal};
use crate::raw::{Line, connect, frame};
use crate::workshop::house_with;

const FIELDS: &str = r#"
[[job]]
name = "fields"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/a" = { context = { purpose = "field" } } } }
fields = { "/a" = "last4" }
output = { protect = "none" }
"#;

fn limits(text: String, in_flight: &str) -> String {
    let ours = format!(
        "max_frame = \"4KiB\"\nmax_record = \"16KiB\"\nmax_in_flight_bytes = \"{in_flight}\""
    );
    text.replace("max_frame = \"1MiB\"\nmax_record = \"4KiB\"", &ours)
}

/// Entries of a few bytes, each of which is two strings once it is parsed.
fn small_entries() -> Vec<String> {
    (0..7000).map(|number| format!("{number:x}")).collect()
}

#[tokio::test]
async fn the_context_of_a_message_that_nobody_has_authenticated_counts_as_it_is_parsed() {
    for (in_flight, code) in [("1MiB", ErrorCode::Busy), ("8MiB", ErrorCode::BadMessage)] {
        let house = house_with("", &[], |text| limits(text, in_flight)).await;
        let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
        let names = small_entries();
        let context: Vec<_> =
            ACME.into_iter().chain(names.iter().map(|name| (name.as_str(), ""))).collect();
        let message = seal(&key, &[encrypted], &context, b"x", 64);
        assert!(message.len() < 64 << 10);
        let before = house.nitro.kms.faults().count("Decrypt");
        assert_eq!(house.refusal(&mask("acme"), &message).await.code, code, "{in_flight}");
        assert_eq!(house.nitro.kms.faults().count("Decrypt"), before, "KMS was asked");
    }
}

fn record(message: &[u8]) -> String {
    format!("{{\"a\":\"{}\"}}\n", STANDARD.encode(message))
}

/// A house whose way to KMS ends at a listener that never says a word.
async fn speechless(in_flight: &str) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let mut found = Foundation::laid(Plan::default()).await;
    let jobs = FIELDS.replace("$customers", &found.customers);
    found.manifest = limits(found.manifest + &jobs, in_flight);
    House::upon(found, Some(address), true).await
}

/// A record whose field has eight data keys to ask for, under a context that is
/// nearly as long as KMS takes it.
async fn wanting(house: &House) -> String {
    let (short, long) = ([("purpose", "field")], "x".repeat(8000));
    let (key, encrypted) = house.data_key(&house.customers, &short).await;
    let one = |number| EncryptedDataKey { ciphertext: vec![number; 200], ..encrypted.clone() };
    let keys: Vec<_> = (0..8).map(one).collect();
    record(&seal(&key, &keys, &[("pad", long.as_str()), short[0]], b"x", 64))
}

/// A run of the job that gives up after so long.
fn within(deadline_ms: u64) -> Vec<u8> {
    let call = Call::Run(Run { job: "fields".into(), ..Run::default() });
    let request = Request { id: RequestId([1; 16]), deadline_ms: Some(deadline_ms), call };
    frame(FrameKind::Request, &request.encode().unwrap())
}

#[tokio::test]
async fn what_waits_for_a_kms_that_does_not_answer_counts_and_is_given_back() {
    let house = speechless("1MiB").await;
    // Of a record, as much as may be comes in before it is looked at again.
    let record = wanting(&house).await + &"\n".repeat(16 << 10);
    let stalled =
        [&PREFACE[..], &within(4000), &frame(FrameKind::Data, record.as_bytes())].concat();
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&house).await;
        stream.write_all(&stalled).await.unwrap();
        held.push(stream);
    }
    let probe = async || {
        let answer = Line::to(&house).await.ask(&within(300), &[record.as_bytes()]).await;
        answer.refusal().code
    };
    // Those before it hold less than all until they have been read.
    let mut seen = Vec::new();
    while seen.len() < 8 && seen.last() != Some(&ErrorCode::Busy) {
        seen.push(probe().await);
    }
    assert_eq!(seen.last(), Some(&ErrorCode::Busy), "{seen:?}");
    tokio::time::sleep(Duration::from_millis(4200)).await;
    assert_eq!(probe().await, ErrorCode::DeadlineExceeded, "it was not given back");
}
