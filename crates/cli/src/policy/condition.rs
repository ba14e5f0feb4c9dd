//! What a statement's conditions say about attestation.

use super::document::Condition;
use super::findings::{self as rules, Rule};

/// What a statement's conditions tie a caller to.
#[derive(Debug, Default)]
pub(super) struct Attested {
    /// The PCRs that are compared, soundly.
    pub(super) pcrs: Vec<u8>,
    /// Whether an attestation document is needed at all.
    pub(super) document: bool,
    /// What is wrong with the conditions themselves.
    pub(super) wrong: Vec<&'static Rule>,
}

/// Reads the conditions of an Allow.
pub(super) fn of_allow(conditions: &[Condition]) -> Attested {
    let mut attested = Attested::default();
    for condition in conditions {
        let Some(pcr) = attestation_key(&condition.key) else { continue };
        let Ok(pcr) = pcr else {
            attested.wrong.push(&rules::UNKNOWN_KEY);
            continue;
        };
        match judge(condition) {
            Judged::Compared => {
                attested.pcrs.push(pcr);
                attested.document = true;
            }
            Judged::Present => attested.document = true,
            Judged::Wrong(rule) => attested.wrong.push(rule),
        }
    }
    attested
}

/// What a Deny leaves: those that it does not hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// Everyone, as far as can be told.
    All,
    /// Those with an attestation document.
    Attested,
    /// Those with an attestation document of a named image.
    Image,
}

/// Reads the conditions of a Deny. Several conditions must all hold for it to
/// hit, so only one that stands alone is counted on.
pub(super) fn of_deny(conditions: &[Condition]) -> Left {
    let [condition] = conditions else { return Left::All };
    let Some(Ok(pcr)) = attestation_key(&condition.key) else { return Left::All };
    let values = &condition.values;
    match condition.operator.to_ascii_lowercase().as_str() {
        "null" if values.iter().all(|value| value.eq_ignore_ascii_case("true")) => Left::Attested,
        // Negated operators also hit where there is no document.
        "stringnotequals" | "stringnotequalsignorecase"
            if pcr == 0 && !values.is_empty() && values.iter().all(|value| is_pcr(value)) =>
        {
            Left::Image
        }
        _ => Left::All,
    }
}

enum Judged {
    /// With whole values, and a missing document fails.
    Compared,
    /// A document must be there, with whatever values.
    Present,
    Wrong(&'static Rule),
}

fn judge(condition: &Condition) -> Judged {
    let operator = condition.operator.to_ascii_lowercase();
    if operator.starts_with("forallvalues:") {
        return Judged::Wrong(&rules::SET_OPERATOR);
    }
    let operator = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
    if operator.ends_with("ifexists") {
        return Judged::Wrong(&rules::IF_EXISTS);
    }
    let values = &condition.values;
    match operator {
        "null" if values.iter().all(|value| value.eq_ignore_ascii_case("false")) => Judged::Present,
        "null" => Judged::Wrong(&rules::NEGATED),
        operator if operator.contains("not") => Judged::Wrong(&rules::NEGATED),
        "stringlike" if values.iter().any(|value| value.contains(['*', '?'])) => {
            Judged::Wrong(&rules::WILDCARD)
        }
        "stringequals" | "stringequalsignorecase" | "stringlike" => {
            if values.iter().any(|value| is_zero(value)) {
                Judged::Wrong(&rules::DEBUG)
            } else if values.is_empty() || !values.iter().all(|value| is_pcr(value)) {
                Judged::Wrong(&rules::BAD_VALUE)
            } else if operator != "stringequalsignorecase"
                && values.iter().any(|value| value.bytes().any(|byte| byte.is_ascii_uppercase()))
            {
                Judged::Wrong(&rules::CASE)
            } else {
                Judged::Compared
            }
        }
        _ => Judged::Wrong(&rules::BAD_VALUE),
    }
}

/// The PCR that a condition key is about; an error when it is about attestation
/// and KMS does not have it. Names of condition keys are without case.
fn attestation_key(key: &str) -> Option<Result<u8, ()>> {
    let key = key.to_ascii_lowercase();
    let pcr = key.strip_prefix("kms:recipientattestation:").or_else(|| {
        // A slip that looks right.
        key.strip_prefix("kms:recipientattestation").map(|_| "")
    })?;
    if pcr == "imagesha384" {
        return Some(Ok(0));
    }
    let number = pcr.strip_prefix("pcr").and_then(|number| number.parse().ok());
    Some(number.filter(|number| *number < 32).ok_or(()))
}

fn is_pcr(value: &str) -> bool {
    value.len() == 96 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_zero(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte == b'0')
}
