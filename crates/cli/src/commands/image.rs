//! `image`: enclave images, without Docker and without nitro-cli.

mod build;
mod contents;
mod describe;
mod policy;

use clap::Subcommand;
use serde_json::{Map, Value};
use strongroom_eif::Measurements;

use crate::error::CliError;
use crate::output::Output;

/// What `image` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an enclave image from a static binary, a manifest and a kernel
    Build(Box<build::Args>),
    /// Print the PCRs, sizes and contents of an image, whoever built it
    Describe(describe::Args),
    /// Print the KMS key policy that lets these images, and nobody else, decrypt
    Policy(Box<policy::Args>),
}

pub(crate) fn run(args: Args, output: &Output) -> Result<(), CliError> {
    match args.command {
        Command::Build(args) => build::run(&args, output),
        Command::Describe(args) => describe::run(&args, output),
        Command::Policy(args) => policy::run(*args, output),
    }
}

/// PCRs as nitro-cli prints them.
fn measurements(measured: &Measurements) -> Value {
    let mut members = Map::new();
    members.insert("HashAlgorithm".to_owned(), "Sha384 { ... }".into());
    for (index, pcr) in measured.by_index() {
        members.insert(format!("PCR{index}"), hex::encode(pcr).into());
    }
    Value::Object(members)
}

/// PCRs, a line each, with what they cover.
fn measurement_lines(measured: &Measurements) -> String {
    let lines = measured.by_index().map(|(index, pcr)| {
        let covers = match index {
            0 => "the whole image",
            1 => "kernel, command line, first ramdisk",
            2 => "the other ramdisks",
            _ => "the signing certificate",
        };
        format!("PCR{index}   {}   {covers}\n", hex::encode(pcr))
    });
    lines.collect()
}

/// Longest image that is read, in bytes.
const MAX_IMAGE: u64 = 4 << 30;
