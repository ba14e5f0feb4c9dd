//! `manifest`: manifests, explained in plain words.

mod explain;
mod warnings;
mod words;

use std::path::PathBuf;

use clap::Subcommand;
use strongroom::manifest::{Manifest, ManifestError};

use self::explain::{Explanation, JobExplained};
use self::warnings::Warning;
use crate::error::CliError;
use crate::files;
use crate::output::{Output, printable};

/// What `manifest` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say of each job what goes in, what is done, what comes out and who could learn what, and
    /// warn about what is seldom meant. Exits with 1 when the service would refuse the manifest
    Check(CheckArgs),
}

/// What `manifest check` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CheckArgs {
    /// The manifest, TOML; `-` is standard input
    #[arg(value_name = "FILE")]
    manifest: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let Command::Check(args) = &args.command;
    let bytes = files::read_small(&args.manifest, MAX_MANIFEST)?;
    let manifest = parse(&bytes).map_err(|error| CliError::Manifest {
        path: args.manifest.clone(),
        source: Box::new(error),
    })?;
    let explanation = Explanation::of(&manifest);
    output.answer(&explanation, &shown(&explanation, output))
}

fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::Value {
        place: "the file".to_owned(),
        problem: "is not UTF-8, which TOML is".to_owned(),
    })?;
    Manifest::parse(text)
}

fn shown(explanation: &Explanation, output: &Output) -> String {
    let mut text = format!("manifest     SHA-256 {}\n", explanation.sha256);
    text += &warnings_of(&explanation.warnings, output);
    for job in &explanation.jobs {
        text += &format!("\n{}\n{}", output.bold(&job.name), job_of(job, output));
    }
    let jobs = explanation.jobs.iter().map(|job| job.warnings.len());
    let count = jobs.sum::<usize>().saturating_add(explanation.warnings.len());
    text += &match count {
        0 => format!("\n{}\n", output.good("accepted, no warnings")),
        1 => "\naccepted, 1 warning\n".to_owned(),
        count => format!("\naccepted, {count} warnings\n"),
    };
    text
}

fn job_of(job: &JobExplained, output: &Output) -> String {
    let mut text = line("who may ask", &job.who_may_ask);
    for arg in &job.arguments {
        text += &line("argument", arg);
    }
    for input in &job.goes_in {
        text += &line("goes in", input);
    }
    text += &line("is done", &job.is_done);
    for detail in &job.details {
        text += &line("", detail);
    }
    text += &line("comes out", &job.comes_out);
    for learner in &job.who_learns {
        text += &line("who learns", &format!("{}: {}", learner.who, learner.what));
    }
    text + &warnings_of(&job.warnings, output)
}

fn line(name: &str, value: &str) -> String {
    format!("  {name:<12} {}\n", printable(value))
}

fn warnings_of(warnings: &[Warning], output: &Output) -> String {
    let mut text = String::new();
    for warning in warnings {
        text += &format!(
            "  {} {}\n    {}\n",
            output.bad(&format!("warning[{}]", warning.rule)),
            printable(&warning.what),
            output.dim(warning.instead)
        );
    }
    text
}

const EXAMPLE: &str = "Example:
  strongroomctl manifest check enclave.eif.toml";

/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;
