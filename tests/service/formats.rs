//! Encryption SDK messages of every form: opened or refused as the job says.

use std::collections::BTreeSet;

use strongroom_client::{ErrorCode, Job};
use strongroom_envelope::esdk::EncryptedDataKey;

use crate::house::{ACME, CUSTOMERS, House, MASKED};
use crate::raw::{Line, run_of};
use crate::workshop::{Message, SUITES, commits, house, is_signed};

const MESSAGE: Message<'static> =
    Message { suite: 0x0478, frame: 64, context: &ACME, required: &[], others: &[] };

/// A job that masks, for each policy on suites.
fn jobs() -> String {
    let job = |name: &str, policy: &str| {
        format!(
            r#"
[[job]]
name = "{name}"
operation = "mask"
input = {{ format = "csv", key = "$customers", context = {{ purpose = "support" }}{policy} }}
fields = {{ name = "initials", pan = "last4", city = "keep" }}
output = {{ protect = "none" }}
"#
        )
    };
    [
        job("strict", ""),
        job("unsigned", ", signatures = \"refuse\""),
        job("legacy", ", commitment = \"allow-legacy\""),
        job("legacy-unsigned", ", commitment = \"allow-legacy\", signatures = \"refuse\""),
        job("bound", ", required_context = { site = \"east\" }"),
    ]
    .concat()
}

async fn masked(house: &House, job: &str, input: &[u8]) -> String {
    let (output, _) = house.run(&Job::new(job), input).await.unwrap();
    String::from_utf8(output).unwrap()
}

fn decrypts(house: &House) -> u64 {
    house.nitro.kms.faults().count("Decrypt")
}

#[tokio::test]
async fn each_of_the_eleven_suites_is_opened_or_refused_as_the_job_says() {
    let house = house(&jobs()).await;
    for suite in SUITES {
        let message = Message { suite, ..MESSAGE };
        let input = message.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
        for (job, opens) in [
            ("strict", commits(suite)),
            ("unsigned", commits(suite) && !is_signed(suite)),
            ("legacy", true),
            ("legacy-unsigned", !is_signed(suite)),
        ] {
            let before = decrypts(&house);
            if opens {
                assert_eq!(masked(&house, job, &input).await, MASKED, "{job} {suite:04x}");
            } else {
                let refused = house.refusal(&Job::new(job), &input).await;
                assert_eq!(refused.code, ErrorCode::BadMessage, "{job} {suite:04x}");
                assert_eq!(decrypts(&house), before, "KMS was asked for {suite:04x} all the same");
            }
        }
    }
}

#[tokio::test]
async fn every_suite_that_is_changed_or_cut_fails_alike_and_is_never_whole() {
    let house = house(&jobs()).await;
    let mut texts = BTreeSet::new();
    for suite in SUITES {
        let message = Message { suite, ..MESSAGE };
        let input = message.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
        let flipped = |at: usize| {
            let mut bad = input.clone();
            bad[at] ^= 1;
            bad
        };
        // Of a signed message the last bytes are the signature.
        for bad in [
            flipped(input.len() - 1),
            flipped(input.len() - 130),
            input[..input.len() - 1].to_vec(),
            [&input[..], b"x"].concat(),
        ] {
            let refused = house.refusal(&Job::new("legacy"), &bad).await;
            assert_eq!(refused.code, ErrorCode::DecryptFailed, "{suite:04x}");
            texts.insert(refused.message);
        }
    }
    assert_eq!(texts.len(), 1, "the errors can be told apart: {texts:?}");
}

#[tokio::test]
async fn content_that_is_not_framed_is_opened_up_to_max_frame_and_released_whole_or_not_at_all() {
    let house = house(&jobs()).await;
    let header = "name,pan,city\n";
    let rows = "A B,4111111111111111,X\n".repeat(((1 << 20) - 64) / 23);
    let want = format!("{header}{}", "A.B.,****1111,X\n".repeat(rows.len() / 23));
    for suite in [0x0014, 0x0378, 0x0478, 0x0578] {
        let message = Message { suite, frame: 0, ..MESSAGE };
        let csv = format!("{header}{rows}");
        let input = message.write(&house, &house.customers, csv.as_bytes()).await;
        assert!(masked(&house, "legacy", &input).await == want, "{suite:04x}");

        let mut bad = input.clone();
        // The last byte of the ciphertext or of its tag, whatever follows it.
        let at = input.len() - if is_signed(suite) { 130 } else { 1 };
        bad[at] ^= 1;
        let answer = Line::to(&house).await.ask(&run_of("legacy", &[]), &[&bad]).await;
        assert!(answer.data.is_empty(), "{suite:04x}: something was released");
        assert_eq!(answer.refusal().code, ErrorCode::DecryptFailed, "{suite:04x}");
    }
    let message = Message { frame: 0, ..MESSAGE };
    let input = message.write(&house, &house.customers, &vec![b'x'; (1 << 20) + 1]).await;
    // The length alone is enough.
    let refused = house.refusal(&Job::new("strict"), &input[..2000]).await;
    assert_eq!(refused.code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn of_several_data_keys_the_one_that_kms_decrypts_under_the_jobs_key_is_used() {
    let house = house(&jobs()).await;
    let (_, foreign) = house.data_key(&house.archive, &ACME).await;
    let (_, moved) = house.data_key(&house.customers, &[("purpose", "billing")]).await;
    let bogus = EncryptedDataKey { ciphertext: vec![7; 180], ..moved.clone() };
    let relabelled =
        EncryptedDataKey { provider_info: house.customers.clone().into_bytes(), ..foreign.clone() };
    let raw = EncryptedDataKey { provider_id: "raw".into(), ..moved.clone() };
    for (what, others, calls) in [
        ("under another key", vec![foreign], 1),
        ("of another provider", vec![raw], 1),
        ("no ciphertext of KMS's", vec![bogus.clone()], 2),
        ("another key's under this ARN", vec![relabelled], 2),
        ("of another context", vec![moved], 2),
        ("several of them", vec![bogus.clone(), bogus.clone(), bogus.clone()], 4),
    ] {
        let message = Message { others: &others, ..MESSAGE };
        let input = message.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
        let before = decrypts(&house);
        assert_eq!(masked(&house, "strict", &input).await, MASKED, "{what}");
        assert_eq!(decrypts(&house) - before, calls, "{what}");
    }
}

#[tokio::test]
async fn a_message_of_which_kms_decrypts_no_data_key_or_another_one_is_refused() {
    let house = house(&jobs()).await;
    let (key, good) = house.data_key(&house.customers, &ACME).await;
    let bogus = EncryptedDataKey { ciphertext: vec![7; 180], ..good.clone() };
    let input = crate::house::seal(&key, &[bogus], &ACME, CUSTOMERS.as_bytes(), 64);
    let refused = house.refusal(&Job::new("strict"), &input).await;
    assert_eq!(refused.code, ErrorCode::KeyDenied);
    assert_eq!(refused.kms.unwrap().code, "InvalidCiphertextException");
    // A data key that KMS decrypts, but that the message does not commit to.
    let (_, other) = house.data_key(&house.customers, &ACME).await;
    let input = crate::house::seal(&key, &[other], &ACME, CUSTOMERS.as_bytes(), 64);
    assert_eq!(house.refusal(&Job::new("strict"), &input).await.code, ErrorCode::DecryptFailed);
}

#[tokio::test]
async fn required_context_opens_only_what_is_bound_to_it_whether_or_not_it_is_stored() {
    let house = house(&jobs()).await;
    let stored = [ACME[0], ("site", "east")];
    let elsewhere = [ACME[0], ("site", "west")];
    for suite in [0x0478, 0x0578] {
        let of = |context, required| Message { suite, context, required, ..MESSAGE };
        for message in [of(&ACME, &[("site", "east")]), of(&stored, &[])] {
            let input = message.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
            assert_eq!(masked(&house, "bound", &input).await, MASKED, "{suite:04x}");
        }
        for (what, message, code) in [
            ("stored with another value", of(&elsewhere, &[]), ErrorCode::ContextMismatch),
            ("bound to another value", of(&ACME, &[("site", "west")]), ErrorCode::KeyDenied),
            ("bound to nothing", of(&ACME, &[]), ErrorCode::KeyDenied),
            ("bound to more", of(&ACME, &[("site", "east"), ("x", "y")]), ErrorCode::KeyDenied),
        ] {
            let input = message.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
            let refused = house.refusal(&Job::new("bound"), &input).await;
            assert_eq!(refused.code, code, "{suite:04x} {what}");
        }
        // A job that does not know of it does not open it either.
        let input = of(&ACME, &[("site", "east")]);
        let input = input.write(&house, &house.customers, CUSTOMERS.as_bytes()).await;
        assert_eq!(house.refusal(&Job::new("strict"), &input).await.code, ErrorCode::KeyDenied);
    }
}
