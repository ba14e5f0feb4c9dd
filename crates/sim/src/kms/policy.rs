//! Key policies and identity policies: parsed strictly, decided as IAM decides.
//!
//! Anything this file does not know (an element, an operator, a condition key,
//! a policy variable) makes the document malformed: a policy that the simulator
//! half understands would prove nothing.

use serde_json::{Map, Value, json};

use super::condition::{Clause, RequestKeys};
use super::pattern::glob;
use super::principal::{Principal, PrincipalPattern};

/// A policy document that has been understood in full.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    text: String,
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    principals: Vec<PrincipalPattern>,
    actions: Actions,
    resources: Vec<String>,
    clauses: Vec<Clause>,
}

#[derive(Clone, Debug)]
enum Actions {
    These(Vec<String>),
    AllBut(Vec<String>),
}

/// Whose policy it is: a key's names principals, an identity's does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyKind {
    Key,
    Identity,
}

/// What is asked of a policy.
pub(crate) struct Question<'a> {
    pub(crate) principal: &'a Principal,
    /// e.g. `kms:Decrypt`.
    pub(crate) action: &'a str,
    /// The key's ARN, or `*` for operations without a key.
    pub(crate) resource: &'a str,
    pub(crate) keys: &'a RequestKeys,
}

/// A policy's answer, before several are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing applies: denied unless another policy allows.
    Silent,
    /// The account as such is allowed: its identity policies decide.
    Delegated,
    /// Allowed.
    Allowed,
    /// An explicit deny, which nothing outweighs.
    Denied,
}

impl Policy {
    /// Parses a document.
    ///
    /// # Errors
    /// Why it is malformed, in words.
    pub(crate) fn parse(text: &str, kind: PolicyKind) -> Result<Self, String> {
        if text.len() > MAX_POLICY_LEN {
            return Err("a policy document is at most 32 KiB".into());
        }
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let document = document.as_object().ok_or("a policy document is an object")?;
        only_members(document, &["Version", "Id", "Statement"])?;
        match document.get("Version").and_then(Value::as_str) {
            Some("2012-10-17" | "2008-10-17") => {}
            _ => return Err("Version must be 2012-10-17 or 2008-10-17".into()),
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => return Err("a policy document needs a Statement".into()),
        };
        let statements =
            statements.iter().map(|item| Statement::parse(item, kind)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), statements })
    }

    /// The policy KMS gives a key that is created without one: the account may
    /// do everything, which leaves it to the account's identity policies.
    pub(crate) fn default_for(account: &str) -> String {
        json!({
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [{
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": "kms:*",
                "Resource": "*"
            }]
        })
        .to_string()
    }

    /// The document as it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What this policy says. An explicit deny wins over any allow, and a
    /// direct allow over a delegated one.
    pub(crate) fn decide(&self, question: &Question<'_>) -> Verdict {
        self.statements
            .iter()
            .map(|statement| statement.decide(question))
            .max_by_key(|verdict| match verdict {
                Verdict::Silent => 0,
                Verdict::Delegated => 1,
                Verdict::Allowed => 2,
                Verdict::Denied => 3,
            })
            .unwrap_or(Verdict::Silent)
    }
}

impl Statement {
    fn parse(value: &Value, kind: PolicyKind) -> Result<Self, String> {
        let members = value.as_object().ok_or("a Statement is an object")?;
        only_members(members, STATEMENT_MEMBERS)?;
        let allow = match members.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => return Err("Effect must be Allow or Deny".into()),
        };
        let principals = match (kind, members.get("Principal")) {
            (PolicyKind::Key, Some(principal)) => PrincipalPattern::parse(principal)?,
            (PolicyKind::Identity, None) => vec![PrincipalPattern::Everyone],
            (PolicyKind::Key, None) => {
                return Err("a key policy statement needs a Principal".into());
            }
            (PolicyKind::Identity, Some(_)) => {
                return Err("an identity policy statement has no Principal".into());
            }
        };
        let actions = match (members.get("Action"), members.get("NotAction")) {
            (Some(actions), None) => Actions::These(action_list(actions)?),
            (None, Some(actions)) => Actions::AllBut(action_list(actions)?),
            _ => return Err("a statement needs one of Action and NotAction".into()),
        };
        let resources = members.get("Resource").ok_or("a statement needs a Resource")?;
        let clauses = members.get("Condition").map(Clause::parse_block).transpose()?;
        Ok(Self {
            allow,
            principals,
            actions,
            resources: string_list(resources)?,
            clauses: clauses.unwrap_or_default(),
        })
    }

    fn decide(&self, question: &Question<'_>) -> Verdict {
        let applies = self.actions.cover(question.action)
            && self.resources.iter().any(|pattern| glob(pattern, question.resource))
            && self.clauses.iter().all(|clause| clause.holds(question.keys));
        let directly = self.principals.iter().any(|pattern| pattern.names(question.principal));
        let by_account =
            self.principals.iter().any(|pattern| pattern.is_account_of(question.principal));
        match (applies, self.allow) {
            (true, true) if directly => Verdict::Allowed,
            (true, true) if by_account => Verdict::Delegated,
            (true, false) if directly || by_account => Verdict::Denied,
            (true | false, _) => Verdict::Silent,
        }
    }
}

impl Actions {
    fn cover(&self, action: &str) -> bool {
        let any = |patterns: &[String]| {
            // Action names are case-insensitive in IAM.
            patterns.iter().any(|pattern| glob(pattern, &action.to_lowercase()))
        };
        match self {
            Self::These(patterns) => any(patterns),
            Self::AllBut(patterns) => !any(patterns),
        }
    }
}

fn action_list(value: &Value) -> Result<Vec<String>, String> {
    let actions = string_list(value)?;
    if let Some(bad) = actions.iter().find(|a| *a != "*" && !a.to_lowercase().starts_with("kms:")) {
        return Err(format!("{bad} is no KMS action"));
    }
    Ok(actions.into_iter().map(|action| action.to_lowercase()).collect())
}

/// A string, or a non-empty list of strings.
pub(super) fn string_list(value: &Value) -> Result<Vec<String>, String> {
    let items = match value {
        Value::Array(items) if items.is_empty() => return Err("a list must not be empty".into()),
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let text = |item: &Value| item.as_str().map(String::from).ok_or("a string is needed".into());
    items.iter().map(text).collect()
}

fn only_members(object: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{name} is unknown here or not simulated")),
        None => Ok(()),
    }
}

const STATEMENT_MEMBERS: &[&str] =
    &["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"];

/// KMS's limit for a key policy, in bytes.
const MAX_POLICY_LEN: usize = 32 * 1024;

#[cfg(test)]
mod tests;
