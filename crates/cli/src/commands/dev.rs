//! `dev`: a simulated Nitro with the service in it, to develop against.
//!
//! Runs until Ctrl-C. What one needs to call it lies in a folder that only its
//! owner can read; simulated credentials are written there, not printed.

mod folder;
mod guide;
mod job;
mod sample;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strongroom_client::{Address, Client};
use tracing_subscriber::filter::LevelFilter;

use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::stage::{EXAMPLE_MANIFEST, Stage, parse, wire_credentials};
use folder::Folder;
use guide::Guide;

/// What `dev` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the socket, certificates, keys and credentials: a new or empty one, or that of
    /// an earlier run
    #[arg(long, value_name = "DIR", default_value = "strongroom-dev")]
    dir: PathBuf,

    /// Manifest to run; its KMS keys, listed recipients and callers' keys are replaced by new ones.
    /// Without it, the project's example
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// TCP port of the simulated KMS; any free one when 0
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    kms_port: u16,

    /// Log what the service does to standard error
    #[arg(long)]
    verbose: bool,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    if args.verbose {
        strongroom::telemetry::init(LevelFilter::DEBUG);
    }
    let folder = Folder::open(&args.dir)?;
    let stage = set(args, &folder).await?;
    let _served = stage.serve(&folder.socket(), stage.kms.addr()).await?;
    let address = Address::Unix(folder.socket());
    let mut client = Client::connect(&address).await?;
    client.put_credentials(wire_credentials(&stage.parent)).await?;
    folder.write(&stage)?;
    let guide = Guide::new(&stage, &folder)?;
    output.answer(&guide, &guide.text(output))?;
    // Ended from outside: what is dropped then ends the service and its socket.
    std::future::pending().await
}

async fn set(args: &Args, folder: &Folder) -> Result<Stage, CliError> {
    let (path, text) = match &args.manifest {
        None => (PathBuf::from("enclave.eif.toml"), EXAMPLE_MANIFEST.to_owned()),
        Some(path) => (path.clone(), read(path)?),
    };
    let callers = parse(&path, &text)?.callers;
    let callers = callers.into_keys().map(|name| Ok((name.clone(), folder.caller_key(&name)?)));
    let callers = callers.collect::<Result<BTreeMap<_, _>, CliError>>()?;
    let owner = folder.owner_key()?;
    Stage::set(&path, &text, owner.public_key(), &callers, args.kms_port).await
}

fn read(path: &Path) -> Result<String, CliError> {
    let bytes = files::read_small(path, MAX_MANIFEST)?;
    String::from_utf8(bytes)
        .map_err(|_| CliError::Usage(format!("{} is not UTF-8", path.display())))
}

/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;
