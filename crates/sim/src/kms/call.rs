//! One authenticated request on its way through an operation.

use std::sync::MutexGuard;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::audit::AuditRecord;
use super::blob::Context;
use super::cms;
use super::condition::RequestKeys;
use super::credentials::Caller;
use super::error::KmsError;
use super::hostile::Honest;
use super::key::{Key, KeyId, KeyStore};
use super::operations::encode;
use super::policy::{Policy, Question, Verdict};
use super::recipient::{Attested, Recipient};
use super::service::Service;
use crate::lock;

/// The caller, the body, and what the audit log will say.
pub(super) struct Call<'a> {
    pub(super) service: &'a Service,
    pub(super) caller: &'a Caller,
    pub(super) body: &'a [u8],
    pub(super) record: &'a mut AuditRecord,
}

/// A success's members.
pub(super) type Answer = Map<String, Value>;

impl Call<'_> {
    /// The request's members.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, KmsError> {
        serde_json::from_slice(self.body).map_err(|_| KmsError::silent("SerializationException"))
    }

    /// Verifies the recipient, if there is one, and notes it.
    pub(super) fn attested(
        &mut self,
        recipient: Option<&Recipient>,
    ) -> Result<Option<Attested>, KmsError> {
        let Some(recipient) = recipient else { return Ok(None) };
        // A copy, so that requests do not wait for one another's verification.
        let roots = lock(&self.service.roots).clone();
        let attested = Attested::verify(recipient, &roots, (self.service.clock)())?;
        self.record.attested_image = attested.image_sha384();
        self.record.attested_module = Some(attested.module_id().into());
        Ok(Some(attested))
    }

    /// Checks the size of an encryption context, and notes it.
    pub(super) fn context(&mut self, context: Option<Context>) -> Result<Context, KmsError> {
        let context = context.unwrap_or_default();
        let size: usize = context.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_CONTEXT_LEN || context.keys().any(String::is_empty) {
            return Err(KmsError::validation(
                "The encryption context is too large or has an empty key.",
            ));
        }
        self.record.encryption_context.clone_from(&context);
        Ok(context)
    }

    /// Finds a key by id (in the caller's account) or ARN, and notes it.
    ///
    /// Aliases are not simulated.
    pub(super) fn find_key(&mut self, key_id: &str) -> Result<Key, KmsError> {
        if key_id.is_empty() || key_id.len() > MAX_KEY_ID_LEN {
            return Err(KmsError::constraint(
                "keyId",
                "Member must have length between 1 and 2048",
            ));
        }
        let store = self.keys();
        let account = self.caller.principal.account();
        let found = if key_id.starts_with("arn:") {
            self.check_region(key_id)?;
            store.by_arn(key_id).cloned().ok_or_else(|| KmsError::key_not_found(key_id))
        } else if let Some(id) = KeyId::parse(key_id) {
            let region = &self.service.region;
            let arn = format!("arn:aws:kms:{region}:{account}:key/{id}");
            store.by_arn(&arn).cloned().ok_or_else(|| KmsError::key_not_found(&arn))
        } else {
            Err(KmsError::new("NotFoundException", format!("Invalid keyId '{key_id}'")))
        };
        drop(store);
        let key = found?;
        self.record.key_arn = Some(key.arn.clone());
        Ok(key)
    }

    /// The condition keys of this request.
    pub(super) fn condition_keys(
        &self,
        context: &Context,
        attested: Option<&Attested>,
    ) -> RequestKeys {
        let principal = &self.caller.principal;
        let mut keys = RequestKeys::default();
        keys.add("aws:PrincipalArn", principal.policy_arn());
        keys.add("aws:PrincipalAccount", principal.account());
        keys.add("kms:CallerAccount", principal.account());
        keys.add("aws:SecureTransport", "true");
        for (name, value) in context {
            keys.add(&format!("kms:EncryptionContext:{name}"), value);
            keys.add("kms:EncryptionContextKeys", name);
        }
        if let Some(attested) = attested {
            attested.add_keys(&mut keys);
        }
        keys
    }

    /// Whether the policies allow this operation on this key (or, without one,
    /// in the account).
    pub(super) fn authorize(&self, key: Option<&Key>, keys: &RequestKeys) -> Result<(), KmsError> {
        let account = key.map_or(self.caller.principal.account(), |key| &key.account);
        authorize(
            self.caller,
            &self.record.operation,
            account,
            key.map(|key| (&key.arn, &key.policy)),
            keys,
        )
    }

    /// Puts a secret into an answer: encrypted to the recipient when there is
    /// one, else as `Plaintext`.
    pub(super) fn disclose(
        &self,
        answer: &mut Answer,
        plaintext: &[u8],
        attested: Option<&Attested>,
    ) -> Result<(), KmsError> {
        let Some(attested) = attested else {
            answer.insert("Plaintext".into(), encode(plaintext).into());
            return Ok(());
        };
        let form = *lock(&self.service.cms_form);
        let sealed = cms::seal(&attested.key, plaintext, form).ok_or_else(KmsError::internal)?;
        answer.insert("CiphertextForRecipient".into(), encode(&sealed).into());
        let operation = &self.record.operation;
        let honest = Honest { operation, plaintext, recipient: &attested.key, form };
        self.service.hostile.falsify(&honest, answer);
        Ok(())
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, KeyStore> {
        lock(&self.service.keys)
    }

    fn check_region(&self, arn: &str) -> Result<(), KmsError> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        match *parts.as_slice() {
            ["arn", _, "kms", region, _, _] if region != self.service.region => {
                Err(KmsError::new("NotFoundException", format!("Invalid arn {region}")))
            }
            ["arn", _, "kms", _, account, resource]
                if !account.is_empty() && !resource.is_empty() =>
            {
                Ok(())
            }
            _ => Err(KmsError::new("InvalidArnException", format!("Invalid arn {arn}"))),
        }
    }
}

/// Combines the caller's own policy with the key's (IAM User Guide, "Policy
/// evaluation logic"): an explicit deny anywhere wins; in the key's account the
/// key policy alone may allow; from another account both must.
pub(super) fn authorize(
    caller: &Caller,
    operation: &str,
    account: &str,
    key: Option<(&String, &Policy)>,
    keys: &RequestKeys,
) -> Result<(), KmsError> {
    let principal = &caller.principal;
    let action = format!("kms:{operation}");
    let resource = key.map_or("*", |(arn, _)| arn.as_str());
    let question = Question { principal, action: &action, resource, keys };
    let own = caller.identity_policy.decide(&question);
    let verdict = key.map_or(Verdict::Delegated, |(_, policy)| policy.decide(&question));
    let because = match (verdict, own) {
        (_, Verdict::Denied) => "with an explicit deny in an identity-based policy".into(),
        (Verdict::Denied, _) => "with an explicit deny in a resource-based policy".into(),
        (Verdict::Silent, _) => {
            format!("because no resource-based policy allows the {action} action")
        }
        (Verdict::Allowed, _) if principal.account() == account => return Ok(()),
        (Verdict::Allowed | Verdict::Delegated, Verdict::Allowed) => return Ok(()),
        (Verdict::Allowed | Verdict::Delegated, Verdict::Silent | Verdict::Delegated) => {
            format!("because no identity-based policy allows the {action} action")
        }
    };
    let who = principal.arn();
    Err(KmsError::access_denied(format!(
        "User: {who} is not authorized to perform: {action} on resource: {resource} {because}"
    )))
}

/// Keys and values together, in bytes.
const MAX_CONTEXT_LEN: usize = 8192;
const MAX_KEY_ID_LEN: usize = 2048;
