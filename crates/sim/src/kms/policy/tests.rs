//! Policies as tables: document, request, verdict.

use super::*;
use crate::kms::call::authorize;
use crate::kms::credentials::Caller;

const ROLE: &str = "arn:aws:iam::111122223333:role/parent";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000";
const ACCOUNT: &str = "111122223333";

fn keys(entries: &[(&str, &str)]) -> RequestKeys {
    let mut keys = RequestKeys::default();
    for (key, value) in entries {
        keys.add(key, *value);
    }
    keys
}

/// One statement with this condition, over a request with these keys.
fn condition_holds(condition: Value, entries: &[(&str, &str)]) -> bool {
    let document = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition,
    }});
    let policy = Policy::parse(&document.to_string(), PolicyKind::Key).unwrap();
    let principal = Principal::from_arn(ROLE).unwrap();
    let question = Question {
        principal: &principal,
        action: "kms:Decrypt",
        resource: KEY,
        keys: &keys(entries),
    };
    policy.decide(&question) == Verdict::Allowed
}

/// What `caller` gets for `kms:Decrypt`: the reason of the refusal, or nothing.
fn decrypt(
    caller: &str,
    own: Option<Value>,
    key_statements: Value,
    entries: &[(&str, &str)],
) -> Option<String> {
    let own = own.unwrap_or_else(|| json!({"Effect": "Allow", "Action": "kms:*", "Resource": "*"}));
    let document =
        |statements| json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let caller = Caller {
        principal: Principal::from_arn(caller).unwrap(),
        identity_policy: Policy::parse(&document(own), PolicyKind::Identity).unwrap(),
    };
    let policy = Policy::parse(&document(key_statements), PolicyKind::Key).unwrap();
    let target = Some((&KEY.to_owned(), &policy));
    let refused = authorize(&caller, "Decrypt", ACCOUNT, target, &keys(entries)).err()?;
    assert_eq!((refused.code, refused.status), ("AccessDeniedException", 400));
    let text = refused.message.unwrap();
    let (_, reason) = text.split_once(&format!("on resource: {KEY} ")).unwrap();
    Some(reason.to_owned())
}

fn allow(principal: Value, action: &str) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"})
}

fn deny(principal: Value, condition: Value) -> Value {
    json!({"Effect": "Deny", "Principal": principal, "Action": "kms:Decrypt", "Resource": "*", "Condition": condition})
}

const NO_RESOURCE: &str = "because no resource-based policy allows the kms:Decrypt action";
const NO_IDENTITY: &str = "because no identity-based policy allows the kms:Decrypt action";
const KEY_DENIES: &str = "with an explicit deny in a resource-based policy";
const IDENTITY_DENIES: &str = "with an explicit deny in an identity-based policy";

#[test]
fn condition_operators_decide_as_iam_does() {
    let none: &[(&str, &str)] = &[];
    let pcr = "kms:RecipientAttestation:ImageSha384";
    let tenant = "kms:EncryptionContext:tenant";
    for (condition, request, expected) in [
        (json!({"StringEquals": {pcr: "ab"}}), &[(pcr, "ab")][..], true),
        (json!({"StringEquals": {pcr: "AB"}}), &[(pcr, "ab")], false),
        (json!({"StringEquals": {pcr: "ab"}}), none, false),
        (json!({"StringEquals": {pcr: ["cd", "ab"]}}), &[(pcr, "ab")], true),
        (json!({"StringEquals": {pcr: []}}), &[(pcr, "ab")], false),
        (
            json!({"StringEquals": {"kms:recipientattestation:IMAGESHA384": "ab"}}),
            &[(pcr, "ab")],
            true,
        ),
        (json!({"StringEqualsIfExists": {pcr: "ab"}}), none, true),
        (json!({"StringEqualsIfExists": {pcr: "ab"}}), &[(pcr, "cd")], false),
        (json!({"StringEqualsIgnoreCase": {pcr: "AB"}}), &[(pcr, "ab")], true),
        (json!({"StringNotEquals": {pcr: "ab"}}), none, true),
        (json!({"StringNotEquals": {pcr: ["ab", "cd"]}}), &[(pcr, "cd")], false),
        (json!({"StringNotEqualsIgnoreCase": {pcr: "AB"}}), &[(pcr, "ab")], false),
        (json!({"StringLike": {tenant: "acme-*"}}), &[(tenant, "acme-1")], true),
        (json!({"StringLike": {tenant: "acme-?"}}), &[(tenant, "acme-12")], false),
        (json!({"StringNotLike": {tenant: "acme-*"}}), &[(tenant, "acme-1")], false),
        (
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/p*"}}),
            &[("aws:PrincipalArn", ROLE)],
            true,
        ),
        (
            json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}),
            &[("aws:PrincipalArn", ROLE)],
            false,
        ),
        (
            json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}),
            &[("aws:PrincipalArn", ROLE)],
            true,
        ),
        (json!({"Bool": {"aws:SecureTransport": true}}), &[("aws:SecureTransport", "true")], true),
        (
            json!({"Bool": {"aws:SecureTransport": "false"}}),
            &[("aws:SecureTransport", "true")],
            false,
        ),
        (json!({"Null": {pcr: "true"}}), none, true),
        (json!({"Null": {pcr: true}}), &[(pcr, "ab")], false),
        (json!({"Null": {pcr: "false"}}), &[(pcr, "ab")], true),
        (json!({"Null": {"kms:ViaService": "true"}}), none, true),
        // Two keys, two operators: all must hold.
        (json!({"StringEquals": {pcr: "ab", tenant: "a"}}), &[(pcr, "ab"), (tenant, "b")], false),
        (
            json!({"StringEquals": {pcr: "ab"}, "StringLike": {tenant: "a"}}),
            &[(pcr, "ab"), (tenant, "a")],
            true,
        ),
    ] {
        assert_eq!(
            condition_holds(condition.clone(), request),
            expected,
            "{condition} {request:?}"
        );
    }
}

#[test]
fn set_operators_decide_as_iam_does() {
    let names = "kms:EncryptionContextKeys";
    let two = &[(names, "tenant"), (names, "purpose")][..];
    for (condition, request, expected) in [
        (json!({"ForAllValues:StringEquals": {names: ["tenant", "purpose"]}}), two, true),
        (json!({"ForAllValues:StringEquals": {names: ["tenant"]}}), two, false),
        (json!({"ForAllValues:StringEquals": {names: ["tenant"]}}), &[], true),
        (json!({"ForAnyValue:StringEquals": {names: ["tenant"]}}), two, true),
        (json!({"ForAnyValue:StringEquals": {names: ["other"]}}), two, false),
        (json!({"ForAnyValue:StringEquals": {names: ["tenant"]}}), &[], false),
        (json!({"ForAnyValue:StringEqualsIfExists": {names: ["tenant"]}}), &[], true),
        (json!({"ForAnyValue:StringNotEquals": {names: ["tenant"]}}), two, true),
        (json!({"ForAllValues:StringNotEquals": {names: ["tenant"]}}), two, false),
        (json!({"ForAnyValue:StringLike": {names: ["ten*"]}}), two, true),
    ] {
        assert_eq!(
            condition_holds(condition.clone(), request),
            expected,
            "{condition} {request:?}"
        );
    }
}

#[test]
fn explicit_deny_outweighs_every_allow() {
    let me = json!({"AWS": ROLE});
    let absent = json!({"Null": {"kms:RecipientAttestation:ImageSha384": "true"}});
    let statements = json!([allow(me.clone(), "kms:*"), deny(json!("*"), absent)]);
    assert_eq!(decrypt(ROLE, None, statements.clone(), &[]).unwrap(), KEY_DENIES);
    let attested = &[("kms:RecipientAttestation:ImageSha384", "ab")];
    assert_eq!(decrypt(ROLE, None, statements, attested), None);

    let own = json!({"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"});
    let refused = decrypt(ROLE, Some(own), json!([allow(me, "kms:*")]), &[]);
    assert_eq!(refused.unwrap(), IDENTITY_DENIES);
}

#[test]
fn account_root_delegates_to_identity_policies() {
    let root = json!([allow(json!({"AWS": "arn:aws:iam::111122223333:root"}), "kms:*")]);
    assert_eq!(decrypt(ROLE, None, root.clone(), &[]), None);
    let number = json!([allow(json!({"AWS": ACCOUNT}), "kms:*")]);
    assert_eq!(decrypt(ROLE, None, number, &[]), None);

    let other = json!({"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"});
    assert_eq!(decrypt(ROLE, Some(other.clone()), root, &[]).unwrap(), NO_IDENTITY);
    // Named itself by the key policy, a principal needs nothing more.
    let direct = json!([allow(json!({"AWS": [ROLE]}), "kms:Decrypt")]);
    assert_eq!(decrypt(ROLE, Some(other), direct, &[]), None);
}

#[test]
fn another_account_needs_both_policies() {
    let stranger = "arn:aws:iam::444455556666:role/attacker";
    let ours = json!([allow(json!({"AWS": "arn:aws:iam::111122223333:root"}), "kms:*")]);
    assert_eq!(decrypt(stranger, None, ours, &[]).unwrap(), NO_RESOURCE);
    let named = json!([allow(json!({"AWS": stranger}), "kms:*")]);
    assert_eq!(decrypt(stranger, None, named.clone(), &[]), None);
    let nothing = json!({"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"});
    assert_eq!(decrypt(stranger, Some(nothing), named, &[]).unwrap(), NO_IDENTITY);
}

#[test]
fn a_session_is_its_role() {
    let session = "arn:aws:sts::111122223333:assumed-role/parent/i-0123";
    let role = json!([allow(json!({"AWS": ROLE}), "kms:Decrypt")]);
    assert_eq!(decrypt(session, None, role, &[]), None);
    let other = json!([allow(json!({"AWS": "arn:aws:iam::111122223333:role/other"}), "kms:*")]);
    assert_eq!(decrypt(session, None, other, &[]).unwrap(), NO_RESOURCE);
}

#[test]
fn actions_match_by_pattern_and_exclusion() {
    let me = json!({"AWS": ROLE});
    for (member, actions, allowed) in [
        ("Action", json!("kms:Decrypt"), true),
        ("Action", json!("KMS:decrypt"), true),
        ("Action", json!(["kms:Encrypt", "kms:De*"]), true),
        ("Action", json!("kms:Describe*"), false),
        ("Action", json!("*"), true),
        ("NotAction", json!("kms:Decrypt"), false),
        ("NotAction", json!(["kms:Encrypt"]), true),
    ] {
        let statement =
            json!({"Effect": "Allow", "Principal": me, member: actions, "Resource": "*"});
        assert_eq!(decrypt(ROLE, None, statement, &[]).is_none(), allowed, "{member} {actions}");
    }
}

#[test]
fn a_resource_that_is_not_the_key_does_not_apply() {
    let mut statement = allow(json!({"AWS": ROLE}), "kms:*");
    statement["Resource"] = json!("arn:aws:kms:eu-west-1:111122223333:key/other");
    assert_eq!(decrypt(ROLE, None, statement.clone(), &[]).unwrap(), NO_RESOURCE);
    statement["Resource"] = json!([KEY]);
    assert_eq!(decrypt(ROLE, None, statement, &[]), None);
}

#[test]
fn what_is_not_understood_is_malformed() {
    let good = json!({"Version": "2012-10-17", "Statement": [allow(json!("*"), "kms:*")]});
    assert!(Policy::parse(&good.to_string(), PolicyKind::Key).is_ok());
    let statement = |member: &str, value: Value| {
        let mut bad = good.clone();
        bad["Statement"][0][member] = value;
        bad
    };
    let condition = |value| statement("Condition", value);
    let mut without_version = good.clone();
    without_version.as_object_mut().unwrap().remove("Version");
    for bad in [
        json!([]),
        json!({"Version": "2012-10-17"}),
        json!({"Version": "2012-10-17", "Statement": "x"}),
        json!({"Version": "2020-01-01", "Statement": []}),
        without_version,
        statement("Effect", json!("allow")),
        statement("Principal", json!("me")),
        statement("Principal", json!({"Service": "s3.amazonaws.com"})),
        statement("Principal", json!({"AWS": "arn:aws:iam::111122223333:role/*"})),
        statement("Principal", json!({"AWS": "arn:aws:iam::1:role/a"})),
        statement("Principal", json!({"AWS": []})),
        statement("NotPrincipal", json!("*")),
        statement("NotAction", json!("kms:Decrypt")),
        statement("NotResource", json!("*")),
        statement("Action", json!("s3:GetObject")),
        statement("Action", json!([])),
        statement("Resource", json!(7)),
        statement("Extra", json!(1)),
        condition(json!("x")),
        condition(json!({"StringEquals": "x"})),
        condition(json!({"StringMatches": {"aws:PrincipalArn": "x"}})),
        condition(json!({"stringequals": {"aws:PrincipalArn": "x"}})),
        condition(json!({"NumericEquals": {"aws:PrincipalArn": "1"}})),
        condition(json!({"ForAnyValue:Null": {"aws:PrincipalArn": "true"}})),
        condition(json!({"NullIfExists": {"aws:PrincipalArn": "true"}})),
        condition(json!({"StringEquals": {"kms:RecipientAttestation:PCR32": "x"}})),
        condition(json!({"StringEquals": {"kms:RecipientAttestation:Image": "x"}})),
        condition(json!({"StringEquals": {"aws:Unknown": "x"}})),
        condition(json!({"StringEquals": {"aws:PrincipalArn": {"a": 1}}})),
        condition(json!({"StringEquals": {"aws:PrincipalArn": "${aws:username}"}})),
    ] {
        assert!(Policy::parse(&bad.to_string(), PolicyKind::Key).is_err(), "{bad}");
    }
    assert!(Policy::parse("{", PolicyKind::Key).is_err());
    assert!(Policy::parse(&good.to_string(), PolicyKind::Identity).is_err());
    assert!(Policy::parse(&Policy::default_for(ACCOUNT), PolicyKind::Key).is_ok());
    let long = " ".repeat(MAX_POLICY_LEN) + &good.to_string();
    assert!(Policy::parse(&long, PolicyKind::Key).is_err());
}
