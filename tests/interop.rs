//! Messages of the official AWS Encryption SDK for Python open here, and ours
//! open there: two implementations, neither of which knows the other.
//!
//! Needs the packages of `tests/interop/requirements.txt`, in the interpreter
//! that `STRONGROOM_PYTHON` names (`python3` when unset); `tests/run` sees to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "service/house.rs"]
mod house;

use std::path::Path;
use std::process::Stdio;

use house::{ACME, CUSTOMERS, House, MASKED, PRODUCER, REGION};
use serde_json::json;
use strongroom_client::Job;
use strongroom_sim::kms::SimCredentials;
use tokio::io::AsyncWriteExt;

const SIGNED: u16 = 0x0578;
const UNSIGNED: u16 = 0x0478;

/// Has the SDK do `task`, with the credentials of `who`.
async fn sdk(house: &House, who: &SimCredentials, mut task: serde_json::Value, dir: &Path) {
    let ca = dir.join("ca.pem");
    std::fs::write(&ca, house.nitro.kms.ca_pem()).unwrap();
    task["endpoint"] = json!(house.nitro.kms.endpoint_url());
    task["ca"] = json!(ca);
    task["region"] = json!(REGION);
    task["credentials"] = json!({
        "access_key_id": who.access_key_id,
        "secret_access_key": who.secret_access_key,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/producer.py");
    let mut child = tokio::process::Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python 3 is needed: set STRONGROOM_PYTHON, or use tests/run");
    child.stdin.take().unwrap().write_all(task.to_string().as_bytes()).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{stderr}\nIf a module is missing: pip install -r tests/interop/requirements.txt, or use tests/run"
    );
}

#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn python() -> String {
    std::env::var("STRONGROOM_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// A message that the SDK makes of `plaintext` for tenant `acme`.
async fn made_by_sdk(house: &House, suite: u16, frame: usize, plaintext: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("plaintext"), dir.path().join("message"));
    std::fs::write(&input, plaintext).unwrap();
    let task = json!({
        "task": "encrypt", "key": house.customers, "suite": suite, "frame": frame,
        "context": ACME.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "plaintext": input, "output": output,
    });
    sdk(house, &house.producer, task, dir.path()).await;
    std::fs::read(&output).unwrap()
}

#[tokio::test]
async fn messages_of_the_official_sdk_open_in_both_suites_and_with_any_frame_length() {
    let house = House::new().await;
    for (suite, frame) in [(SIGNED, 4096), (UNSIGNED, 4096), (SIGNED, 128), (UNSIGNED, 1 << 20)] {
        let message = made_by_sdk(&house, suite, frame, CUSTOMERS.as_bytes()).await;
        assert_eq!(
            house.mask(&message).await.unwrap(),
            MASKED,
            "{suite:#06x} in frames of {frame}"
        );
    }
}

#[tokio::test]
async fn a_large_signed_message_of_the_official_sdk_comes_through_reencrypt_and_back() {
    let house = House::new().await;
    let mut csv = String::from("name,pan,city\n");
    while csv.len() < 3 << 20 {
        csv.push_str("Grace Hopper,4111111111111111,New York\n");
    }
    let message = made_by_sdk(&house, SIGNED, 4096, csv.as_bytes()).await;
    let (rotated, _) =
        house.run(&Job::new("rotate").arg("tenant", "acme"), &message).await.unwrap();

    // An analyst whom the archive key's policy lets decrypt without an enclave:
    // the SDK cannot send a recipient.
    let analyst = SimCredentials::long_term("arn:aws:iam::111122223333:role/analyst");
    house.nitro.kms.add_credentials(analyst.clone()).unwrap();
    let policy = house::key_policy("").replace(PRODUCER, &analyst.principal_arn);
    let policy = policy.replace("kms:Encrypt", "kms:Decrypt");
    house.nitro.kms.put_key_policy(&house.archive, &policy).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("message"), dir.path().join("plaintext"));
    std::fs::write(&input, rotated).unwrap();
    let task = json!({
        "task": "decrypt", "key": house.archive, "input": input, "output": output,
        "context": {"purpose": "archive", "tenant": "acme"},
    });
    sdk(&house, &analyst, task, dir.path()).await;
    assert!(std::fs::read(&output).unwrap() == csv.as_bytes());
}
