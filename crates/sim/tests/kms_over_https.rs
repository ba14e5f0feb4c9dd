//! Faults, lies and limits of the simulated KMS, seen by a bare HTTPS client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs8::EncodePublicKey;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_sim::kms::{Fault, Hostility, KmsError, SimCredentials};
use strongroom_sim::{Clock, SimKms, SimNitro, SimNsm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const REGION: &str = "eu-west-1";
const ROLE: &str = "arn:aws:iam::111122223333:role/parent";
/// 2026-11-24T06:12:51Z
const NOW_MS: u64 = 1_795_500_771_000;
const AMZ_DATE: &str = "20261124T061251Z";

fn clock() -> Clock {
    Arc::new(|| NOW_MS)
}

async fn kms() -> SimKms {
    SimKms::builder(REGION).clock(clock()).start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn connect(kms: &SimKms, name: &str, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(kms.ca_der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(kms.addr()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// One request on a connection of its own; status and body.
async fn send(kms: &SimKms, head: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = connect(kms, "localhost", &["http/1.1"]).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), answer[end + 4..].to_vec()))
}

fn head(operation: &str, body_len: usize, more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {body_len}\r\n\
         content-type: application/x-amz-json-1.1\r\nx-amz-target: TrentService.{operation}\r\n{more}\r\n"
    )
}

async fn unsigned(kms: &SimKms, operation: &str) -> io::Result<(u16, Vec<u8>)> {
    send(kms, &head(operation, 2, ""), b"{}").await
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// A signature made independently of the verifier's code.
fn signed_headers(credentials: &SimCredentials, operation: &str, body: &[u8]) -> String {
    let scope = format!("{}/{REGION}/kms/aws4_request", &AMZ_DATE[..8]);
    let canonical = format!(
        "POST\n/\n\nhost:localhost\nx-amz-date:{AMZ_DATE}\nx-amz-target:TrentService.{operation}\n\n\
         host;x-amz-date;x-amz-target\n{}",
        hex::encode(Sha256::digest(body))
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{AMZ_DATE}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical))
    );
    let hmac = |key: &[u8], data: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data);
        mac.finalize().into_bytes().to_vec()
    };
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let key = scope.split('/').fold(secret.into_bytes(), |key, part| hmac(&key, part));
    format!(
        "x-amz-date: {AMZ_DATE}\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature={}\r\n",
        credentials.access_key_id,
        hex::encode(hmac(&key, &to_sign))
    )
}

async fn signed(kms: &SimKms, who: &SimCredentials, operation: &str, body: &Value) -> Value {
    let body = body.to_string();
    let headers = signed_headers(who, operation, body.as_bytes());
    let (_, answer) =
        send(kms, &head(operation, body.len(), &headers), body.as_bytes()).await.unwrap();
    parsed(&answer)
}

#[tokio::test]
async fn a_request_without_authorization_is_told_so() {
    let kms = kms().await;
    let (status, body) = unsigned(&kms, "ListKeys").await.unwrap();
    assert_eq!(status, 400);
    let expected = json!({
        "__type": "MissingAuthenticationTokenException",
        "message": "Missing Authentication Token",
    });
    assert_eq!(parsed(&body), expected);
}

#[tokio::test]
async fn only_its_own_names_are_in_the_certificate() {
    let kms = kms().await;
    for name in ["localhost", "127.0.0.1", "kms.eu-west-1.amazonaws.com"] {
        assert!(connect(&kms, name, &["http/1.1"]).await.is_ok(), "{name}");
    }
    for name in ["kms.us-east-1.amazonaws.com", "example.com", "127.0.0.2"] {
        assert!(connect(&kms, name, &["http/1.1"]).await.is_err(), "{name}");
    }
    let other = SimKms::builder(REGION).server_names(&["parent.invalid"]);
    let other = other.start(([127, 0, 0, 1], 0).into()).await.unwrap();
    assert!(connect(&other, "localhost", &["http/1.1"]).await.is_err());
}

#[tokio::test]
async fn every_start_has_a_new_certificate_authority() {
    let (one, other) = (kms().await, kms().await);
    assert_ne!(one.ca_der(), other.ca_der());
    assert_ne!(one.ca_pem(), other.ca_pem());
}

#[tokio::test]
async fn http2_and_http11_are_both_offered() {
    let kms = kms().await;
    for offered in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let stream = connect(&kms, "localhost", offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(offered[0].as_bytes()));
    }
}

#[tokio::test]
async fn injected_errors_come_as_often_as_told_and_only_for_their_operation() {
    let kms = kms().await;
    let faults = kms.faults();
    faults.inject_for("Decrypt", 2, Fault::Error(KmsError::throttling()));
    faults.inject(1, Fault::Error(KmsError::internal()));
    let (status, body) = unsigned(&kms, "ListKeys").await.unwrap();
    assert_eq!((status, parsed(&body)), (500, json!({"__type": "KMSInternalException"})));
    for _ in 0..2 {
        let (status, body) = unsigned(&kms, "Decrypt").await.unwrap();
        assert_eq!(status, 400);
        let expected = json!({"__type": "ThrottlingException", "message": "Rate exceeded"});
        assert_eq!(parsed(&body), expected);
    }
    let (_, body) = unsigned(&kms, "Decrypt").await.unwrap();
    assert_eq!(parsed(&body)["__type"], "MissingAuthenticationTokenException");
    assert_eq!((faults.count("Decrypt"), faults.count("ListKeys")), (3, 1));
    let errors: Vec<_> = kms.audit_log().into_iter().map(|record| record.error.unwrap()).collect();
    assert_eq!(errors[..2], ["KMSInternalException", "ThrottlingException"]);
}

#[tokio::test]
async fn connections_hang_break_babble_and_dawdle_as_told() {
    let kms = kms().await;
    let faults = kms.faults();
    faults.inject(1, Fault::Reset);
    let error = unsigned(&kms, "Decrypt").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    faults.inject(1, Fault::Hang);
    let hung = timeout(Duration::from_millis(300), unsigned(&kms, "Decrypt")).await;
    assert!(hung.is_err());

    faults.inject(1, Fault::Garbage);
    let (status, body) = unsigned(&kms, "Decrypt").await.unwrap();
    assert_eq!(status, 200);
    assert!(serde_json::from_slice::<Value>(&body).is_err());

    let delay = Duration::from_millis(200);
    faults.inject(1, Fault::Delay(delay));
    let start = Instant::now();
    let (_, body) = unsigned(&kms, "Decrypt").await.unwrap();
    assert!(start.elapsed() >= delay);
    assert_eq!(parsed(&body)["__type"], "MissingAuthenticationTokenException");

    faults.inject(9, Fault::Reset);
    faults.clear();
    assert!(unsigned(&kms, "Decrypt").await.is_ok());
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_refused() {
    let kms = kms().await;
    let body = vec![b' '; 1024 * 1024 + 1];
    // It may be refused before all of it is written.
    match send(&kms, &head("Decrypt", body.len(), ""), &body).await {
        Ok((status, _)) => assert_eq!(status, 413),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::TimedOut),
    }
    assert_eq!(kms.faults().count("Decrypt"), 0);
    assert!(unsigned(&kms, "Decrypt").await.is_ok());
}

#[tokio::test]
async fn shutdown_ends_open_connections_and_the_listener() {
    let kms = kms().await;
    let addr = kms.addr();
    let mut stream = connect(&kms, "localhost", &["http/1.1"]).await.unwrap();
    kms.shutdown().await;
    let ended = timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await.unwrap();
    assert!(!matches!(ended, Ok(1..)));
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_signature_is_good_for_five_minutes_either_way() {
    for (now_ms, expected) in [
        (NOW_MS + 300_000, None),
        (NOW_MS - 300_000, None),
        (
            NOW_MS + 301_000,
            Some(
                "Signature expired: 20261124T061251Z is now earlier than 20261124T061252Z (20261124T061752Z - 5 min.)",
            ),
        ),
        (
            NOW_MS - 301_000,
            Some(
                "Signature not yet current: 20261124T061251Z is still later than 20261124T061250Z (20261124T060750Z + 5 min.)",
            ),
        ),
    ] {
        let kms = SimKms::builder(REGION).clock(Arc::new(move || now_ms));
        let kms = kms.start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let who = SimCredentials::long_term(ROLE);
        kms.add_credentials(who.clone()).unwrap();
        let answer = signed(&kms, &who, "ListKeys", &json!({})).await;
        assert_eq!(answer["message"].as_str(), expected, "{answer}");
        kms.remove_credentials(&who.access_key_id);
        let answer = signed(&kms, &who, "ListKeys", &json!({})).await;
        assert_eq!(answer["__type"], "UnrecognizedClientException");
    }
}

#[tokio::test]
async fn an_unsigned_target_or_other_header_is_refused() {
    let kms = kms().await;
    let who = SimCredentials::long_term(ROLE);
    kms.add_credentials(who.clone()).unwrap();
    let headers = signed_headers(&who, "ListKeys", b"{}");
    let without_target = headers.replace("x-amz-date;x-amz-target", "x-amz-date");
    let without_host = headers.replace("SignedHeaders=host;", "SignedHeaders=");
    for (headers, reason) in [
        (without_target, "'x-amz-target' must be a 'SignedHeader'"),
        (without_host, "'Host' or ':authority' must be a 'SignedHeader'"),
        (
            headers.clone() + "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
            "'x-amz-content-sha256' must be",
        ),
    ] {
        let (_, body) = send(&kms, &head("ListKeys", 2, &headers), b"{}").await.unwrap();
        let answer = parsed(&body);
        assert_eq!(answer["__type"], "InvalidSignatureException");
        assert!(answer["message"].as_str().unwrap().contains(reason), "{answer}");
    }
    let (status, _) = send(&kms, &head("ListKeys", 2, &headers), b"{}").await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn lies_are_told_only_on_request() {
    let at = ([127, 0, 0, 1], 0).into();
    let nsm = SimNsm::builder().clock(clock());
    let nitro = SimNitro::start(nsm, SimKms::builder(REGION).clock(clock()), at).await.unwrap();
    let kms = &nitro.kms;
    let who = SimCredentials::long_term(ROLE);
    kms.add_credentials(who.clone()).unwrap();
    let key = kms.create_key(None).unwrap();
    let blob = signed(kms, &who, "Encrypt", &json!({"KeyId": key, "Plaintext": "c2VjcmV0"})).await;
    let rsa = rsa::PrivateKey::new(&mut rand::rng(), 2048).unwrap();
    let spki = rsa::PublicKey::from(&rsa).to_public_key_der().unwrap().as_bytes().to_vec();
    let request = AttestationRequest { public_key: Some(&spki), ..Default::default() };
    let recipient = json!({
        "AttestationDocument": STANDARD.encode(nitro.nsm.attest(&request).unwrap()),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    });
    let decrypt = json!({"CiphertextBlob": blob["CiphertextBlob"], "Recipient": recipient});
    let ask = async |lie: Option<Hostility>| {
        kms.hostile().set(lie);
        let answer = signed(kms, &who, "Decrypt", &decrypt).await;
        let has = |name: &str| answer.get(name).is_some();
        (has("Plaintext"), has("CiphertextForRecipient"), answer)
    };

    let (plain, sealed, honest) = ask(None).await;
    assert!(!plain && sealed && honest["KeyId"] == key, "{honest}");
    let (plain, sealed, answer) = ask(Some(Hostility::PlaintextBeside)).await;
    assert!(plain && sealed && answer["Plaintext"] == "c2VjcmV0");
    let (plain, sealed, _) = ask(Some(Hostility::PlaintextInstead)).await;
    assert!(plain && !sealed);
    let (plain, sealed, _) = ask(Some(Hostility::NothingForRecipient)).await;
    assert!(!plain && !sealed);
    let (_, _, answer) = ask(Some(Hostility::OtherKeyId("arn:other".into()))).await;
    assert_eq!(answer["KeyId"], "arn:other");
    assert_eq!(ask(Some(Hostility::ReplayFirst)).await.2, honest);
    let (_, _, answer) = ask(Some(Hostility::RawCiphertext(b"x".to_vec()))).await;
    assert_eq!(answer["CiphertextForRecipient"], "eA==");

    let rid = |answer: &Value| {
        STANDARD.decode(answer["CiphertextForRecipient"].as_str().unwrap()).unwrap()[33..65]
            .to_vec()
    };
    assert_eq!(rid(&honest)[..], Sha256::digest(&spki)[..]);
    let (_, _, answer) = ask(Some(Hostility::ChosenPlaintext(b"evil".to_vec()))).await;
    assert_eq!(rid(&answer), rid(&honest));
    let other = rsa::PrivateKey::new(&mut rand::rng(), 2048).unwrap();
    let other = rsa::PublicKey::from(&other).to_public_key_der().unwrap().as_bytes().to_vec();
    let (_, _, answer) = ask(Some(Hostility::OtherRecipient(other.clone()))).await;
    assert_eq!(rid(&answer)[..], Sha256::digest(&other)[..]);
    let (plain, sealed, _) = ask(None).await;
    assert!(!plain && sealed);
}
