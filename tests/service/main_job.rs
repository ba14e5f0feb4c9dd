//! What the service is for: encrypted data in, a permitted result out.

use strongroom_client::{Job, Protect, RecipientSecretKey};
use strongroom_envelope::esdk::{Header, Limits, Policy};
use strongroom_sim::kms::SimCredentials;

use crate::house::{ACME, CUSTOMERS, House, MASKED, PARENT, mask, open};

#[tokio::test]
async fn an_encrypted_csv_comes_out_masked_as_the_job_says() {
    let house = House::new().await;
    let (output, summary) = house.run(&mask("acme"), &house.acme().await).await.unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), MASKED);
    assert_eq!((summary.records, summary.protect), (Some(2), Protect::None));
}

#[tokio::test]
async fn any_frame_length_and_any_length_of_plaintext_comes_out_whole() {
    let house = House::new().await;
    let mut csv = String::from("name,pan,city\n");
    while csv.len() < 300_000 {
        csv.push_str("Grace Hopper,4111111111111111,New York\n");
    }
    let rows = csv.lines().count() - 1;
    let want = format!("name,pan,city\n{}", "G.H.,****1111,New York\n".repeat(rows));
    for frame in [1, 512, 4096, 65_536, csv.len(), 1 << 20] {
        let short = if frame == 1 { "name,pan,city\nG H,4111111111111111,NY\n" } else { &csv };
        let want = if frame == 1 { "name,pan,city\nG.H.,****1111,NY\n" } else { &want };
        let message = house.encrypt(&house.customers, &ACME, short.as_bytes(), frame).await;
        assert!(house.mask(&message).await.unwrap() == *want, "frames of {frame}");
    }
}

#[tokio::test]
async fn a_reencrypted_message_opens_under_the_new_key_and_context() {
    let house = House::new().await;
    let message = house.acme().await;
    let job = Job::new("rotate").arg("tenant", "acme");
    let (rotated, summary) = house.run(&job, &message).await.unwrap();
    assert_eq!(summary.protect, Protect::Kms);

    let (header, _) =
        Header::parse(&rotated, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let context: Vec<_> = header.encryption_context().iter().collect();
    assert_eq!(context, [("purpose", "archive"), ("tenant", "acme")]);
    let encrypted = &header.encrypted_data_keys()[0];
    assert_eq!(encrypted.provider_info, house.archive.as_bytes());
    assert_eq!(header.frame_len(), 4096);
    // Without an enclave, the parent's role gets nothing.
    let none = house.decrypt_data_key(&house.parent, encrypted, header.encryption_context()).await;
    assert!(none.is_none());
    // Were the policy to let it, the message opens to the same plaintext.
    let open_policy =
        crate::house::key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    house.nitro.kms.put_key_policy(&house.archive, &open_policy).unwrap();
    let key = house.decrypt_data_key(&house.parent, encrypted, header.encryption_context()).await;
    assert_eq!(open(&rotated, &key.unwrap()), CUSTOMERS.as_bytes());
}

#[tokio::test]
async fn a_sealed_result_opens_for_its_owner_and_proves_the_enclave() {
    let house = House::new().await;
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let job = Job::new("export").arg("tenant", "acme");
    let mut output = Vec::new();
    let message = house.acme().await;
    let mut client = house.client().await;
    let (_, opened) = client
        .run_sealed(&job, &secret, &house.verifier(), message.as_slice(), &mut output)
        .await
        .unwrap();
    assert_eq!(output, CUSTOMERS.as_bytes());
    assert_eq!(opened.document.module_id(), house.nitro.nsm.module_id());
}

#[tokio::test]
async fn the_attestation_document_proves_the_enclave_and_its_recipient_key() {
    let house = House::new().await;
    let document = house.client().await.attest(&house.verifier()).await.unwrap();
    assert_eq!(document.module_id(), house.nitro.nsm.module_id());
    // An RSA-2048 SubjectPublicKeyInfo is 294 bytes.
    assert_eq!(document.public_key().map(<[u8]>::len), Some(294));
}

#[tokio::test]
async fn every_kms_call_is_attested_and_names_the_key_of_the_manifest() {
    let house = House::new().await;
    let before = house.nitro.kms.audit_log().len();
    house.run(&Job::new("rotate").arg("tenant", "acme"), &house.acme().await).await.unwrap();
    let log = house.nitro.kms.audit_log().split_off(before + 1);
    let calls: Vec<_> =
        log.iter().map(|call| (call.operation.as_str(), call.key_arn.as_deref())).collect();
    assert_eq!(
        calls,
        [
            ("Decrypt", Some(house.customers.as_str())),
            ("GenerateDataKey", Some(house.archive.as_str()))
        ]
    );
    let pcr0 = house.nitro.nsm.pcr_hex(0).ok();
    assert!(log.iter().all(|call| call.attested_image == pcr0 && call.error.is_none()));
}

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let house = House::new().await;
    let mut client = house.client().await;
    for _ in 0..3 {
        let mut output = Vec::new();
        client.run(&mask("acme"), house.acme().await.as_slice(), &mut output).await.unwrap();
        assert_eq!(output, MASKED.as_bytes());
        let status = client.status().await.unwrap();
        assert_eq!(status.jobs, ["export", "mask", "rotate"]);
        assert!(status.credentials && !status.debug);
    }
}

#[tokio::test]
async fn new_credentials_count_at_once() {
    let house = House::new().await;
    house.hand_in(&SimCredentials::long_term(PARENT)).await;
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    assert_eq!(refused.kms.unwrap().code, "UnrecognizedClientException");
    house.hand_in(&house.parent).await;
    assert_eq!(house.mask(&house.acme().await).await.unwrap(), MASKED);
}
