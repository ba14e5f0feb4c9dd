//! Attacks of a review, really carried out. Each asserts what happens today.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom::manifest::Manifest;
use strongroom_client::{ErrorCode, Job};
use strongroom_wire::{Event, FrameDecoder, FrameKind, Payload, Run, Step, Trailer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, CUSTOMERS, House};
use crate::raw::{Line, connect, end, frame, run_of};
use crate::signer::{Caller, Order, over};
use crate::workshop::{INDEX_SECRET, Wrapped, house, house_with, index};

// --- T2 -------------------------------------------------------------------

const KEPT: &str = r#"
[[job]]
name = "kept"
operation = "mask"
callers = ["ann"]
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t2_a_captured_request_with_a_digest_runs_over_another_input_and_shows_its_result() {
    let ann = Caller::ed25519("ann");
    let house = house(&[ann.entry(), KEPT.to_owned()].concat()).await;
    let hers = house.acme().await;
    let theirs = CUSTOMERS.replace("Ada", "Zoe") + &"Zed,4999999999999999,x,Y\n".repeat(40_000);
    let theirs = house.encrypt(&house.customers, &ACME, theirs.as_bytes(), 64).await;
    let captured = ann.request(&Order::new(&house, &over("kept", &[], &hers)));
    let answer = Line::to(&house).await.ask(&captured, &[&theirs]).await;
    let code = answer.error.as_ref().map(|error| error.code);
    println!("T2 {code:?} {} bytes", answer.data.len());
    assert_eq!(code, Some(ErrorCode::InputMismatch));
    assert!(String::from_utf8_lossy(&answer.data).contains("Z.L.,****1111"));
}

// --- T1 -------------------------------------------------------------------

const ORACLE: &str = r#"
[[job]]
name = "restore"
operation = "detokenize"
secret = "tokens"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" }, email = "keep" }
output = { protect = "kms", key = "$customers", context = { purpose = "support" } }

[[job]]
name = "index"
operation = "index"
secret = "indexes"
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { email = { index = {} } }
output = { protect = "none" }

[[job]]
name = "fields"
operation = "mask"
input = { format = "csv", key = "$customers", fields = { pan = { context = { column = "pan" } } } }
fields = { pan = "last4", email = "keep" }
output = { protect = "kms", key = "$customers", context = { purpose = "support" } }
"#;

#[tokio::test]
async fn t1_the_enclave_encrypts_what_the_parent_chose_and_another_job_takes_it_for_the_owners() {
    let secrets = [Wrapped::generated("tokens"), Wrapped::of("indexes", INDEX_SECRET.to_vec())];
    let house = house_with(ORACLE, &secrets, |text| text).await;
    for job in ["restore", "fields"] {
        let chosen = "pan,email\n,guess@canary.example\n";
        let (message, _) = house.run(&Job::new(job), chosen.as_bytes()).await.unwrap();
        let (output, _) = house.run(&Job::new("index"), &message).await.unwrap();
        let output = String::from_utf8(output).unwrap();
        println!("T1 {job}: {output}");
        assert!(output.contains(&index("email", "", "guess@canary.example")));
    }
}

const SIGNING: &str = r#"
[[job]]
name = "fields"
operation = "mask"
input = { format = "csv", key = "$customers", fields = { pan = { context = { column = "pan" } } } }
fields = { pan = "drop", order = "keep" }
output = { protect = "kms", key = "$customers", context = { purpose = "orders" } }

[[job]]
name = "sign"
operation = "sign"
secret = "signer"
input = { key = "$customers", context = { purpose = "orders" } }
sign = { algorithm = "ed25519" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t1_the_parent_has_a_text_of_its_own_signed_though_sign_takes_encrypted_input_only() {
    use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
    let pair = Ed25519KeyPair::generate().unwrap();
    let secret = Wrapped::of("signer", pair.to_pkcs8v1().unwrap().as_ref().to_vec());
    let house = house_with(SIGNING, &[secret], |text| text).await;
    let chosen = "pan,order\n,pay the parent a million\n";
    let (message, _) = house.run(&Job::new("fields"), chosen.as_bytes()).await.unwrap();
    let (signature, _) = house.run(&Job::new("sign"), &message).await.unwrap();
    let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    key.verify(b"order\npay the parent a million\n", &signature).unwrap();
}

// --- T90 ------------------------------------------------------------------

const NOTES: &str = r#"
[[job]]
name = "notes"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/note" = { context = { purpose = "support" } } } }
fields = { "/note" = "keep", "/id" = "keep" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t90_a_whole_file_goes_in_as_a_field_that_another_job_keeps() {
    let house = house(NOTES).await;
    let file = STANDARD.encode(house.acme().await);
    let record = format!("{{\"id\":1,\"note\":\"{file}\"}}\n");
    let (output, _) = house.run(&Job::new("notes"), record.as_bytes()).await.unwrap();
    let output = String::from_utf8(output).unwrap();
    println!("T90 {output}");
    assert!(output.contains("4111111111111111"));
}

// --- T59 ------------------------------------------------------------------

const REKEY: &str = r#"
[[job]]
name = "rekey"
operation = "reencrypt"
input = { format = "ndjson", key = "$customers", fields = { "/note" = { context = { purpose = "support" } } } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" }, fields = ["/note"], pad_to = "4KiB", signed = true }
"#;

#[tokio::test]
async fn t59_pad_to_and_signed_count_for_nothing_with_output_fields() {
    use strongroom_envelope::esdk::{Header, Limits, Policy};
    let house = house(REKEY).await;
    let mut lengths = Vec::new();
    for value in ["yes", &"no".repeat(100)] {
        let message = house.encrypt(&house.customers, &ACME, value.as_bytes(), 4096).await;
        let record = format!("{{\"note\":\"{}\"}}\n", STANDARD.encode(message));
        let (output, _) = house.run(&Job::new("rekey"), record.as_bytes()).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output).unwrap();
        let message = STANDARD.decode(json["note"].as_str().unwrap()).unwrap();
        let (header, _) =
            Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
        let context = header.encryption_context();
        println!(
            "T59 len={} suite={:02x?} padding={:?} key={:?}",
            message.len(),
            &message[1..3],
            context.get("strongroom-padding"),
            context.get("aws-crypto-public-key")
        );
        lengths.push(message.len());
    }
    assert_eq!(lengths[1] - lengths[0], 197, "the length shows");
}

// --- T3 -------------------------------------------------------------------

fn padded(pad: &str) -> String {
    format!(
        r#"
[[job]]
name = "padded"
operation = "reencrypt"
input = {{ key = "$customers", context = {{ purpose = "support" }} }}
output = {{ protect = "kms", key = "$archive", context = {{ purpose = "archive" }}, frame = "4KiB", pad_to = "{pad}" }}

[[job]]
name = "sums"
operation = "aggregate"
input = {{ format = "csv", key = "$customers", context = {{ purpose = "support" }} }}
aggregate = {{ group_by = ["city"], compute = {{ people = "count" }}, min_group_size = 1 }}
output = {{ protect = "kms", key = "$archive", context = {{ purpose = "archive" }}, frame = "4KiB", pad_to = "{pad}" }}
"#
    )
}

/// The lengths of the DATA frames of an answer, in order, and its trailer.
async fn data_frames(house: &House, job: &str, input: &[u8]) -> (Vec<usize>, Trailer) {
    let mut stream = connect(house).await;
    let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
    bytes.extend(run_of(job, &[]));
    input.chunks(1 << 16).for_each(|piece| bytes.extend(frame(FrameKind::Data, piece)));
    bytes.extend(end(input.len()));
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let (mut decoder, mut rest, mut lengths) = (FrameDecoder::new(), &answer[..], Vec::new());
    loop {
        let Step::Event { consumed, event } = decoder.next(rest).unwrap() else { panic!() };
        match event {
            Event::Data(bytes) => lengths.push(bytes.len()),
            Event::Control(FrameKind::End, cbor) => {
                return (lengths, Trailer::decode(cbor).unwrap());
            }
            Event::Control(FrameKind::Response, _) => {}
            Event::Control(kind, cbor) => panic!("{kind:?} {cbor:?}"),
        }
        rest = &rest[consumed..];
    }
}

#[tokio::test]
async fn t3_the_cuts_between_data_frames_tell_the_length_that_padding_hides() {
    let house = house(&padded("256KiB")).await;
    // The same input length: what an aggregate gives has nothing to do with it.
    let few = "city\n".to_owned() + &"London of the many groups\n".repeat(1200);
    let many = "city\n".to_owned()
        + &(0..1200).map(|n| format!("London of the many {n:06}\n")).collect::<String>();
    assert_eq!(few.len(), many.len());
    let mut seen = Vec::new();
    for text in [&few, &many] {
        let input = house.encrypt(&house.customers, &ACME, text.as_bytes(), 4096).await;
        let (frames, trailer) = data_frames(&house, "sums", &input).await;
        println!("T3 {frames:?} {} ", trailer.bytes);
        seen.push((frames, trailer.bytes));
    }
    assert_eq!(seen[0].1, seen[1].1, "padded to the same length");
    assert_ne!(seen[0].0, seen[1].0, "and cut differently");
}

// --- T4 -------------------------------------------------------------------

const BIG_SIGN: &str = r#"
[[job]]
name = "sign"
operation = "sign"
secret = "signer"
input = { key = "$customers", context = { purpose = "support" } }
sign = { algorithm = "ed25519" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t4_what_ed25519_holds_is_not_counted_in_the_budget() {
    use aws_lc_rs::signature::Ed25519KeyPair;
    let pair = Ed25519KeyPair::generate().unwrap();
    let secret = Wrapped::of("signer", pair.to_pkcs8v1().unwrap().as_ref().to_vec());
    let house = house_with(BIG_SIGN, &[secret], |text| {
        text.replace("max_frame = \"1MiB\"", "max_frame = \"64KiB\"").replace(
            "max_record = \"4KiB\"",
            "max_record = \"8MiB\"\nmax_in_flight_bytes = \"33MiB\"",
        )
    })
    .await;
    let message = vec![7_u8; 7 << 20];
    let input = house.encrypt(&house.customers, &ACME, &message, 16 << 10).await;
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096 >> 20
    };
    let mut kept = Vec::new();
    let before = resident();
    for _ in 0..24 {
        let mut stream = connect(&house).await;
        let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
        bytes.extend(run_of("sign", &[]));
        input.chunks(1 << 16).for_each(|piece| bytes.extend(frame(FrameKind::Data, piece)));
        stream.write_all(&bytes).await.unwrap();
        kept.push(stream);
    }
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let held = resident() - before;
    let mut signed = 0;
    for stream in &mut kept {
        stream.write_all(&end(input.len())).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let (mut decoder, mut rest) = (FrameDecoder::new(), &answer[..]);
        while let Step::Event { consumed, event } = decoder.next(rest).unwrap() {
            signed += usize::from(matches!(event, Event::Control(FrameKind::End, _)));
            if let Event::Control(FrameKind::Error, cbor) = event {
                println!("T4 error {:?}", strongroom_wire::ErrorBody::decode(cbor).unwrap().code);
            }
            rest = &rest[consumed..];
        }
    }
    println!("T4 budget 33 MiB, held {held} MiB by {} requests, {signed} signed", kept.len());
    assert!(signed * 7 > 33 * 2, "{signed}");
}

// --- T9 -------------------------------------------------------------------

#[test]
fn t9_manifests_that_mask_nothing_are_accepted() {
    let manifest = |fields: &str, input: &str| {
        let text = crate::house::manifest(KEY, KEY)
            + &format!(
                "\n[[job]]\nname = \"x\"\noperation = \"mask\"\ninput = {{ format = \"csv\", key = \"{KEY}\", {input} }}\nfields = {fields}\noutput = {{ protect = \"none\" }}\n"
            );
        Manifest::parse(&text).map(|_| ()).map_err(|error| error.to_string())
    };
    for (what, fields, input) in [
        ("all kept", r#"{ pan = "keep", name = "keep" }"#, "context = { a = \"b\" }"),
        ("width 1", r#"{ pan = { generalise = 1 } }"#, "context = { a = \"b\" }"),
        ("field kept", r#"{ pan = "keep" }"#, "fields = { pan = { context = { a = \"b\" } } }"),
        (
            "one context for two fields",
            r#"{ pan = "redact", note = "keep" }"#,
            "fields = { pan = { context = { a = \"b\" } }, note = { context = { a = \"b\" } } }",
        ),
    ] {
        println!("T9 {what}: {:?}", manifest(fields, input));
    }
}

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

// --- T7 -------------------------------------------------------------------

const LABEL: &str = r#"
[[job]]
name = "label"
operation = "reencrypt"
args = ["tenant"]
input = { format = "ndjson", key = "$customers", fields = { "/ssn" = { context = { purpose = "support", tenant = "{tenant}" } } } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive", tenant = "{tenant}" } }
"#;

#[tokio::test]
async fn t7_a_tenant_is_proven_by_no_ciphertext_at_all() {
    let house = house(LABEL).await;
    let before = house.nitro.kms.faults().count("Decrypt");
    let job = Job::new("label").arg("tenant", "victim");
    let (output, _) = house.run(&job, b"{\"ssn\":null,\"balance\":-1000000}\n").await.unwrap();
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), before, "nothing was opened");
    let text = String::from_utf8_lossy(&output);
    assert!(text.contains("victim"), "a message in the victim's name");
}

// --- T16 ------------------------------------------------------------------

const DROPS: &str = r#"
[[job]]
name = "json"
operation = "mask"
input = { format = "json", bad_records = "drop", key = "$customers", fields = { "/a" = { context = { purpose = "support" } } } }
fields = { "/a" = "keep" }
output = { protect = "none" }
[[job]]
name = "ndjson"
operation = "mask"
input = { format = "ndjson", bad_records = "drop", key = "$customers", fields = { "/a" = { context = { purpose = "support" } } } }
fields = { "/a" = "keep" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t16_a_field_that_opens_to_bytes_ends_a_json_request_that_drops_bad_records() {
    let house = house(DROPS).await;
    let bad = STANDARD.encode(house.encrypt(&house.customers, &ACME, b"\xff", 64).await);
    let good = STANDARD.encode(house.encrypt(&house.customers, &ACME, b"good", 64).await);
    let ndjson = format!("{{\"a\":\"{bad}\"}}\n{{\"a\":\"{good}\"}}\n");
    let json = format!("[{{\"a\":\"{bad}\"}},{{\"a\":\"{good}\"}}]");
    let (output, _) = house.run(&Job::new("ndjson"), ndjson.as_bytes()).await.unwrap();
    assert_eq!(output, b"{\"a\":\"good\"}\n");
    let refused = house.run(&Job::new("json"), json.as_bytes()).await;
    println!("T16 {refused:?}");
    assert!(refused.is_err());
}

// --- T42 ------------------------------------------------------------------

const JOIN: &str = r#"
[[job]]
name = "join"
operation = "join-count"
callers = ["ann"]
inputs = [{ format = "csv", key = "$customers", context = { purpose = "support" } }, { format = "csv", key = "$customers", context = { purpose = "support" } }]
join = { on = ["name", "name"], min_group_size = 5 }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t42_a_second_body_of_a_refused_join_is_taken_for_the_next_request() {
    let ann = Caller::ed25519("ann");
    let house = house(&[ann.entry(), JOIN.to_owned()].concat()).await;
    let input = house.acme().await;
    let mut line = Line::to(&house).await;
    let refused = line.ask(&run_of("join", &[]), &[&input, &input]).await;
    println!("T42 {:?}", refused.error);
    // The connection is said to go on after an error of the job.
    let next = line.ask(&crate::raw::run()[..], &[&input]).await;
    println!("T42 next {:?} {:?}", next.error, next.outcome);
    assert!(next.error.is_some() || next.outcome.is_none());
}

#[tokio::test]
async fn t42b_the_second_input_of_a_signed_join_is_not_covered_by_its_digest() {
    let ann = Caller::ed25519("ann");
    let house = house(&[ann.entry(), JOIN.to_owned()].concat()).await;
    let input = house.acme().await;
    let other = house.encrypt(&house.customers, &ACME, b"name\nAda Lovelace\n", 64).await;
    let captured = ann.request(&Order::new(&house, &over("join", &[], &input)));
    let answer = Line::to(&house).await.ask(&captured, &[&input, &other]).await;
    println!("T42b {:?}", String::from_utf8_lossy(&answer.data));
    assert!(answer.error.is_none());
    let _ = Run::default();
}

// --- T-swap ---------------------------------------------------------------

const SEALS: &str = r#"
[[job]]
name = "seals"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/pan" = { context = { purpose = "support" } } } }
fields = { "/pan" = "last4", "/balance" = "keep" }
output = { protect = "seal", to = "any" }
"#;

/// A parent that puts a body of its own in the place of the client's.
async fn swapping(house: &House, body: Vec<u8>) -> strongroom_client::Address {
    let dir = tempfile::tempdir().unwrap().keep();
    let path = dir.join("parent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut service = connect(house).await;
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let (mut decoder, mut input) = (FrameDecoder::new(), Vec::new());
        'client: loop {
            while let Step::Event { consumed, event } = decoder.next(&input).unwrap() {
                match event {
                    Event::Control(FrameKind::End, _) => {
                        service.write_all(&frame(FrameKind::Data, &body)).await.unwrap();
                        service.write_all(&end(body.len())).await.unwrap();
                        input.drain(..consumed);
                        break 'client;
                    }
                    Event::Control(_, _) => {
                        service.write_all(&input[..consumed]).await.unwrap();
                    }
                    Event::Data(_) => {}
                }
                input.drain(..consumed);
            }
            client.read_buf(&mut input).await.unwrap();
        }
        tokio::io::copy_bidirectional(&mut client, &mut service).await.unwrap();
    });
    strongroom_client::Address::Unix(path)
}

#[tokio::test]
async fn t_swap_a_sealed_result_of_composed_records_does_not_say_what_it_was_made_from() {
    let house = house(SEALS).await;
    let pan = |value: &'static str| {
        let house = &house;
        async move {
            STANDARD.encode(house.encrypt(&house.customers, &ACME, value.as_bytes(), 64).await)
        }
    };
    let mine = format!("{{\"pan\":\"{}\",\"balance\":5}}\n", pan("4111111111111111").await);
    let other = format!("{{\"pan\":\"{}\",\"balance\":-99}}\n", pan("5500005555555559").await);
    let address = swapping(&house, other.into_bytes()).await;
    let mut client = strongroom_client::Client::connect(&address).await.unwrap();
    let (secret, _) = strongroom_client::RecipientSecretKey::generate().unwrap();
    let mut output = Vec::new();
    let done = client
        .run_sealed(&Job::new("seals"), &secret, &house.verifier(), mine.as_bytes(), &mut output)
        .await;
    println!("TSWAP {:?} {}", done.as_ref().err(), String::from_utf8_lossy(&output));
    assert!(done.is_ok());
    assert_eq!(output, b"{\"pan\":\"****5559\",\"balance\":-99}\n");
}

// --- memory before the budget ---------------------------------------------

/// A house whose way to KMS ends at a listener that never says a word: what is
/// measured is the service's alone.
async fn speechless(jobs: &str, change: impl FnOnce(String) -> String) -> House {
    use crate::house::{Foundation, Plan};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let mut found = Foundation::laid(Plan::default()).await;
    let text = found.manifest.clone()
        + &jobs.replace("$customers", &found.customers).replace("$archive", &found.archive);
    found.manifest = change(text);
    House::upon(found, Some(address), true).await
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096 >> 10
}

#[tokio::test]
async fn t43_heads_of_requests_are_held_outside_the_budget() {
    let house = House::new().await;
    let before = resident();
    let mut kept = Vec::new();
    for _ in 0..400 {
        let mut stream = connect(&house).await;
        let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
        bytes.extend(strongroom_wire::frame::encode_head(FrameKind::Request, 64 << 10).unwrap());
        bytes.extend(vec![0xbf; (64 << 10) - 1]);
        stream.write_all(&bytes).await.unwrap();
        kept.push(stream);
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    println!("T43 {} KiB per connection", (resident() - before) / 400);
}

const WIDE: &str = r#"
[[job]]
name = "wide"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/a" = { context = { purpose = "support" } } } }
fields = { "/a" = "last4" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn t5_data_keys_that_are_asked_for_are_held_outside_the_budget() {
    use strongroom_envelope::esdk::EncryptedDataKey;
    let house = speechless(WIDE, |text| {
        text.replace("max_record = \"4KiB\"", "max_record = \"1MiB\"").replace(
            "max_frame = \"1MiB\"",
            "max_frame = \"64KiB\"\nmax_in_flight_bytes = \"8MiB\"",
        )
    })
    .await;
    // Nothing of it has to be authentic: only what the header says counts.
    let long = "x".repeat(50_000);
    let context = [("purpose", "support"), ("pad", long.as_str())];
    let short = [("purpose", "support")];
    let (key, encrypted) = house.data_key(&house.customers, &short).await;
    let keys: Vec<_> = (0..8_u8)
        .map(|n| EncryptedDataKey { ciphertext: vec![n; 100], ..encrypted.clone() })
        .collect();
    let field = |n: usize| {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| EncryptedDataKey {
                ciphertext: [&n.to_be_bytes()[..], &key.ciphertext].concat(),
                ..key.clone()
            })
            .collect();
        STANDARD.encode(crate::house::seal(&key, &keys, &context, b"x", 64))
    };
    let records: String = (0..3).map(|n| format!("{{\"a\":\"{}\"}}\n", field(n))).collect();
    println!("T5 {} bytes of records", records.len());
    let before = resident();
    let mut kept = Vec::new();
    let count = 60;
    for _ in 0..count {
        let mut stream = connect(&house).await;
        let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
        bytes.extend(run_of("wide", &[]));
        bytes.extend(frame(FrameKind::Data, records.as_bytes()));
        let _ = stream.write_all(&bytes).await;
        kept.push(stream);
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!(
        "T5 budget 8 MiB, {} KiB more, {} KiB per request",
        resident() - before,
        (resident() - before) / count
    );
}

#[tokio::test]
async fn t5b_contexts_of_many_entries_are_copied_for_each_data_key() {
    use strongroom_envelope::esdk::EncryptedDataKey;
    let house = speechless(WIDE, |text| {
        text.replace("max_record = \"4KiB\"", "max_record = \"1MiB\"").replace(
            "max_frame = \"1MiB\"",
            "max_frame = \"64KiB\"\nmax_in_flight_bytes = \"8MiB\"",
        )
    })
    .await;
    // Nothing of it has to be authentic: only what the header says counts.
    let names: Vec<String> = (0..7000).map(|n| format!("{n:x}")).collect();
    let mut context = vec![("purpose", "support")];
    context.extend(names.iter().map(|name| (name.as_str(), "")));
    let short = [("purpose", "support")];
    let (key, encrypted) = house.data_key(&house.customers, &short).await;
    let keys: Vec<_> = (0..8_u8)
        .map(|n| EncryptedDataKey { ciphertext: vec![n; 100], ..encrypted.clone() })
        .collect();
    let field = |n: usize| {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| EncryptedDataKey {
                ciphertext: [&n.to_be_bytes()[..], &key.ciphertext].concat(),
                ..key.clone()
            })
            .collect();
        STANDARD.encode(crate::house::seal(&key, &keys, &context, b"x", 64))
    };
    let records: String = (0..3).map(|n| format!("{{\"a\":\"{}\"}}\n", field(n))).collect();
    println!("T5b {} bytes of records", records.len());
    let before = resident();
    let mut kept = Vec::new();
    let count = 20;
    for _ in 0..count {
        let mut stream = connect(&house).await;
        let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
        bytes.extend(run_of("wide", &[]));
        bytes.extend(frame(FrameKind::Data, records.as_bytes()));
        let _ = stream.write_all(&bytes).await;
        kept.push(stream);
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!(
        "T5b budget 8 MiB, {} KiB more, {} KiB per request",
        resident() - before,
        (resident() - before) / count
    );
}

// --- the two looks at records ---------------------------------------------

#[test]
fn t15_two_looks_cut_alike() {
    use strongroom::manifest::fields::{BadRecords, FieldPath, Pointer, Shape, UnknownFields};
    use strongroom::shape::{Edit, FieldError, Layout, MissingFields, Records, Value, Visitor};
    use strongroom_envelope::SecretBuf;
    struct Seek;
    impl Visitor for Seek {
        fn field(&mut self, _: usize, v: Value<'_>, _: &mut SecretBuf) -> Result<Edit, FieldError> {
            if v.text.contains(&b'!') { Err(FieldError::NotACiphertext) } else { Ok(Edit::Keep) }
        }
    }
    struct Open;
    impl Visitor for Open {
        fn field(
            &mut self,
            _: usize,
            v: Value<'_>,
            new: &mut SecretBuf,
        ) -> Result<Edit, FieldError> {
            if v.text.contains(&b'!') {
                return Err(FieldError::NotACiphertext);
            }
            if v.text.contains(&b'?') {
                return Err(FieldError::NotOpened);
            }
            if v.text.is_empty() {
                return Ok(Edit::Keep);
            }
            new.extend_from_slice(b"P,\"\n\r");
            Ok(Edit::Text)
        }
    }
    let mut seed = 88172645463325252_u64;
    let mut next = move |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    let (mut compared, mut opened_all) = (0, 0);
    for round in 0..400_000 {
        let shape = [Shape::Csv, Shape::Ndjson, Shape::Json][round % 3];
        let alphabet: &[&str] = match shape {
            Shape::Csv => &[
                "a", "b", ",", "\n", "\r\n", "\"", "\"\"", "!", "?", "\u{feff}", "x", "\r", "\0",
                "a,b\n", "\"a\",", "1,2\n",
            ],
            _ => &[
                "{\"a\":\"x\"}",
                "{\"a\":{\"b\":\"y\"}}",
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"a\"",
                "\"\\u0061\"",
                "\"?\"",
                "\"!\"",
                "\n",
                " ",
                "null",
                "1",
                "\u{feff}",
                "\"b\"",
                "\\",
                "\"",
                "{\"a\":\"?\"}",
                "{\"a\":\"!\"}",
                "{\"c\":1}",
                "{\"d\":[{\"e\":\"x\"},2]}",
                "\r",
            ],
        };
        let mut text = String::new();
        if shape == Shape::Csv && next(4) > 0 {
            text.push_str(if next(2) == 0 { "a,b\n" } else { "\u{feff}\"a\",b\n" });
        }
        if shape == Shape::Json && next(4) > 0 {
            text.push('[');
        }
        for _ in 0..next(14) {
            text.push_str(alphabet[next(alphabet.len())]);
        }
        let bytes = text.as_bytes();
        let fields = match shape {
            Shape::Csv => vec![FieldPath::Column("a".into())],
            _ => ["/a", "/d/*/e"]
                .iter()
                .map(|p| FieldPath::Pointer(Pointer::parse(p).unwrap()))
                .collect(),
        };
        let bad = if next(2) == 0 { BadRecords::Drop } else { BadRecords::Refuse };
        let layout = Layout {
            shape,
            fields,
            unknown: UnknownFields::Keep,
            missing: MissingFields::Allow,
            bad_records: bad,
            max_record: [8, 20, 1000][next(3)],
        };
        let mut seeking = Records::new(Layout { bad_records: BadRecords::Drop, ..layout.clone() });
        let mut opening = Records::new(layout.clone());
        let (mut held, mut out, mut at, mut failed) = (Vec::new(), SecretBuf::new(), 0, false);
        while !failed {
            let at_end = at == bytes.len();
            let Ok(seen) = seeking.process(&held, at_end, &mut Seek, None) else {
                failed = true;
                break;
            };
            let Ok(used) = opening.process(&held, at_end, &mut Open, Some(&mut out)) else {
                failed = true;
                break;
            };
            assert_eq!(seen, used, "{text:?} {bad:?}");
            compared += 1;
            held.drain(..used);
            if at_end {
                break;
            }
            let more = (1 + next(9)).min(bytes.len() - at);
            held.extend_from_slice(&bytes[at..at + more]);
            at += more;
        }
        if failed {
            continue;
        }
        opened_all += 1;
        // What was opened is found by a third look at what was written.
        struct Third(usize);
        impl Visitor for Third {
            fn field(
                &mut self,
                _: usize,
                v: Value<'_>,
                new: &mut SecretBuf,
            ) -> Result<Edit, FieldError> {
                if v.text.is_empty() || v.text == b"null" {
                    return Ok(Edit::Keep);
                }
                self.0 += 1;
                new.extend_from_slice(b"C");
                Ok(Edit::Text)
            }
        }
        let layout = Layout { bad_records: BadRecords::Refuse, max_record: 4000, ..layout };
        let mut last = SecretBuf::new();
        let mut third = Third(0);
        let done = Records::new(layout).process(out.expose(), true, &mut third, Some(&mut last));
        if done.is_ok() {
            let clear = last.expose();
            assert!(
                !clear.windows(2).any(|w| w == b"P,"),
                "{text:?} -> {:?}",
                String::from_utf8_lossy(clear)
            );
        } else if done.is_err() && !out.expose().is_empty() {
            println!(
                "T15 third look refuses: {text:?} -> {:?} {done:?}",
                String::from_utf8_lossy(out.expose())
            );
        }
    }
    println!("T15 {compared} compared, {opened_all} whole");
}

// --- T23: padding goes on as data -----------------------------------------

const CHAIN: &str = r#"
[[job]]
name = "store"
operation = "reencrypt"
input = { key = "$customers", context = { purpose = "support" } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" }, pad_to = "1KiB" }

[[job]]
name = "read"
operation = "open"
input = { key = "$archive", context = { purpose = "archive" } }
output = { protect = "seal", to = "any" }

[[job]]
name = "move"
operation = "reencrypt"
input = { key = "$archive", context = { purpose = "archive" } }
output = { protect = "kms", key = "$archive", context = { purpose = "moved" } }
"#;

#[tokio::test]
async fn t23_padding_of_a_message_is_taken_for_data_by_the_next_job() {
    let house = house(CHAIN).await;
    let (stored, _) = house.run(&Job::new("store"), &house.acme().await).await.unwrap();
    let (secret, _) = strongroom_client::RecipientSecretKey::generate().unwrap();
    let mut output = Vec::new();
    house
        .client()
        .await
        .run_sealed(&Job::new("read"), &secret, &house.verifier(), &stored[..], &mut output)
        .await
        .unwrap();
    println!("T23 {} {:?}", output.len(), &output[CUSTOMERS.len()..CUSTOMERS.len() + 3]);
    assert_eq!(output.len(), 1024);
    let (moved, _) = house.run(&Job::new("move"), &stored).await.unwrap();
    assert!(!String::from_utf8_lossy(&moved[..300]).contains("strongroom-padding"));
}

// --- T-u: a signed request runs over records that the parent composed ------

const COMPOSED: &str = r#"
[[job]]
name = "lookup"
operation = "index"
callers = ["ann"]
secret = "indexes"
input = { format = "ndjson", key = "$customers", fields = { "/email" = { context = { purpose = "support" } } } }
fields = { "/email" = { index = {} }, "/id" = "keep" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn tu_a_signed_request_without_a_digest_runs_over_records_that_the_parent_composed() {
    let ann = Caller::ed25519("ann");
    let secrets = [Wrapped::of("indexes", INDEX_SECRET.to_vec())];
    let jobs = [ann.entry(), COMPOSED.to_owned()].concat();
    let house = house_with(&jobs, &secrets, |text| text).await;
    let run = Run { job: "lookup".into(), ..Run::default() };
    let captured = ann.request(&Order::new(&house, &run));
    let value = house.encrypt(&house.customers, &ACME, b"bob@canary.example", 64).await;
    let mine = format!("{{\"id\":\"the parent's\",\"email\":\"{}\"}}\n", STANDARD.encode(value));
    let answer = Line::to(&house).await.ask(&captured, &[mine.as_bytes()]).await;
    let text = String::from_utf8(answer.whole()).unwrap();
    assert!(text.contains(&index("/email", "", "bob@canary.example")), "{text}");
}

// --- T13: a receipt that names keys that were not used ---------------------

#[tokio::test]
async fn t13_a_receipt_names_kms_keys_that_decrypted_nothing() {
    let house = house(LABEL).await;
    let mut client = house.client().await;
    client.attest(&house.verifier()).await.unwrap();
    let before = house.nitro.kms.faults().count("Decrypt");
    let mut output = Vec::new();
    let job = Job::new("label").arg("tenant", "victim");
    let summary = client.run(&job, &b"{\"balance\":1}\n"[..], &mut output).await.unwrap();
    let proof = summary.proof.unwrap();
    println!("T13 {:?} {:?} {:?}", proof.keys, proof.records, proof.job);
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), before);
    assert!(proof.keys.contains(&house.customers));
}

// --- T-date ----------------------------------------------------------------

const DATES: &str = r#"
[[job]]
name = "dates"
operation = "mask"
input = { format = "csv", key = "$customers", context = { purpose = "support" }, bad_records = "drop" }
fields = { d = "year-of-date" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn tdate_a_card_number_with_hyphens_passes_for_a_date() {
    let house = house(DATES).await;
    let input =
        house.encrypt(&house.customers, &ACME, b"d\n4111-1111-1111-1111\n2026-11-24\n", 64).await;
    let (output, _) = house.run(&Job::new("dates"), &input).await.unwrap();
    println!("TDATE {:?}", String::from_utf8_lossy(&output));
    assert_eq!(output, b"d\n4111\n2026\n");
}

// --- T3 for sealed streams ---------------------------------------------------

#[tokio::test]
async fn t3b_small_frames_tell_the_length_to_a_few_bytes() {
    let text = padded("64KiB").replace("frame = \"4KiB\"", "frame = \"16\"");
    let house = house(&text).await;
    let mut seen = Vec::new();
    for len in [20_000, 20_016] {
        let input = house.encrypt(&house.customers, &ACME, &vec![b'x'; len], 4096).await;
        let (frames, trailer) = data_frames(&house, "padded", &input).await;
        println!("T3b {len}: {frames:?} {}", trailer.bytes);
        seen.push(frames);
    }
    assert_ne!(seen[0], seen[1]);
}

// --- T-any: numbers about one record, sealed to whoever asks ---------------

#[test]
fn tany_groups_of_one_may_be_sealed_to_any_without_callers() {
    let text = crate::house::manifest(KEY, KEY)
        + &format!(
            "\n[[job]]\nname = \"x\"\noperation = \"aggregate\"\ninput = {{ format = \"csv\", key = \"{KEY}\", context = {{ a = \"b\" }} }}\naggregate = {{ group_by = [\"ssn\"], compute = {{ pay = {{ max = \"pay\" }} }}, min_group_size = 1 }}\noutput = {{ protect = \"seal\", to = \"any\" }}\n"
        );
    println!("TANY {:?}", Manifest::parse(&text).map(|_| ()));
}

// --- deep nesting ------------------------------------------------------------

#[test]
fn tdeep_nesting_does_not_overflow_the_stack() {
    use strongroom::manifest::fields::{BadRecords, FieldPath, Pointer, Shape, UnknownFields};
    use strongroom::shape::{Edit, FieldError, Layout, MissingFields, Records, Value, Visitor};
    use strongroom_envelope::SecretBuf;
    struct Keep;
    impl Visitor for Keep {
        fn field(&mut self, _: usize, _: Value<'_>, _: &mut SecretBuf) -> Result<Edit, FieldError> {
            Ok(Edit::Keep)
        }
    }
    let done = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
        for shape in [Shape::Ndjson, Shape::Json] {
            for text in [
                "[".repeat(1 << 20),
                format!("{{\"x\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000)),
                format!("{{\"a\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000)),
                format!("[{}1{}]", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
                format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
            ] {
                let fields = ["/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "/x/*/y"];
                let fields =
                    fields.iter().map(|p| FieldPath::Pointer(Pointer::parse(p).unwrap())).collect();
                let layout = Layout {
                    shape,
                    fields,
                    unknown: UnknownFields::Keep,
                    missing: MissingFields::Allow,
                    bad_records: BadRecords::Drop,
                    max_record: 2 << 20,
                };
                let mut out = SecretBuf::new();
                let started = std::time::Instant::now();
                let done =
                    Records::new(layout).process(text.as_bytes(), true, &mut Keep, Some(&mut out));
                println!("TDEEP {:?} {:?}", done.map_err(|e| e.to_string()), started.elapsed());
            }
        }
    });
    done.unwrap().join().unwrap();
}

#[tokio::test]
async fn t5c_a_whole_messages_context_is_held_outside_the_budget() {
    let house = speechless("", |text| {
        text.replace(
            "max_frame = \"1MiB\"",
            "max_frame = \"64KiB\"\nmax_in_flight_bytes = \"64MiB\"",
        )
    })
    .await;
    let names: Vec<String> = (0..7000).map(|n| format!("{n:x}")).collect();
    let mut context = ACME.to_vec();
    context.extend(names.iter().map(|name| (name.as_str(), "")));
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let message = crate::house::seal(&key, &[encrypted], &context, b"x", 64);
    let before = resident();
    let mut kept = Vec::new();
    let count = 100;
    let mut refused = 0;
    for _ in 0..count {
        let mut stream = connect(&house).await;
        let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
        bytes.extend(run_of("mask", &[("tenant", "acme")]));
        bytes.extend(frame(FrameKind::Data, &message));
        let _ = stream.write_all(&bytes).await;
        kept.push(stream);
    }
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    for stream in &kept {
        let mut some = [0; 64];
        // More than the preface is an error.
        let read = stream.try_read(&mut some).unwrap_or(0);
        refused += usize::from(read > strongroom_wire::frame::PREFACE.len());
    }
    println!(
        "T5c budget 64 MiB, message {} bytes, {} KiB more, {refused} of {count} refused",
        message.len(),
        resident() - before
    );
}

#[tokio::test]
async fn tcpu_one_byte_at_a_time_with_many_known_data_keys() {
    let house = house_with(WIDE, &[], |text| {
        text.replace("max_record = \"4KiB\"", "max_record = \"64KiB\"")
    })
    .await;
    let mut records = String::new();
    for _ in 0..200 {
        let value = house.encrypt(&house.customers, &ACME, b"x", 64).await;
        records += &format!("{{\"a\":\"{}\"}}\n", STANDARD.encode(value));
    }
    let mut stream = connect(&house).await;
    let mut bytes = strongroom_wire::frame::PREFACE.to_vec();
    bytes.extend(run_of("wide", &[]));
    bytes.extend(frame(FrameKind::Data, records.as_bytes()));
    stream.write_all(&bytes).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let started = std::time::Instant::now();
    let count = 20_000;
    for _ in 0..count {
        stream.write_all(&frame(FrameKind::Data, b"\n")).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&end(records.len() + count)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    println!("TCPU {count} pieces in {:?}, {} bytes", started.elapsed(), answer.len());
}

// --- Tss: a context that does not fit is no context ---------------------------

#[tokio::test]
async fn tss_arguments_that_make_the_pinned_context_too_long_leave_nothing_pinned() {
    let entries: String = (0..16).map(|n| format!(", k{n} = \"{{x}}\"")).collect();
    let job = format!(
        r#"
[[job]]
name = "long"
operation = "mask"
args = {{ x = {{ max_length = 4096 }} }}
input = {{ format = "csv", encryption = "plain-envelope", key = "$customers", context = {{ purpose = "support"{entries} }} }}
fields = {{ name = "keep", pan = "last4" }}
output = {{ protect = "none" }}
"#
    );
    let house = house(&job).await;
    // Of another application, which gives KMS no context.
    let (key, encrypted) = house.data_key(&house.customers, &[]).await;
    let input = crate::envelopes::envelope(&key, &encrypted.ciphertext, &[], CUSTOMERS.as_bytes());
    let x = "x".repeat(4096);
    let done = house.run(&Job::new("long").arg("x", x.as_str()), &input).await;
    println!(
        "TSS {:?}",
        done.as_ref().map(|(output, _)| String::from_utf8_lossy(output).into_owned())
    );
    assert!(done.is_ok());
}

// --- Tpoison: one supplier's record ends a request that drops bad records ----

#[tokio::test]
async fn tpoison_a_data_key_that_kms_calls_invalid_ends_a_request_that_drops_bad_records() {
    let house = house_with(DROPS, &[], |text| {
        text.replace("max_record = \"4KiB\"", "max_record = \"64KiB\"")
    })
    .await;
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let long = strongroom_envelope::esdk::EncryptedDataKey {
        ciphertext: vec![1; 7000],
        ..encrypted.clone()
    };
    let bad = STANDARD.encode(crate::house::seal(&key, &[long], &ACME, b"bad", 64));
    let good = STANDARD.encode(crate::house::seal(&key, &[encrypted], &ACME, b"good", 64));
    let text = format!("{{\"a\":\"{good}\"}}\n");
    // The manifest of the house has short records.
    println!("TPOISON record of {} bytes", bad.len());
    let both = format!("{{\"a\":\"{bad}\"}}\n{text}");
    let done = house.run(&Job::new("ndjson"), both.as_bytes()).await;
    println!("TPOISON {:?}", done.map(|(output, _)| String::from_utf8(output).unwrap()));
}
