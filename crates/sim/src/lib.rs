//! A simulated Nitro: the module and the KMS that a real enclave has around it.
//!
//! For tests and the demo only, and never part of the product. It makes its
//! COSE, CMS and certificates with libraries the service does not read them
//! with, so that a shared mistake cannot hide. Both certificate authorities
//! (the module's and the endpoint's) are made anew at every start; nothing it
//! signs is ever valid elsewhere.
#![forbid(unsafe_code)]

mod asn1;
mod clock;
pub mod kms;
pub mod nsm;
pub mod pki;

pub use clock::{Clock, system_clock};
pub use kms::{SimKms, SimKmsBuilder};
pub use nsm::{SimNsm, SimNsmBuilder};
pub use pki::NitroCa;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One module and one KMS that trusts it: a whole simulated Nitro.
pub struct SimNitro {
    /// The enclave's module.
    pub nsm: Arc<SimNsm>,
    /// The KMS, which accepts the module's documents.
    pub kms: SimKms,
}

impl SimNitro {
    /// Builds the module, starts the KMS on `addr`, and makes the KMS trust the
    /// module's root.
    ///
    /// # Errors
    /// [`SimError`] when a certificate cannot be made or `addr` cannot be bound.
    pub async fn start(
        nsm: SimNsmBuilder,
        kms: SimKmsBuilder,
        addr: SocketAddr,
    ) -> Result<Self, SimError> {
        let nsm = Arc::new(nsm.build()?);
        let kms = kms.start(addr).await?;
        kms.trust_nsm_root(&nsm.trust_root_der())?;
        Ok(Self { nsm, kms })
    }
}

/// Why the simulator could not do what its operator asked.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A certificate or key could not be made.
    #[error("a simulated certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS configuration was refused.
    #[error("the simulated KMS could not set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The module's root is not one.
    #[error(transparent)]
    Root(#[from] strongroom_attestation::RootError),
    /// The address could not be bound.
    #[error("the simulated KMS could not listen")]
    Listen(#[source] std::io::Error),
    /// A key or identity policy is not a policy document.
    #[error("malformed policy: {0}")]
    Policy(String),
    /// No KMS key has that ARN.
    #[error("no such KMS key: {0}")]
    UnknownKey(String),
}

/// A panic while holding one of the simulator's locks must not fail every later
/// test step with a poisoned lock; the data behind them has no invariants.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
