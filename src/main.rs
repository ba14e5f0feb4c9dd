//! The enclave's binary: composes the real parts and serves.
//!
//! The vsock listener, `/dev/nsm`, KMS through the parent's proxy with Amazon's
//! roots, and the manifest that is baked into the image. Nothing is taken from
//! the environment or the command line: the PCRs say all there is to say.

use std::process::ExitCode;
use std::sync::Arc;

use strongroom::keys::road::Road;
use strongroom::keys::roots;
use strongroom::manifest::{Manifest, ManifestError};
use strongroom::nsm::Device;
use strongroom::server::{self, BootError, Service};
use strongroom::telemetry;
use strongroom::transport::{Endpoint, Listener};
use strongroom_attestation::nsm::NsmError;
use tracing::level_filters::LevelFilter;

/// Why the enclave does not come up: one clear line, and it ends.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the manifest {MANIFEST} cannot be read: {0}")]
    ReadManifest(std::io::Error),
    #[error("the manifest {MANIFEST} is refused: {0}")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Nsm(#[from] NsmError),
    #[error("the roots for KMS cannot be loaded: {0}")]
    Roots(#[from] rustls::Error),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("cannot listen on vsock port {port}: {error}")]
    Listen { port: u32, error: std::io::Error },
}

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::init(LevelFilter::INFO);
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the service does not start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), StartError> {
    let text = std::fs::read_to_string(MANIFEST).map_err(StartError::ReadManifest)?;
    let manifest = Manifest::parse(&text)?;
    let nsm = Arc::new(Device::open()?);
    let proxy = Endpoint::Vsock { cid: manifest.kms.proxy_cid, port: manifest.kms.proxy_port };
    let road = Road::new(proxy, roots::amazon()?);
    let port = manifest.vsock_port;
    let service = Service::boot(manifest, nsm, road).await?;
    let listener = Listener::vsock(port).map_err(|error| StartError::Listen { port, error })?;
    tracing::info!(port, enclave = service.module_id(), "serving");
    server::serve(service, listener, std::future::pending()).await;
    Ok(())
}

/// Where the image keeps the manifest.
const MANIFEST: &str = "/enclave.eif.toml";
