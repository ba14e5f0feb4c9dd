//! What a booted enclave is for, and what it costs.

use std::time::Instant;

use strongroom_client::attestation::PcrValue;
use strongroom_client::{Job, RecipientSecretKey};
use strongroom_envelope::esdk::{EncryptionContext, Header, Limits, Policy};

use crate::booted::{Booted, Image, Wish};
use crate::house::{ACME, CUSTOMERS, House, MASKED, PARENT, PRODUCER, Plan, mask};
use crate::parts::parts;

#[tokio::test(flavor = "multi_thread")]
async fn a_booted_enclave_masks_as_the_simulated_one_does_byte_for_byte() {
    let Some(booted) = Booted::usual().await else { return };
    let masked = booted.house.mask(&booted.house.acme().await).await.unwrap();
    eprintln!("start of the machine to the first answered mask: {:.2?}", booted.started.elapsed());
    assert_eq!(masked, MASKED);

    let simulated = House::new().await;
    let mut csv = String::from("city,pan,email,name\n");
    for row in 0..5000 {
        csv += &format!("\"York, {row}\",411111111111{row:04},a@b.example,Grace {row} Hopper\n");
    }
    for frame in [512, 4096, 1 << 20] {
        let [there, here] = [&simulated, &booted.house].map(|house| {
            let csv = &csv;
            async move {
                let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), frame).await;
                house.mask(&message).await.unwrap()
            }
        });
        assert!(there.await == here.await, "frames of {frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booted_enclave_reencrypts_and_seals_and_attests_the_image_that_was_built() {
    let Some(booted) = Booted::usual().await else { return };
    let house = &booted.house;

    let document = house.client().await.attest(&house.verifier()).await.unwrap();
    for index in [0, 1, 2] {
        let built: PcrValue = booted.pcr(index).parse().unwrap();
        assert_eq!(document.pcr(index), Some(&built), "PCR{index}");
    }

    let job = Job::new("rotate").arg("tenant", "acme");
    let (rotated, _) = house.run(&job, &house.acme().await).await.unwrap();
    let (header, _) =
        Header::parse(&rotated, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let encrypted = &header.encrypted_data_keys()[0];
    assert_eq!(encrypted.provider_info, house.archive.as_bytes());
    let open_policy =
        crate::house::key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    house.nitro.kms.put_key_policy(&house.archive, &open_policy).unwrap();
    let key = house.decrypt_data_key(&house.parent, encrypted, header.encryption_context()).await;
    assert_eq!(crate::house::open(&rotated, &key.unwrap()), CUSTOMERS.as_bytes());

    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let (job, mut output) = (Job::new("export").arg("tenant", "acme"), Vec::new());
    let message = house.acme().await;
    let mut client = house.client().await;
    client
        .run_sealed(&job, &secret, &house.verifier(), message.as_slice(), &mut output)
        .await
        .unwrap();
    assert_eq!(output, CUSTOMERS.as_bytes());
}

/// Jobs that need more of the machine than a mask does: keys of their own, an
/// aggregate, a signature, padding.
const MORE_JOBS: &str = r#"
[[secret]]
name = "tokens"
key = "$customers"
context = { purpose = "tokens" }
wrapped = "$wrapped"

[[job]]
name = "tokens"
operation = "tokenize"
args = { tenant = { pattern = "[a-z]+" } }
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
secret = "tokens"
tenant = "{tenant}"
fields = { pan = { token = "ff1", alphabet = "digits" }, city = { token = "siv" }, name = "drop" }
output = { protect = "none" }

[[job]]
name = "sums"
operation = "aggregate"
args = ["tenant"]
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
aggregate = { group_by = ["city"], compute = { people = "count" }, min_group_size = 5 }
output = { protect = "kms", key = "$customers", context = { purpose = "sums" }, signed = true, pad_to = "4KiB" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_booted_enclave_makes_tokens_sums_and_receipts_within_its_sandbox() {
    let wish = Wish { jobs: MORE_JOBS, cpus: 2, ..Wish::default() };
    let Some(booted) = Booted::wished(wish).await else { return };
    let house = &booted.house;
    let mut client = house.client().await;
    // From here on the client takes no result without a receipt that it believes.
    client.attest(&house.verifier()).await.unwrap();
    let message = house.acme().await;
    let mut tokens = Vec::new();
    let job = Job::new("tokens").arg("tenant", "acme");
    let summary = client.run(&job, message.as_slice(), &mut tokens).await.unwrap();
    assert_eq!(summary.proof.unwrap().job, "tokens");
    let tokens = String::from_utf8(tokens).unwrap();
    let card = tokens.lines().nth(1).unwrap().split(',').next().unwrap();
    assert!(card.len() == 16 && card.bytes().all(|b| b.is_ascii_digit()), "{tokens}");
    assert!(card != "4111111111111111" && !tokens.contains("London"), "{tokens}");

    let (job, mut sums) = (Job::new("sums").arg("tenant", "acme"), Vec::new());
    client.run(&job, message.as_slice(), &mut sums).await.unwrap();
    let parsed = Header::parse(&sums, &Limits::default(), &Policy::default()).unwrap();
    let (header, _) = parsed.unwrap();
    assert!(header.suite().is_signed());
    assert_eq!(header.encryption_context().get("strongroom-padding"), Some("iso7816-4"));

    // Long enough for a thread of its own on the second processor.
    let many = format!("name,city\n{}", "Ada Lovelace,London\n".repeat(60_000));
    let message = house.encrypt(&house.customers, &ACME, many.as_bytes(), 64 << 10).await;
    let summary = client.run(&job, message.as_slice(), tokio::io::sink()).await.unwrap();
    assert_eq!(summary.proof.unwrap().job, "sums");
    client.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_that_strongroomctl_writes_lets_this_image_in_and_no_other() {
    let Some((parts, booted)) = parts().zip(Booted::usual().await) else { return };
    let house = &booted.house;
    let policy = |pcr0s: &[&str]| {
        let mut args = vec!["image", "policy", "--role", PARENT, "--producer", PRODUCER];
        args.extend(pcr0s.iter().flat_map(|pcr0| ["--pcr0", *pcr0]));
        parts.strongroomctl(&args)
    };
    let (this, other) = (booted.pcr(0), "ab".repeat(48));
    for (images, lets) in [(&[&*this][..], true), (&[&*other], false), (&[&*other, &*this], true)] {
        house.nitro.kms.put_key_policy(&house.customers, &policy(images)).unwrap();
        let message = house.acme().await;
        match lets {
            true => assert_eq!(house.mask(&message).await.unwrap(), MASKED),
            false => {
                let refused = house.refusal(&mask("acme"), &message).await;
                assert_eq!(refused.kms.unwrap().code, "AccessDeniedException");
            }
        }
        // Without an enclave, the parent's role gets nothing from either.
        let (_, encrypted) = house.data_key(&house.customers, &ACME).await;
        let context = EncryptionContext::new(ACME).unwrap();
        assert!(house.decrypt_data_key(&house.parent, &encrypted, &context).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_manifest_is_another_image_and_the_same_parts_are_the_same() {
    let Some(parts) = parts() else { return };
    let (one, other) =
        (Image::build(&parts, Wish::default()).await, Image::build(&parts, Wish::default()).await);
    // Each has KMS keys and roots of its own, so the second ramdisk differs alone.
    assert_eq!(one.pcr(1), other.pcr(1));
    assert!(one.pcr(0) != other.pcr(0) && one.pcr(2) != other.pcr(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_streams_through_a_machine_of_128_mib() {
    let slow = |text: String| text.replace("deadline_secs = 20", "deadline_secs = 600");
    let plan = Plan { manifest: slow, ..Plan::default() };
    let Some(booted) = Booted::wished(Wish { plan, ..Wish::default() }).await else { return };
    let house = &booted.house;
    let row = "Grace Hopper,4111111111111111,g@h.example,New York\n";
    let mut csv = String::from("name,pan,email,city\n");
    let rows = (GIB - csv.len()) / row.len() + 1;
    csv.extend(std::iter::repeat_n(row, rows));
    let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 1 << 16).await;
    let plain = csv.len();
    drop(csv);
    let begun = Instant::now();
    let mut masked = Counting::default();
    let mut client = house.client().await;
    let summary = client.run(&mask("acme"), message.as_slice(), &mut masked).await.unwrap();
    let took = begun.elapsed();
    eprintln!(
        "{plain} bytes masked in {took:.1?} ({:.0} MB/s)",
        plain as f64 / 1e6 / took.as_secs_f64()
    );
    assert_eq!(summary.records, Some(rows as u64));
    assert_eq!(masked.bytes, "name,pan,city\n".len() + rows * "G.H.,****1111,New York\n".len());
    // It goes on afterwards.
    assert_eq!(house.mask(&house.acme().await).await.unwrap(), MASKED);
}

/// A sink that keeps the number of bytes alone.
#[derive(Default)]
struct Counting {
    bytes: usize,
}

impl tokio::io::AsyncWrite for Counting {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.bytes += buf.len();
        std::task::Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

const GIB: usize = 1 << 30;
