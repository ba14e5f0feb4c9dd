//! Plain envelopes: all or nothing, and only where they belong.

use strongroom_client::{ErrorCode, Job};
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::EncryptionContext;
use strongroom_envelope::plain;

use crate::house::{ACME, CUSTOMERS, House, MASKED};
use crate::raw::{Line, run_of};
use crate::workshop::{house, house_with};

const JOBS: &str = r#"
[[job]]
name = "envelope"
operation = "mask"
args = ["tenant"]
input = { format = "csv", encryption = "plain-envelope", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }

[[job]]
name = "billing"
operation = "mask"
args = ["tenant"]
input = { format = "csv", encryption = "plain-envelope", key = "$customers", context = { purpose = "billing", tenant = "{tenant}" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }
"#;

pub fn envelope(key: &DataKey, encrypted: &[u8], context: &[(&str, &str)], text: &[u8]) -> Vec<u8> {
    let context = EncryptionContext::new(context.iter().copied()).unwrap();
    let mut out = Vec::new();
    plain::seal(key, encrypted, &context, text, &mut out).unwrap();
    out
}

async fn enveloped(house: &House, context: &[(&str, &str)], text: &[u8]) -> Vec<u8> {
    let (key, encrypted) = house.data_key(&house.customers, context).await;
    envelope(&key, &encrypted.ciphertext, context, text)
}

fn job(tenant: &str) -> Job {
    Job::new("envelope").arg("tenant", tenant)
}

#[tokio::test]
async fn a_plain_envelope_is_opened_for_the_use_it_was_made_for_and_no_other() {
    let house = house(JOBS).await;
    let input = enveloped(&house, &ACME, CUSTOMERS.as_bytes()).await;
    let (output, _) = house.run(&job("acme"), &input).await.unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), MASKED);
    for other in [job("globex"), Job::new("billing").arg("tenant", "acme")] {
        let refused = house.refusal(&other, &input).await;
        assert_eq!(refused.code, ErrorCode::KeyDenied, "{other:?}");
        assert_eq!(refused.kms.unwrap().code, "InvalidCiphertextException");
    }
    // Neither is one that is bound to more than the job knows of.
    let more = [ACME[0], ACME[1], ("x", "y")];
    let input = enveloped(&house, &more, CUSTOMERS.as_bytes()).await;
    assert_eq!(house.refusal(&job("acme"), &input).await.code, ErrorCode::KeyDenied);
}

#[tokio::test]
async fn a_ciphertext_under_another_tenants_data_key_does_not_open() {
    let house = house(JOBS).await;
    let globex = [ACME[0], ("tenant", "globex")];
    let (key, for_acme) = house.data_key(&house.customers, &ACME).await;
    // The same data key, wrapped for one tenant and the content bound to another.
    let swapped = envelope(&key, &for_acme.ciphertext, &globex, CUSTOMERS.as_bytes());
    assert_eq!(house.refusal(&job("acme"), &swapped).await.code, ErrorCode::DecryptFailed);
    // Another data key of the right tenant.
    let (_, other) = house.data_key(&house.customers, &ACME).await;
    let swapped = envelope(&key, &other.ciphertext, &ACME, CUSTOMERS.as_bytes());
    assert_eq!(house.refusal(&job("acme"), &swapped).await.code, ErrorCode::DecryptFailed);
}

#[tokio::test]
async fn nothing_of_a_plain_envelope_is_released_before_its_end_is_authentic() {
    let house = house(JOBS).await;
    let csv = format!("name,pan,city\n{}", "A B,4111111111111111,X\n".repeat(40_000));
    let good = enveloped(&house, &ACME, csv.as_bytes()).await;
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let mut texts = std::collections::BTreeSet::new();
    for (what, bad) in [
        ("the last byte of the tag", flipped(good.len() - 1)),
        ("a byte in the middle", flipped(good.len() / 2)),
        ("cut by one byte", good[..good.len() - 1].to_vec()),
        ("cut to the tag alone", good[..good.len() - csv.len()].to_vec()),
        ("cut to the header", good[..good.len() - csv.len() - 16].to_vec()),
        ("a byte more", [&good[..], b"x"].concat()),
    ] {
        let request = run_of("envelope", &[("tenant", "acme")]);
        let answer = Line::to(&house).await.ask(&request, &[&bad]).await;
        assert!(answer.data.is_empty(), "{what}: something was released");
        let refused = answer.refusal();
        assert_eq!(refused.code, ErrorCode::DecryptFailed, "{what}");
        texts.insert(refused.message);
    }
    assert_eq!(texts.len(), 1, "the errors can be told apart: {texts:?}");
}

#[tokio::test]
async fn a_plain_envelope_of_max_frame_opens_and_a_longer_one_is_refused_before_its_end() {
    let jobs = JOBS.replace("city = \"keep\"", "city = \"redact\"");
    let house = house_with(&jobs, &[], |text| text.replace("\"1MiB\"", "\"64KiB\"")).await;
    let header = "name,pan,city\n";
    let row = "A B,4111111111111111,X\n";
    let rows = (65_536 - header.len()) / row.len();
    let mut csv = format!("{header}{}", row.repeat(rows));
    let rest = 65_536 - csv.len();
    csv.replace_range(csv.len() - 2..csv.len() - 1, &"X".repeat(rest + 1));
    assert_eq!(csv.len(), 65_536);
    let (_, summary) =
        house.run(&job("acme"), &enveloped(&house, &ACME, csv.as_bytes()).await).await.unwrap();
    assert_eq!(summary.records, Some(rows as u64));
    let longer = enveloped(&house, &ACME, &[csv.as_bytes(), b"\n"].concat()).await;
    assert_eq!(house.refusal(&job("acme"), &longer).await.code, ErrorCode::TooLarge);
    // Without its end, too: what is too long is not waited for.
    let endless = [&longer[..], &[0; 1 << 20]].concat();
    assert_eq!(house.refusal(&job("acme"), &endless).await.code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn what_is_no_plain_envelope_is_refused_before_kms_is_asked() {
    let house = house(JOBS).await;
    let good = enveloped(&house, &ACME, CUSTOMERS.as_bytes()).await;
    let with_len = |len: u16| [&good[..4], &len.to_be_bytes(), &good[6..]].concat();
    for (what, input, code) in [
        ("nothing", Vec::new(), ErrorCode::BadMessage),
        ("another format", house.acme().await, ErrorCode::BadMessage),
        ("another version", [b"SRP2", &good[4..]].concat(), ErrorCode::BadMessage),
        ("half a header", good[..40].to_vec(), ErrorCode::BadMessage),
        ("no data key", with_len(0), ErrorCode::BadMessage),
        ("a data key of 6145 bytes", with_len(6145), ErrorCode::TooLarge),
    ] {
        assert_eq!(house.refusal(&job("acme"), &input).await.code, code, "{what}");
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
}
