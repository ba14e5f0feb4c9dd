//! The `Condition` block of a policy statement: parsed strictly, evaluated as
//! IAM does.
//!
//! Rules from the IAM User Guide, "Condition operators" and "Multivalued
//! context keys".

use std::collections::BTreeMap;

use serde_json::Value;

use super::pattern::{arn_matches, glob};

/// What a request offers to conditions: lower-case key name to its values.
/// Key names are case-insensitive in IAM.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestKeys(BTreeMap<String, Vec<String>>);

impl RequestKeys {
    /// Adds a value to a key.
    pub(crate) fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }
}

/// One operator over one key: all clauses of a statement must hold.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    operator: Operator,
    negated: bool,
    set: SetPrefix,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Arn,
    Bool,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetPrefix {
    None,
    ForAny,
    ForAll,
}

impl Clause {
    /// All clauses of a `Condition` block, or why it is malformed.
    pub(crate) fn parse_block(block: &Value) -> Result<Vec<Self>, String> {
        let operators = block.as_object().ok_or("Condition must be an object")?;
        let mut clauses = Vec::new();
        for (name, keys) in operators {
            for (key, values) in keys.as_object().ok_or("a condition must be an object")? {
                clauses.push(Self::parse(name, key, values)?);
            }
        }
        Ok(clauses)
    }

    fn parse(name: &str, key: &str, values: &Value) -> Result<Self, String> {
        let (set, rest) = split_set_prefix(name);
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (operator, negated) =
            operator(base).ok_or_else(|| format!("unknown condition operator {name}"))?;
        if operator == Operator::Null && (set != SetPrefix::None || if_exists) {
            return Err(format!("unknown condition operator {name}"));
        }
        let key = key.to_ascii_lowercase();
        if !known_key(&key) {
            return Err(format!("unknown condition key {key}"));
        }
        let values = scalar_list(values)?;
        if let Some(value) = values.iter().find(|value| value.contains("${")) {
            return Err(format!("policy variables are not simulated: {value}"));
        }
        Ok(Self { operator, negated, set, if_exists, key, values })
    }

    /// Whether the request satisfies this clause.
    pub(crate) fn holds(&self, request: &RequestKeys) -> bool {
        let actual = request.get(&self.key);
        if self.operator == Operator::Null {
            return self.any_value(if actual.is_none() { "true" } else { "false" });
        }
        let Some(actual) = actual else {
            return self.if_exists || self.holds_when_absent();
        };
        let mut matches = actual.iter().map(|value| self.any_value(value) != self.negated);
        match self.set {
            SetPrefix::ForAny => matches.any(|hit| hit),
            SetPrefix::ForAll => matches.all(|hit| hit),
            // A key with one value, for which both are the same; should there be
            // more, a negated operator must hold for each.
            SetPrefix::None if self.negated => matches.all(|hit| hit),
            SetPrefix::None => matches.any(|hit| hit),
        }
    }

    /// A negated operator holds for a key that is not there; `ForAllValues` is
    /// then vacuously true, `ForAnyValue` false.
    fn holds_when_absent(&self) -> bool {
        match self.set {
            SetPrefix::None => self.negated,
            SetPrefix::ForAny => false,
            SetPrefix::ForAll => true,
        }
    }

    fn any_value(&self, actual: &str) -> bool {
        self.values.iter().any(|wanted| match self.operator {
            Operator::StringEquals => wanted == actual,
            Operator::StringEqualsIgnoreCase | Operator::Bool | Operator::Null => {
                wanted.to_lowercase() == actual.to_lowercase()
            }
            Operator::StringLike => glob(wanted, actual),
            Operator::Arn => arn_matches(wanted, actual),
        })
    }
}

fn split_set_prefix(name: &str) -> (SetPrefix, &str) {
    if let Some(rest) = name.strip_prefix("ForAnyValue:") {
        (SetPrefix::ForAny, rest)
    } else if let Some(rest) = name.strip_prefix("ForAllValues:") {
        (SetPrefix::ForAll, rest)
    } else {
        (SetPrefix::None, name)
    }
}

fn operator(name: &str) -> Option<(Operator, bool)> {
    Some(match name {
        "StringEquals" => (Operator::StringEquals, false),
        "StringNotEquals" => (Operator::StringEquals, true),
        "StringEqualsIgnoreCase" => (Operator::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Operator::StringEqualsIgnoreCase, true),
        "StringLike" => (Operator::StringLike, false),
        "StringNotLike" => (Operator::StringLike, true),
        "ArnEquals" | "ArnLike" => (Operator::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Operator::Arn, true),
        "Bool" => (Operator::Bool, false),
        "Null" => (Operator::Null, false),
        _ => return None,
    })
}

/// The keys this KMS can fill, or knows to be absent. Any other would silently
/// never match, which is worse than an error. `key` is in lower case.
fn known_key(key: &str) -> bool {
    let attested = key.strip_prefix("kms:recipientattestation:").is_some_and(|rest| {
        rest == "imagesha384"
            || rest
                .strip_prefix("nitrotpmpcr")
                .or_else(|| rest.strip_prefix("pcr"))
                .and_then(|index| index.parse::<u8>().ok())
                .is_some_and(|index| index < 32)
    });
    attested
        || key.strip_prefix("kms:encryptioncontext:").is_some_and(|name| !name.is_empty())
        || matches!(
            key,
            "kms:encryptioncontextkeys"
                | "kms:viaservice"
                | "kms:calleraccount"
                | "kms:bypasspolicylockoutsafetycheck"
                | "kms:grantisforawsresource"
                | "aws:principalarn"
                | "aws:principalaccount"
                | "aws:sourcevpce"
                | "aws:securetransport"
        )
}

/// A string, boolean or number, or a list of them.
fn scalar_list(value: &Value) -> Result<Vec<String>, String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    items.iter().map(scalar).collect()
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("a condition value must be a string".into())
        }
    }
}
