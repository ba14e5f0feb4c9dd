//! Bad input of every kind gets a typed error and harms nothing else.

use strongroom_client::{ErrorCode, Job};
use strongroom_envelope::esdk::EncryptedDataKey;

use crate::house::{ACME, CUSTOMERS, House, mask, seal};

/// Length of the header of `message`, and of one of its frames of 64 bytes.
fn layout(message: &[u8]) -> (usize, usize) {
    let limits = strongroom_envelope::esdk::Limits::default();
    let (_, header) =
        strongroom_envelope::esdk::Header::parse(message, &limits, &Default::default())
            .unwrap()
            .unwrap();
    (header, 4 + 12 + 64 + 16)
}

#[tokio::test]
async fn unknown_jobs_and_wrong_arguments_are_refused_before_any_data_is_looked_at() {
    let house = House::new().await;
    for (job, code) in [
        (Job::new("nope"), ErrorCode::UnknownJob),
        (Job::new("mask"), ErrorCode::BadArgument),
        (mask("acme").arg("key", "x"), ErrorCode::BadArgument),
        (mask(""), ErrorCode::BadArgument),
        (mask("a\nb"), ErrorCode::BadArgument),
        (Job::new("export").arg("tenant", "acme"), ErrorCode::BadArgument),
    ] {
        assert_eq!(house.refusal(&job, b"anything").await.code, code, "{job:?}");
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
}

#[tokio::test]
async fn what_is_no_message_is_refused_for_what_it_is() {
    let house = House::new().await;
    let message = house.acme().await;
    let (header, _) = layout(&message);
    let with = |at: usize, byte: u8| {
        let mut bad = message.clone();
        bad[at] = byte;
        bad
    };
    for (what, input, code) in [
        ("nothing", Vec::new(), ErrorCode::BadMessage),
        ("plain text", b"name,pan\n".to_vec(), ErrorCode::BadMessage),
        ("version 1", with(0, 1), ErrorCode::BadMessage),
        (
            "a suite without commitment",
            [&[2, 3, 0x78], &message[3..]].concat(),
            ErrorCode::BadMessage,
        ),
        ("half a header", message[..header / 2].to_vec(), ErrorCode::BadMessage),
        ("a header of one byte too few", message[..header - 1].to_vec(), ErrorCode::BadMessage),
        (
            "a context of 64 KiB",
            [&message[..35], &[0xff, 0xff], &[0; 65_535]].concat(),
            ErrorCode::TooLarge,
        ),
    ] {
        assert_eq!(house.refusal(&mask("acme"), &input).await.code, code, "{what}");
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0, "KMS was never asked");
}

#[tokio::test]
async fn limits_on_messages_hold_at_the_limit_and_one_past() {
    let house = House::new().await;
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let csv = CUSTOMERS.as_bytes();
    let keys = |count: usize| vec![encrypted.clone(); count];
    house.mask(&seal(&key, &keys(8), &ACME, csv, 64)).await.unwrap();
    house.mask(&seal(&key, &keys(1), &ACME, csv, 1 << 20)).await.unwrap();
    let past = seal(&key, &keys(1), &ACME, csv, (1 << 20) + 1);
    assert_eq!(house.refusal(&mask("acme"), &past).await.code, ErrorCode::TooLarge);
    // The writer itself stops at eight keys: one more is put in by hand.
    let eight = seal(&key, &keys(8), &ACME, csv, 64);
    let one = eight.windows(9).position(|w| w == b"\0\x08\0\x07aws-k").unwrap();
    let nine = [&eight[..one], &[0, 9], &eight[one + 2..]].concat();
    assert_eq!(house.refusal(&mask("acme"), &nine).await.code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn truncated_reordered_repeated_and_spliced_messages_fail_alike() {
    let house = House::new().await;
    let rows = "A B,4111111111111111,X\n".repeat(40);
    let csv = format!("name,pan,city\n{rows}");
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let message = seal(&key, std::slice::from_ref(&encrypted), &ACME, csv.as_bytes(), 64);
    let other = seal(&key, &[encrypted], &ACME, csv.as_bytes(), 64);
    let (header, frame) = layout(&message);
    let at = |n: usize| header + n * frame;
    let swapped =
        [&message[..at(1)], &message[at(2)..at(3)], &message[at(1)..at(2)], &message[at(3)..]]
            .concat();
    let mut flipped = message.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut tag = message.clone();
    tag[header - 1] ^= 1;
    let mut texts = std::collections::BTreeSet::new();
    for (what, input) in [
        ("cut within a frame", message[..at(3) + 10].to_vec()),
        ("cut between frames", message[..at(3)].to_vec()),
        ("cut after the header", message[..header].to_vec()),
        ("one byte short", message[..message.len() - 1].to_vec()),
        ("two frames swapped", swapped),
        ("a frame repeated", [&message[..at(2)], &message[at(1)..]].concat()),
        ("a frame dropped", [&message[..at(1)], &message[at(2)..]].concat()),
        ("a frame of another message", [&message[..at(1)], &other[at(1)..]].concat()),
        ("the body of another message", [&message[..header], &other[header..]].concat()),
        ("a byte after the end", [&message[..], b"x"].concat()),
        ("the message twice", [&message[..], &message[..]].concat()),
        ("one bit of the last tag", flipped),
        ("one bit of the header's tag", tag),
    ] {
        let refused = house.refusal(&mask("acme"), &input).await;
        assert_eq!(refused.code, ErrorCode::DecryptFailed, "{what}");
        texts.insert(refused.message);
    }
    assert_eq!(texts.len(), 1, "the errors can be told apart: {texts:?}");
}

#[tokio::test]
async fn a_message_under_another_key_or_without_a_kms_key_is_refused_before_kms_is_asked() {
    let house = House::new().await;
    let csv = CUSTOMERS.as_bytes();
    let other = house.encrypt(&house.archive, &ACME, csv, 64).await;
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let raw = EncryptedDataKey { provider_id: "raw".into(), ..encrypted };
    for input in [other, seal(&key, &[raw], &ACME, csv, 64)] {
        assert_eq!(house.refusal(&mask("acme"), &input).await.code, ErrorCode::WrongKey);
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
}

#[tokio::test]
async fn a_message_with_another_context_is_refused_before_kms_is_asked() {
    let house = House::new().await;
    for context in [
        &[("purpose", "support"), ("tenant", "globex")][..],
        &[("purpose", "billing"), ("tenant", "acme")],
        &[("purpose", "support")],
        &[("purpose", "support"), ("tenant", "Acme")],
        &[("Purpose", "support"), ("tenant", "acme")],
        &[],
    ] {
        let input = house.encrypt(&house.customers, context, CUSTOMERS.as_bytes(), 64).await;
        let refused = house.refusal(&mask("acme"), &input).await;
        assert_eq!(refused.code, ErrorCode::ContextMismatch, "{context:?}");
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0);
}

#[tokio::test]
async fn malformed_csv_is_refused_with_the_number_of_its_row_and_no_partial_result_counts() {
    let house = House::new().await;
    let good = "A B,4111111111111111,X\n".repeat(2000);
    for (row, problem) in [
        ("A B,4111\n", "number of fields"),
        ("A \"B,4111,X\n", "a quote stands inside"),
        ("\"A\"B,4111,X\n", "follows a closing quote"),
        ("A B,4111,\"X\n", "ends inside a quoted field"),
        (&format!("{},4111,X\n", "x".repeat(5000)), "longer than limits.max_record"),
    ] {
        let csv = format!("name,pan,city\n{good}{row}");
        let input = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 4096).await;
        let refused = house.refusal(&mask("acme"), &input).await;
        assert_eq!((refused.code, refused.record), (ErrorCode::BadRecord, Some(2002)), "{row:.20}");
        assert!(refused.message.contains(problem), "{}", refused.message);
        let dir = tempfile::tempdir().unwrap();
        let result = dir.path().join("masked.csv");
        house
            .client()
            .await
            .run_to_file(&mask("acme"), input.as_slice(), &result)
            .await
            .unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "half a file was left");
    }
}

#[tokio::test]
async fn a_public_key_that_seals_to_nobody_is_the_callers_fault() {
    let house = House::new().await;
    let nobody = strongroom_client::Recipient { public_key: [0; 32], nonce: None };
    let job = Job::new("export").arg("tenant", "acme");
    let message = house.acme().await;
    let mut client = house.client().await;
    let error = client.run_for(&nobody, &job, message.as_slice(), Vec::new()).await.unwrap_err();
    assert_eq!(error.service().map(|body| body.code), Some(ErrorCode::BadArgument), "{error:?}");
}

#[tokio::test]
async fn errors_carry_nothing_of_the_data() {
    let house = House::new().await;
    let csv = "name,pan,city\ncanary-name,4111111111111111\n";
    let input = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 64).await;
    let refused = format!("{:?}", house.refusal(&mask("acme"), &input).await);
    assert!(!refused.contains("canary") && !refused.contains("4111"), "{refused}");
}
