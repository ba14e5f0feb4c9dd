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

fn attested(key: &str, value: &str) -> Value {
    json!({ "StringEqualsIgnoreCase": { format!("kms:RecipientAttestation:{key}"): value } })
}

#[test]
fn a_policy_that_names_the_image_is_clean() {
    for key in ["ImageSha384", "PCR0", "pcr0", "IMAGESHA384"] {
        assert_eq!(rules_of(json!([allow("kms:Decrypt", attested(key, PCR))])), [""; 0], "{key}");
    }
    let both = json!({ "StringEquals": { "kms:RecipientAttestation:PCR1": PCR, "kms:RecipientAttestation:PCR2": PCR } });
    assert_eq!(rules_of(json!([allow("kms:Decrypt", both)])), [""; 0]);
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
    // It may still change the policy itself.
    assert_eq!(rules_of(json!([root, image])), ["key-policy"]);
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
    let sound = || allow("kms:Decrypt", attested("PCR0", PCR));
    let with = |action: &str| rules_of(json!([sound(), allow(action, json!({}))]));
    assert_eq!(with("kms:ReEncryptFrom"), ["re-encrypt"]);
    assert_eq!(with("kms:ReEncrypt*"), ["re-encrypt"]);
    assert_eq!(with("kms:CreateGrant"), ["grants"]);
    assert_eq!(with("kms:PutKeyPolicy"), ["key-policy"]);
    assert_eq!(with("kms:GenerateDataKey"), ["generate-without-attestation"]);
    assert_eq!(with("kms:GenerateDataKeyWithoutPlaintext"), [""; 0]);
}

#[test]
fn everyone_is_named_as_everyone() {
    let mut all = allow("kms:Decrypt", json!({}));
    all["Principal"] = json!("*");
    assert_eq!(rules_of(json!([all])), ["no-attestation", "anyone"]);
    let but = json!({ "Effect": "Allow", "NotPrincipal": { "AWS": ROLE }, "Action": "kms:Decrypt", "Resource": "*", "Condition": attested("PCR0", PCR) });
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
    let roles = Roles {
        parent: ROLE.to_owned(),
        administrator: "arn:aws:iam::111122223333:root".to_owned(),
        producers: Vec::new(),
        context: BTreeMap::from([("purpose".to_owned(), "support".to_owned())]),
    };
    let written = compose::policy(&images, &roles).to_string();
    assert_eq!(lint(written.as_bytes()).unwrap(), []);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = lint(text.as_bytes());
    }

    #[test]
    fn a_pattern_without_stars_matches_itself_alone(one in "kms:[A-Z][a-z]{0,8}", other in "kms:[A-Z][a-z]{0,8}") {
        prop_assert!(matches(&one, &one));
        prop_assert_eq!(matches(&one, &other), one.eq_ignore_ascii_case(&other));
        let with_star = format!("{}*", &one[..one.len() - 1]);
        prop_assert!(matches(&with_star, &one));
    }
}
