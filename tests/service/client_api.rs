//! Our own client with all that it can ask for: signed requests, two inputs,
//! receipts, padding.

use strongroom_client::attestation::UnixTime;
use strongroom_client::{
    Caller, Error, ErrorCode, ExpectedReceipt, Inputs, Job, RecipientSecretKey, verify_receipt,
};
use strongroom_envelope::caller::CallerSecret;

use crate::house::{ACME, CUSTOMERS, House, MASKED, mask, now_ms};
use crate::workshop::house;

const JOBS: &str = r#"
[[job]]
name = "kept"
operation = "mask"
args = ["tenant"]
callers = ["ann"]
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }

[[job]]
name = "common"
operation = "join-count"
args = ["tenant"]
inputs = [
  { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } },
  { format = "csv", encryption = "plain-envelope", key = "$archive", context = { purpose = "support", tenant = "{tenant}" } },
]
join = { on = ["pan", "card"], normalise = ["digits"], min_group_size = 1 }
output = { protect = "seal", to = ["13be4feaeaf204c7fd3358fc9c00721881d174278128227ec674f37f7fe97b6d"], pad_to = "1KiB" }

[[job]]
name = "read"
operation = "open"
args = ["tenant"]
input = { key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
output = { protect = "seal", to = "any", pad_to = "4KiB" }
"#;

fn ann() -> (String, Caller) {
    let secret = CallerSecret::generate_ed25519().unwrap();
    let key = hex::encode(secret.public_key().unwrap().as_bytes());
    let entry = format!("\n[[caller]]\nname = \"ann\"\npublic_key = \"{key}\"\n");
    (entry, Caller::new("ann", secret))
}

fn of(name: &str) -> Job {
    Job::new(name).arg("tenant", "acme")
}

async fn cards(house: &House) -> Vec<u8> {
    let (key, encrypted) = house.data_key(&house.archive, &ACME).await;
    let csv = "card\n4111-1111-1111-1111\n4000 0000 0000 0002\n";
    crate::envelopes::envelope(&key, &encrypted.ciphertext, &ACME, csv.as_bytes())
}

#[tokio::test]
async fn a_client_that_attested_signs_for_that_enclave_and_gets_a_receipt_it_believes() {
    let (entry, ann) = ann();
    let house = house(&(entry + JOBS)).await;
    let input = house.acme().await;
    let mut client = house.client().await;
    let job = of("kept").signed_by(ann);
    let mut output = Vec::new();
    let error = client.run(&job, input.as_slice(), &mut output).await.unwrap_err();
    assert!(matches!(error.cause(), Error::EnclaveUnknown), "{error:?}");
    assert_eq!(house.refusal(&of("kept"), &input).await.code, ErrorCode::BadCaller);

    client.attest(&house.verifier()).await.unwrap();
    for _ in 0..2 {
        let mut output = Vec::new();
        let summary = client.run(&job, input.as_slice(), &mut output).await.unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), MASKED);
        let proof = summary.proof.expect("a receipt of an attested enclave");
        assert_eq!((proof.caller.as_deref(), proof.records), (Some("ann"), Some(2)));
    }
}

#[tokio::test]
async fn a_stored_receipt_is_verified_with_an_attestation_document_of_the_same_boot_only() {
    let (entry, _) = ann();
    let jobs = entry + JOBS;
    let (one, other) = (house(&jobs).await, house(&jobs).await);
    let mut output = Vec::new();
    let input = one.acme().await;
    let mut client = one.client().await;
    let summary = client.run(&mask("acme"), input.as_slice(), &mut output).await.unwrap();
    let receipt = summary.receipt.unwrap();
    let expected = ExpectedReceipt {
        request: Some(summary.request),
        request_sha256: Some(summary.request_sha256),
        job: Some("mask".into()),
        inputs: Some(summary.inputs_sha256),
        result: summary.result_sha256,
        caller: Some(None),
        manifest: None,
    };
    let now = UnixTime::from_millis(now_ms());
    let document = client.attest_unverified(b"n").await.unwrap();
    let check = |document: &[u8], house: &House, expected: &ExpectedReceipt| {
        let nonce = Some(&b"n"[..]);
        verify_receipt(&receipt, document, &house.verifier(), nonce, now, expected)
    };
    check(&document, &one, &expected).unwrap();
    let wrong = ExpectedReceipt { result: Some([0; 32]), ..expected.clone() };
    check(&document, &one, &wrong).unwrap_err();
    let strange = other.client().await.attest_unverified(b"n").await.unwrap();
    check(&strange, &other, &expected).unwrap_err();
}

#[tokio::test]
async fn two_inputs_of_two_formats_give_one_sealed_number_without_its_padding() {
    let (entry, _) = ann();
    let house = house(&(entry + JOBS)).await;
    let secret = RecipientSecretKey::from_bytes(&[7; 32]).unwrap();
    let (left, right) = (house.acme().await, cards(&house).await);
    let (mut client, mut output) = (house.client().await, Vec::new());
    client.attest(&house.verifier()).await.unwrap();
    let inputs = Inputs::two(left.as_slice(), right.as_slice());
    let (summary, opened) = client
        .run_sealed(&of("common"), &secret, &house.verifier(), inputs, &mut output)
        .await
        .unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), "suppressed,count\nfalse,1\n");
    // Which two inputs it was made from: a message's id, and an envelope's nonce.
    let nonce = right.len() - "card\n4111-1111-1111-1111\n4000 0000 0000 0002\n".len() - 16;
    assert_eq!(opened.input, [&left[3..35], &right[nonce - 12..nonce]].concat());
    assert_eq!(summary.proof.unwrap().inputs.len(), 2);
}

#[tokio::test]
async fn open_hands_the_plaintext_to_the_recipient_and_to_nobody_on_the_way() {
    let (entry, _) = ann();
    let house = house(&(entry + JOBS)).await;
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let (input, mut client) = (house.acme().await, house.client().await);
    let (mut output, mut relayed) = (Vec::new(), Vec::new());
    let verifier = house.verifier();
    client
        .run_sealed(&of("read"), &secret, &verifier, input.as_slice(), &mut output)
        .await
        .unwrap();
    assert_eq!(output, CUSTOMERS.as_bytes());
    let recipient = strongroom_client::Recipient { public_key: *public.as_bytes(), nonce: None };
    client.run_for(&recipient, &of("read"), input.as_slice(), &mut relayed).await.unwrap();
    assert!(!relayed.windows(6).any(|window| window == b"canary"));
}
