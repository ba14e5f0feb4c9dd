//! Keys that are kept: what they save, and what they must never do.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_bytes::ByteBuf;
use strongroom_client::{ErrorCode, Job, RecipientSecretKey};
use strongroom_envelope::esdk::{Header, Limits, Policy};
use strongroom_sim::kms::{Fault, Hostility, KmsError};
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Run};
use tokio::io::AsyncWriteExt;

use crate::house::{ACME, CUSTOMERS, House, MASKED, Plan, mask, on_the_wire, seal, unkept};
use crate::raw::{Line, connect, frame, owned, request, run};
use crate::workshop::{Wrapped, house, house_with};

async fn counters(house: &House) -> BTreeMap<String, u64> {
    house.client().await.status().await.unwrap().counters
}

async fn counter(house: &House, name: &str) -> u64 {
    counters(house).await[name]
}

fn decrypts(house: &House) -> u64 {
    house.nitro.kms.faults().count("Decrypt")
}

fn generated(house: &House) -> u64 {
    house.nitro.kms.faults().count("GenerateDataKey")
}

/// Waits until the service holds no key; nobody asks it for one meanwhile.
async fn until_none_is_held(house: &House) {
    for _ in 0..200 {
        if counter(house, "keys_held").await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a key is held for longer than it may be");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_at_once_under_one_new_data_key_make_one_call() {
    // A connection has two ends here.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let house = House::new().await;
    let message = house.acme().await;
    house.nitro.kms.faults().inject_for("Decrypt", 1, Fault::Delay(Duration::from_secs(2)));
    let before = counters(&house).await;
    let asking = (0..1000).map(|_| {
        let (address, message) = (house.address.clone(), message.clone());
        tokio::spawn(async move {
            let mut client = strongroom_client::Client::connect(&address).await.unwrap();
            let mut output = Vec::new();
            client.run(&mask("acme"), message.as_slice(), &mut output).await.unwrap();
            output
        })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), MASKED.as_bytes());
    }
    assert_eq!(decrypts(&house), 1);
    let after = counters(&house).await;
    let grown = |name: &str| after[name] - before[name];
    assert_eq!((grown("nsm_calls"), grown("kms_decrypt")), (1, 1));
    assert_eq!(grown("cache_misses") + grown("cache_waits") + grown("cache_hits"), 1000);
    // The second reading counts itself.
    assert_eq!((grown("requests"), grown("failed_requests")), (1001, 0));
}

#[tokio::test]
async fn a_key_that_is_kept_costs_no_call_of_kms_and_none_of_the_module() {
    let house = House::new().await;
    let message = house.acme().await;
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
    let before = counters(&house).await;
    assert_eq!((before["kms_decrypt"], before["nsm_calls"], before["keys_held"]), (1, 1, 1));
    for _ in 0..10 {
        assert_eq!(house.mask(&message).await.unwrap(), MASKED);
    }
    let after = counters(&house).await;
    assert_eq!((after["kms_decrypt"], after["nsm_calls"]), (1, 1));
    assert_eq!((decrypts(&house), after["cache_hits"], after["cache_misses"]), (1, 10, 1));
}

#[tokio::test]
async fn the_counters_are_these_and_no_others() {
    let house = House::new().await;
    let names: Vec<String> = counters(&house).await.into_keys().collect();
    let listed = [
        "cache_evictions",
        "cache_hits",
        "cache_misses",
        "cache_waits",
        "failed_requests",
        "keys_held",
        "kms_decrypt",
        "kms_failures",
        "kms_generate_data_key",
        "nsm_calls",
        "requests",
    ];
    assert_eq!(names, listed);
}

#[tokio::test]
async fn requests_and_failures_are_counted_where_they_happen() {
    let house = House::new().await;
    let message = house.acme().await;
    house.nitro.kms.set_key_enabled(&house.customers, false).unwrap();
    let before = counters(&house).await;
    house.refusal(&mask("acme"), &message).await;
    let after = counters(&house).await;
    let grown = |name: &str| after[name] - before[name];
    // After the refusal a status is asked; and the second reading counts itself.
    assert_eq!((grown("requests"), grown("failed_requests")), (3, 1));
    assert_eq!((grown("kms_decrypt"), grown("kms_failures")), (1, 1));
}

#[tokio::test]
async fn without_room_for_a_key_each_request_asks() {
    let house = House::built(Plan { manifest: unkept, ..Plan::default() }).await;
    let message = house.acme().await;
    for calls in 1..=3 {
        assert_eq!(house.mask(&message).await.unwrap(), MASKED);
        assert_eq!((decrypts(&house), counter(&house, "keys_held").await), (calls, 0));
    }
}

#[tokio::test]
async fn kept_keys_serve_while_the_credentials_have_expired_and_new_ones_do_not() {
    let house = House::new().await;
    let (kept, new) = (house.acme().await, house.acme().await);
    house.mask(&kept).await.unwrap();
    let mut expired = on_the_wire(&house.parent);
    expired.expires_at = Some(1);
    house.client().await.put_credentials(expired).await.unwrap();
    assert_eq!(house.mask(&kept).await.unwrap(), MASKED);
    let refused = house.refusal(&mask("acme"), &new).await;
    assert_eq!(refused.code, ErrorCode::CredentialsExpired);
    house.hand_in(&house.parent).await;
    assert_eq!(house.mask(&new).await.unwrap(), MASKED);
}

#[tokio::test]
async fn no_job_uses_a_key_that_was_decrypted_for_another() {
    let house = House::new().await;
    let message = house.acme().await;
    house.mask(&message).await.unwrap();
    assert_eq!(decrypts(&house), 1);
    house.run(&Job::new("rotate").arg("tenant", "acme"), &message).await.unwrap();
    assert_eq!(decrypts(&house), 2);
    // And so a job is refused what KMS refuses it, whatever another has.
    house.nitro.kms.set_key_enabled(&house.customers, false).unwrap();
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let run = Run {
        job: "export".into(),
        args: owned(&[("tenant", "acme")]),
        seal_to: Some(ByteBuf::from(*public.as_bytes())),
        ..Run::default()
    };
    let answer = Line::to(&house).await.ask(&request(Call::Run(run)), &[&message]).await;
    assert_eq!(answer.refusal().kms.unwrap().code, "DisabledException");
}

/// The same data key opens nothing under another context or another KMS key,
/// though it is kept under its own.
#[tokio::test]
async fn a_kept_key_opens_nothing_under_another_context_or_kms_key() {
    let jobs = r#"
[[job]]
name = "two"
operation = "reencrypt"
input = { key = "$archive", context = { purpose = "support" } }
output = { protect = "kms", key = "$archive", context = { purpose = "again" } }
"#;
    let house = house(jobs).await;
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let own = seal(&key, std::slice::from_ref(&encrypted), &ACME, CUSTOMERS.as_bytes(), 64);
    assert_eq!(house.mask(&own).await.unwrap(), MASKED);
    let evil = [("purpose", "support"), ("tenant", "evil")];
    let moved = seal(&key, std::slice::from_ref(&encrypted), &evil, CUSTOMERS.as_bytes(), 64);
    let before = decrypts(&house);
    let refused = house.refusal(&mask("evil"), &moved).await;
    assert_eq!((refused.code, decrypts(&house)), (ErrorCode::KeyDenied, before + 1));
    let mut elsewhere = encrypted.clone();
    elsewhere.provider_info = house.archive.as_bytes().to_vec();
    let moved = seal(&key, &[elsewhere], &ACME, CUSTOMERS.as_bytes(), 64);
    let refused = house.refusal(&Job::new("two"), &moved).await;
    assert_eq!((refused.code, decrypts(&house)), (ErrorCode::KeyDenied, before + 2));
    assert_eq!(house.mask(&own).await.unwrap(), MASKED);
}

#[tokio::test]
async fn a_disabled_kms_key_stops_the_job_when_the_kept_one_is_too_old() {
    let brief = |text: String| text + "\n[cache]\nmax_age_secs = 1\n";
    let house = House::built(Plan { manifest: brief, ..Plan::default() }).await;
    let message = house.acme().await;
    house.mask(&message).await.unwrap();
    house.nitro.kms.set_key_enabled(&house.customers, false).unwrap();
    until_none_is_held(&house).await;
    let refused = house.refusal(&mask("acme"), &message).await;
    assert_eq!(refused.kms.unwrap().code, "DisabledException");
}

#[tokio::test]
async fn a_key_is_asked_for_anew_after_its_uses_and_after_its_bytes() {
    let few = |text: String| text + "\n[cache]\nmax_uses = 3\n";
    let house = House::built(Plan { manifest: few, ..Plan::default() }).await;
    let message = house.acme().await;
    for calls in [1, 1, 1, 2, 2, 2, 3] {
        house.mask(&message).await.unwrap();
        assert_eq!(decrypts(&house), calls);
    }
    let small = |text: String| text + "\n[cache]\nmax_bytes = \"1KiB\"\n";
    let house = House::built(Plan { manifest: small, ..Plan::default() }).await;
    let message = house.acme().await;
    // Less than the whole message, which has a header.
    let uses = 1024_usize.div_ceil(message.len() - 300);
    for _ in 0..=uses {
        house.mask(&message).await.unwrap();
    }
    assert_eq!(decrypts(&house), 2);
}

#[tokio::test]
async fn no_more_keys_are_kept_than_may_be() {
    let two = |text: String| text + "\n[cache]\nmax_keys = 2\n";
    let house = House::built(Plan { manifest: two, ..Plan::default() }).await;
    let messages = [house.acme().await, house.acme().await, house.acme().await];
    for message in &messages {
        house.mask(message).await.unwrap();
    }
    let read = counters(&house).await;
    assert_eq!((read["keys_held"], read["cache_evictions"]), (2, 1));
    house.mask(&messages[1]).await.unwrap();
    assert_eq!(decrypts(&house), 3);
    house.mask(&messages[0]).await.unwrap();
    assert_eq!(decrypts(&house), 4);
}

#[tokio::test]
async fn an_error_of_kms_is_not_kept() {
    let house = House::new().await;
    let message = house.acme().await;
    for fault in [Fault::Error(KmsError::throttling()), Fault::Garbage] {
        house.nitro.kms.faults().inject_for("Decrypt", 20, fault);
        let refused = house.refusal(&mask("acme"), &message).await;
        assert_eq!(refused.code, ErrorCode::KeyUnavailable);
        house.nitro.kms.faults().clear();
    }
    house.nitro.kms.set_key_enabled(&house.customers, false).unwrap();
    assert_eq!(house.refusal(&mask("acme"), &message).await.code, ErrorCode::KeyDenied);
    house.nitro.kms.set_key_enabled(&house.customers, true).unwrap();
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}

#[tokio::test]
async fn a_parent_answering_for_kms_never_fills_the_cache() {
    let house = House::new().await;
    let message = house.acme().await;
    let lies = [
        Hostility::PlaintextBeside,
        Hostility::PlaintextInstead,
        Hostility::NothingForRecipient,
        Hostility::OtherKeyId(house.archive.clone()),
        Hostility::RawCiphertext(vec![0x30, 0x80]),
        Hostility::ChosenPlaintext(vec![7; 31]),
    ];
    for (asked, lie) in (1..).zip(lies) {
        house.nitro.kms.hostile().set(Some(lie.clone()));
        let refused = house.refusal(&mask("acme"), &message).await;
        assert_eq!(refused.code, ErrorCode::KeyUnavailable, "{lie:?}");
        let read = counters(&house).await;
        assert_eq!((read["keys_held"], decrypts(&house)), (0, asked), "{lie:?}");
    }
    house.nitro.kms.hostile().set(None);
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_no_key_from_those_who_wait_for_the_same() {
    let house = House::new().await;
    let message = house.acme().await;
    house.nitro.kms.faults().inject_for("Decrypt", 1, Fault::Delay(Duration::from_secs(1)));
    let mut leaving = connect(&house).await;
    let data = frame(FrameKind::Data, &message);
    let begun = [&PREFACE[..], &run(), &data].concat();
    leaving.write_all(&begun).await.unwrap();
    while decrypts(&house) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waiting = house.mask(&message);
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(leaving);
    };
    let (answer, ()) = tokio::join!(waiting, leaves);
    assert_eq!(answer.unwrap(), MASKED);
    assert_eq!(decrypts(&house), 1);
}

#[tokio::test]
async fn a_secret_is_asked_for_once_a_job() {
    let jobs = r#"
[[job]]
name = "tokenize"
operation = "tokenize"
secret = "tokens"
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { pan = { token = "ff1", alphabet = "digits" }, email = { token = "siv" }, name = "initials", city = "keep" }
output = { protect = "none" }
"#;
    let house = house_with(jobs, &[Wrapped::generated("tokens")], |text| text).await;
    let message = house.acme().await;
    let (first, _) = house.run(&Job::new("tokenize"), &message).await.unwrap();
    assert_eq!(decrypts(&house), 2, "the data key and the secret");
    let (second, _) = house.run(&Job::new("tokenize"), &message).await.unwrap();
    assert_eq!((decrypts(&house), first == second), (2, true));
}

/// The encrypted data key and the message id of an Encryption SDK message.
fn key_and_id(message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, _) =
        Header::parse(message, &Limits::default(), &Policy::default()).unwrap().unwrap();
    (header.encrypted_data_keys()[0].ciphertext.clone(), header.message_id().to_vec())
}

async fn rotated(house: &House, tenant: &str) -> (Vec<u8>, Vec<u8>) {
    let context = [("purpose", "support"), ("tenant", tenant)];
    let message = house.encrypt(&house.customers, &context, CUSTOMERS.as_bytes(), 64).await;
    let job = Job::new("rotate").arg("tenant", tenant);
    key_and_id(&house.run(&job, &message).await.unwrap().0)
}

#[tokio::test]
async fn each_result_has_a_data_key_of_its_own_unless_the_job_says_otherwise() {
    let house = House::new().await;
    let before = generated(&house);
    let (one, other) = (rotated(&house, "acme").await, rotated(&house, "acme").await);
    assert!(one.0 != other.0 && one.1 != other.1);
    // The producer asks for one each, too.
    assert_eq!(generated(&house) - before, 4);
}

fn reusing(bounds: &str) -> impl FnOnce(String) -> String {
    let reuse = format!(", frame = \"4KiB\", reuse = {{ {bounds} }} }}");
    move |text| text.replace(", frame = \"4KiB\" }", &reuse)
}

#[tokio::test]
async fn results_share_a_data_key_as_often_as_the_job_says_and_never_an_id() {
    let bounds = "max_results = 3, max_bytes = \"1GiB\", max_age_secs = 60";
    let house = house_with("", &[], reusing(bounds)).await;
    let mut results = Vec::new();
    for _ in 0..7 {
        results.push(rotated(&house, "acme").await);
    }
    let keys: Vec<_> = results.chunk_by(|one, other| one.0 == other.0).map(<[_]>::len).collect();
    assert_eq!(keys, [3, 3, 1]);
    let ids: std::collections::BTreeSet<_> = results.iter().map(|result| &result.1).collect();
    assert_eq!(ids.len(), 7);
    // Another tenant's context has another data key.
    let other = rotated(&house, "other").await;
    assert!(results.iter().all(|result| result.0 != other.0));
    assert_eq!(results[6].0, rotated(&house, "acme").await.0);
}

#[tokio::test]
async fn results_share_no_data_key_beyond_its_bytes() {
    let bounds = "max_results = 100, max_bytes = \"200\", max_age_secs = 60";
    let house = house_with("", &[], reusing(bounds)).await;
    assert!((100..200).contains(&CUSTOMERS.len()), "two results reach the bound");
    let mut results = Vec::new();
    for _ in 0..5 {
        results.push(rotated(&house, "acme").await.0);
    }
    let keys: Vec<_> = results.chunk_by(|one, other| one == other).map(<[_]>::len).collect();
    assert_eq!(keys, [2, 2, 1]);
}

#[tokio::test]
async fn a_reused_data_key_is_not_kept_beyond_its_age() {
    let bounds = "max_results = 100, max_bytes = \"1GiB\", max_age_secs = 1";
    let brief = |text: String| reusing(bounds)(text) + "\n[cache]\nmax_age_secs = 1\n";
    let house = house_with("", &[], brief).await;
    let one = rotated(&house, "acme").await.0;
    until_none_is_held(&house).await;
    assert!(one != rotated(&house, "acme").await.0);
}
