//! `call`: runs a job over a file, as a parent application does.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use strongroom_client::{
    Client, Error as ClientError, Job, Protect, Recipient, RecipientSecretKey, Summary, Verifier,
};

use crate::args::{FileArgs, HexBytes, ServiceArgs, arguments, hex_bytes, pair};
use crate::commands::keygen;
use crate::demands::Believe;
use crate::error::CliError;
use crate::files::{self, Input, Sink};
use crate::output::{Output, size};
use crate::service;

/// What `call` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    service: ServiceArgs,

    /// Name of the job in the manifest
    #[arg(long, value_name = "NAME")]
    job: String,

    /// An argument that the job declares
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,

    #[command(flatten)]
    files: FileArgs,

    /// For a job that seals: this secret key, to open the result as it comes
    #[arg(long, value_name = "FILE", conflicts_with = "seal_to")]
    seal_key: Option<PathBuf>,

    /// For a job that seals: the owner's public key, to store the result sealed (see `open`)
    #[arg(long, value_name = "FILE")]
    seal_to: Option<PathBuf>,

    /// For --seal-to: the owner's nonce, for the attestation inside the result
    #[arg(long, value_name = "HEX", value_parser = hex_bytes, requires = "seal_to")]
    nonce: Option<HexBytes>,

    /// Give up after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    deadline: u64,

    #[command(flatten)]
    believe: Believe,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let reader = Reader::of(&args)?;
    let job = Job { args: arguments(args.args)?, ..Job::new(&args.job) };
    let (input, total, mut sink) = files::open_both(&args.files).await?;
    let deadline = Duration::from_secs(args.deadline);
    let mut client = service::connect_for_job(&args.service.address, deadline, total).await?;
    let started = Instant::now();
    let summary = run_job(&mut client, &job, &reader, input, &mut sink).await;
    let summary = summary.map_err(|error| sink.failed(error))?;
    sink.commit().await?;
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let protect = protect_text(summary.protect);
    let value = json!({
        "request": summary.request.to_string(),
        "protect": protect,
        "bytes_in": summary.sent,
        "bytes_out": summary.received,
        "records": summary.records,
        "millis": millis,
    });
    let records = match summary.records {
        Some(1) => ", 1 record".to_owned(),
        Some(records) => format!(", {records} records"),
        None => String::new(),
    };
    let text = format!(
        "{}: {} in, {} out ({protect}){records}, {millis} ms",
        args.job,
        size(summary.sent),
        size(summary.received),
    );
    output.note(files::is_standard(&args.files.output), &value, &text)
}

/// Who is to read the result.
enum Reader {
    /// Whoever gets it: the job protects it, or has it leave in the clear.
    Anyone,
    /// This command, if it believes the enclave.
    This(RecipientSecretKey, Box<Verifier>),
    /// The owner, later.
    Owner(Recipient),
}

impl Reader {
    fn of(args: &Args) -> Result<Self, CliError> {
        if let Some(path) = &args.seal_key {
            return Ok(Self::This(keygen::read_secret(path)?, Box::new(args.believe.verifier()?)));
        }
        let Some(path) = &args.seal_to else { return Ok(Self::Anyone) };
        let public_key = *keygen::read_public(path)?.as_bytes();
        let nonce = args.nonce.clone().map(|nonce| nonce.0);
        Ok(Self::Owner(Recipient { public_key, nonce }))
    }
}

async fn run_job(
    client: &mut Client,
    job: &Job,
    reader: &Reader,
    input: Input,
    sink: &mut Sink,
) -> Result<Summary, ClientError> {
    match reader {
        Reader::Anyone => client.run(job, input, sink.writer()).await,
        Reader::This(secret, verifier) => {
            let done = client.run_sealed(job, secret, verifier, input, sink.writer()).await;
            done.map(|(summary, _)| summary)
        }
        Reader::Owner(recipient) => client.run_for(recipient, job, input, sink.writer()).await,
    }
}

const fn protect_text(protect: Protect) -> &'static str {
    match protect {
        Protect::None => "none",
        Protect::Kms => "kms",
        Protect::Seal => "seal",
    }
}
