//! A policy document, read strictly (IAM JSON policy grammar, for key policies).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// JSON whose objects name each member once: with two members of one name, the
/// reader and KMS could take different ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
    /// `true`, `false` and numbers, which conditions may be written with.
    Bare(String),
    Null,
}

/// A key policy.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its `Sid`, or its place.
    pub(super) name: String,
    pub(super) allows: bool,
    pub(super) principals: Principals,
    pub(super) actions: Actions,
    /// Whether its Resource is `*`: in a key policy, this key. A Deny with
    /// another is not counted on.
    pub(super) on_this_key: bool,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Debug)]
pub(super) enum Principals {
    /// `"*"`, or `{"AWS": "*"}`.
    Anyone,
    These(Vec<String>),
    /// `NotPrincipal`: everyone but these.
    AllBut,
}

#[derive(Debug)]
pub(super) enum Actions {
    These(Vec<String>),
    /// `NotAction`.
    AllBut(Vec<String>),
}

/// One key of one operator; a statement's conditions must all hold.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) operator: String,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

/// Why a text is no key policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("it is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{place} {problem}")]
    Grammar { place: String, problem: &'static str },
}

impl Document {
    pub(super) fn read(text: &[u8]) -> Result<Self, PolicyError> {
        let Json::Object(mut document) = unwrapped(serde_json::from_slice(text)?)? else {
            return Err(grammar("the policy", "is no object"));
        };
        let statements = match document.remove("Statement") {
            Some(Json::List(statements)) => statements,
            Some(one @ Json::Object(_)) => vec![one],
            _ => return Err(grammar("the policy", "has no Statement")),
        };
        for name in document.keys() {
            if !matches!(name.as_str(), "Version" | "Id") {
                return Err(grammar(name, "is no member of a policy"));
            }
        }
        let statements = statements.into_iter().enumerate();
        let statements = statements.map(|(index, json)| Statement::read(index, json));
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

impl Statement {
    fn read(index: usize, json: Json) -> Result<Self, PolicyError> {
        let place = format!("statement {}", index.saturating_add(1));
        let Json::Object(mut members) = json else { return Err(grammar(&place, "is no object")) };
        let name = match members.remove("Sid") {
            Some(Json::Text(sid)) if !sid.is_empty() => format!("{sid:?}"),
            None | Some(Json::Text(_)) => place.clone(),
            Some(_) => return Err(grammar(&place, "has a Sid that is no text")),
        };
        let allows = match members.remove("Effect") {
            Some(Json::Text(effect)) if effect == "Allow" => true,
            Some(Json::Text(effect)) if effect == "Deny" => false,
            _ => return Err(grammar(&place, "has an Effect that is neither Allow nor Deny")),
        };
        let principals = match (members.remove("Principal"), members.remove("NotPrincipal")) {
            (Some(json), None) => principals(&place, json)?,
            (None, Some(json)) => match principals(&place, json)? {
                Principals::These(_) => Principals::AllBut,
                _ => return Err(grammar(&place, "has a NotPrincipal that leaves nobody")),
            },
            _ => return Err(grammar(&place, "needs one of Principal and NotPrincipal")),
        };
        let actions = match (members.remove("Action"), members.remove("NotAction")) {
            (Some(json), None) => Actions::These(texts(&place, json)?),
            (None, Some(json)) => Actions::AllBut(texts(&place, json)?),
            _ => return Err(grammar(&place, "needs one of Action and NotAction")),
        };
        let resources = match (members.remove("Resource"), members.remove("NotResource")) {
            (Some(json), None) => texts(&place, json)?,
            (None, Some(json)) => texts(&place, json).map(|_| Vec::new())?,
            _ => return Err(grammar(&place, "needs one of Resource and NotResource")),
        };
        let on_this_key = resources.iter().any(|resource| resource == "*");
        let conditions = match members.remove("Condition") {
            None => Vec::new(),
            Some(json) => conditions(&place, json)?,
        };
        match members.keys().next() {
            Some(_) => Err(grammar(&place, "has a member that statements do not have")),
            None => Ok(Self { name, allows, principals, actions, on_this_key, conditions }),
        }
    }
}

fn principals(place: &str, json: Json) -> Result<Principals, PolicyError> {
    let kinds = match json {
        Json::Text(text) if text == "*" => return Ok(Principals::Anyone),
        Json::Object(kinds) => kinds,
        _ => return Err(grammar(place, "has a Principal that is neither \"*\" nor an object")),
    };
    let mut these = Vec::new();
    for (kind, json) in kinds {
        if !matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
            return Err(grammar(place, "has a Principal of a kind that there is not"));
        }
        these.extend(texts(place, json)?);
    }
    Ok(if these.iter().any(|text| text == "*") {
        Principals::Anyone
    } else {
        Principals::These(these)
    })
}

fn conditions(place: &str, json: Json) -> Result<Vec<Condition>, PolicyError> {
    let wrong = || grammar(place, "has a Condition that is not operator, key, values");
    let Json::Object(operators) = json else { return Err(wrong()) };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else { return Err(wrong()) };
        for (key, values) in keys {
            let values = texts(place, written_out(values))?;
            conditions.push(Condition { operator: operator.clone(), key, values });
        }
    }
    Ok(conditions)
}

/// A text, or a list of them.
fn texts(place: &str, json: Json) -> Result<Vec<String>, PolicyError> {
    let text = |json| match json {
        Json::Text(text) => Ok(text),
        _ => Err(grammar(place, "has a value that is no text")),
    };
    match json {
        Json::List(list) => list.into_iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// Values of conditions may be written without quotes.
fn written_out(json: Json) -> Json {
    match json {
        Json::Bare(text) => Json::Text(text),
        Json::List(list) => Json::List(list.into_iter().map(written_out).collect()),
        other => other,
    }
}

/// `aws kms get-key-policy` without `--query` has the policy as a text.
fn unwrapped(json: Json) -> Result<Json, serde_json::Error> {
    match &json {
        Json::Object(members) if !members.contains_key("Statement") => {
            match members.get("Policy") {
                Some(Json::Text(policy)) => serde_json::from_str(policy),
                _ => Ok(json),
            }
        }
        _ => Ok(json),
    }
}

fn grammar(place: &str, problem: &'static str) -> PolicyError {
    PolicyError::Grammar { place: place.to_owned(), problem }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
                Ok(Json::Bare(flag.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Bare(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Bare(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Bare(number.to_string()))
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut object = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("an object has two members of one name"));
                    }
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
