//! The main job: what each party does, and what the parent had to see of it.

use std::time::Instant;

use strongroom_attestation::Mode;
use strongroom_client::{
    ErrorCode, Expected, Recipient, RecipientSecretKey, input_name, open_sealed,
};
use strongroom_envelope::esdk::{Header, Limits, Opener, Policy};
use strongroom_envelope::{DataKey, SecretBuf};

use super::customers::Customers;
use super::story::{Enclave, Party, Sample, Story, len};
use super::world::{Message, World, job};
use crate::demands::now;
use crate::error::CliError;
use crate::output::size;

/// What is left of the main job, to look for on the tapes.
pub(super) struct Played {
    pub(super) customers: Customers,
    pub(super) data_keys: Vec<DataKey>,
}

struct Sizes {
    message: u64,
    masked: u64,
    rotated: u64,
    sealed: u64,
}

/// Producer, data owner and parent do their parts.
pub(super) async fn main_job(
    world: &World,
    rows: u32,
    story: &mut Story,
) -> Result<Played, CliError> {
    let customers = Customers::make(rows);
    let (was, is) = customers.sample.clone();
    story.sample = Sample { producer_has: was, parent_gets: is };
    let started = Instant::now();
    let Message { bytes: message, data_key, .. } = world.produce(TENANT, &customers.csv).await?;
    let sizes = (Some(len(&customers.csv)), Some(len(&message)));
    story.step("producer", "encrypt customers.csv (KMS GenerateDataKey)", sizes, started);
    attest(world, story).await?;
    let masked = mask(world, &customers, &message, story).await?;
    let (rotated, archive_key) = rotate(world, &customers, &message, story).await?;
    let sealed = export(world, &customers, &message, story).await?;
    let sizes = Sizes { message: len(&message), masked, rotated, sealed };
    story.parties = parties(world, &customers, &sizes);
    Ok(Played { customers, data_keys: vec![data_key, archive_key] })
}

async fn attest(world: &World, story: &mut Story) -> Result<(), CliError> {
    let started = Instant::now();
    let document = world.connect().await?.attest(&world.stage.verifier()?).await?;
    story.step("data owner", "verify the enclave's attestation (PCR0)", (None, None), started);
    story.enclave = Enclave {
        module_id: document.module_id().to_owned(),
        mode: document.mode().as_str(),
        pcr0: document.pcr(0).map(ToString::to_string).unwrap_or_default(),
    };
    let production = document.mode() == Mode::Production;
    story.check("the data owner verified the attestation, with PCR0 and a fresh nonce", production);
    Ok(())
}

async fn mask(
    world: &World,
    customers: &Customers,
    message: &[u8],
    story: &mut Story,
) -> Result<u64, CliError> {
    let started = Instant::now();
    let (mut client, mut result) = (world.connect().await?, Vec::new());
    client.run(&job("mask-customers", TENANT), message, &mut result).await?;
    let sizes = (Some(len(message)), Some(len(&result)));
    story.step("parent", "call mask-customers", sizes, started);
    story.check("mask-customers gave every row, masked as the manifest says", {
        result == customers.masked
    });
    Ok(len(&result))
}

async fn rotate(
    world: &World,
    customers: &Customers,
    message: &[u8],
    story: &mut Story,
) -> Result<(u64, DataKey), CliError> {
    let started = Instant::now();
    let (mut client, mut rotated) = (world.connect().await?, Vec::new());
    client.run(&job("rotate", TENANT), message, &mut rotated).await?;
    let sizes = (Some(len(message)), Some(len(&rotated)));
    story.step("parent", "call rotate (to the archive's KMS key)", sizes, started);
    let started = Instant::now();
    let (plaintext, key) = read_archive(world, &rotated).await?;
    let sizes = (Some(len(&rotated)), Some(len(plaintext.expose())));
    story.step("archive reader", "decrypt what rotate gave", sizes, started);
    story.check("rotate gave the very same data, under the archive's KMS key", {
        plaintext.expose() == customers.csv
    });
    Ok((len(&rotated), key))
}

async fn read_archive(world: &World, message: &[u8]) -> Result<(SecretBuf, DataKey), CliError> {
    let unreadable = CliError::Internal("what rotate gave is no message");
    let parsed = Header::parse(message, &Limits::DEFAULT, &Policy::default()).ok().flatten();
    let Some((header, consumed)) = parsed else { return Err(unreadable) };
    let Some(encrypted) = header.encrypted_data_keys().first() else { return Err(unreadable) };
    let key = world.archive_data_key(TENANT, encrypted).await?;
    let mut plaintext = SecretBuf::new();
    let mut rest = message.get(consumed..).unwrap_or_default();
    let failed = |_| CliError::Internal("what rotate gave does not decrypt");
    let mut opener = Opener::new(header, &key).map_err(failed)?;
    loop {
        match opener.open(rest, &mut plaintext, usize::MAX).map_err(failed)? {
            0 => break,
            consumed => rest = rest.get(consumed..).unwrap_or_default(),
        }
    }
    opener.finish().map_err(failed)?;
    Ok((plaintext, key))
}

async fn export(
    world: &World,
    customers: &Customers,
    message: &[u8],
    story: &mut Story,
) -> Result<u64, CliError> {
    let job = job("export-sealed", TENANT);
    let nonce = b"chosen by the data owner".to_vec();
    let public_key = *world.owner.public_key().as_bytes();
    let recipient = Recipient { public_key, nonce: Some(nonce.clone()) };
    let started = Instant::now();
    let (mut client, mut sealed) = (world.connect().await?, Vec::new());
    client.run_for(&recipient, &job, message, &mut sealed).await?;
    let sizes = (Some(len(message)), Some(len(&sealed)));
    story.step("parent", "call export-sealed, relay it to the owner", sizes, started);
    let started = Instant::now();
    let expected = Expected {
        request: None,
        job: Some(job.name.clone()),
        args: Some(job.args.clone()),
        input: input_name(message),
        nonce: Some(nonce),
    };
    let (verifier, mut opened) = (world.stage.verifier()?, Vec::new());
    open_sealed(sealed.as_slice(), &mut opened, &world.owner, &verifier, &expected, now()).await?;
    story.step(
        "data owner",
        "open it (attestation inside)",
        (Some(len(&sealed)), Some(len(&opened))),
        started,
    );
    story.check("the data owner opened what export-sealed gave", opened == customers.exported);
    let (parents, public_key) = RecipientSecretKey::generate()
        .map_err(|_| CliError::Internal("the system gives no random bytes"))?;
    let (stolen, nowhere) = (sealed.as_slice(), &mut Vec::new());
    let stolen = open_sealed(stolen, nowhere, &parents, &verifier, &expected, now()).await;
    story.check("a key pair of the parent's does not open it", stolen.is_err());
    let parent = Recipient { public_key: *public_key.as_bytes(), nonce: None };
    let diverted = client.run_for(&parent, &job, message, &mut Vec::new()).await;
    let refusal = diverted.err().as_ref().and_then(|error| error.service().map(|body| body.code));
    story.check("the enclave does not seal to a key of the parent's", {
        refusal == Some(ErrorCode::Denied)
    });
    Ok(len(&sealed))
}

/// What each party had and saw of the main job.
fn parties(world: &World, customers: &Customers, sizes: &Sizes) -> Vec<Party> {
    let ((asked, answered), (to_kms, from_kms)) = (world.front.counts(), world.proxy.counts());
    let calls = |operation| world.stage.kms.faults().count(operation);
    let plain = size(len(&customers.csv));
    let rows: [(&'static str, &'static str, String); 7] = [
        ("producer", "customers.csv", format!("its own plaintext, {plain}")),
        ("parent, app", "AWS credentials", {
            format!("ciphertext {}, masked {}", size(sizes.message), size(sizes.masked))
        }),
        ("", "", {
            format!("re-encrypted {}, sealed {}", size(sizes.rotated), size(sizes.sealed))
        }),
        ("parent, sockets", "nothing", format!("{} in, {} out", size(asked), size(answered))),
        ("parent, KMS proxy", "nothing", {
            format!("TLS records: {} out, {} in", size(to_kms), size(from_kms))
        }),
        (
            "enclave",
            "recipient key pair",
            format!("plaintext {plain}, a piece at a time; data keys"),
        ),
        ("KMS", "2 KMS keys", {
            let (decrypts, generates) = (calls("Decrypt"), calls("GenerateDataKey"));
            format!("PCR0, contexts; {decrypts} Decrypt, {generates} GenerateDataKey")
        }),
    ];
    let owner = Party {
        party: "data owner",
        held: "PCR0, secret key",
        saw: format!("attestation, opened {}", size(len(&customers.exported))),
    };
    let all = rows.into_iter().map(|(party, held, saw)| Party { party, held, saw });
    all.chain([owner]).collect()
}

/// Whose data the main job is about.
const TENANT: &str = "acme";
