//! Operations on keys themselves: CreateKey, DescribeKey, ListKeys and policies.

use serde::Deserialize;
use serde_json::json;

use super::required;
use crate::kms::blob::Context;
use crate::kms::call::{Answer, Call, authorize};
use crate::kms::error::KmsError;
use crate::kms::key::{Key, KeyId};
use crate::kms::policy::{Policy, PolicyKind};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateKey {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<String>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
    #[serde(default)]
    bypass_policy_lockout_safety_check: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfKey {
    key_id: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    bypass_policy_lockout_safety_check: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListKeys {
    limit: Option<usize>,
    marker: Option<String>,
}

/// Tags are accepted and forgotten.
pub(super) fn create_key(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input: CreateKey = call.parse()?;
    input.check_simulated()?;
    call.authorize(None, &call.condition_keys(&Context::new(), None))?;
    let account = call.caller.principal.account();
    let text = input.policy.unwrap_or_else(|| Policy::default_for(account));
    let policy = Policy::parse(&text, PolicyKind::Key).map_err(malformed)?;
    let mut key = Key::new(&call.service.region, account, policy, (call.service.clock)());
    check_lockout(call, &key, input.bypass_policy_lockout_safety_check)?;
    key.description = input.description.unwrap_or_default();
    call.record.key_arn = Some(key.arn.clone());
    let metadata = key.metadata();
    call.keys().insert(key);
    Ok(Answer::from_iter([("KeyMetadata".to_owned(), metadata)]))
}

pub(super) fn describe_key(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input: OfKey = call.parse()?;
    let key = call.find_key(&required(input.key_id, "keyId")?)?;
    call.authorize(Some(&key), &call.condition_keys(&Context::new(), None))?;
    Ok(Answer::from_iter([("KeyMetadata".to_owned(), key.metadata())]))
}

pub(super) fn list_keys(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input: ListKeys = call.parse()?;
    call.authorize(None, &call.condition_keys(&Context::new(), None))?;
    let limit = input.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(KmsError::constraint("limit", "Member must be between 1 and 1000"));
    }
    let after = match input.marker {
        None => None,
        Some(marker) => {
            Some(KeyId::parse(&marker).ok_or_else(|| KmsError::silent("InvalidMarkerException"))?)
        }
    };
    let store = call.keys();
    let mut rest = store.of_account(call.caller.principal.account(), after).peekable();
    let page: Vec<&Key> = rest.by_ref().take(limit).collect();
    let entries = page.iter().map(|key| json!({"KeyId": key.id.to_string(), "KeyArn": key.arn}));
    let mut answer = Answer::new();
    answer.insert("Keys".into(), entries.collect());
    answer.insert("Truncated".into(), rest.peek().is_some().into());
    if let (Some(_), Some(last)) = (rest.peek(), page.last()) {
        answer.insert("NextMarker".into(), last.id.to_string().into());
    }
    Ok(answer)
}

pub(super) fn get_key_policy(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input: OfKey = call.parse()?;
    input.check_policy_name()?;
    let key = call.find_key(&required(input.key_id, "keyId")?)?;
    call.authorize(Some(&key), &call.condition_keys(&Context::new(), None))?;
    let mut answer = Answer::new();
    answer.insert("Policy".into(), key.policy.text().into());
    answer.insert("PolicyName".into(), DEFAULT.into());
    Ok(answer)
}

pub(super) fn put_key_policy(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input: OfKey = call.parse()?;
    input.check_policy_name()?;
    let mut key = call.find_key(&required(input.key_id, "keyId")?)?;
    let text = required(input.policy, "policy")?;
    call.authorize(Some(&key), &call.condition_keys(&Context::new(), None))?;
    key.policy = Policy::parse(&text, PolicyKind::Key).map_err(malformed)?;
    check_lockout(call, &key, input.bypass_policy_lockout_safety_check)?;
    if let Some(stored) = call.keys().by_arn_mut(&key.arn) {
        stored.policy = key.policy;
    }
    Ok(Answer::new())
}

impl CreateKey {
    /// Symmetric keys of one Region with KMS's own material, and no others.
    fn check_simulated(&self) -> Result<(), KmsError> {
        let is = |member: &Option<String>, only: &str| member.as_deref().is_none_or(|m| m == only);
        let simulated = is(&self.key_usage, "ENCRYPT_DECRYPT")
            && is(&self.key_spec, "SYMMETRIC_DEFAULT")
            && is(&self.customer_master_key_spec, "SYMMETRIC_DEFAULT")
            && is(&self.origin, "AWS_KMS")
            && self.multi_region != Some(true);
        match simulated {
            true => Ok(()),
            false => Err(KmsError::new(
                "UnsupportedOperationException",
                "Only symmetric, single-Region keys with KMS's own material are simulated.",
            )),
        }
    }
}

impl OfKey {
    fn check_policy_name(&self) -> Result<(), KmsError> {
        match self.policy_name.as_deref() {
            None | Some(DEFAULT) => Ok(()),
            Some(_) => Err(KmsError::new("NotFoundException", "No such policy exists")),
        }
    }
}

/// Whoever sets a policy must still be able to set the next one.
fn check_lockout(call: &Call<'_>, key: &Key, bypass: bool) -> Result<(), KmsError> {
    let keys = call.condition_keys(&Context::new(), None);
    let target = Some((&key.arn, &key.policy));
    match authorize(call.caller, "PutKeyPolicy", &key.account, target, &keys) {
        Err(_) if !bypass => Err(malformed(
            "The new key policy will not allow you to update the key policy in the future.".into(),
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn malformed(reason: String) -> KmsError {
    KmsError::new("MalformedPolicyDocumentException", reason)
}

/// The one name a key policy has.
const DEFAULT: &str = "default";
