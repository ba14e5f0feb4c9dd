//! The command line, as clap reads it. What each command takes stands with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use strongroom_client::Address;

use crate::commands::{
    attest, bench, call, credentials, demo, dev, emulate, encrypt, image, keygen, manifest, open,
    policy, status, verify, verify_receipt,
};
use crate::error::CliError;

/// Tools for whoever runs, calls or trusts a strongroom enclave.
#[derive(Debug, Parser)]
#[command(name = "strongroomctl", version, about, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print one JSON document on standard output, errors included; a success is told on standard
    /// error if the result goes to standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job end to end on this machine, with proof of what the parent sees
    Demo(demo::Args),
    /// Run a simulated Nitro and the service until Ctrl-C, to develop against
    Dev(dev::Args),
    /// Verify an attestation document that is in a file
    Verify(verify::Args),
    /// Verify a receipt: that the enclave made this result from this input, by this job
    VerifyReceipt(verify_receipt::Args),
    /// Ask a running service for an attestation document and verify it
    Attest(attest::Args),
    /// Ask a running service how it is
    Status(status::Args),
    /// Hand AWS credentials to a running service
    Credentials(credentials::Args),
    /// Run a job over a file
    Call(call::Args),
    /// Encrypt a file under a KMS key, as a producer does
    Encrypt(encrypt::Args),
    /// Make a key pair to have results sealed to, or a key to sign requests with
    Keygen(keygen::Args),
    /// Open a stored sealed result
    Open(open::Args),
    /// Build and describe enclave images, and print the key policies that name them
    Image(image::Args),
    /// Explain a manifest in plain words
    Manifest(manifest::Args),
    /// Look for holes in a KMS key policy
    Policy(policy::Args),
    /// Boot an enclave image in an emulated Nitro machine until Ctrl-C
    Emulate(emulate::Args),
    /// Measure the service against a raw echo over the same kind of socket
    Bench(bench::Args),
}

/// Where the service is.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Address of the service: vsock:CID:PORT, unix:PATH, tcp:IP:PORT, or
    /// vm:SOCKET:PORT of an emulated enclave
    #[arg(long = "to", value_name = "ADDRESS")]
    pub(crate) address: Address,
}

/// Where data comes from and goes to.
#[derive(Clone, Debug, Args)]
pub(crate) struct FileArgs {
    /// Input; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,

    /// Output; `-` is standard output, which may have received a part when the
    /// command fails. A file appears only when it is whole, and replaces one that is there
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}

/// `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// The arguments of a job, each named once.
pub(crate) fn arguments(
    pairs: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, CliError> {
    let mut arguments = BTreeMap::new();
    for (name, value) in pairs {
        if arguments.contains_key(&name) {
            return Err(CliError::Usage(format!("--arg {name} is given twice")));
        }
        arguments.insert(name, value);
    }
    Ok(arguments)
}

/// Bytes in hex.
pub(crate) fn hex_bytes(text: &str) -> Result<HexBytes, String> {
    hex::decode(text).map(HexBytes).map_err(|_| "expected hex digits, two for each byte".to_owned())
}

/// Bytes that were given in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HexBytes(pub(crate) Vec<u8>);

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 used wrongly, 130 interrupted";
