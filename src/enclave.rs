//! The enclave's process: composes the real parts, in the order that is safe.
//!
//! The vsock listener, `/dev/nsm`, KMS through the parent's proxy, and the
//! manifest that is baked into the image. As the image's `/init` this binary is
//! PID 1 as well ([`crate::init`]), which then runs it again as the service;
//! under nitro-cli's init it is the service from the start. Nothing serves
//! before randomness, clock and limits are sound and every privilege is gone.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::RootCertStore;
use strongroom_attestation::nsm::{Nsm, NsmError};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use crate::clock::{self, ClockError};
use crate::entropy::{self, EntropyError};
use crate::init;
use crate::init::last_words;
use crate::keys::road::Road;
use crate::manifest::{Manifest, ManifestError};
use crate::nsm::Device;
use crate::sandbox::{self, SandboxError};
use crate::server::{self, BootError, Service};
use crate::telemetry;
use crate::transport::{Endpoint, Listener};

/// Why the enclave does not come up: one clear line, and it ends.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the manifest {MANIFEST} cannot be read: {0}")]
    ReadManifest(std::io::Error),
    #[error("the manifest {MANIFEST} is refused: {0}")]
    Manifest(#[from] ManifestError),
    #[error("the Nitro Secure Module did not answer within {} s", NSM_TIMEOUT.as_secs())]
    NsmTimeout,
    #[error(
        "the Nitro Secure Module's PCRs were not there within {} s",
        BOOT_TIMEOUT.as_secs()
    )]
    BootTimeout,
    #[error(transparent)]
    Nsm(#[from] NsmError),
    #[error("the Nitro Secure Module is not as Nitro has it: {0}")]
    NsmOdd(&'static str),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("the roots for KMS cannot be loaded: {0}")]
    Roots(String),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the service's threads cannot be started: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("the service has stopped accepting connections")]
    Stopped,
    #[error("cannot listen on vsock port {port}: {error}")]
    Listen { port: u32, error: std::io::Error },
}

/// What the process is to do, and does not return from when it is PID 1.
///
/// `roots` are those that KMS's certificate is judged under: the one thing that
/// whoever composes decides.
pub fn main<E: std::fmt::Display>(roots: impl FnOnce() -> Result<RootCertStore, E>) -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next();
    if std::process::id() == 1 && name.is_some_and(|name| name == init::PATH) {
        init::run();
    }
    let under_init = args.next().is_some_and(|arg| arg == init::UNDER_INIT);
    telemetry::init(LevelFilter::INFO);
    let Err(error) = serve(roots);
    tracing::error!(%error, "the service does not start");
    let line = last_words::one_line(&error.to_string());
    if under_init {
        // Our init reads it there and tells the parent.
        let _ = writeln!(std::io::stdout(), "{line}");
    } else {
        last_words::tell_parent(&line);
    }
    ExitCode::FAILURE
}

/// Readies the process and serves for ever.
fn serve<E: std::fmt::Display>(
    roots: impl FnOnce() -> Result<RootCertStore, E>,
) -> Result<std::convert::Infallible, StartError> {
    let text = std::fs::read_to_string(MANIFEST).map_err(StartError::ReadManifest)?;
    let manifest = Manifest::parse(&text)?;
    let roots = roots().map_err(|error| StartError::Roots(error.to_string()))?;
    let nsm = Arc::new(Device::open()?);
    // Before the first key, and before the first use of the clock.
    in_time(&nsm, |nsm| {
        check_module(nsm)?;
        entropy::seed(nsm)?;
        Ok(clock::check(nsm)?)
    })?;
    sandbox::set_limits(manifest.limits.max_connections)?;
    // Threads inherit what their maker has, so before any is made.
    sandbox::drop_capabilities()?;
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)?;
    let ended = listen(&runtime, manifest, nsm, roots);
    // Dropped, it would wait for a thread that waits for the module.
    runtime.shutdown_background();
    ended
}

fn listen(
    runtime: &Runtime,
    manifest: Manifest,
    nsm: Arc<Device>,
    roots: RootCertStore,
) -> Result<std::convert::Infallible, StartError> {
    let proxy = Endpoint::Vsock { cid: manifest.kms.proxy_cid, port: manifest.kms.proxy_port };
    let port = manifest.vsock_port;
    runtime.block_on(async {
        let boot = Service::boot(manifest, nsm, Road::new(proxy, roots));
        let service = tokio::time::timeout(BOOT_TIMEOUT, boot)
            .await
            .map_err(|_| StartError::BootTimeout)??;
        let listener = Listener::vsock(port).map_err(|error| StartError::Listen { port, error })?;
        sandbox::confine()?;
        tracing::info!(port, enclave = service.module_id(), "serving");
        let serving = server::serve(Arc::clone(&service), listener, std::future::pending());
        tokio::select! {
            () = serving => Err(StartError::Stopped),
            error = service.failure() => Err(error.into()),
        }
    })
}

/// What the module of every Nitro enclave has.
fn check_module(nsm: &dyn Nsm) -> Result<(), StartError> {
    let described = nsm.describe()?;
    if described.max_pcrs != PCRS {
        return Err(StartError::NsmOdd("it does not have 32 PCRs"));
    }
    let locked = |index| described.locked_pcrs.contains(&index);
    if !(0..=15).all(locked) {
        return Err(StartError::NsmOdd("PCRs 0 to 15 are not all locked"));
    }
    Ok(())
}

/// Asks the module on a thread of its own: its driver waits for two minutes.
fn in_time<T: Send + 'static>(
    nsm: &Arc<Device>,
    ask: impl FnOnce(&dyn Nsm) -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    let (sender, receiver) = mpsc::channel();
    let nsm = Arc::clone(nsm);
    std::thread::Builder::new()
        .name("nsm".into())
        .spawn(move || {
            // Nobody listens any more when it comes too late.
            let _ = sender.send(ask(&*nsm));
        })
        .map_err(StartError::Runtime)?;
    receiver.recv_timeout(NSM_TIMEOUT).unwrap_or(Err(StartError::NsmTimeout))
}

/// Where the image keeps the manifest.
const MANIFEST: &str = "/enclave.eif.toml";

/// Longest wait for the module's answers at boot. Each takes about a millisecond.
const NSM_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the PCRs.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// PCRs of a Nitro Secure Module.
const PCRS: u16 = 32;
