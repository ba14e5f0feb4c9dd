//! `status`: how a running service says it is. Not authenticated.

use std::fmt::Write;

use serde_json::json;

use crate::args::ServiceArgs;
use crate::error::CliError;
use crate::output::{Output, printable};
use crate::service;

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    service: ServiceArgs,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let status = service::connect(&args.service.address).await?.status().await?;
    let mode = if status.debug { "debug" } else { "production" };
    let value = json!({
        "version": status.version,
        "module_id": status.module_id,
        "mode": mode,
        "credentials": status.credentials,
        "jobs": status.jobs,
        "counters": status.counters,
    });
    let credentials = if status.credentials { "present" } else { "missing or expired" };
    let mut text = format!(
        "version      {}\nmodule       {}\nmode         {mode}\ncredentials  {credentials}\njobs         {}",
        printable(&status.version),
        printable(&status.module_id),
        printable(&status.jobs.join(", ")),
    );
    for (name, count) in &status.counters {
        let _ = write!(text, "\n{:<22} {count}", printable(name));
    }
    output.answer(&value, &text)
}
