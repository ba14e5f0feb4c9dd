//! Callers: who signed a request, where somebody did.
//!
//! A signature is checked before its nonce is remembered, so that nobody can
//! fill a caller's room but the caller. Remembers for as long as a signed
//! request is accepted at all, and for this boot: a signature names the enclave
//! it is for, and every boot is another one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_envelope::caller::{self, CallerKey, DEFAULT_WINDOW_MS, Replay, ReplayError};
use strongroom_wire::{Payload, RequestId, Run, Signed};

use crate::connection::ConnectionError;
use crate::manifest::{CallerSpec, Manifest};

/// The callers of a manifest.
pub struct Callers {
    keys: BTreeMap<String, CallerKey>,
    enclave: String,
    replay: Mutex<Replay>,
}

/// Why a signed request is refused. The caller's fault, or that of whoever
/// stands between it and the enclave.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// No such caller, or not its signature.
    #[error("the request is not signed by a caller that the manifest names, for this enclave")]
    Signature,
    /// Its time or nonce.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// What is signed is no run of a job.
    #[error(transparent)]
    Run(#[from] ConnectionError),
}

impl Callers {
    /// Those of a manifest, who sign for the enclave of this id.
    ///
    /// # Errors
    /// The name of one whose public key is no point of its curve.
    pub fn new(manifest: &Manifest, enclave: &str) -> Result<Self, String> {
        let key = |(name, spec): (&String, &CallerSpec)| {
            let key = match spec {
                CallerSpec::Ed25519(key) => CallerKey::ed25519(key),
                CallerSpec::P256(point) => CallerKey::p256(point),
            };
            key.map(|key| (name.clone(), key)).map_err(|_| name.clone())
        };
        let keys = manifest.callers.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            enclave: enclave.to_owned(),
            replay: Mutex::new(Replay::new(DEFAULT_WINDOW_MS, REMEMBERED)),
        })
    }

    /// What a signed request asks for, and who signed it.
    ///
    /// # Errors
    /// [`CallerError`].
    pub fn check(&self, id: &RequestId, signed: &Signed) -> Result<(Run, String), CallerError> {
        let key = self.keys.get(&signed.caller).ok_or(CallerError::Signature)?;
        let nonce = signed.nonce.as_slice().try_into().map_err(|_| CallerError::Signature)?;
        let message = caller::message(&self.enclave, &id.0, &signed.run, nonce, signed.time_ms);
        key.verify(&message, &signed.signature).map_err(|_| CallerError::Signature)?;
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        replay.accept(&signed.caller, nonce, signed.time_ms, now_ms())?;
        drop(replay);
        let run = Run::decode(&signed.run).map_err(ConnectionError::from)?;
        Ok((run, signed.caller.clone()))
    }
}

/// Signed requests remembered of each caller, until they are too old to be
/// accepted: 100 a second over the whole window, in some MiB.
const REMEMBERED: usize = 60_000;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
