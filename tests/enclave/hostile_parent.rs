//! The demo's attacks, and others that need a machine, on a booted enclave.

use strongroom_client::{ErrorCode, Job};
use strongroom_sim::SimKms;
use strongroom_sim::kms::Fault;

use crate::booted::{Booted, Wish};
use crate::forwarder::Forwarder;
use crate::house::{ACME, CUSTOMERS, MASKED, Plan, mask, seal};

/// Another tenant of the same producer.
const GLOBEX: [(&str, &str); 2] = [("purpose", "support"), ("tenant", "globex")];

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_attacks_fail_in_a_booted_enclave_too() {
    let Some(booted) = Booted::usual().await else { return };
    let house = &booted.house;

    // Another tenant's message, presented as acme's.
    let theirs = house.encrypt(&house.customers, &GLOBEX, CUSTOMERS.as_bytes(), 64).await;
    let decrypts = house.nitro.kms.faults().count("Decrypt");
    let refused = house.refusal(&mask("acme"), &theirs).await;
    assert_eq!(refused.code, ErrorCode::ContextMismatch);
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), decrypts);

    // Another tenant's wrapped key, spliced into acme's message.
    let (ours, _) = house.data_key(&house.customers, &ACME).await;
    let (_, wrapped) = house.data_key(&house.customers, &GLOBEX).await;
    let spliced = seal(&ours, &[wrapped], &ACME, CUSTOMERS.as_bytes(), 64);
    let refused = house.refusal(&mask("acme"), &spliced).await;
    assert_eq!(refused.kms.unwrap().code, "InvalidCiphertextException");

    // An image that the key policy does not name.
    let other = crate::house::key_policy(&"ab".repeat(48));
    house.nitro.kms.put_key_policy(&house.customers, &other).unwrap();
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    assert_eq!(refused.code, ErrorCode::KeyDenied);
    assert_eq!(hex::encode(&refused.pcrs[&0]), booted.pcr(0), "the refusal names the image");
    let ours = crate::house::key_policy(&booted.pcr(0));
    house.nitro.kms.put_key_policy(&house.customers, &ours).unwrap();

    // A message that was changed on its way.
    let mut changed = house.acme().await;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(house.refusal(&mask("acme"), &changed).await.code, ErrorCode::DecryptFailed);
    assert_eq!(house.mask(&house.acme().await).await.unwrap(), MASKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_leads_to_another_kms_gets_nothing_from_a_booted_enclave() {
    let any = "127.0.0.1:0".parse().unwrap();
    let impostor = SimKms::builder("eu-west-1").start(any).await.unwrap();
    let plan = Plan { kms: Some(impostor.addr()), ..Plan::default() };
    let Some(booted) = Booted::wished(Wish { plan, ..Wish::default() }).await else { return };
    let refused = booted.house.refusal(&mask("acme"), &booted.house.acme().await).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("invalid peer certificate"), "{}", refused.message);
    assert!(impostor.audit_log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_products_own_image_believes_no_kms_but_amazons() {
    let wish = Wish { product: true, ..Wish::default() };
    let Some(booted) = Booted::wished(wish).await else { return };
    let house = &booted.house;
    house.client().await.attest(&house.verifier()).await.unwrap();
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("invalid peer certificate"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_image_booted_in_debug_mode_refuses_every_job() {
    let wish = Wish { debug: true, ..Wish::default() };
    let Some(booted) = Booted::wished(wish).await else { return };
    let house = &booted.house;
    for job in [mask("acme"), Job::new("rotate").arg("tenant", "acme")] {
        let refused = house.refusal(&job, &house.acme().await).await;
        assert_eq!(refused.code, ErrorCode::Denied);
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
    assert!(house.client().await.status().await.unwrap().debug);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_killed_mid_request_and_brought_back_needs_no_restart() {
    let Some(mut booted) = Booted::usual().await else { return };
    let known = booted.house.acme().await;
    assert_eq!(booted.house.mask(&known).await.unwrap(), MASKED);

    // KMS hangs on the call for another data key; the proxy dies while it does.
    let message = booted.house.acme().await;
    booted.house.nitro.kms.faults().inject_for("Decrypt", 1, Fault::Hang);
    let mut client = booted.house.client().await;
    let running = tokio::spawn({
        let message = message.clone();
        async move {
            let mut output = Vec::new();
            client.run(&mask("acme"), message.as_slice(), &mut output).await.map(|_| output)
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let socket = booted.machine.host_port_path(8000);
    booted.forwarder.take().unwrap().kill().await;
    let error = running.await.unwrap().unwrap_err();
    let code = error.service().map(|body| body.code);
    assert_eq!(code, Some(ErrorCode::KeyUnavailable), "{error:?}");
    let refused = booted.house.refusal(&mask("acme"), &message).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    // A data key that is kept goes on serving.
    assert_eq!(booted.house.mask(&known).await.unwrap(), MASKED);

    booted.forwarder = Some(Forwarder::start(&socket, booted.house.nitro.kms.addr()));
    assert_eq!(booted.house.mask(&message).await.unwrap(), MASKED);
}
