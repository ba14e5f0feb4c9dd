use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::compose::{self, Roles};

const ROLE: &str = "arn:aws:iam::111122223333:role/parent";
const PCR: &str = "7d0b8946de3eda253de4d1d6e62e3d824608de99400ce21e494c854f3fd7a56afd682f42deb3faa378978cdf199747cc";

fn policy(statements: Value) -> Vec<u8> {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string().into_bytes()
}

fn allow(action: &str, condition: Value) -> Value {
    json!({ "Effect": "Allow", "Principal": { "AWS": ROLE }, "Action": action, "Resource": "*", "Condition": condition })
}

fn deny(condition: Value) -> Value {
    json!({ "Effect": "Deny", "Principal": "*", "Action": ["kms:Decrypt", "kms:ReEncrypt*"], "Resource": "*", "Condition": condition })
}

fn rules_of(statements: Value) -> Vec<&'static str> {
    lint(&policy(statements)).unwrap().into_iter().map(|finding| finding.rule).collect()
}

/// With the context that is missing in a note otherwise.
fn with_context(mut condition: Value) -> Value {
    condition["StringLike"] = json!({ "kms:EncryptionContext:purpose": "support" });
    condition
}

fn attested(key: &str, value: &str) -> Value {
    json!({ "StringEqualsIgnoreCase": { format!("kms:RecipientAttestation:{key}"): value } })
}

#[test]
fn a_policy_that_names_the_image_is_clean() {
    for key in ["ImageSha384", "PCR0", "pcr0", "IMAGESHA384"] {
        let condition = with_context(attested(key, PCR));
        assert_eq!(rules_of(json!([allow("kms:Decrypt", condition)])), [""; 0], "{key}");
    }
    let without = allow("kms:Decrypt", attested("PCR0", PCR));
    assert_eq!(rules_of(json!([without])), ["encryption-context"]);
    let both = json!({ "StringEquals": { "kms:RecipientAttestation:PCR1": PCR, "kms:RecipientAttestation:PCR2": PCR } });
    assert_eq!(rules_of(json!([allow("kms:Decrypt", with_context(both))])), [""; 0]);
}

#[test]
fn each_hole_is_found_by_its_name() {
    let zeros = "0".repeat(96);
    let cases = [
        ("no-attestation", json!({})),
        ("no-attestation", json!({ "StringEquals": { "kms:CallerAccount": "111122223333" } })),
        ("parent-only", attested("PCR4", PCR)),
        ("parent-only", attested("PCR3", PCR)),
        ("signer-only", attested("PCR8", PCR)),
        ("part-of-image", attested("PCR1", PCR)),
        ("part-of-image", attested("PCR2", PCR)),
        ("debug-mode", attested("PCR0", &zeros)),
        ("bad-value", attested("PCR0", &PCR[1..])),
        ("bad-value", attested("PCR0", &PCR.replace('7', "g"))),
        ("unknown-key", attested("PCR32", PCR)),
        ("unknown-key", attested("ImageSha256", PCR)),
        ("unknown-key", attested("PCR00", PCR)),
        ("unknown-key", attested("PCR+0", PCR)),
        ("unknown-key", json!({ "StringEquals": { "RecipientAttestation:PCR0": PCR } })),
        ("unknown-key", json!({ "StringEquals": { "kms:RecipientAttestationPCR0": PCR } })),
        ("unknown-key", json!({ "StringEquals": { "kms:PCR0": PCR } })),
        ("nitro-tpm", attested("NitroTPMPCR4", PCR)),
        ("operator", json!({ "ArnEquals": { "kms:RecipientAttestation:PCR0": PCR } })),
        ("operator", json!({ "StringEqual": { "kms:RecipientAttestation:PCR0": PCR } })),
        ("bad-value", json!({ "StringEquals": { "kms:RecipientAttestation:PCR0": [] } })),
        ("bad-value", attested("PCR0", "${aws:PrincipalTag/pcr0}")),
        ("bad-value", attested("PCR0", "0")),
        (
            "debug-mode",
            json!({ "StringEquals": { "kms:RecipientAttestation:PCR0": [PCR, zeros] } }),
        ),
        // An unsigned image is nobody's, and PCR16 is the enclave's own to fill.
        ("any-image", attested("PCR8", &zeros)),
        ("any-image", attested("PCR16", PCR)),
        ("if-exists", json!({ "StringEqualsIfExists": { "kms:RecipientAttestation:PCR0": PCR } })),
        ("wildcard", json!({ "StringLike": { "kms:RecipientAttestation:PCR0": "7d*" } })),
        ("negated", json!({ "StringNotEquals": { "kms:RecipientAttestation:PCR0": PCR } })),
        ("negated", json!({ "Null": { "kms:RecipientAttestation:PCR0": "true" } })),
        (
            "set-operator",
            json!({ "ForAllValues:StringEquals": { "kms:RecipientAttestation:PCR0": [PCR] } }),
        ),
        ("any-image", json!({ "Null": { "kms:RecipientAttestation:PCR0": false } })),
        (
            "upper-case",
            json!({ "StringEquals": { "kms:RecipientAttestation:PCR0": PCR.to_uppercase() } }),
        ),
    ];
    for (rule, condition) in cases {
        let shown = condition.to_string();
        assert_eq!(rules_of(json!([allow("kms:Decrypt", condition)])), [rule], "{shown}");
    }
}

#[test]
fn patterns_and_not_action_are_seen_through() {
    for action in ["kms:*", "*", "kms:De*", "KMS:decrypt", "kms:D?crypt", "k*t"] {
        let found = rules_of(json!([allow(action, json!({}))]));
        assert!(found.contains(&"no-attestation"), "{action}: {found:?}");
    }
    let all_but = json!({ "Effect": "Allow", "Principal": { "AWS": ROLE }, "NotAction": "kms:Encrypt", "Resource": "*" });
    assert!(rules_of(json!([all_but])).contains(&"no-attestation"));
    assert_eq!(rules_of(json!([allow("kms:Describe*", json!({}))])), [""; 0]);
}

#[test]
fn the_default_policy_of_the_account_is_a_hole_unless_a_deny_stands_beside_it() {
    let root = json!({ "Sid": "Enable IAM policies", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" }, "Action": "kms:*", "Resource": "*" });
    assert!(rules_of(json!([root])).contains(&"account-root"));
    let unattested = deny(json!({ "Null": { "kms:RecipientAttestation:ImageSha384": "true" } }));
    assert!(rules_of(json!([root, unattested])).contains(&"any-image"));
    let image = deny(
        json!({ "StringNotEqualsIgnoreCase": { "kms:RecipientAttestation:ImageSha384": PCR } }),
    );
    // It may still change the policy itself, and make new data keys.
    assert_eq!(rules_of(json!([root, image])), ["key-policy", "generate-without-attestation"]);
    // A Deny of one role, or with a second condition, does not help.
    let mut one = image.clone();
    one["Principal"] = json!({ "AWS": ROLE });
    assert!(rules_of(json!([root, one])).contains(&"account-root"));
    let mut two = image;
    two["Condition"]["Bool"] = json!({ "aws:SecureTransport": "false" });
    assert!(rules_of(json!([root, two])).contains(&"account-root"));
}

#[test]
fn roads_around_decrypt_are_found() {
    let sound = || allow("kms:Decrypt", with_context(attested("PCR0", PCR)));
    let with = |action: &str| rules_of(json!([sound(), allow(action, json!({}))]));
    let closed = |action: &str, more: Value| rules_of(json!([sound(), allow(action, more)]));
    assert_eq!(with("kms:ReEncryptFrom"), ["re-encrypt"]);
    assert_eq!(with("kms:ReEncrypt*"), ["re-encrypt"]);
    assert_eq!(with("kms:CreateGrant"), ["grants"]);
    assert_eq!(with("kms:PutKeyPolicy"), ["key-policy"]);
    assert_eq!(with("kms:ReplicateKey"), ["key-policy"]);
    assert_eq!(with("kms:GenerateDataKey"), ["generate-by-parent"]);
    for harmless in ["kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptTo", "kms:Encrypt"] {
        assert_eq!(with(harmless), [""; 0]);
    }
    // Operations without a recipient can never meet the condition.
    for action in ["kms:ReEncrypt*", "kms:CreateGrant", "kms:PutKeyPolicy"] {
        assert_eq!(closed(action, attested("PCR0", PCR)), [""; 0]);
    }
    let mut producer = allow("kms:GenerateDataKey", json!({}));
    producer["Principal"] = json!({ "AWS": "arn:aws:iam::111122223333:role/producer" });
    assert_eq!(rules_of(json!([sound(), producer])), ["generate-without-attestation"]);
    // A Deny of everyone closes them, and grants with them; one of another key does not.
    let denied = |resource: &str| {
        let mut deny = deny(json!({}));
        deny["Action"] = json!(["kms:ReEncryptFrom", "kms:CreateGrant"]);
        deny["Resource"] = json!(resource);
        rules_of(json!([sound(), allow("kms:ReEncrypt*", json!({})), deny]))
    };
    assert_eq!(denied("*"), [""; 0]);
    assert_eq!(denied("arn:aws:kms:eu-west-1:111122223333:key/x"), ["re-encrypt"]);
    let pinned = deny(json!({ "StringNotEquals": { "kms:RecipientAttestation:PCR0": PCR } }));
    let grants = allow("kms:CreateGrant", json!({}));
    assert_eq!(rules_of(json!([sound(), grants, pinned])), [""; 0]);
}

#[test]
fn what_one_condition_leaves_open_another_does_not_hide() {
    let zeros = "0".repeat(96);
    // The lower case value holds, on any image of that parent.
    let upper =
        json!({ "StringEquals": { "kms:RecipientAttestation:PCR3": [PCR, PCR.to_uppercase()] } });
    assert_eq!(rules_of(json!([allow("kms:Decrypt", upper)])), ["parent-only", "upper-case"]);
    let mixed = json!({ "StringEquals": {
        "kms:RecipientAttestation:PCR1": [PCR, PCR.replace('7', "8")],
        "kms:RecipientAttestation:PCR2": [PCR, PCR.replace('7', "9")],
    } });
    assert_eq!(rules_of(json!([allow("kms:Decrypt", mixed)])), ["mixed-images"]);
    // Denys that look as if they demanded attestation.
    let open = allow("kms:Decrypt", json!({}));
    for condition in [
        json!({ "Null": { "kms:RecipientAttestation:PCR0": [] } }),
        json!({ "Null": { "kms:RecipientAttestation:PCR0": "false" } }),
        json!({ "StringNotEquals": { "kms:RecipientAttestation:PCR00": PCR } }),
        json!({ "ForAnyValue:StringNotEquals": { "kms:RecipientAttestation:PCR0": PCR } }),
        json!({ "StringNotLike": { "kms:RecipientAttestation:PCR0": "*" } }),
    ] {
        let shown = condition.to_string();
        assert_eq!(rules_of(json!([open, deny(condition)])), ["no-attestation"], "{shown}");
    }
    let debug =
        deny(json!({ "StringNotEquals": { "kms:RecipientAttestation:PCR0": [PCR, zeros] } }));
    assert_eq!(rules_of(json!([open, debug])), ["any-image"]);
}

#[test]
fn a_deny_counts_for_those_alone_whom_it_is_about() {
    let unattested = json!({ "Null": { "kms:RecipientAttestation:PCR0": "true" } });
    let image = json!({ "StringNotEquals": { "kms:RecipientAttestation:PCR0": PCR } });
    let found = |allowed: Value, denied: (&str, Value), condition: &Value| {
        let mut allow = allow("kms:Decrypt", json!({}));
        allow["Principal"] = allowed;
        let mut deny = deny(condition.clone());
        deny.as_object_mut().unwrap().remove("Principal");
        deny[denied.0] = denied.1;
        rules_of(json!([allow, deny]))
    };
    let [role, both] = [json!({ "AWS": ROLE }), json!({ "AWS": [ROLE, "arn:aws:iam::1:role/o"] })];
    let named = |denied: &Value| ("Principal", denied.clone());
    assert_eq!(found(role.clone(), named(&role), &unattested), ["any-image"]);
    assert_eq!(found(role.clone(), named(&both), &image), ["encryption-context"]);
    assert_eq!(found(both.clone(), named(&role), &image), ["no-attestation"]);
    assert_eq!(found(json!("*"), named(&role), &image), ["no-attestation", "anyone"]);
    assert_eq!(found(role.clone(), ("NotPrincipal", role), &image), ["no-attestation"]);
}

#[test]
fn everyone_is_named_as_everyone() {
    let mut all = allow("kms:Decrypt", json!({}));
    all["Principal"] = json!("*");
    assert_eq!(rules_of(json!([all])), ["no-attestation", "anyone"]);
    all["Condition"] = with_context(attested("PCR0", PCR));
    assert_eq!(rules_of(json!([all])), ["anyone-attested"]);
    let but = json!({ "Effect": "Allow", "NotPrincipal": { "AWS": ROLE }, "Action": "kms:Decrypt", "Resource": "*", "Condition": with_context(attested("PCR0", PCR)) });
    assert_eq!(rules_of(json!([but])), ["not-principal"]);
}

#[test]
fn what_is_no_policy_or_could_be_read_in_two_ways_is_refused() {
    let twice = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    assert!(lint(twice).is_err());
    for statement in [
        json!({ "Effect": "allow", "Principal": "*", "Action": "*", "Resource": "*" }),
        json!({ "Effect": "Allow", "Action": "*", "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": "*", "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": "*", "Action": "*" }),
        json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Conditions": {} }),
        json!({ "Effect": "Allow", "Principal": "*", "Action": 1, "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": "*", "Action": true, "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": { "Aws": ROLE }, "Action": "*", "Resource": "*" }),
        json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Sid": 1 }),
    ] {
        assert!(lint(&policy(json!([statement]))).is_err(), "{statement}");
    }
    for text in ["", "[]", "{}", "null", "{\"Statement\":1}"] {
        assert!(lint(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn what_image_policy_writes_has_no_hole() {
    let images = [
        BTreeMap::from([(0, PCR.to_owned()), (8, PCR.to_owned())]),
        BTreeMap::from([(0, PCR.replace('7', "8"))]),
    ];
    let mut roles = Roles {
        parent: ROLE.to_owned(),
        administrator: "arn:aws:iam::111122223333:role/admin".to_owned(),
        producers: Vec::new(),
        secret_makers: vec!["arn:aws:iam::111122223333:role/maker".to_owned()],
        context: BTreeMap::from([("purpose".to_owned(), "support".to_owned())]),
    };
    let written = compose::policy(&images, &roles).to_string();
    assert_eq!(lint(written.as_bytes()).unwrap(), []);
    // As `aws kms get-key-policy` prints it without --query.
    let printed = json!({ "Policy": written, "PolicyName": "default" }).to_string();
    assert_eq!(lint(printed.as_bytes()).unwrap(), []);
    // Left to the account and to the manifest, that is worth a note.
    roles.administrator = "arn:aws:iam::111122223333:root".to_owned();
    roles.context.clear();
    let written = compose::policy(&images, &roles).to_string();
    let notes = lint(written.as_bytes()).unwrap();
    let names: Vec<_> = notes.iter().map(|note| (note.rule, note.severity.as_str())).collect();
    let expected = [
        ("account-root-administers", "note"),
        ("encryption-context", "note"),
        ("encryption-context", "note"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_pattern_of_many_stars_takes_no_time() {
    let pattern = format!("kms:{}Decrypt", "*?".repeat(50_000));
    assert!(!matches(&pattern, "kms:GenerateDataKeyWithoutPlaintext"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = lint(text.as_bytes());
    }

    #[test]
    fn patterns_are_matched_as_the_definition_has_it(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', later @ ..], _) => {
                    (0..=text.len()).any(|skipped| by_definition(later, &text[skipped..]))
                }
                ([b'?', later @ ..], [_, text @ ..]) => by_definition(later, text),
                ([one, later @ ..], [other, text @ ..]) => one == other && by_definition(later, text),
                _ => false,
            }
        }
        prop_assert_eq!(
            matches(&pattern, &text),
            by_definition(pattern.as_bytes(), text.as_bytes())
        );
    }

    #[test]
    fn a_pattern_without_stars_matches_itself_alone(one in "kms:[A-Z][a-z]{0,8}", other in "kms:[A-Z][a-z]{0,8}") {
        prop_assert!(matches(&one, &one));
        prop_assert_eq!(matches(&one, &other), one.eq_ignore_ascii_case(&other));
        let with_star = format!("{}*", &one[..one.len() - 1]);
        prop_assert!(matches(&with_star, &one));
    }
}
