//! Looks for the known holes of enclaves' key policies.

use super::condition::{self, Attested, Left};
use super::document::{Actions, Document, PolicyError, Principals, Statement};
use super::findings::{self as rules, Finding, Rule};

/// The holes of a key policy, the worst first.
pub(crate) fn lint(policy: &[u8]) -> Result<Vec<Finding>, PolicyError> {
    let document = Document::read(policy)?;
    let mut findings = Vec::new();
    for statement in document.statements.iter().filter(|statement| statement.allows) {
        for rule in broken(&document, statement) {
            findings.push(rule.broken_by(&statement.name));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings.dedup();
    Ok(findings)
}

/// The rules that an Allow breaks.
fn broken(document: &Document, statement: &Statement) -> Vec<&'static Rule> {
    let attested = condition::of_allow(&statement.conditions);
    let mut broken = Vec::new();
    if statement.gives(DECRYPT) {
        broken.extend(&attested.wrong);
        broken.extend(without_image(document, statement, &attested));
    } else if GENERATE.iter().any(|action| statement.gives(action)) {
        broken.extend(&attested.wrong);
        if attested.pcrs.is_empty() && attested.wrong.is_empty() {
            broken.push(&rules::GENERATE);
        }
    }
    let sensitive = ALL_SENSITIVE.iter().any(|action| statement.gives(action));
    match &statement.principals {
        Principals::Anyone if sensitive && attested.pcrs.is_empty() => broken.push(&rules::ANYONE),
        Principals::AllBut if sensitive => broken.push(&rules::NOT_PRINCIPAL),
        _ => {}
    }
    let left = |action| denied(document, action);
    if RE_ENCRYPT.iter().any(|action| statement.gives(action) && left(action) == Left::All) {
        broken.push(&rules::RE_ENCRYPT);
    }
    if statement.gives(CREATE_GRANT) && left(CREATE_GRANT) == Left::All && !is_root(statement) {
        broken.push(&rules::GRANTS);
    }
    if statement.gives(PUT_KEY_POLICY) && may_decrypt(document, statement) {
        broken.push(&rules::KEY_POLICY);
    }
    broken
}

/// What is missing between an Allow of Decrypt and the image that was meant.
fn without_image(
    document: &Document,
    statement: &Statement,
    attested: &Attested,
) -> Option<&'static Rule> {
    // A condition that is itself wrong has been named.
    if attested.pcrs.contains(&0) || !attested.wrong.is_empty() {
        return None;
    }
    match denied(document, DECRYPT) {
        Left::Image => return None,
        Left::Attested if is_root(statement) => return Some(&rules::ANY_IMAGE),
        Left::All if is_root(statement) => return Some(&rules::ACCOUNT_ROOT),
        Left::Attested | Left::All => {}
    }
    let any = |pcrs: &[u8]| pcrs.iter().any(|pcr| attested.pcrs.contains(pcr));
    // PCR1 and PCR2 together leave nothing out.
    if attested.pcrs.contains(&1) && attested.pcrs.contains(&2) {
        return None;
    }
    Some(if any(&[1, 2]) {
        &rules::PART_OF_IMAGE
    } else if any(&[8]) {
        &rules::SIGNER_ONLY
    } else if any(&[3, 4]) {
        &rules::PARENT_ONLY
    } else if attested.document || denied(document, DECRYPT) == Left::Attested {
        &rules::ANY_IMAGE
    } else {
        &rules::NO_ATTESTATION
    })
}

/// What the policy's Denys of everyone leave of `action`.
fn denied(document: &Document, action: &str) -> Left {
    let denies = document.statements.iter().filter(|statement| {
        !statement.allows
            && matches!(statement.principals, Principals::Anyone)
            && statement.gives(action)
    });
    denies.map(|deny| condition::of_deny(&deny.conditions)).max().unwrap_or(Left::All)
}

/// Whether one of the statement's principals may decrypt in an enclave.
fn may_decrypt(document: &Document, statement: &Statement) -> bool {
    let Principals::These(these) = &statement.principals else { return true };
    document.statements.iter().filter(|other| other.allows && other.gives(DECRYPT)).any(|other| {
        match &other.principals {
            Principals::These(others) => these.iter().any(|principal| others.contains(principal)),
            Principals::Anyone | Principals::AllBut => true,
        }
    })
}

/// The account itself: whoever its IAM policies let.
fn is_root(statement: &Statement) -> bool {
    let Principals::These(these) = &statement.principals else { return false };
    these.iter().any(|principal| {
        let number = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
        number || principal.ends_with(":root")
    })
}

impl Statement {
    /// Whether it is about `action`, by name or by pattern.
    fn gives(&self, action: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
        match &self.actions {
            Actions::These(patterns) => listed(patterns),
            Actions::AllBut(patterns) => !listed(patterns),
        }
    }
}

/// Patterns of actions: without case, `*` for any text and `?` for one character.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.as_bytes(), action.as_bytes());
    let (mut at, mut seen) = (0_usize, 0_usize);
    // The last star, and how much of the action it stood for when last tried.
    let mut star = None;
    while let Some(byte) = action.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at = at.saturating_add(1);
            }
            Some(one) if *one == b'?' || one.eq_ignore_ascii_case(byte) => {
                at = at.saturating_add(1);
                seen = seen.saturating_add(1);
            }
            Some(_) | None => {
                let Some((star_at, tried)) = star else { return false };
                let next = tried.saturating_add(1);
                star = Some((star_at, next));
                (at, seen) = (star_at.saturating_add(1), next);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

const DECRYPT: &str = "kms:Decrypt";
const GENERATE: &[&str] = &["kms:GenerateDataKey", "kms:GenerateDataKeyPair"];
const RE_ENCRYPT: &[&str] = &["kms:ReEncryptFrom"];
const CREATE_GRANT: &str = "kms:CreateGrant";
const PUT_KEY_POLICY: &str = "kms:PutKeyPolicy";
const ALL_SENSITIVE: &[&str] = &[
    DECRYPT,
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:ReEncryptFrom",
    CREATE_GRANT,
    PUT_KEY_POLICY,
];

#[cfg(test)]
mod tests;
