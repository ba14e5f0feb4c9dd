//! Who calls, and how policies name callers.

use serde_json::Value;

use super::policy::string_list;

/// A caller: an IAM user, role or assumed-role session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    arn: String,
    policy_arn: String,
    account: String,
}

impl Principal {
    /// From an ARN such as `arn:aws:iam::111122223333:role/parent`.
    ///
    /// `None` when it is no ARN of an IAM or STS principal.
    pub(crate) fn from_arn(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "iam" | "sts", "", account, resource] = *parts.as_slice() else {
            return None;
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let role = resource.strip_prefix("assumed-role/").and_then(|rest| rest.split_once('/'));
        let policy_arn = match role {
            Some((role, _session)) => format!("arn:{partition}:iam::{account}:role/{role}"),
            None => arn.into(),
        };
        is_account.then(|| Self { arn: arn.into(), policy_arn, account: account.into() })
    }

    /// The ARN in full, as error texts and the audit log show it.
    pub(crate) fn arn(&self) -> &str {
        &self.arn
    }

    /// `aws:PrincipalArn`: for an assumed-role session, the role's ARN.
    pub(crate) fn policy_arn(&self) -> &str {
        &self.policy_arn
    }

    /// The 12-digit account.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }
}

/// One entry of a statement's `Principal`.
#[derive(Clone, Debug)]
pub(crate) enum PrincipalPattern {
    /// `*`
    Everyone,
    /// The account's root, or its number: every principal in it.
    Account(String),
    /// One principal's ARN; wildcards are not allowed in it.
    Exactly(String),
}

impl PrincipalPattern {
    /// Parses the `Principal` element of a key policy.
    pub(crate) fn parse(value: &Value) -> Result<Vec<Self>, String> {
        if value.as_str() == Some("*") {
            return Ok(vec![Self::Everyone]);
        }
        let members = value.as_object().ok_or("Principal must be \"*\" or an object")?;
        match (members.get("AWS"), members.len()) {
            (Some(arns), 1) => string_list(arns)?.iter().map(|arn| Self::entry(arn)).collect(),
            _ => Err("Principal must have the one member AWS".into()),
        }
    }

    fn entry(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::Account(text.into()));
        }
        let principal = Principal::from_arn(text).filter(|_| !text.contains(['*', '?']));
        let principal = principal.ok_or_else(|| {
            format!("Policy contains a statement with one or more invalid principals: {text}")
        })?;
        match text.ends_with(":root") {
            true => Ok(Self::Account(principal.account)),
            false => Ok(Self::Exactly(text.into())),
        }
    }

    /// Whether it names this principal itself.
    pub(crate) fn names(&self, principal: &Principal) -> bool {
        match self {
            Self::Everyone => true,
            Self::Account(_) => false,
            Self::Exactly(arn) => arn == &principal.arn || arn == &principal.policy_arn,
        }
    }

    /// Whether it names the account this principal is in.
    pub(crate) fn is_account_of(&self, principal: &Principal) -> bool {
        matches!(self, Self::Account(account) if account == &principal.account)
    }
}
