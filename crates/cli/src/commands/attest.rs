//! `attest`: has a running service prove itself, or fetches its document.

use std::path::PathBuf;

use aws_lc_rs::rand;
use serde_json::json;

use crate::args::ServiceArgs;
use crate::command_line::CommandLine;
use crate::commands::verify;
use crate::demands::{Inspect, NonceArg};
use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::service;

/// What `attest` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    service: ServiceArgs,

    #[command(flatten)]
    nonce: NonceArg,

    #[command(flatten)]
    inspect: Inspect,

    /// Save the raw document here and do not judge it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let nonce = match args.nonce.bytes() {
        Some(nonce) => nonce,
        None => fresh_nonce()?,
    };
    let mut client = service::connect(&args.service.address).await?;
    let document = client.attest_unverified(&nonce).await?;
    if let Some(path) = &args.output {
        files::write_whole(path, &document)?;
        let nonce = hex::encode(nonce);
        let file = path.display().to_string();
        let verify = CommandLine::new("strongroomctl verify").option("--document", &file);
        let verify = args.inspect.add_to(verify.option("--nonce", &nonce));
        let text = format!("saved, not verified: {file}\n{}", verify.broken());
        let value = json!({ "document": path, "nonce": nonce, "bytes": document.len() });
        return output.answer(&value, &text);
    }
    let names_image = args.inspect.names_image();
    let policy = args.inspect.policy(Some(nonce));
    let time = args.inspect.time();
    let root = args.inspect.root()?;
    let verified = strongroom_attestation::verify(&document, &root, time, &policy)?;
    verify::show(&verified, names_image, output)
}

/// Bytes that nobody has seen before.
pub(crate) fn fresh_nonce() -> Result<Vec<u8>, CliError> {
    let mut nonce = vec![0; 32];
    rand::fill(&mut nonce).map_err(|_| CliError::Internal("the system gives no random bytes"))?;
    Ok(nonce)
}
