//! boto3 and the AWS CLI, unchanged, against the simulated KMS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rsa::Generate;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use serde_json::{Value, json};
use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_sim::kms::SimCredentials;
use strongroom_sim::{SimKms, SimNitro, SimNsm, system_clock};

const REGION: &str = "eu-west-1";
const PARENT: &str = "arn:aws:iam::111122223333:role/strongroom-parent";
const ADMIN: &str = "arn:aws:iam::111122223333:user/admin";
const STRANGER: &str = "arn:aws:iam::444455556666:role/attacker";

#[tokio::test(flavor = "multi_thread")]
async fn boto3_and_the_cli_drive_every_operation() {
    let python = python();
    let nitro = SimNitro::start(
        SimNsm::builder().role_arn(Some(PARENT)),
        SimKms::builder(REGION),
        ([127, 0, 0, 1], 0).into(),
    )
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(&nitro, folder.path());
    let file = folder.path().join("setup.json");
    std::fs::write(&file, setup.to_string()).unwrap();

    let run = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boto3_drives_every_operation.py"))
            .arg(file)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "localhost")
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\n{:#?}", nitro.kms.audit_log().last());
    audit_log_says_who_did_what(&nitro);
}

/// As CloudTrail would: with the context in the clear and the image attested.
fn audit_log_says_who_did_what(nitro: &SimNitro) {
    let log = nitro.kms.audit_log();
    let image = nitro.nsm.pcr_hex(0).unwrap();
    let attested = log
        .iter()
        .find(|record| record.operation == "Decrypt" && record.attested_image.is_some())
        .unwrap();
    assert_eq!(attested.error, None);
    assert_eq!(attested.principal.as_deref(), Some(PARENT));
    assert_eq!(attested.attested_image.as_ref(), Some(&image));
    assert_eq!(attested.attested_module.as_deref(), Some(nitro.nsm.module_id()));
    assert_eq!(attested.encryption_context["tenant"], "acme");
    assert!(attested.key_arn.is_some() && attested.time_ms > 0);
    assert!(log.iter().any(|record| record.error.as_deref() == Some("AccessDeniedException")));
    let decrypts = log.iter().filter(|record| record.operation == "Decrypt").count();
    assert_eq!(nitro.kms.faults().count("Decrypt"), decrypts as u64);
}

fn setup(nitro: &SimNitro, folder: &Path) -> Value {
    let kms = &nitro.kms;
    let key = rsa_key(2048);
    let key_file = folder.join("recipient.der");
    std::fs::write(&key_file, key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, kms.ca_pem()).unwrap();
    let disabled = kms.create_key(None).unwrap();
    kms.set_key_enabled(&disabled, false).unwrap();
    let attested = attested_key_policy(&nitro.nsm.pcr_hex(0).unwrap());
    json!({
        "region": REGION,
        "endpoint": kms.endpoint_url(),
        "ca": ca,
        "recipient_key": key_file,
        "principals": { "parent": PARENT },
        "credentials": credentials(kms),
        "documents": documents(nitro, &spki(&key)),
        "keys": {
            "open": kms.create_key(None).unwrap(),
            "second": kms.create_key(None).unwrap(),
            "disabled": disabled,
            "attested": kms.create_key(Some(&attested)).unwrap(),
            "other_account": kms.create_key_in("444455556666", None).unwrap(),
        },
    })
}

/// The policy that the documentation recommends: attested decryption for the
/// parent's role, administration without it for others.
fn attested_key_policy(image: &str) -> String {
    let decrypting =
        json!(["kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"]);
    json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "EnclaveOnly", "Effect": "Allow", "Principal": {"AWS": PARENT},
         "Action": decrypting, "Resource": "*",
         "Condition": {
             "StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": image.to_uppercase()},
             "StringEquals": {"kms:EncryptionContext:tenant": "acme"}}},
        {"Sid": "NoBypass", "Effect": "Deny", "Principal": "*", "Action": decrypting, "Resource": "*",
         "Condition": {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}}},
        {"Sid": "Producers", "Effect": "Allow", "Principal": {"AWS": ADMIN},
         "Action": ["kms:Encrypt", "kms:Describe*", "kms:PutKeyPolicy"], "Resource": "*"},
    ]})
    .to_string()
}

fn credentials(kms: &SimKms) -> Value {
    let now = system_clock()();
    let only_random = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:GenerateRandom","Resource":"*"}}"#;
    let all = [
        ("admin", SimCredentials::long_term(ADMIN)),
        ("parent", SimCredentials::temporary(PARENT, now + 3_600_000)),
        ("expired", SimCredentials::temporary(PARENT, now - 1)),
        ("stranger", SimCredentials::long_term(STRANGER)),
        ("limited", SimCredentials::long_term(ADMIN).identity_policy(only_random)),
    ];
    let entries = all.map(|(name, credentials)| {
        kms.add_credentials(credentials.clone()).unwrap();
        let values = json!({
            "id": credentials.access_key_id,
            "secret": credentials.secret_access_key,
            "token": credentials.session_token,
        });
        (name.to_owned(), values)
    });
    Value::Object(entries.into_iter().collect())
}

fn documents(nitro: &SimNitro, key: &[u8]) -> Value {
    let now = system_clock()();
    let attest = |nsm: &SimNsm, public_key: Option<&[u8]>| {
        nsm.attest(&AttestationRequest { public_key, ..Default::default() }).unwrap()
    };
    let ca = nitro.nsm.ca();
    let sibling = || SimNsm::builder().ca(&ca).role_arn(Some(PARENT));
    let small = spki(&rsa_key(1024));
    let p384 = p384::SecretKey::generate_from_rng(&mut rand::rng()).public_key();
    let p384 = p384.to_public_key_der().unwrap();
    let mut damaged = attest(&nitro.nsm, Some(key));
    *damaged.last_mut().unwrap() ^= 1;
    let old = sibling().clock(Arc::new(move || now - 301_000)).build().unwrap();
    let all = [
        ("good", attest(&nitro.nsm, Some(key))),
        ("other_image", attest(&sibling().image(b"evil").build().unwrap(), Some(key))),
        ("debug", attest(&sibling().debug().build().unwrap(), Some(key))),
        ("other_root", attest(&SimNsm::builder().build().unwrap(), Some(key))),
        ("old", attest(&old, Some(key))),
        ("no_public_key", attest(&nitro.nsm, None)),
        ("small_key", attest(&nitro.nsm, Some(&small))),
        ("p384_key", attest(&nitro.nsm, Some(p384.as_bytes()))),
        ("damaged", damaged),
    ];
    Value::Object(
        all.map(|(name, bytes)| (name.to_owned(), hex::encode(bytes).into())).into_iter().collect(),
    )
}

fn rsa_key(bits: usize) -> rsa::PrivateKey {
    rsa::PrivateKey::new(&mut rand::rng(), bits).unwrap()
}

fn spki(key: &rsa::PrivateKey) -> Vec<u8> {
    rsa::PublicKey::from(key).to_public_key_der().unwrap().as_bytes().to_vec()
}

#[expect(clippy::disallowed_methods, reason = "the one thing this test takes from outside")]
fn python() -> String {
    let python = std::env::var("STRONGROOM_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import boto3"]).output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "this test needs boto3 (pip install boto3) for {python}; STRONGROOM_PYTHON names another interpreter"
    );
    python
}
