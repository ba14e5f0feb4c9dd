//! Receipts: signed by a key that the attestation document vouches for, over the
//! very bytes that came and went.

use serde_bytes::ByteBuf;
use strongroom::manifest::Manifest;
use strongroom_client::attestation::{UnixTime, verify};
use strongroom_envelope::receipt::{self, Receipt, receipt_key_of};
use strongroom_wire::{Attest, Call, ErrorCode, Outcome, Payload, Request, RequestId, Run};

use crate::house::{House, MASKED, mask, now_ms};
use crate::raw::{Answer, Line, frame, owned, run_of};
use crate::signer::{random, sha256};
use crate::workshop::{Wrapped, house_with};

const JOBS: &str = r#"
[[job]]
name = "tokenize"
operation = "tokenize"
secret = "tokens"
input = { format = "csv", bad_records = "drop", key = "$customers", context = { purpose = "support" } }
fields = { name = { token = "siv" } }
output = { protect = "none" }
"#;

/// The key for receipts, as the attestation document proves it.
async fn receipt_key(house: &House) -> [u8; 65] {
    let nonce = random::<32>().to_vec();
    let call = Call::Attest(Attest { nonce: Some(ByteBuf::from(nonce.clone())) });
    let answer = Line::to(house).await.ask(&crate::raw::request(call), &[]).await;
    let Some(Outcome::Attest { document }) = answer.outcome else { panic!("no document") };
    let verifier = house.verifier();
    let policy = strongroom_client::attestation::Policy { nonce: Some(nonce), ..verifier.policy };
    let now = UnixTime::from_millis(now_ms());
    let document = verify(&document, &verifier.root, now, &policy).unwrap();
    let key = receipt_key_of(document.user_data().unwrap()).unwrap();
    let status = house.client().await.status().await.unwrap();
    assert_eq!(status.receipt_key, key, "the hint in the status");
    key
}

fn of(answer: &Answer, key: &[u8]) -> Receipt {
    let signed = answer.trailer.as_ref().unwrap().receipt.as_ref().unwrap();
    receipt::verify(signed, key).unwrap()
}

fn request(job: &str) -> (Request, Vec<u8>) {
    let args = owned(&[("tenant", "acme")]);
    let run = Run { job: job.into(), args, ..Run::default() };
    let request = Request { id: RequestId(random()), deadline_ms: None, call: Call::Run(run) };
    let payload = request.encode().unwrap();
    (request, payload)
}

#[tokio::test]
async fn a_receipt_says_what_was_asked_sent_and_given_byte_for_byte() {
    let mut text = String::new();
    let tokens = [Wrapped::generated("tokens")];
    let keep = |manifest: String| {
        text.clone_from(&manifest);
        manifest
    };
    let house = house_with(JOBS, &tokens, keep).await;
    let key = receipt_key(&house).await;
    let input = house.acme().await;
    let mut line = Line::to(&house).await;
    let manifest = Manifest::parse(&text).unwrap().digest;
    assert_eq!(manifest, sha256(text.as_bytes()));
    let (customers, archive) = (house.customers.clone(), house.archive.clone());
    let mut both = vec![customers.clone(), archive];
    both.sort();
    for (number, (job, keys, records)) in
        (1..).zip([("mask", vec![customers], Some(2)), ("rotate", both, None)])
    {
        let (request, payload) = request(job);
        let before = now_ms();
        let answer =
            line.ask(&frame(strongroom_wire::FrameKind::Request, &payload), &[&input]).await;
        let receipt = of(&answer, &key);
        assert!((before..=now_ms()).contains(&receipt.time_ms));
        let expected = Receipt {
            request_id: request.id.0,
            request_digest: sha256(&payload),
            job: job.to_owned(),
            manifest,
            keys,
            inputs: vec![sha256(&input)],
            result: sha256(&answer.data),
            counter: number,
            time_ms: receipt.time_ms,
            caller: None,
            records,
            dropped: records.map(|_| 0),
        };
        assert_eq!(receipt, expected);
        assert!(!answer.whole().is_empty());
    }
}

#[tokio::test]
async fn a_receipt_counts_dropped_records_and_names_the_key_of_the_manifests_own_secret() {
    let house = house_with(JOBS, &[Wrapped::generated("tokens")], |text| text).await;
    let key = receipt_key(&house).await;
    let csv = b"name\nAda\ntoo,many\nGrace\n";
    let input = house.encrypt(&house.customers, &[("purpose", "support")], csv, 64).await;
    let answer = Line::to(&house).await.ask(&run_of("tokenize", &[]), &[&input]).await;
    let receipt = of(&answer, &key);
    let mut keys = vec![house.customers.clone(), house.archive.clone()];
    keys.sort();
    assert_eq!(receipt.keys, keys);
    assert_eq!((receipt.records, receipt.dropped), (Some(2), Some(1)));
    let trailer = answer.trailer.unwrap();
    assert_eq!((trailer.records, trailer.dropped), (Some(2), Some(1)));
}

#[tokio::test]
async fn what_fails_has_no_receipt_and_takes_no_number() {
    let house = House::new().await;
    let key = receipt_key(&house).await;
    let input = house.acme().await;
    let mut line = Line::to(&house).await;
    let mut cut = input.clone();
    cut.pop();
    let ask = run_of("mask", &[("tenant", "acme")]);
    let mut counters = Vec::new();
    for bad in [false, true, true, false, true, false] {
        let answer = line.ask(&ask, &[if bad { &cut } else { &input }]).await;
        match bad {
            true => drop(answer.refusal()),
            false => counters.push(of(&answer, &key).counter),
        }
    }
    assert_eq!(counters, [1, 2, 3]);
}

#[tokio::test]
async fn another_boot_has_another_receipt_key() {
    let (one, other) = (House::new().await, House::new().await);
    let (key, other_key) = (receipt_key(&one).await, receipt_key(&other).await);
    assert_ne!(key, other_key);
    let ask = run_of("mask", &[("tenant", "acme")]);
    let answer = Line::to(&one).await.ask(&ask, &[&one.acme().await]).await;
    let signed = answer.trailer.unwrap().receipt.unwrap();
    receipt::verify(&signed, &key).unwrap();
    receipt::verify(&signed, &other_key).unwrap_err();
}

/// Nothing is hashed or signed for a caller that takes no receipt, and the next
/// receipt shows that none was numbered. Naming the input still counts.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_no_receipt_gets_none_and_its_named_input_still_counts() {
    let house = House::new().await;
    let message = house.acme().await;
    let mut client = house.client().await;
    client.attest(&house.verifier()).await.unwrap();
    let mut result = Vec::new();
    let job = mask("acme").without_receipt();
    let summary = client.run(&job, &*message, &mut result).await.unwrap();
    assert_eq!(String::from_utf8(result).unwrap(), MASKED);
    assert_eq!(
        (summary.receipt, summary.proof, summary.result_sha256, summary.inputs_sha256),
        (None, None, None, vec![])
    );
    let named = job.clone().input_sha256(sha256(&message));
    client.run(&named, &*message, tokio::io::sink()).await.unwrap();
    let refusal = house.refusal(&job.input_sha256([1; 32]), &message).await;
    assert_eq!(refusal.code, ErrorCode::InputMismatch);
    let summary = client.run(&mask("acme"), &*message, tokio::io::sink()).await.unwrap();
    assert_eq!(summary.proof.unwrap().counter, 1);
}
