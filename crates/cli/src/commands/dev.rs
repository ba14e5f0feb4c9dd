//! `dev`: a simulated Nitro with the service in it, to develop against.
//!
//! Runs until Ctrl-C. What one needs to call it lies in a folder that only its
//! owner can read; simulated credentials are written there, not printed.

mod folder;
mod guide;
mod sample;

use std::path::PathBuf;

use strongroom_client::{Address, Client, RecipientPublicKey};
use tracing_subscriber::filter::LevelFilter;

use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::stage::{EXAMPLE_MANIFEST, Stage, wire_credentials};
use folder::Folder;
use guide::Guide;

/// What `dev` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the socket, certificates, keys and credentials: a new or empty one, or that of
    /// an earlier run
    #[arg(long, value_name = "DIR", default_value = "strongroom-dev")]
    dir: PathBuf,

    /// Manifest to run; its KMS keys and listed recipients are replaced by simulated ones.
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
    let owner = folder.owner_key()?;
    let stage = set(args, owner.public_key()).await?;
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

async fn set(args: &Args, owner: &RecipientPublicKey) -> Result<Stage, CliError> {
    let Some(path) = &args.manifest else {
        let source = PathBuf::from("enclave.eif.toml");
        return Stage::set(&source, EXAMPLE_MANIFEST, owner, args.kms_port).await;
    };
    let bytes = files::read_small(path, MAX_MANIFEST)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::Usage(format!("{} is not UTF-8", path.display())))?;
    Stage::set(path, &text, owner, args.kms_port).await
}

/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;
