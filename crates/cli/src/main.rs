//! `strongroomctl`: everything on the parent's side of a strongroom enclave.
//!
//! ```text
//! main ─▶ args ─▶ commands ─▶ service · demands · producer · stage ─▶ error · files · output
//! ```
//! Answers go to standard output, everything else to standard error. Exit codes:
//! 0 done, 1 refused or failed, 2 used wrongly. Nothing here prints a secret.

mod args;
mod commands;
mod demands;
mod environment;
mod error;
mod files;
mod hint;
mod output;
mod producer;
mod progress;
mod service;
mod stage;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error),
    };
    let output = Output::new(cli.json);
    match commands::run(cli.command, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Help and version are no errors to clap's caller; all else is wrong usage.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    let wrong = !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if wrong && wants_json {
        Output::new(true).usage(&error.render().to_string());
    } else {
        // Nobody is left to be told when this cannot be written.
        let _ = error.print();
    }
    if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
