//! Who asks: requests that are signed for one enclave.
//!
//! Called by [`crate::Client`] when a job names a [`Caller`]. What is signed, and
//! why, stands in [`strongroom_envelope::caller`].

use std::fmt;
use std::sync::Arc;

use serde_bytes::ByteBuf;
use strongroom_envelope::caller::{CallerSecret, NONCE_LEN, message};
use strongroom_wire::{Payload as _, RequestId, Run, Signed};

use crate::error::Error;
use crate::verifier::{now, random};

/// A caller that the manifest names, with its key.
#[derive(Clone)]
pub struct Caller {
    name: String,
    secret: Arc<CallerSecret>,
    enclave: Option<String>,
}

impl Caller {
    /// The caller `name` of the manifest, whose public key belongs to `secret`.
    ///
    /// Its requests are signed for the enclave that the client has attested last
    /// ([`crate::Client::attest`]); a request for another enclave, or for this one
    /// after a restart, needs another signature.
    pub fn new(name: impl Into<String>, secret: CallerSecret) -> Self {
        Self { name: name.into(), secret: Arc::new(secret), enclave: None }
    }

    /// Signs for the enclave of this id (`i-…-enc…`), whether or not the client
    /// has attested it. Take the id from an attestation document that was
    /// verified: the parent's word for it may be another enclave's, and the
    /// request would then run there.
    #[must_use]
    pub fn for_enclave(mut self, id: impl Into<String>) -> Self {
        self.enclave = Some(id.into());
        self
    }

    /// Signs `run` for the request `id`, for the enclave that this caller names,
    /// or else for `attested`.
    pub(crate) fn sign(
        &self,
        run: &Run,
        id: RequestId,
        attested: Option<&str>,
    ) -> Result<Signed, Error> {
        let enclave = self.enclave.as_deref().or(attested).ok_or(Error::EnclaveUnknown)?;
        let run = run.encode().map_err(Error::Request)?;
        let nonce = random::<NONCE_LEN>()?;
        let time_ms = now().as_millis();
        let message = message(enclave, &id.0, &run, &nonce, time_ms);
        let signature = self.secret.sign(&message).map_err(Error::Signing)?;
        Ok(Signed {
            run: ByteBuf::from(run),
            caller: self.name.clone(),
            nonce: ByteBuf::from(nonce),
            time_ms,
            signature: ByteBuf::from(signature),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The name says who; two secrets are not compared.
impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.enclave == other.enclave
            && Arc::ptr_eq(&self.secret, &other.secret)
    }
}

impl Eq for Caller {}
