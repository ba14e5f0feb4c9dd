//! Connecting to a service, and running jobs on it with a progress bar.

use std::sync::Arc;
use std::time::Duration;

use strongroom_client::{Address, Client, Options};

use crate::error::CliError;
use crate::progress::Meter;

/// Connects for short calls.
pub(crate) async fn connect(address: &Address) -> Result<Client, CliError> {
    Ok(Client::connect(address).await?)
}

/// Connects for a job over `total` bytes, if that is known, with a progress bar.
pub(crate) async fn connect_for_job(
    address: &Address,
    deadline: Duration,
    total: Option<u64>,
) -> Result<Client, CliError> {
    let options = Options { deadline, ..Options::default() };
    let mut client = Client::connect_with(address, options).await?;
    let meter = Arc::new(Meter::new(total));
    client.on_progress(move |progress| meter.at(progress.sent));
    Ok(client)
}
