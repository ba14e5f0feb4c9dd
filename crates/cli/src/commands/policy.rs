//! `policy`: KMS key policies, judged.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::error::CliError;
use crate::files;
use crate::output::{Output, printable};
use crate::policy::lint::lint;
use crate::policy::{Finding, Severity};

/// What `policy` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find the well-known holes of a KMS key policy that is to let enclaves decrypt. Exits with 1
    /// when there is an error or a warning; notes are for information
    Lint(LintArgs),
}

/// What `policy lint` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct LintArgs {
    /// The key policy, JSON, as `aws kms get-key-policy` prints it; `-` is standard input
    #[arg(value_name = "FILE")]
    policy: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let Command::Lint(args) = &args.command;
    let text = files::read_small(&args.policy, MAX_POLICY)?;
    let findings = lint(&text).map_err(|error| {
        CliError::Policy(format!("{} is no key policy: {error}", args.policy.display()))
    })?;
    let shown = json!({ "findings": findings });
    output.answer(&shown, &text_of(&findings, output))?;
    let count = findings.iter().filter(|finding| finding.severity > Severity::Note).count();
    match count {
        0 => Ok(()),
        count => Err(CliError::PolicyHoles(count)),
    }
}

fn text_of(findings: &[Finding], output: &Output) -> String {
    if findings.is_empty() {
        return "no known hole".to_owned();
    }
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => output.bad("error"),
            other => output.bold(other.as_str()),
        };
        text += &format!(
            "{severity}[{}] {}\n  {}\n  {}\n",
            finding.rule,
            printable(&finding.statement),
            finding.attack,
            output.dim(finding.instead),
        );
    }
    text
}

const EXAMPLE: &str = "Example:
  aws kms get-key-policy --key-id KEY --policy-name default | strongroomctl policy lint -";

/// Longest key policy, in bytes; KMS takes 32 KiB.
const MAX_POLICY: u64 = 256 << 10;
