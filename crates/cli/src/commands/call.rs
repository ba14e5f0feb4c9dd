//! `call`: runs a job over a file, as a parent application does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use strongroom_client::{
    Caller, Client, Error as ClientError, INPUT_NAME_END, Inputs, Job, Protect, ReceiptRefused,
    Recipient, RecipientSecretKey, Summary, Verifier, input_name,
};
use strongroom_envelope::name::UNNAMED;

use crate::args::{HexBytes, ServiceArgs, arguments, hex_bytes, pair};
use crate::commands::attest::fresh_nonce;
use crate::commands::keygen;
use crate::demands::{Believe, now};
use crate::error::CliError;
use crate::files::{self, Sink};
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

    /// Input; `-` is standard input. A job with two inputs takes it twice, in the
    /// manifest's order
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: Vec<PathBuf>,

    /// Output; `-` is standard output, which may have received a part when the
    /// command fails. A file appears only when it is whole, and replaces one that is there
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// Sign the request as this caller of the manifest, with the key in FILE (see
    /// `keygen --caller`). The enclave is attested first: say which with --pcr0
    #[arg(long, value_name = "CALLER:FILE", value_parser = signer)]
    sign_with: Option<(String, PathBuf)>,

    /// For --sign-with: sign for the enclave of this id, taken from an attestation
    /// document that you verified, and do not attest it again
    #[arg(long, value_name = "ID", requires = "sign_with")]
    enclave: Option<String>,

    /// Have nothing of the result leave the enclave unless it is of this very input; it has to
    /// fit the enclave's memory then. Without asking where the request is signed, or the result
    /// sealed, and the input is not encrypted as a whole
    #[arg(long)]
    bind_input: bool,

    /// Save the receipt here (see `verify-receipt`). With --pcr0, it is verified first
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

    /// Beside --receipt: save the attestation document that vouches for the receipt's key here.
    /// After the enclave's restart no other does (see `verify-receipt --document`). Say which
    /// enclave with --pcr0
    #[arg(long, value_name = "FILE", requires = "receipt")]
    document: Option<PathBuf>,

    /// Ask for no receipt: faster, for client and enclave hash all that passes for one. What
    /// the enclave did is then proved by a sealed result alone
    #[arg(long, conflicts_with = "receipt")]
    no_receipt: bool,

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
    let caller = args.sign_with.as_ref().map(|with| caller(with, args.enclave.as_ref()));
    let input_sha256 = bound_input(&args)?;
    let job = Job {
        args: arguments(args.args)?,
        caller: caller.transpose()?,
        input_sha256,
        no_receipt: args.no_receipt,
        ..Job::new(&args.job)
    };
    let (input, total) = inputs(&args.input, &args.output).await?;
    let mut sink = Sink::create(&args.output)?;
    let deadline = Duration::from_secs(args.deadline);
    let mut client = service::connect_for_job(&args.service.address, deadline, total).await?;
    let signs_for_it = args.sign_with.is_some() && args.enclave.is_none();
    // With --seal-key alone, the result itself proves the enclave.
    let proves_it = args.believe.is_given() && (args.receipt.is_some() || args.seal_key.is_none());
    let mut document = None;
    if signs_for_it || proves_it || args.document.is_some() {
        document = Some(attest(&mut client, &args.believe.verifier()?).await?);
    }
    let started = Instant::now();
    let summary = run_job(&mut client, &job, &reader, input, &mut sink).await;
    let summary = summary.map_err(|error| sink.failed(error))?;
    if let Some(path) = &args.receipt {
        let receipt = summary.receipt.as_ref().ok_or(ReceiptRefused::Missing);
        files::write_whole(path, receipt.map_err(ClientError::from)?)?;
    }
    if let Some((path, document)) = args.document.as_ref().zip(document) {
        files::write_whole(path, &document)?;
    }
    sink.commit().await?;
    let beside_result = files::is_standard(&args.output);
    show(&args.job, &summary, started.elapsed(), beside_result, output)
}

/// Attests the enclave as [`Client::attest`] does, and gives the document itself.
async fn attest(client: &mut Client, verifier: &Verifier) -> Result<Vec<u8>, CliError> {
    let nonce = fresh_nonce()?;
    let document = client.attest_unverified(&nonce).await?;
    client.believe(&verifier.verify(&document, &nonce, now())?);
    Ok(document)
}

fn show(
    job: &str,
    summary: &Summary,
    elapsed: Duration,
    beside_result: bool,
    output: &Output,
) -> Result<(), CliError> {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let protect = protect_text(summary.protect);
    let value = json!({
        "request": summary.request.to_string(),
        "request_sha256": hex::encode(summary.request_sha256),
        "protect": protect,
        "bytes_in": summary.sent,
        "bytes_out": summary.received,
        "records": summary.records,
        "dropped": summary.dropped,
        "inputs_sha256": summary.inputs_sha256.iter().map(hex::encode).collect::<Vec<_>>(),
        "result_sha256": summary.result_sha256.map(hex::encode),
        "receipt_verified": summary.proof.is_some(),
        "millis": millis,
    });
    let records = match summary.records {
        Some(1) => ", 1 record".to_owned(),
        Some(records) => format!(", {records} records"),
        None => String::new(),
    };
    let dropped = match summary.dropped {
        None | Some(0) => String::new(),
        Some(dropped) => format!(", {dropped} malformed left out"),
    };
    let receipt = match (&summary.proof, &summary.receipt) {
        (Some(_), _) => ", receipt verified",
        (None, Some(_)) => ", receipt not verified",
        (None, None) => "",
    };
    let text = format!(
        "{job}: {} in, {} out ({protect}){records}{dropped}, {millis} ms{receipt}\n\
         request {}",
        size(summary.sent),
        size(summary.received),
        summary.request,
    );
    output.note(beside_result, &value, &text)
}

/// SHA-256 of the first input, where the enclave is to take no other.
fn bound_input(args: &Args) -> Result<Option<[u8; 32]>, CliError> {
    let Some(first) = args.input.first() else { return Ok(None) };
    let vouched = args.sign_with.is_some() || args.seal_key.is_some() || args.seal_to.is_some();
    if files::is_standard(first) {
        let missing = "--bind-input reads the input twice: give it as a file";
        return if args.bind_input { Err(CliError::Usage(missing.to_owned())) } else { Ok(None) };
    }
    if !args.bind_input {
        let len = u64::try_from(INPUT_NAME_END).unwrap_or(u64::MAX);
        let named = input_name(&files::read_start(first, len)?);
        if !vouched || named.is_none_or(|name| name != UNNAMED) {
            return Ok(None);
        }
    }
    files::sha256(first).map(Some)
}

/// Opens the one input, or the two, and says how long they are together.
async fn inputs(
    paths: &[PathBuf],
    output: &Path,
) -> Result<(Inputs<'static>, Option<u64>), CliError> {
    match paths {
        [one] => {
            let (input, total) = files::open_input_beside(one, output).await?;
            Ok((input.into(), total))
        }
        [one, two] if files::is_standard(one) && files::is_standard(two) => {
            Err(CliError::Usage("standard input can be one --input, not both".to_owned()))
        }
        [one, two] => {
            let (first, first_total) = files::open_input_beside(one, output).await?;
            let (second, second_total) = files::open_input_beside(two, output).await?;
            let total = first_total.zip(second_total).map(|(one, two)| one.saturating_add(two));
            Ok((Inputs::two(first, second), total))
        }
        _ => Err(CliError::Usage("a job takes one --input or two".to_owned())),
    }
}

/// `CALLER:FILE`.
fn signer(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once(':') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), file.into()))
        }
        _ => Err("expected CALLER:FILE".to_owned()),
    }
}

fn caller((name, file): &(String, PathBuf), enclave: Option<&String>) -> Result<Caller, CliError> {
    let caller = Caller::new(name, keygen::read_caller(file)?);
    Ok(match enclave {
        Some(id) => caller.for_enclave(id),
        None => caller,
    })
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
    input: Inputs<'static>,
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
