//! AWS credentials as the parent hands them in.
//!
//! They authorise calls and are billed to their owner; they keep nothing from
//! the parent, who has them. Another account's credentials cannot redirect a
//! job: the KMS key is the manifest's and KMS's answer must name it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, future};

/// The credentials in use. Clones share them.
#[derive(Clone, Default)]
pub struct CredentialStore(Arc<RwLock<Option<Credentials>>>);

/// Whether there are credentials to call KMS with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// None were handed in.
    Missing,
    /// They have expired.
    Expired,
    /// They can be used.
    Present,
}

impl CredentialStore {
    /// Takes over credentials; later calls use them.
    pub fn put(&self, handed_in: strongroom_wire::Credentials) {
        let expires =
            handed_in.expires_at.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        let credentials = Credentials::new(
            handed_in.access_key_id,
            handed_in.secret_access_key,
            handed_in.session_token,
            expires,
            "parent",
        );
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
    }

    /// Whether there are credentials that are good at `now`.
    #[must_use]
    pub fn state(&self, now: SystemTime) -> CredentialState {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            None => CredentialState::Missing,
            Some(credentials) if credentials.expiry().is_some_and(|at| at <= now) => {
                CredentialState::Expired
            }
            Some(_) => CredentialState::Present,
        }
    }

    fn current(&self) -> Provided {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        current
            .ok_or_else(|| CredentialsError::not_loaded("the parent has handed in no credentials"))
    }
}

impl std::fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialStore")
    }
}

impl ProvideCredentials for CredentialStore {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.current())
    }
}
