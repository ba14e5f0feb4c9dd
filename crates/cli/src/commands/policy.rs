//! `policy`: KMS key policies, judged.

use crate::error::CliError;
use crate::output::Output;

/// What `policy` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, _: &Output) -> Result<(), CliError> {
    Ok(())
}
