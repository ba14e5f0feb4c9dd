//! What is measured: the service, or the echo, alone in a process of its own.
//!
//! [`serve`] is the whole of such a process: it listens, says where on standard
//! output, and ends with its standard input, so that it cannot outlive the
//! bench. The service's process also holds the simulated NSM and KMS.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use strongroom::keys::road::Road;
use strongroom::server::{self, Service};
use strongroom::transport::{Endpoint, Listener, Stream};
use strongroom_client::{Address, Client, Credentials, RecipientSecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use crate::error::CliError;
use crate::stage::{Stage, wire_credentials};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Service,
    Echo,
}

/// What such a process says when it listens.
#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    /// In the text form of an [`Address`].
    pub(super) address: String,
    pub(super) kms: Option<Kms>,
}

/// The simulated KMS, for whoever makes messages. Its credentials are worth
/// nothing outside this process.
#[derive(Serialize, Deserialize)]
pub(super) struct Kms {
    pub(super) url: String,
    pub(super) address: std::net::SocketAddr,
    /// DER of the authority that its certificate is from.
    pub(super) authority: Vec<u8>,
    pub(super) region: String,
    /// KMS key of the inputs.
    pub(super) key: String,
    pub(super) producer: Credentials,
}

pub(super) async fn serve(kind: Kind, at: &Address) -> Result<(), CliError> {
    let (listener, address) = listen(at).await?;
    let kms = match kind {
        Kind::Service => Some(service(listener, &address).await?),
        Kind::Echo => {
            tokio::spawn(echo(listener));
            None
        }
    };
    let hello = Hello { address: address.to_string(), kms };
    let hello = serde_json::to_string(&hello).map_err(std::io::Error::from);
    let said = hello.and_then(|hello| writeln!(std::io::stdout().lock(), "{hello}"));
    said.map_err(CliError::Stdout)?;
    // Ends when whoever started it does.
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    Ok(())
}

async fn listen(at: &Address) -> Result<(Listener, Address), CliError> {
    let failed = |error| CliError::file("listen on", Path::new(&at.to_string()), error);
    match at {
        Address::Unix(path) => {
            Ok((Listener::Unix(UnixListener::bind(path).map_err(failed)?), at.clone()))
        }
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            Ok((Listener::Tcp(listener), Address::Tcp(address)))
        }
        Address::Vsock { .. } | Address::Vm { .. } => {
            Err(CliError::Usage("the bench listens on Unix sockets and TCP only".to_owned()))
        }
    }
}

async fn service(listener: Listener, address: &Address) -> Result<Kms, CliError> {
    let (_, owner) = RecipientSecretKey::generate()
        .map_err(|_| CliError::Internal("the system gives no random bytes"))?;
    let source = Path::new("bench.eif.toml");
    let stage = Stage::set(source, MANIFEST, &owner, &BTreeMap::new(), 0).await?;
    let (manifest, kms) = (stage.manifest()?, stage.kms_endpoint()?);
    let job = manifest.jobs.values().next();
    let input = job.and_then(|job| job.ciphertexts().next());
    let key = input.ok_or(CliError::Internal("the bench's manifest has no input"))?.key.to_string();
    let road = Road::new(Endpoint::Tcp(kms.address), kms.roots);
    let service = Service::boot(manifest, stage.nsm.clone(), road).await?;
    tokio::spawn(server::serve(service, listener, pending()));
    Client::connect(address).await?.put_credentials(wire_credentials(&stage.parent)).await?;
    let hello = Kms {
        url: stage.kms.endpoint_url(),
        address: stage.kms.addr(),
        authority: stage.kms.ca_der().to_vec(),
        region: stage.region.clone(),
        key,
        producer: wire_credentials(&stage.producer),
    };
    // It serves for as long as the process lives.
    tokio::spawn(async move {
        let _stage = stage;
        pending::<()>().await;
    });
    Ok(hello)
}

/// Sends back what comes: what sockets and tokio cost, and nothing else.
async fn echo(listener: Listener) {
    while let Ok((stream, _)) = listener.accept().await {
        match stream {
            Stream::Unix(stream) => drop(tokio::spawn(echo_all(stream))),
            Stream::Tcp(stream) => drop(tokio::spawn(echo_all(stream))),
            Stream::Vsock(_) => {}
        }
    }
}

async fn echo_all(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut buffer = vec![0; ECHO_BUFFER];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(buffer.get(..len).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

/// What the service does here.
const MANIFEST: &str = include_str!("bench.eif.toml");

/// Bytes that the echo reads at most at once.
const ECHO_BUFFER: usize = 256 << 10;
