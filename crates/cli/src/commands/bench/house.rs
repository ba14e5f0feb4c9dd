//! What is measured and what it is measured with, for one run of the bench.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strongroom_client::Address;
use tempfile::TempDir;

use super::body::Keys;
use super::child::Child;
use super::stand::Kind;
use crate::error::CliError;

/// The service, the echo, and a data key for messages to the service.
pub(super) struct House {
    pub(super) service: Child,
    pub(super) echo: Child,
    pub(super) keys: Arc<Keys>,
    _folder: TempDir,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Bytes of plaintext in a large request.
    pub(super) size: u64,
    /// How often the service and the echo take turns.
    pub(super) runs: usize,
    /// How long one measurement of small requests takes.
    pub(super) time: Duration,
    /// Bytes in a DATA frame, and in a write.
    pub(super) write: usize,
    /// Most connections.
    pub(super) connections: usize,
}

impl House {
    /// Starts both, on the same kind of socket and with the same number of threads.
    pub(super) async fn build(tcp: bool, workers: Option<usize>) -> Result<Self, CliError> {
        let folder = tempfile::tempdir()
            .map_err(|error| CliError::file("create", Path::new("a temporary folder"), error))?;
        let at = |name: &str| match tcp {
            true => Address::Tcp(crate::stage::local(0)),
            false => Address::Unix(folder.path().join(name)),
        };
        let service = Child::start(Kind::Service, at("service"), workers).await?;
        let echo = Child::start(Kind::Echo, at("echo"), workers).await?;
        let kms = service.hello.kms.as_ref();
        let keys = Keys::get(kms.ok_or(CliError::Internal("the service has no KMS"))?).await?;
        Ok(Self { service, echo, keys: Arc::new(keys), _folder: folder })
    }
}

/// Allows as many open files as the system does; gives how many connections
/// that makes: this process has one to the service and one to the echo for each.
pub(super) fn raise_descriptors() -> usize {
    let hard = getrlimit(Resource::Nofile).maximum;
    // As it was, if that is not allowed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap_or(usize::MAX).saturating_sub(RESERVED) / 2
}

/// Descriptors for all else.
const RESERVED: usize = 100;
