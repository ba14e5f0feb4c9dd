//! What a statement's conditions say about attestation.
//!
//! A condition counts only where it is certain to hold for nobody but those it
//! names: what is not understood here counts as absent.

use std::collections::BTreeMap;

use super::document::Condition;
use super::findings::{self as rules, Rule, Severity};

/// What those whom statements let through have to show.
#[derive(Clone, Debug, Default)]
pub(super) struct Attested {
    /// Nobody is let through.
    pub(super) nobody: bool,
    /// An attestation document.
    pub(super) document: bool,
    /// These PCRs, each of one of so many values.
    pub(super) pcrs: BTreeMap<u8, usize>,
    /// What is wrong with the conditions themselves.
    pub(super) wrong: Vec<&'static Rule>,
}

impl Attested {
    /// Reads the conditions of an Allow.
    pub(super) fn of_allow(conditions: &[Condition]) -> Self {
        let mut attested = Self::default();
        for condition in conditions {
            let pcr = match Key::of(&condition.key) {
                Key::Pcr(pcr) => pcr,
                Key::Other => continue,
                Key::Tpm => {
                    attested.wrong.push(&rules::NITRO_TPM);
                    continue;
                }
                Key::Unknown => {
                    attested.wrong.push(&rules::UNKNOWN_KEY);
                    continue;
                }
            };
            match judge(pcr, condition) {
                Judged::Compared => attested.compare(pcr, condition.values.len()),
                Judged::ComparedInOneCase => {
                    attested.compare(pcr, condition.values.len());
                    attested.wrong.push(&rules::CASE);
                }
                Judged::Present => attested.document = true,
                Judged::Wrong(rule) => attested.wrong.push(rule),
            }
        }
        attested
    }

    /// Reads the conditions of a Deny: what is left are those that it does not
    /// hit. All its conditions must hold for it to hit.
    pub(super) fn of_deny(conditions: &[Condition]) -> Self {
        let nobody = conditions.is_empty();
        let document = !nobody && conditions.iter().all(holds_without_document);
        let mut left = Self { nobody, document, ..Self::default() };
        // A second condition would let others pass.
        if let [condition] = conditions
            && document
            && let Key::Pcr(pcr) = Key::of(&condition.key)
            && is_negated(condition)
            && condition.values.iter().all(|value| is_pcr(value) && !is_zero(value))
        {
            left.compare(pcr, condition.values.len());
        }
        left
    }

    /// What is to be shown where both are to be satisfied.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.nobody |= other.nobody;
        self.document |= other.document;
        for (pcr, count) in &other.pcrs {
            self.pcrs.entry(*pcr).and_modify(|own| *own = (*own).min(*count)).or_insert(*count);
        }
        self
    }

    pub(super) fn names(&self, pcr: u8) -> bool {
        self.pcrs.contains_key(&pcr)
    }

    /// Whether something is wrong that is a hole by itself.
    pub(super) fn is_broken(&self) -> bool {
        self.wrong.iter().any(|rule| rule.severity == Severity::Error)
    }

    fn compare(&mut self, pcr: u8, values: usize) {
        self.document = true;
        self.pcrs.insert(pcr, values);
    }
}

enum Judged {
    /// With whole values, and a missing document fails.
    Compared,
    /// As [`Judged::Compared`], though a value can never be met.
    ComparedInOneCase,
    /// A document must be there, with whatever values.
    Present,
    Wrong(&'static Rule),
}

fn judge(pcr: u8, condition: &Condition) -> Judged {
    let operator = condition.operator.to_ascii_lowercase();
    if operator.starts_with("forallvalues:") {
        return Judged::Wrong(&rules::SET_OPERATOR);
    }
    let operator = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
    let values = &condition.values;
    match operator {
        _ if operator.ends_with("ifexists") => Judged::Wrong(&rules::IF_EXISTS),
        _ if values.is_empty() => Judged::Wrong(&rules::BAD_VALUE),
        "null" if all_are(values, "false") => Judged::Present,
        "null" => Judged::Wrong(&rules::NEGATED),
        _ if operator.contains("not") => Judged::Wrong(&rules::NEGATED),
        "stringlike" if values.iter().any(|value| value.contains(['*', '?'])) => {
            Judged::Wrong(&rules::WILDCARD)
        }
        "stringequals" | "stringlike" => compared(pcr, values, true),
        "stringequalsignorecase" => compared(pcr, values, false),
        _ => Judged::Wrong(&rules::OPERATOR),
    }
}

fn compared(pcr: u8, values: &[String], minds_case: bool) -> Judged {
    let upper = |value: &String| value.bytes().any(|byte| byte.is_ascii_uppercase());
    if values.iter().any(|value| !is_pcr(value)) {
        Judged::Wrong(&rules::BAD_VALUE)
    } else if values.iter().any(|value| is_zero(value)) {
        match pcr {
            0..=2 => Judged::Wrong(&rules::DEBUG),
            // Nothing was measured into it: not signed, or a parent without a role.
            _ => Judged::Present,
        }
    } else if minds_case && values.iter().any(upper) {
        Judged::ComparedInOneCase
    } else {
        Judged::Compared
    }
}

/// Whether a condition of a Deny holds for who shows no attestation document.
fn holds_without_document(condition: &Condition) -> bool {
    let absent = matches!(Key::of(&condition.key), Key::Pcr(_));
    let operator = condition.operator.to_ascii_lowercase();
    let asks = operator == "null" && all_are(&condition.values, "true");
    absent && !condition.values.is_empty() && (asks || is_negated(condition))
}

/// Operators that hold for other values than those given, and for none.
fn is_negated(condition: &Condition) -> bool {
    let operator = condition.operator.to_ascii_lowercase();
    let operator = operator.strip_prefix("forallvalues:").unwrap_or(&operator);
    let operator = operator.strip_suffix("ifexists").unwrap_or(operator);
    matches!(operator, "stringnotequals" | "stringnotequalsignorecase")
}

/// What a condition key is about. Their names are without case.
enum Key {
    /// `ImageSha384` is PCR0.
    Pcr(u8),
    /// Of an instance with NitroTPM, not of an enclave.
    Tpm,
    /// Meant for attestation, and not known to KMS.
    Unknown,
    Other,
}

impl Key {
    fn of(key: &str) -> Self {
        let key = key.to_ascii_lowercase();
        // Names that users choose can hold anything.
        if key.contains("tag/") || key.starts_with("kms:encryptioncontext:") {
            return Self::Other;
        }
        let Some(name) = key.strip_prefix("kms:recipientattestation:") else {
            let alike = ["attestation", "recipient", "imagesha", ":pcr", "nitro"];
            let meant = key.starts_with("pcr") || alike.iter().any(|part| key.contains(part));
            return if meant { Self::Unknown } else { Self::Other };
        };
        let numbered = |prefix: &str| (0..32).find(|pcr| name == format!("{prefix}{pcr}"));
        match (name, numbered("pcr"), numbered("nitrotpmpcr")) {
            ("imagesha384", ..) => Self::Pcr(0),
            (_, Some(pcr), _) => Self::Pcr(pcr),
            (_, None, Some(_)) => Self::Tpm,
            (_, None, None) => Self::Unknown,
        }
    }
}

fn all_are(values: &[String], text: &str) -> bool {
    !values.is_empty() && values.iter().all(|value| value.eq_ignore_ascii_case(text))
}

fn is_pcr(value: &str) -> bool {
    value.len() == 96 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_zero(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'0')
}
