//! `image policy`.

use crate::error::CliError;
use crate::output::Output;

/// What `image policy` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args, _: &Output) -> Result<(), CliError> {
    Ok(())
}
