//! A simulated AWS KMS: a real HTTPS server that stock AWS SDKs use unchanged.
//!
//! ```text
//! server ─▶ service ─▶ sigv4 ─▶ operations ─▶ call: recipient, policy, blob, cms
//! ```
//! TLS, HTTP, JSON, signatures, policies and attestation are really checked.
//! What is not simulated (aliases, grants, tags, asymmetric and multi-Region
//! keys) is refused, never half done.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use strongroom_attestation::{RootError, TrustRoot};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::{Clock, SimError, lock, system_clock};
use key::Key;
use policy::{Policy, PolicyKind};
use service::Service;
use tls::EndpointTls;

mod amz_date;
mod audit;
mod blob;
mod call;
mod cms;
mod condition;
mod credentials;
mod error;
mod faults;
mod hostile;
mod key;
mod operations;
mod pattern;
mod policy;
mod principal;
mod recipient;
mod request;
mod server;
mod service;
mod sigv4;
mod tls;

pub use audit::{AuditRecord, MAX_RECORDS};
pub use cms::CmsForm;
pub use credentials::SimCredentials;
pub use error::KmsError;
pub use faults::{Fault, Faults};
pub use hostile::{Hostile, Hostility};

/// Builds a [`SimKms`].
pub struct SimKmsBuilder {
    region: String,
    account: String,
    names: Vec<String>,
    clock: Clock,
    cms_form: CmsForm,
}

impl SimKmsBuilder {
    /// The account that [`SimKms::create_key`] makes keys in.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = account.into();
        self
    }

    /// The service's clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How `CiphertextForRecipient` is written.
    #[must_use]
    pub fn cms_form(mut self, form: CmsForm) -> Self {
        self.cms_form = form;
        self
    }

    /// The names in the server's certificate, instead of KMS's in the Region,
    /// `localhost` and `127.0.0.1`: for tests of the client's name check.
    #[must_use]
    pub fn server_names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|name| (*name).into()).collect();
        self
    }

    /// Makes the certificates and serves on `addr` (port 0: any free one), on
    /// the caller's tokio runtime, until the handle is dropped.
    ///
    /// # Errors
    /// [`SimError`] when a certificate cannot be made or `addr` not bound.
    pub async fn start(self, addr: SocketAddr) -> Result<SimKms, SimError> {
        let tls = EndpointTls::new(&self.names)?;
        let listener = TcpListener::bind(addr).await.map_err(SimError::Listen)?;
        let addr = listener.local_addr().map_err(SimError::Listen)?;
        let service = Arc::new(Service {
            region: self.region,
            clock: self.clock,
            keys: Mutex::default(),
            credentials: Mutex::default(),
            roots: Mutex::default(),
            cms_form: Mutex::new(self.cms_form),
            audit: Mutex::default(),
            faults: Faults::default(),
            hostile: Hostile::default(),
        });
        let acceptor = TlsAcceptor::from(tls.config.clone());
        let task = tokio::spawn(server::serve(listener, acceptor, service.clone()));
        Ok(SimKms { addr, account: self.account, tls, service, task })
    }
}

/// A running simulated KMS. Dropping it stops it and ends its connections.
pub struct SimKms {
    addr: SocketAddr,
    account: String,
    tls: EndpointTls,
    service: Arc<Service>,
    task: JoinHandle<()>,
}

impl SimKms {
    /// A builder for a KMS of this Region, with keys in account 111122223333.
    #[must_use]
    pub fn builder(region: &str) -> SimKmsBuilder {
        SimKmsBuilder {
            region: region.into(),
            account: "111122223333".into(),
            names: vec![
                format!("kms.{region}.amazonaws.com"),
                "localhost".into(),
                "127.0.0.1".into(),
            ],
            clock: system_clock(),
            cms_form: CmsForm::default(),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL for SDKs (`endpoint_url`), `https://localhost:<port>`.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    /// The authority that its server certificate is under, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.tls.ca_pem
    }

    /// The authority that its server certificate is under, DER.
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        &self.tls.ca_der
    }

    /// Makes a KMS key and returns its ARN. Without a policy it gets AWS's
    /// default one, which leaves everything to the account's identity policies.
    ///
    /// # Errors
    /// [`SimError::Policy`] when the policy is malformed.
    pub fn create_key(&self, policy: Option<&str>) -> Result<String, SimError> {
        self.create_key_in(&self.account, policy)
    }

    /// As [`SimKms::create_key`], in another account.
    ///
    /// # Errors
    /// [`SimError::Policy`] when the policy is malformed.
    pub fn create_key_in(&self, account: &str, policy: Option<&str>) -> Result<String, SimError> {
        let default = Policy::default_for(account);
        let policy =
            Policy::parse(policy.unwrap_or(&default), PolicyKind::Key).map_err(SimError::Policy)?;
        let key = Key::new(&self.service.region, account, policy, (self.service.clock)());
        let arn = key.arn.clone();
        lock(&self.service.keys).insert(key);
        Ok(arn)
    }

    /// Replaces a key's policy, without the lockout check of the API.
    ///
    /// # Errors
    /// [`SimError::Policy`] when it is malformed, [`SimError::UnknownKey`].
    pub fn put_key_policy(&self, key_arn: &str, policy: &str) -> Result<(), SimError> {
        let policy = Policy::parse(policy, PolicyKind::Key).map_err(SimError::Policy)?;
        self.with_key(key_arn, |key| key.policy = policy)
    }

    /// Encrypts under a key without asking its policy: what whoever made it could
    /// have done before there was one.
    ///
    /// # Errors
    /// [`SimError::UnknownKey`].
    pub fn wrap(
        &self,
        key_arn: &str,
        context: &BTreeMap<String, String>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SimError> {
        let mut wrapped = Vec::new();
        self.with_key(key_arn, |key| wrapped = blob::seal(key, context, plaintext))?;
        Ok(wrapped)
    }

    /// Enables or disables a key.
    ///
    /// # Errors
    /// [`SimError::UnknownKey`].
    pub fn set_key_enabled(&self, key_arn: &str, enabled: bool) -> Result<(), SimError> {
        self.with_key(key_arn, |key| key.enabled = enabled)
    }

    /// Registers credentials; the same access key id again replaces them.
    ///
    /// # Errors
    /// [`SimError::Policy`] when the principal or its policy is malformed.
    pub fn add_credentials(&self, credentials: SimCredentials) -> Result<(), SimError> {
        lock(&self.service.credentials).add(credentials)
    }

    /// Forgets credentials.
    pub fn remove_credentials(&self, access_key_id: &str) {
        lock(&self.service.credentials).remove(access_key_id);
    }

    /// Accepts attestation documents under this root (DER) too.
    ///
    /// # Errors
    /// [`RootError`] when it is no root certificate.
    pub fn trust_nsm_root(&self, der: &[u8]) -> Result<(), RootError> {
        lock(&self.service.roots).push(TrustRoot::from_der(der)?);
        Ok(())
    }

    /// Changes how `CiphertextForRecipient` is written from now on.
    pub fn set_cms_form(&self, form: CmsForm) {
        *lock(&self.service.cms_form) = form;
    }

    /// Faults to inject, and counters.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.service.faults.clone()
    }

    /// Lies to tell, for attack tests.
    #[must_use]
    pub fn hostile(&self) -> Hostile {
        self.service.hostile.clone()
    }

    /// The last [`MAX_RECORDS`] requests, oldest first.
    #[must_use]
    pub fn audit_log(&self) -> Vec<AuditRecord> {
        lock(&self.service.audit).records()
    }

    /// Stops it: the listener is closed and all connections end. Returns once
    /// that is done.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // Aborted is the only way this task ends.
        let _ = (&mut self.task).await;
    }

    fn with_key(&self, arn: &str, change: impl FnOnce(&mut Key)) -> Result<(), SimError> {
        let mut keys = lock(&self.service.keys);
        let key = keys.by_arn_mut(arn).ok_or_else(|| SimError::UnknownKey(arn.into()))?;
        change(key);
        Ok(())
    }
}

impl Drop for SimKms {
    fn drop(&mut self) {
        self.task.abort();
    }
}
