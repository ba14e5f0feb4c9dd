//! Looks for the known holes of enclaves' key policies.
//!
//! Every Allow is judged with what the policy's Denys leave of it. What cannot
//! be told from the policy alone (who may take which role, other policies of
//! the account) is taken to be the worst.

use super::condition::Attested;
use super::document::{Actions, Document, PolicyError, Principals, Statement};
use super::findings::{self as rules, Finding, Rule};

/// The holes of a key policy, the worst first.
pub(crate) fn lint(policy: &[u8]) -> Result<Vec<Finding>, PolicyError> {
    let document = Document::read(policy)?;
    let mut findings = Vec::new();
    for statement in document.statements.iter().filter(|statement| statement.allows) {
        for rule in broken(&document, statement) {
            let finding = rule.broken_by(&statement.name);
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// The rules that an Allow breaks.
fn broken(document: &Document, statement: &Statement) -> Vec<&'static Rule> {
    let own = Attested::of_allow(&statement.conditions);
    let mut broken = Vec::new();
    // A KMS key is for one of both.
    let read = READ.iter().find(|action| statement.gives(action));
    let read = read.map(|action| left(document, statement, &own, action));
    broken.extend(read.iter().filter_map(|left| without_image(statement, &own, left)));
    let generate = GENERATE.iter().filter(|action| statement.gives(action));
    let generate: Vec<_> = generate.map(|action| left(document, statement, &own, action)).collect();
    if read.is_some() || !generate.is_empty() {
        broken.extend(&own.wrong);
    }
    if broken.is_empty() && generate.iter().any(|left| !left.nobody && !left.document) {
        let parent = shares_with_enclave(document, statement) && !is_root(statement);
        broken.push(if parent { &rules::GENERATE_PARENT } else { &rules::GENERATE });
    }
    if broken.is_empty() && read.is_some_and(|left| !left.nobody) && !has_context(statement) {
        broken.push(&rules::CONTEXT);
    }
    broken.extend(everyone(document, statement, &own));
    broken.extend(around(document, statement, &own));
    broken
}

/// What is missing between an Allow of Decrypt and the image that was meant.
fn without_image(statement: &Statement, own: &Attested, left: &Attested) -> Option<&'static Rule> {
    // PCR1 and PCR2 together are the whole image. A condition that is itself
    // wrong is named by itself.
    if left.nobody || left.names(0) || own.is_broken() {
        return None;
    }
    let one = |pcr| left.pcrs.get(&pcr).is_none_or(|values| *values <= 1);
    Some(match [1, 2, 8].map(|pcr| left.names(pcr)) {
        [true, true, _] if one(1) || one(2) => return None,
        [true, true, _] => &rules::MIXED,
        [true, _, _] => &rules::NO_MANIFEST,
        [_, true, _] => &rules::NO_PROGRAM,
        [_, _, true] => &rules::SIGNER_ONLY,
        _ if left.names(3) || left.names(4) => &rules::PARENT_ONLY,
        _ if left.document => &rules::ANY_IMAGE,
        _ if is_root(statement) => &rules::ACCOUNT_ROOT,
        _ if !statement.conditions.is_empty() => &rules::NO_SUBSTITUTE,
        _ => &rules::NO_ATTESTATION,
    })
}

/// Principals that are not named one by one.
fn everyone(document: &Document, statement: &Statement, own: &Attested) -> Option<&'static Rule> {
    let open = SENSITIVE.iter().filter(|action| statement.gives(action));
    let open = open.map(|action| left(document, statement, own, action));
    let open: Vec<_> = open.filter(|left| !left.nobody).collect();
    let attested = open.iter().all(|left| left.document);
    match &statement.principals {
        _ if open.is_empty() => None,
        Principals::Anyone if attested => Some(&rules::ANYONE_ATTESTED),
        Principals::Anyone => Some(&rules::ANYONE),
        Principals::AllBut => Some(&rules::NOT_PRINCIPAL),
        Principals::These(_) => None,
    }
}

/// The roads around Decrypt. None of these operations knows attestation, so a
/// condition that asks for it closes them.
fn around(document: &Document, statement: &Statement, own: &Attested) -> Vec<&'static Rule> {
    let mut broken = Vec::new();
    let open = |action: &&str| {
        let left = left(document, statement, own, action);
        statement.gives(action) && !left.nobody && !left.document
    };
    if open(&RE_ENCRYPT) {
        broken.push(&rules::RE_ENCRYPT);
    }
    if open(&CREATE_GRANT) && !grants_are_harmless(document) {
        broken.push(&rules::GRANTS);
    }
    if OVERTHROW.iter().any(open) {
        if shares_with_enclave(document, statement) {
            broken.push(&rules::KEY_POLICY);
        } else if is_root(statement) {
            broken.push(&rules::ROOT_ADMINISTERS);
        }
    }
    broken
}

/// What is to be shown by those whom `statement` lets do `action`.
fn left(document: &Document, statement: &Statement, own: &Attested, action: &str) -> Attested {
    own.clone().and(&denied(document, action, |deny| covers(deny, statement)))
}

/// What Denys of `action` leave, of those that are about `whom`.
fn denied(document: &Document, action: &str, whom: impl Fn(&Statement) -> bool) -> Attested {
    let statements = document.statements.iter();
    let denies = statements.filter(|deny| !deny.allows && deny.on_this_key && deny.gives(action));
    denies
        .filter(|deny| whom(deny))
        .fold(Attested::default(), |left, deny| left.and(&Attested::of_deny(&deny.conditions)))
}

/// Whether a Deny is about everyone whom an Allow is about.
fn covers(deny: &Statement, allow: &Statement) -> bool {
    match (&deny.principals, &allow.principals) {
        (Principals::Anyone, _) => true,
        (Principals::These(denied), Principals::These(allowed)) => {
            allowed.iter().all(|principal| denied.contains(principal))
        }
        (Principals::These(_) | Principals::AllBut, _) => false,
    }
}

/// A grant is an Allow without attestation, to which the policy's Denys of
/// everyone apply all the same.
fn grants_are_harmless(document: &Document) -> bool {
    let everyone = |deny: &Statement| matches!(deny.principals, Principals::Anyone);
    let read = denied(document, DECRYPT, everyone);
    let moved = denied(document, RE_ENCRYPT, everyone);
    (read.nobody || read.names(0)) && (moved.nobody || moved.document)
}

/// Whether one of the statement's principals may decrypt, in an enclave or not.
fn shares_with_enclave(document: &Document, statement: &Statement) -> bool {
    let Principals::These(these) = &statement.principals else { return true };
    let readers = document
        .statements
        .iter()
        .filter(|other| other.allows && READ.iter().any(|action| other.gives(action)));
    readers.into_iter().any(|other| match &other.principals {
        Principals::These(others) => these.iter().any(|principal| others.contains(principal)),
        Principals::Anyone | Principals::AllBut => true,
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

/// Whether the encryption context is asked for.
fn has_context(statement: &Statement) -> bool {
    statement.conditions.iter().any(|condition| {
        let operator = condition.operator.to_ascii_lowercase();
        condition.key.to_ascii_lowercase().starts_with("kms:encryptioncontext")
            && !operator.contains("not")
            && !operator.ends_with("ifexists")
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

/// Patterns of actions: without case, `*` for any text and `?` for one
/// character. In time that is the product of both lengths.
fn matches(pattern: &str, action: &str) -> bool {
    // Whether what there is of the pattern matches the first so many characters.
    let mut matched = vec![false; action.len().saturating_add(1)];
    if let Some(none) = matched.first_mut() {
        *none = true;
    }
    for wanted in pattern.bytes() {
        let before = matched.clone();
        let found = |byte: u8| wanted == b'?' || wanted.eq_ignore_ascii_case(&byte);
        let mut any = false;
        // The byte that ends each stretch, and whether the stretch without it matched.
        let last = std::iter::once(None).chain(action.bytes().map(Some));
        let shorter = std::iter::once(false).chain(before.iter().copied());
        for (((slot, same), last), shorter) in
            matched.iter_mut().zip(&before).zip(last).zip(shorter)
        {
            any |= same;
            *slot = match wanted {
                b'*' => any,
                _ => shorter && last.is_some_and(found),
            };
        }
    }
    matched.last() == Some(&true)
}

const DECRYPT: &str = "kms:Decrypt";
/// What gives plaintext.
const READ: &[&str] = &[DECRYPT, "kms:DeriveSharedSecret"];
/// What gives new keys in the clear.
const GENERATE: &[&str] = &["kms:GenerateDataKey", "kms:GenerateDataKeyPair"];
const RE_ENCRYPT: &str = "kms:ReEncryptFrom";
const CREATE_GRANT: &str = "kms:CreateGrant";
/// What brings another policy: this key's, or that of a replica.
const OVERTHROW: &[&str] = &["kms:PutKeyPolicy", "kms:ReplicateKey"];
/// What not everyone should be able to do.
const SENSITIVE: &[&str] = &[
    DECRYPT,
    "kms:DeriveSharedSecret",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    RE_ENCRYPT,
    CREATE_GRANT,
    "kms:PutKeyPolicy",
    "kms:ReplicateKey",
];

#[cfg(test)]
mod tests;
