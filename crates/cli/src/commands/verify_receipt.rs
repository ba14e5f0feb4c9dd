//! `verify-receipt`: what a stored receipt proves, in plain words.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use strongroom_attestation::{MAX_DOCUMENT_LEN, UnixTime};
use strongroom_client::{Checked, ExpectedReceipt, RequestId, verify_receipt};
use strongroom_envelope::receipt::MAX_RECEIPT_LEN;

use crate::args::{HexBytes, hex_bytes};
use crate::demands::{Believe, NonceArg, now};
use crate::environment;
use crate::error::CliError;
use crate::files;
use crate::output::{Output, printable};

/// What `verify-receipt` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receipt, as `call --receipt` saves it
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,

    /// Attestation document of the same boot of the enclave, as `attest --output` saves it
    #[arg(long, value_name = "FILE")]
    document: PathBuf,

    #[command(flatten)]
    nonce: NonceArg,

    #[command(flatten)]
    believe: Believe,

    /// Demand that the job ran over this file, as it was sent; twice for a job with two inputs
    #[arg(long, value_name = "FILE")]
    input: Vec<PathBuf>,

    /// Demand that this file is the result, as it left the enclave (a sealed one not opened)
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,

    /// Demand that this job ran
    #[arg(long, value_name = "NAME")]
    job: Option<String>,

    /// Demand the receipt for this request (32 hex digits)
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    request: Option<HexBytes>,

    /// Demand that the enclave's manifest is this file
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Demand that this caller signed the request
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,

    /// Verify the document as of this time instead of now: when you received it
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<u64>,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let verifier = args.believe.verifier()?;
    let receipt = files::read_small(&args.receipt, limit(MAX_RECEIPT_LEN))?;
    let document = files::read_small(&args.document, limit(MAX_DOCUMENT_LEN))?;
    let expected = expected(&args)?;
    let nonce = args.nonce.bytes();
    let time = args.at.map_or_else(now, UnixTime::from_secs);
    let checked =
        verify_receipt(&receipt, &document, &verifier, nonce.as_deref(), time, &expected)?;
    output.answer(&value(&checked, &args), &text(&checked, &args))
}

fn expected(args: &Args) -> Result<ExpectedReceipt, CliError> {
    let request = args.request.clone().map(|id| id.0.try_into().map(RequestId));
    let inputs: Vec<[u8; 32]> =
        args.input.iter().map(|path| files::sha256(path)).collect::<Result<_, _>>()?;
    Ok(ExpectedReceipt {
        request: request
            .transpose()
            .map_err(|_| CliError::Usage("--request takes 32 hex digits".to_owned()))?,
        request_sha256: None,
        job: args.job.clone(),
        manifest: args.manifest.as_deref().map(files::sha256).transpose()?,
        inputs: (!inputs.is_empty()).then_some(inputs),
        result: args.result.as_deref().map(files::sha256).transpose()?,
        caller: args.caller.clone().map(Some),
    })
}

fn value(checked: &Checked, args: &Args) -> serde_json::Value {
    let Checked { receipt, document } = checked;
    json!({
        "request": hex::encode(receipt.request_id),
        "request_sha256": hex::encode(receipt.request_digest),
        "job": receipt.job,
        "caller": receipt.caller,
        "manifest_sha256": hex::encode(receipt.manifest),
        "inputs_sha256": receipt.inputs.iter().map(hex::encode).collect::<Vec<_>>(),
        "result_sha256": hex::encode(receipt.result),
        "kms_keys": receipt.keys,
        "records": receipt.records,
        "dropped": receipt.dropped,
        "number": receipt.counter,
        "time_ms": receipt.time_ms,
        "module_id": document.module_id(),
        "mode": document.mode().as_str(),
        "pcr0": document.pcr(0).map(ToString::to_string),
        "compared": compared(args).map(|(name, _)| name).collect::<Vec<_>>(),
    })
}

fn text(Checked { receipt, document }: &Checked, args: &Args) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {}", printable(value));
    };
    line("verdict", "genuine");
    line("made by", &format!("{} ({})", document.module_id(), document.mode().as_str()));
    line("job", &receipt.job);
    line("request", &hex::encode(receipt.request_id));
    line("asked by", receipt.caller.as_deref().unwrap_or("nobody signed the request"));
    let time = environment::iso_8601(receipt.time_ms / 1000);
    let time = time.unwrap_or_else(|| format!("{} ms", receipt.time_ms));
    line("number", &format!("{} since the enclave started, at {time}", receipt.counter));
    for input in &receipt.inputs {
        line("input", &hex::encode(input));
    }
    line("result", &hex::encode(receipt.result));
    line("manifest", &hex::encode(receipt.manifest));
    for key in &receipt.keys {
        line("KMS key", key);
    }
    if let Some(records) = receipt.records {
        line("records", &records.to_string());
    }
    // Of numbers about groups the receipt has only this.
    if let Some(dropped) = receipt.dropped {
        line("dropped", &format!("{dropped} malformed records were left out"));
    }
    let _ = write!(text, "\n{}", proven(args));
    text
}

/// What was compared, and what was not.
fn proven(args: &Args) -> String {
    let list = |wanted: bool| -> Vec<&str> {
        compared_or_not(args)
            .filter(|(_, _, given)| *given == wanted)
            .map(|(_, text, _)| text)
            .collect()
    };
    let (yes, no) = (list(true), list(false));
    let yes = if yes.is_empty() { "nothing that you named".to_owned() } else { yes.join(", ") };
    let mut text = format!(
        "proven: an enclave that you believe signed all of the above. It is as you named it in: {yes}."
    );
    if !no.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nnot compared: {}. The parent chooses which receipt it hands over.",
            no.join(", ")
        );
    }
    text
}

fn compared(args: &Args) -> impl Iterator<Item = (&'static str, &'static str)> {
    compared_or_not(args).filter(|(_, _, given)| *given).map(|(name, text, _)| (name, text))
}

fn compared_or_not(args: &Args) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    [
        ("request", "the request (--request)", args.request.is_some()),
        ("job", "the job (--job)", args.job.is_some()),
        ("inputs", "the input (--input)", !args.input.is_empty()),
        ("result", "the result (--result)", args.result.is_some()),
        ("manifest", "the manifest (--manifest)", args.manifest.is_some()),
        ("caller", "the caller (--caller)", args.caller.is_some()),
    ]
    .into_iter()
}

fn limit(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
