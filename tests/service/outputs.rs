//! Results: signed, padded, sealed to whom the manifest lists.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;
use strongroom_client::{ErrorCode, RecipientSecretKey};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::esdk::{Header, Limits, Policy, Signatures, Suite};
use strongroom_envelope::padding::Unpadder;
use strongroom_envelope::seal::StreamHeader;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ACME, House, open};
use crate::raw::{Line, connect, end, frame, owned, request, run_of};
use crate::tokens::unsealed;
use crate::workshop::house;

fn jobs(listed: &str) -> String {
    let job = |name: &str, output: &str| {
        format!(
            r#"
[[job]]
name = "{name}"
operation = "reencrypt"
args = ["tenant"]
input = {{ key = "$customers", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
output = {{ {output} }}
"#
        )
    };
    let kms = "protect = \"kms\", key = \"$archive\", context = { purpose = \"archive\", tenant = \"{tenant}\" }, frame = \"4KiB\"";
    [
        job("signed", &format!("{kms}, signed = true")),
        job("padded", &format!("{kms}, pad_to = \"64KiB\"")),
        job("both", &format!("{kms}, signed = true, pad_to = \"1KiB\"")),
        job("sealed", "protect = \"seal\", to = \"any\", pad_to = \"64KiB\""),
        job("listed", &format!("protect = \"seal\", to = [\"{listed}\"]")),
        job("back", "protect = \"seal\", to = \"any\"")
            .replace("$customers", "$archive")
            .replace("\"support\"", "\"archive\""),
    ]
    .concat()
}

const ARGS: &[(&str, &str)] = &[("tenant", "acme")];

async fn anybodys() -> House {
    house(&jobs(&"ab".repeat(32))).await
}

async fn result(house: &House, job: &str, plaintext: &[u8]) -> Vec<u8> {
    let input = house.encrypt(&house.customers, &ACME, plaintext, 4096).await;
    Line::to(house).await.ask(&run_of(job, ARGS), &[&input]).await.whole()
}

async fn sealed(house: &House, job: &str, plaintext: &[u8]) -> (RecipientSecretKey, Vec<u8>) {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let input = house.encrypt(&house.customers, &ACME, plaintext, 4096).await;
    let answer = Line::to(house).await.ask(&sealing(job, public.as_bytes()), &[&input]).await;
    (secret, answer.whole())
}

fn sealing(job: &str, to: &[u8]) -> Vec<u8> {
    let seal_to = Some(ByteBuf::from(to));
    request(Call::Run(Run { job: job.into(), args: owned(ARGS), seal_to, ..Run::default() }))
}

/// Opens a result under the archive's key, which lets the test.
async fn opened(house: &House, message: &[u8]) -> (Header, Vec<u8>) {
    let policy = crate::house::key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    house.nitro.kms.put_key_policy(&house.archive, &policy).unwrap();
    let (header, _) =
        Header::parse(message, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let context = header.encryption_context().clone();
    let encrypted = &header.encrypted_data_keys()[0];
    let key = house.decrypt_data_key(&house.parent, encrypted, &context).await.unwrap();
    let plaintext = open(message, &key);
    let policy = crate::house::key_policy(&house.pcr0);
    house.nitro.kms.put_key_policy(&house.archive, &policy).unwrap();
    (header, plaintext)
}

fn unpadded(padded: &[u8]) -> Vec<u8> {
    let (mut unpadder, mut out, mut rest) = (Unpadder::new(), SecretBuf::new(), padded);
    while !rest.is_empty() {
        let taken = unpadder.feed(rest, &mut out);
        rest = &rest[taken..];
    }
    unpadder.finish().unwrap();
    out.expose().to_vec()
}

#[tokio::test]
async fn a_signed_result_is_of_the_signed_suite_and_its_signature_holds() {
    let house = anybodys().await;
    let plaintext = vec![b'x'; 10_000];
    let message = result(&house, "signed", &plaintext).await;
    let (header, got) = opened(&house, &message).await;
    assert_eq!((header.suite(), got), (Suite::HkdfSha512CommitEcdsaP384, plaintext));
    let unsigned = Policy { signatures: Signatures::Refuse, ..Policy::default() };
    Header::parse(&message, &Limits::default(), &unsigned).unwrap_err();
    // The keys of signatures are made anew each time.
    let other = result(&house, "signed", b"x").await;
    let (other, _) = opened(&house, &other).await;
    assert_ne!(header.encryption_context(), other.encryption_context());
}

#[tokio::test]
async fn padded_results_of_different_lengths_have_one_length_and_the_padding_comes_off() {
    let house = anybodys().await;
    // Ends that look like padding are among them.
    let plaintexts = [
        b"x".to_vec(),
        Vec::new(),
        vec![0; 1000],
        [&[b'x'; 50_000][..], b"\x80\0\0"].concat(),
        vec![0x80; (64 << 10) - 1],
    ];
    let mut lengths = BTreeSet::new();
    for plaintext in &plaintexts {
        let message = result(&house, "padded", plaintext).await;
        lengths.insert(message.len());
        let (header, got) = opened(&house, &message).await;
        assert_eq!(header.encryption_context().get("strongroom-padding"), Some("iso7816-4"));
        assert_eq!(got.len(), 64 << 10);
        assert_eq!(&unpadded(&got), plaintext);
    }
    assert_eq!(lengths.len(), 1, "{lengths:?}");
    // A byte more, and it is the next multiple.
    let message = result(&house, "padded", &[b'x'; 64 << 10]).await;
    let (_, got) = opened(&house, &message).await;
    assert_eq!((got.len(), unpadded(&got)), (128 << 10, vec![b'x'; 64 << 10]));

    let message = result(&house, "both", b"x").await;
    let (header, got) = opened(&house, &message).await;
    assert_eq!(header.suite(), Suite::HkdfSha512CommitEcdsaP384);
    assert_eq!((got.len(), unpadded(&got)), (1024, b"x".to_vec()));
}

#[tokio::test]
async fn sealed_results_of_different_lengths_have_one_length_and_the_header_says_they_are_padded() {
    let house = anybodys().await;
    let mut lengths = BTreeSet::new();
    for plaintext in [b"x".to_vec(), vec![0x80; 60_000], Vec::new()] {
        let (secret, stream) = sealed(&house, "sealed", &plaintext).await;
        let (header, at) = StreamHeader::parse(&stream).unwrap().unwrap();
        assert!(header.is_padded());
        // Attestation documents differ by some bytes of signatures within.
        lengths.insert(stream.len() - at);
        let padded = unsealed(&house, &secret, &stream);
        assert_eq!((padded.len(), unpadded(&padded)), (64 << 10, plaintext));
    }
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

#[tokio::test]
async fn a_result_is_sealed_to_whom_the_manifest_lists_and_to_nobody_else() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let house = house(&jobs(&hex::encode(public.as_bytes()))).await;
    let input = house.encrypt(&house.customers, &ACME, b"for one", 64).await;
    let mut line = Line::to(&house).await;
    let before = house.nitro.kms.faults().count("Decrypt");
    let (_, eve) = RecipientSecretKey::generate().unwrap();
    for (asked, code) in [
        (sealing("listed", eve.as_bytes()), ErrorCode::Denied),
        (sealing("listed", &[0; 32]), ErrorCode::Denied),
        (run_of("listed", ARGS), ErrorCode::BadArgument),
        (run_of("sealed", ARGS), ErrorCode::BadArgument),
        (sealing("signed", public.as_bytes()), ErrorCode::BadArgument),
        (sealing("mask", public.as_bytes()), ErrorCode::BadArgument),
    ] {
        let answer = line.ask(&asked, &[&input]).await;
        assert!(answer.data.is_empty());
        assert_eq!(answer.refusal().code, code);
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), before, "KMS was asked");
    let stream = line.ask(&sealing("listed", public.as_bytes()), &[&input]).await.whole();
    assert_eq!(unsealed(&house, &secret, &stream), b"for one");
}

#[tokio::test]
async fn a_padded_result_is_read_by_the_next_job_without_its_padding_and_refused_without_one() {
    let house = anybodys().await;
    for plaintext in [&b"x"[..], &[0x80; 70_000], b""] {
        let padded = result(&house, "padded", plaintext).await;
        let (secret, public) = RecipientSecretKey::generate().unwrap();
        let request = sealing("back", public.as_bytes());
        let stream = Line::to(&house).await.ask(&request, &[&padded]).await.whole();
        assert_eq!(unsealed(&house, &secret, &stream), plaintext);
    }
    let claims = [("purpose", "archive"), ACME[1], ("strongroom-padding", "iso7816-4")];
    let (_, public) = RecipientSecretKey::generate().unwrap();
    for end in [&b"no padding"[..], b"", b"\0\0\0"] {
        let input = house.encrypt(&house.archive, &claims, end, 64).await;
        let request = sealing("back", public.as_bytes());
        let answer = Line::to(&house).await.ask(&request, &[&input]).await;
        assert_eq!(answer.refusal().code, ErrorCode::BadMessage, "{end:?}");
    }
}

/// Lengths of the `DATA` frames in the answer to `request`.
async fn frame_lengths(house: &House, request: &[u8], input: &[u8]) -> Vec<usize> {
    let body: Vec<u8> =
        input.chunks(1000).flat_map(|piece| frame(FrameKind::Data, piece)).collect();
    let mut stream = connect(house).await;
    stream.write_all(&[&PREFACE[..], request, &body, &end(input.len())].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let (mut rest, mut lengths) = (&answer[PREFACE.len()..], Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let len = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        if head[0] == 3 {
            lengths.push(len);
        }
        rest = &behind[len..];
    }
    lengths
}

#[tokio::test]
async fn the_frames_in_which_a_padded_result_leaves_do_not_tell_its_length() {
    let house = anybodys().await;
    let mut seen = BTreeSet::new();
    for plaintext in [vec![b'x'], vec![b'x'; 20_000], vec![0; (64 << 10) - 1]] {
        let input = house.encrypt(&house.customers, &ACME, &plaintext, 512).await;
        seen.insert(frame_lengths(&house, &run_of("padded", ARGS), &input).await);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen.iter().flatten().sum::<usize>() > 64 << 10);
}
