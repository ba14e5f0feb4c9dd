//! A parent that answers for KMS, leads elsewhere, or swaps keys and contexts.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use strongroom::manifest::Manifest;
use strongroom_client::{ErrorBody, ErrorCode, Job, RecipientSecretKey};
use strongroom_envelope::cms::RecipientKey;
use strongroom_envelope::esdk::EncryptedDataKey;
use strongroom_sim::kms::{Hostility, SimCredentials};
use strongroom_sim::{SimKms, SimNsm};

use crate::house::{ACME, CUSTOMERS, House, MASKED, PARENT, Plan, key_policy, mask, now_ms, seal};

/// Runs `mask` while KMS lies as told.
async fn with_lying_kms(house: &House, lie: Hostility) -> ErrorBody {
    house.nitro.kms.hostile().set(Some(lie));
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    house.nitro.kms.hostile().set(None);
    assert_eq!(house.mask(&house.acme().await).await.unwrap(), MASKED, "the service goes on");
    refused
}

// Rule 1: TLS to KMS ends inside the enclave.

#[tokio::test]
async fn parent_answering_for_kms_under_its_own_ca_gets_nothing() {
    // A whole KMS of the attacker's, with the right name and another CA.
    let any = "127.0.0.1:0".parse().unwrap();
    let attacker = SimKms::builder("eu-west-1").start(any).await.unwrap();
    let proxy = tokio::net::TcpListener::bind(any).await.unwrap();
    let plan = Plan { kms: Some(proxy.local_addr().unwrap()), ..Plan::default() };
    let (connections, impostor) = (Arc::new(AtomicUsize::new(0)), attacker.addr());
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            counted.fetch_add(1, SeqCst);
            let mut road = tokio::net::TcpStream::connect(impostor).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut road).await;
        }
    });
    let house = House::built(plan).await;
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("invalid peer certificate"), "{}", refused.message);
    assert!(attacker.audit_log().is_empty(), "not even a request was sent");
    assert_eq!(connections.load(SeqCst), 1, "a refused certificate was tried again");
}

#[tokio::test]
async fn parent_answering_under_another_host_name_gets_nothing() {
    let names: &'static [&'static str] = &["evil.example", "localhost", "127.0.0.1"];
    let house = House::built(Plan { names: Some(names), ..Plan::default() }).await;
    let (key, encrypted) = (data_key(), unusable(&house));
    let refused = house.refusal(&mask("acme"), &seal(&key, &[encrypted], &ACME, b"x", 64)).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("not valid for"), "{}", refused.message);
}

#[tokio::test]
async fn parent_that_speaks_plain_http_for_kms_gets_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = vec![0; 3];
        stream.read_exact(&mut first).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        first
    });
    let house = House::built(Plan { kms: Some(address), ..Plan::default() }).await;
    let refused = house
        .refusal(&mask("acme").deadline(std::time::Duration::from_secs(8)), &house.acme().await)
        .await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert_eq!(seen.await.unwrap()[..2], [0x16, 3], "a TLS handshake, and no request");
}

// Rule 2: the KMS key of the manifest, whatever credentials the parent has.

#[tokio::test]
async fn attackers_own_account_and_key_under_the_jobs_name_get_nothing() {
    let house = House::new().await;
    let mallory = "999988887777";
    let own = SimCredentials::long_term(&format!("arn:aws:iam::{mallory}:role/mallory"));
    house.nitro.kms.add_credentials(own.clone()).unwrap();
    let key = house.nitro.kms.create_key_in(mallory, None).unwrap();
    // A data key that the attacker knows, dressed as one under the job's key.
    let call = house.kms(&own).generate_data_key().key_id(&key).number_of_bytes(32);
    let answer = call.encryption_context("purpose", "support").encryption_context("tenant", "acme");
    let answer = answer.send().await.unwrap();
    let known =
        strongroom_envelope::DataKey::from_slice(answer.plaintext.unwrap().as_ref()).unwrap();
    let dressed = EncryptedDataKey {
        provider_id: "aws-kms".into(),
        provider_info: house.customers.as_bytes().to_vec(),
        ciphertext: answer.ciphertext_blob.unwrap().into_inner(),
    };
    let message = seal(&known, &[dressed], &ACME, CUSTOMERS.as_bytes(), 64);
    for credentials in [&own, &house.parent] {
        house.hand_in(credentials).await;
        let refused = house.refusal(&mask("acme"), &message).await;
        assert_eq!(refused.code, ErrorCode::KeyDenied);
        assert!(refused.kms.is_some());
    }
    let asked = house.nitro.kms.audit_log();
    let decrypts = asked.iter().filter(|call| call.operation == "Decrypt");
    assert!(decrypts.clone().count() >= 2);
    assert!(decrypts.into_iter().all(|call| call.error.is_some()));
}

#[tokio::test]
async fn an_answer_for_another_key_is_refused() {
    let house = House::new().await;
    let refused = with_lying_kms(&house, Hostility::OtherKeyId(house.archive.clone())).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("another key"), "{}", refused.message);
}

#[test]
fn an_alias_in_the_manifest_is_refused() {
    let text = include_str!("../../enclave.eif.toml").replacen(":key/", ":alias/", 1);
    assert!(Manifest::parse(&text).unwrap_err().to_string().contains("alias"));
}

// Rule 3: the encryption context is pinned by the job.

#[tokio::test]
async fn another_tenants_wrapped_key_is_refused_by_us_and_by_kms() {
    let house = House::new().await;
    let globex = [("purpose", "support"), ("tenant", "globex")];
    let (key, encrypted) = house.data_key(&house.customers, &globex).await;
    // Presented as it is: the context does not match the argument.
    let honest = seal(&key, std::slice::from_ref(&encrypted), &globex, CUSTOMERS.as_bytes(), 64);
    let refused = house.refusal(&mask("acme"), &honest).await;
    assert_eq!(refused.code, ErrorCode::ContextMismatch);
    // With the context swapped too: KMS will not unwrap the key under it.
    let swapped = seal(&key, &[encrypted], &ACME, CUSTOMERS.as_bytes(), 64);
    let refused = house.refusal(&mask("acme"), &swapped).await;
    assert_eq!(refused.code, ErrorCode::KeyDenied);
    assert_eq!(refused.kms.unwrap().code, "InvalidCiphertextException");
}

// Rule 4: a recipient always, a plaintext never.

#[tokio::test]
async fn an_answer_with_a_plaintext_is_an_error_and_not_a_shortcut() {
    let house = House::new().await;
    for lie in [Hostility::PlaintextBeside, Hostility::PlaintextInstead] {
        let refused = with_lying_kms(&house, lie).await;
        assert_eq!(refused.code, ErrorCode::KeyUnavailable);
        assert!(refused.message.contains("carries a plaintext"), "{}", refused.message);
    }
    let refused = with_lying_kms(&house, Hostility::NothingForRecipient).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
}

#[tokio::test]
async fn replayed_and_misdirected_answers_do_not_open() {
    let house = House::new().await;
    house.acme().await;
    let other = RecipientKey::generate().unwrap().public_key_der().to_vec();
    for lie in [
        Hostility::OtherRecipient(other),
        Hostility::RawCiphertext(vec![0x30, 0x80, 0, 0]),
        Hostility::RawCiphertext(vec![0xff; 6144]),
        Hostility::ChosenPlaintext(vec![7; 31]),
    ] {
        let refused = with_lying_kms(&house, lie.clone()).await;
        assert_eq!(refused.code, ErrorCode::KeyUnavailable, "{lie:?}");
        assert!(
            refused.message.contains("cannot be opened by this enclave"),
            "{}",
            refused.message
        );
    }
    // A key of the liar's choice does not fit the message's commitment.
    let refused = with_lying_kms(&house, Hostility::ChosenPlaintext(vec![7; 32])).await;
    assert_eq!(refused.code, ErrorCode::DecryptFailed);
    // The first answer ever given here was for another data key.
    let refused = with_lying_kms(&house, Hostility::ReplayFirst).await;
    assert_eq!(refused.code, ErrorCode::DecryptFailed);
}

#[tokio::test]
async fn an_answer_recorded_from_another_boot_does_not_open() {
    let (first, second) = (House::new().await, House::new().await);
    // What KMS would encrypt for the first enclave's key of its boot.
    let document = first.client().await.attest(&first.verifier()).await.unwrap();
    let key = document.public_key().unwrap().to_vec();
    let refused = with_lying_kms(&second, Hostility::OtherRecipient(key)).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
}

// Rule 5: debug mode.

#[tokio::test]
async fn a_debug_enclave_refuses_every_job_unless_its_manifest_allows_it() {
    let house = House::built(Plan { nsm: SimNsm::builder().debug(), ..Plan::default() }).await;
    for job in [mask("acme"), Job::new("rotate").arg("tenant", "acme")] {
        let refused = house.refusal(&job, &house.acme().await).await;
        assert_eq!(refused.code, ErrorCode::Denied);
        assert!(refused.message.contains("debug mode"), "{}", refused.message);
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
    let allowed = House::built(Plan {
        nsm: SimNsm::builder().debug(),
        manifest: |text| text.replace("memory_mib = 512", "memory_mib = 512\nallow_debug = true"),
        ..Plan::default()
    })
    .await;
    assert_eq!(allowed.mask(&allowed.acme().await).await.unwrap(), MASKED);
    assert!(allowed.client().await.status().await.unwrap().debug);
}

#[tokio::test]
async fn a_debug_enclave_is_refused_by_the_client_unless_told_otherwise() {
    let house = House::built(Plan { nsm: SimNsm::builder().debug(), ..Plan::default() }).await;
    let policy = strongroom_client::attestation::Policy::any_image();
    let verifier = strongroom_client::Verifier { policy, ..house.verifier() };
    let error = house.client().await.attest(&verifier).await.unwrap_err();
    let strongroom_client::Error::Attestation(error) = error else { panic!("{error:?}") };
    assert_eq!(error.code(), "debug-mode");
}

// Key policies and credentials.

#[tokio::test]
async fn a_refusal_of_kms_names_its_reason_its_request_and_the_enclaves_own_pcrs() {
    let house = House::new().await;
    house.nitro.kms.put_key_policy(&house.customers, &key_policy(&"ab".repeat(48))).unwrap();
    let message = house.acme().await;
    let refused = house.refusal(&mask("acme"), &message).await;
    assert_eq!(refused.code, ErrorCode::KeyDenied);
    let kms = refused.kms.unwrap();
    assert_eq!((kms.operation.as_str(), kms.code.as_str()), ("Decrypt", "AccessDeniedException"));
    assert!(kms.message.contains("not authorized to perform: kms:Decrypt"), "{}", kms.message);
    assert!(kms.request_id.is_some_and(|id| id.len() >= 32));
    let shown = hex::encode(&refused.pcrs[&0]);
    assert_eq!(shown, house.nitro.nsm.pcr_hex(0).unwrap());
    assert_eq!(refused.pcrs.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 8]);
}

#[tokio::test]
async fn missing_and_expired_credentials_are_named_and_service_recovers() {
    let house = House::built(Plan { credentials: false, ..Plan::default() }).await;
    let message = house.acme().await;
    assert_eq!(house.refusal(&mask("acme"), &message).await.code, ErrorCode::CredentialsMissing);
    let expired = SimCredentials::temporary(PARENT, now_ms() - 5_000);
    house.nitro.kms.add_credentials(expired.clone()).unwrap();
    house.hand_in(&expired).await;
    assert_eq!(house.refusal(&mask("acme"), &message).await.code, ErrorCode::CredentialsExpired);
    // The parent lies about the expiry: KMS does not believe it.
    house.hand_in(&SimCredentials { expires_at_ms: None, ..expired }).await;
    assert_eq!(house.refusal(&mask("acme"), &message).await.code, ErrorCode::CredentialsExpired);
    house.hand_in(&house.parent).await;
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}

// Rule 8 and R1, at the client: sealed results.

#[tokio::test]
async fn a_result_sealed_by_the_parent_itself_is_refused_by_the_owner() {
    use strongroom_envelope::seal::{Binding, Setup};
    let house = House::new().await;
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    // The parent seals a result of its own and puts a genuine document in it:
    // one that the enclave made for something else.
    let genuine = house.client().await.attest_unverified(b"nonce").await.unwrap();
    let args = std::collections::BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]);
    let binding = Binding {
        request_id: [1; 16],
        job: "export",
        args: &args,
        input: &[2; 32],
        nonce: Some(b"nonce"),
        padded: false,
    };
    let mut forged = Vec::new();
    let mut sealer = Setup::new(&public, &binding).unwrap().start(&genuine, &mut forged).unwrap();
    sealer.seal(b"what the parent wants the owner to believe", &mut forged).unwrap();
    sealer.finish(&mut forged).unwrap();

    let expected = strongroom_client::Expected {
        job: Some("export".into()),
        nonce: Some(b"nonce".to_vec()),
        ..Default::default()
    };
    let now = strongroom_client::attestation::UnixTime::from_millis(now_ms());
    let mut output = Vec::new();
    let opened = strongroom_client::open_sealed(
        forged.as_slice(),
        &mut output,
        &secret,
        &house.verifier(),
        &expected,
        now,
    )
    .await;
    let error = opened.err().unwrap();
    assert!(matches!(error.cause(), strongroom_client::Error::Attestation(_)), "{error:?}");
    assert!(output.is_empty());
}

fn data_key() -> strongroom_envelope::DataKey {
    strongroom_envelope::DataKey::from_slice(&[9; 32]).unwrap()
}

fn unusable(house: &House) -> EncryptedDataKey {
    EncryptedDataKey {
        provider_id: "aws-kms".into(),
        provider_info: house.customers.as_bytes().to_vec(),
        ciphertext: vec![1; 100],
    }
}

// A result says which input it was made from.

#[tokio::test]
async fn parent_that_swaps_the_message_under_a_request_gets_its_result_refused() {
    use strongroom_client::{Client, Error, Options, SealedError};
    use strongroom_envelope::seal::OpenError;
    let house = House::new().await;
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let message = house.acme().await;
    // As genuine as the first, of the same tenant, and as long: only older.
    let old = CUSTOMERS.replace("London", "Oxford");
    let older = house.encrypt(&house.customers, &ACME, old.as_bytes(), 64).await;
    assert_eq!(older.len(), message.len());
    let job = Job::new("export").arg("tenant", "acme");
    for (body, swapped) in [(&message, false), (&older, true)] {
        let (near, relay) = tokio::io::duplex(1 << 16);
        let relay = tokio::spawn(swapping_relay(relay, house.address.clone(), body.clone()));
        let (mut client, mut output) = (Client::over(near, Options::default()), Vec::new());
        let run = client
            .run_sealed(&job, &secret, &house.verifier(), message.as_slice(), &mut output)
            .await;
        match run {
            Ok((_, opened)) => {
                assert!(!swapped, "a result made from another message was believed");
                assert_eq!(opened.input, message[3..35]);
                assert_eq!(output, CUSTOMERS.as_bytes());
            }
            Err(Error::Sealed(SealedError::Open(OpenError::OtherInput))) => {
                assert!(swapped && output.is_empty());
            }
            Err(error) => panic!("{error:?}"),
        }
        relay.abort();
    }
    // The service opened both: nothing but the client's check stands in the way.
    let log = house.nitro.kms.audit_log();
    let decrypts = log.iter().filter(|call| call.operation == "Decrypt" && call.error.is_none());
    assert_eq!(decrypts.count(), 2);
}

/// Relays one connection, with `body` in place of what the `DATA` frames hold.
async fn swapping_relay(
    near: tokio::io::DuplexStream,
    service: strongroom_client::Address,
    body: Vec<u8>,
) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let strongroom_client::Address::Unix(path) = service else { panic!("{service}") };
    let far = tokio::net::UnixStream::connect(path).await?;
    let (mut client, mut to_client) = tokio::io::split(near);
    let (mut answers, mut service) = far.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
    let mut preface = [0; 8];
    client.read_exact(&mut preface).await?;
    service.write_all(&preface).await?;
    let mut body = body.as_slice();
    loop {
        let mut head = [0; 8];
        client.read_exact(&mut head).await?;
        let len = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        let mut payload = vec![0; len];
        client.read_exact(&mut payload).await?;
        if head[0] == 3 {
            let (piece, rest) = body.split_at(len);
            payload.copy_from_slice(piece);
            body = rest;
        }
        service.write_all(&head).await?;
        service.write_all(&payload).await?;
    }
}
