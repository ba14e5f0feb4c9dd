//! The credentials this KMS knows: AWS's IAM, as far as KMS sees it.

use std::collections::BTreeMap;

use super::policy::{Policy, PolicyKind};
use super::principal::Principal;
use crate::SimError;

/// Credentials to register, and then to give to a client.
#[derive(Clone)]
pub struct SimCredentials {
    /// `AKIA…` (a user's) or `ASIA…` (temporary), 20 characters.
    pub access_key_id: String,
    /// The key requests are signed with.
    pub secret_access_key: String,
    /// Required in every request when set.
    pub session_token: Option<String>,
    /// Whom they stand for, e.g. `arn:aws:iam::111122223333:role/parent`.
    pub principal_arn: String,
    /// Unix milliseconds from which on they are refused as expired.
    pub expires_at_ms: Option<u64>,
    /// The principal's own policy; without one, everything in KMS is allowed as
    /// far as key policies delegate it.
    pub identity_policy: Option<String>,
}

impl SimCredentials {
    /// New random long-term credentials, without session token or expiry.
    #[must_use]
    pub fn long_term(principal_arn: &str) -> Self {
        Self {
            access_key_id: format!("AKIA{}", random_upper_hex()),
            secret_access_key: hex::encode(rand::random::<[u8; 20]>()),
            session_token: None,
            principal_arn: principal_arn.into(),
            expires_at_ms: None,
            identity_policy: None,
        }
    }

    /// New random temporary credentials with a session token, as an instance
    /// role has them.
    #[must_use]
    pub fn temporary(principal_arn: &str, expires_at_ms: u64) -> Self {
        Self {
            access_key_id: format!("ASIA{}", random_upper_hex()),
            session_token: Some(hex::encode(rand::random::<[u8; 32]>())),
            expires_at_ms: Some(expires_at_ms),
            ..Self::long_term(principal_arn)
        }
    }

    /// With this identity policy.
    #[must_use]
    pub fn identity_policy(mut self, document: &str) -> Self {
        self.identity_policy = Some(document.into());
        self
    }
}

/// Credentials as registered.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) caller: Caller,
}

/// An authenticated caller.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) identity_policy: Policy,
}

/// Access key id to credentials.
#[derive(Default)]
pub(crate) struct Registry(BTreeMap<String, Credential>);

impl Registry {
    /// Registers credentials; the same access key id again replaces them.
    pub(crate) fn add(&mut self, credentials: SimCredentials) -> Result<(), SimError> {
        let principal = Principal::from_arn(&credentials.principal_arn).ok_or_else(|| {
            SimError::Policy(format!("{} is no principal", credentials.principal_arn))
        })?;
        let policy = credentials.identity_policy.as_deref().unwrap_or(ALLOW_ALL);
        let identity_policy =
            Policy::parse(policy, PolicyKind::Identity).map_err(SimError::Policy)?;
        let credential = Credential {
            secret: credentials.secret_access_key,
            session_token: credentials.session_token,
            expires_at_ms: credentials.expires_at_ms,
            caller: Caller { principal, identity_policy },
        };
        self.0.insert(credentials.access_key_id, credential);
        Ok(())
    }

    /// Forgets credentials, as when a role is deleted.
    pub(crate) fn remove(&mut self, access_key_id: &str) {
        self.0.remove(access_key_id);
    }

    pub(crate) fn get(&self, access_key_id: &str) -> Option<&Credential> {
        self.0.get(access_key_id)
    }
}

fn random_upper_hex() -> String {
    hex::encode_upper(rand::random::<[u8; 8]>())
}

const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
