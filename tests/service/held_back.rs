//! What is held until the end: nothing of it leaves before, in any form, and it
//! counts against the memory of all while it waits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_bytes::ByteBuf;
use serde_json::Value;
use strongroom_client::{ErrorCode, Job, RecipientSecretKey};
use strongroom_envelope::esdk::{Header, Limits, Policy};
use strongroom_wire::{Call, Event, FrameDecoder, FrameKind, Run, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, House, open};
use crate::raw::{Line, connect, end, frame, request};
use crate::signer::over;
use crate::workshop::{house, house_with};

const JOBS: &str = r#"
[[job]]
name = "open"
operation = "open"
input = { key = "$customers", context = { purpose = "support" } }
output = { protect = "seal", to = "any" }

[[job]]
name = "padded"
operation = "reencrypt"
input = { key = "$customers", context = { purpose = "support" } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" }, pad_to = "16" }

[[job]]
name = "masked"
operation = "mask"
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { pan = "last4" }
output = { protect = "none" }

[[job]]
name = "sums"
operation = "aggregate"
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
aggregate = { group_by = ["city"], compute = { people = "count" }, min_group_size = 1 }
output = { protect = "kms", key = "$archive", context = { purpose = "sums" }, frame = "4KiB", pad_to = "256KiB" }

[[job]]
name = "sealed"
operation = "open"
input = { key = "$customers", context = { purpose = "support" } }
output = { protect = "seal", to = "any", pad_to = "256KiB" }

[[job]]
name = "rekey"
operation = "reencrypt"
input = { format = "ndjson", key = "$customers", fields = { "/note" = { context = { purpose = "note" } } } }
output = { protect = "kms", key = "$archive", context = { purpose = "note" }, fields = ["/note"], pad_to = "1KiB" }
"#;

fn run_to(job: &str, seal_to: Option<&[u8]>) -> Vec<u8> {
    let seal_to = seal_to.map(ByteBuf::from);
    request(Call::Run(Run { job: job.into(), seal_to, ..Run::default() }))
}

#[tokio::test]
async fn a_result_that_is_held_until_its_end_counts_against_the_memory_of_all() {
    let tight = |text: String| {
        let ours = "max_frame = \"4KiB\"\nmax_record = \"4KiB\"\nmax_in_flight_bytes = \"3MiB\"";
        text.replace("max_frame = \"1MiB\"\nmax_record = \"4KiB\"", ours)
    };
    let house = house_with(JOBS, &[], tight).await;
    let csv = format!("name,pan\n{}", "A B,4111111111111111\n".repeat(300_000));
    let long = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 4096).await;
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let named = |job: &str, seal_to: Option<&[u8]>| {
        let seal_to = seal_to.map(ByteBuf::from);
        request(Call::Run(Run { seal_to, ..over(job, &[], &long) }))
    };
    let to = Some(&public.as_bytes()[..]);
    for (what, request) in [
        ("in the clear, of a named input", named("masked", None)),
        ("sealed, of a named input", named("open", to)),
        ("padded", run_to("padded", None)),
        ("sealed and padded", run_to("sealed", to)),
    ] {
        let answer = Line::to(&house).await.ask(&request, &[&long]).await;
        assert!(answer.data.is_empty(), "{what}: some of it left");
        assert_eq!(answer.refusal().code, ErrorCode::Busy, "{what}");
    }
    // What leaves as it comes is never held.
    for request in [run_to("masked", None), run_to("open", to)] {
        let answer = Line::to(&house).await.ask(&request, &[&long]).await;
        assert!(answer.whole().len() > 1 << 20);
    }
}

/// The lengths of the `DATA` frames of an answer.
async fn cuts(house: &House, request: &[u8], input: &[u8]) -> Vec<usize> {
    let mut stream = connect(house).await;
    let mut bytes = [&strongroom_wire::frame::PREFACE[..], request].concat();
    input.chunks(1 << 12).for_each(|piece| bytes.extend(frame(FrameKind::Data, piece)));
    bytes.extend(end(input.len()));
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let (mut decoder, mut rest, mut lengths) = (FrameDecoder::new(), &answer[..], Vec::new());
    loop {
        let Step::Event { consumed, event } = decoder.next(rest).unwrap() else { panic!("no end") };
        match event {
            Event::Data(bytes) => lengths.push(bytes.len()),
            Event::Control(FrameKind::End, _) => return lengths,
            Event::Control(FrameKind::Response, _) => {}
            Event::Control(kind, _) => panic!("{kind:?}"),
        }
        rest = &rest[consumed..];
    }
}

#[tokio::test]
async fn how_many_groups_a_padded_aggregate_has_does_not_show_in_how_it_is_cut() {
    let house = house(JOBS).await;
    let few = format!("city\n{}", "London of the many groups\n".repeat(1200));
    let group = |number| format!("London of the many {number:06}\n");
    let many = format!("city\n{}", (0..1200).map(group).collect::<String>());
    assert_eq!(few.len(), many.len());
    let mut seen = Vec::new();
    for text in [few, many] {
        let input = house.encrypt(&house.customers, &ACME, text.as_bytes(), 4096).await;
        seen.push(cuts(&house, &run_to("sums", None), &input).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].iter().sum::<usize>() > 256 << 10);
}

#[tokio::test]
async fn how_long_a_padded_sealed_result_is_does_not_show_in_how_it_is_cut() {
    let house = house(JOBS).await;
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let mut seen = Vec::new();
    for len in [1, 70_000, 140_016, (256 << 10) - 1] {
        let input = house.encrypt(&house.customers, &ACME, &vec![b'x'; len], 4096).await;
        let cuts = cuts(&house, &run_to("sealed", Some(public.as_bytes())), &input).await;
        assert!(cuts.iter().sum::<usize>() > 256 << 10);
        seen.push(cuts.len());
    }
    // Attestation documents differ by some bytes of the signatures within.
    assert!(seen.iter().all(|count| *count == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn fields_encrypted_anew_with_padding_have_one_length_even_where_they_are_empty() {
    let house = house(JOBS).await;
    let open_policy =
        crate::house::key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    let values = ["yes", &"no".repeat(100), "", &"n".repeat(1023)];
    let mut records = String::new();
    for value in values {
        let context = [("purpose", "note")];
        let message = house.encrypt(&house.customers, &context, value.as_bytes(), 4096).await;
        records += &format!("{{\"note\":\"{}\"}}\n", STANDARD.encode(message));
    }
    let (output, _) = house.run(&Job::new("rekey"), records.as_bytes()).await.unwrap();
    house.nitro.kms.put_key_policy(&house.archive, &open_policy).unwrap();
    let output = String::from_utf8(output).unwrap();
    let mut lengths = Vec::new();
    for (line, value) in output.lines().zip(values) {
        let record: Value = serde_json::from_str(line).unwrap();
        let field = record["note"].as_str().unwrap();
        let message = STANDARD.decode(field).unwrap();
        let parsed = Header::parse(&message, &Limits::default(), &Policy::default());
        let (header, _) = parsed.unwrap().unwrap();
        let context = header.encryption_context();
        assert_eq!(context.get("strongroom-padding"), Some("iso7816-4"));
        let encrypted = &header.encrypted_data_keys()[0];
        let key = house.decrypt_data_key(&house.parent, encrypted, context).await.unwrap();
        let plaintext = open(&message, &key);
        assert_eq!(plaintext.len(), 1024);
        assert_eq!(&plaintext[..value.len()], value.as_bytes());
        assert_eq!(plaintext[value.len()], 0x80);
        lengths.push(message.len());
    }
    assert_eq!(output.lines().count(), 4);
    assert!(lengths.iter().all(|len| *len == lengths[0]), "{lengths:?}");
}
