//! `strongroomctl`: everything on the parent's side of a strongroom enclave.
//!
//! ```text
//! main ─▶ args ─▶ commands ─▶ service · demands · producer · stage ─▶ error · files · output
//! ```
//! Answers go to standard output, everything else to standard error. Exit codes:
//! 0 done, 1 refused or failed, 2 used wrongly, 130 interrupted. Nothing here
//! prints a secret.
#![forbid(unsafe_code)]

mod args;
mod command_line;
mod commands;
mod demands;
mod environment;
mod error;
mod files;
mod hint;
mod output;
mod policy;
mod producer;
mod progress;
mod service;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::args::{Cli, Command};
use crate::error::CliError;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error),
    };
    let output = Output::new(cli.json);
    match run(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, output: Output) -> Result<(), CliError> {
    let runtime = Runtime::new().map_err(|_| CliError::Internal("no threads can be started"))?;
    let done = runtime.block_on(run_until_told(command, output));
    // Does not wait for a read of standard input that nobody needs any more.
    runtime.shutdown_background();
    done
}

/// Runs a command to its end, or until Ctrl-C or whoever supervises ends it:
/// dropped, it removes what it had begun.
async fn run_until_told(command: Command, output: Output) -> Result<(), CliError> {
    let unheard = |_| CliError::Internal("signals cannot be waited for");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let endless = matches!(command, Command::Dev(_) | Command::Emulate(_));
    // A task of its own: one that blocks does not keep signals from being heard.
    let mut task = tokio::spawn(async move { commands::run(command, &output).await });
    tokio::select! {
        done = &mut task => {
            return done.unwrap_or(Err(CliError::Internal("the command panicked")));
        }
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    task.abort();
    match timeout(PATIENCE, task).await {
        // It was done before it heard of it.
        Ok(Ok(done)) => done,
        _ if endless => Ok(()),
        _ => Err(CliError::Interrupted),
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

/// How long an interrupted command may take to clean up.
const PATIENCE: Duration = Duration::from_secs(2);
