//! Wrong usage is told apart from a refusal.

use crate::program::{run, run_json};

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["verify"][..],
        &["verify", "--document", "x", "--pcr0", "zz"],
        &["verify", "--document", "x", "--pcr0", "00"],
        &["verify", "--document", "x", "--pcr32", "00"],
        &["verify", "--document", "x", "--nonce", "abc"],
        &["verify", "--document", "x", "--at", "yesterday"],
        &["verify", "--document", "x", "--max-age", "-1"],
        &["call", "--to", "nowhere", "--job", "x"],
        &["call", "--to", "unix:/x", "--job", "x", "--arg", "novalue"],
        &["encrypt", "--kms-key", "alias/customers"],
        &["demo", "--rows", "0"],
        &["credentials", "--to", "unix:/x", "--secret-access-key", "x"],
        &["nonsense"],
        &[],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_json_when_json_is_wanted() {
    let (code, json) = run_json(["verify"]);
    assert_eq!((code, &json["error"]["code"]), (2, &"usage".into()));
    assert!(json["error"]["message"].as_str().unwrap().contains("--document"));
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["--version"], &["verify", "--help"], &["demo", "--help"]] {
        let output = run(args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn without_credentials_the_error_names_the_variable() {
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01";
    let (code, json) = run_json(["encrypt", "--kms-key", arn]);
    assert_eq!((code, &json["error"]["code"]), (1, &"credentials-missing".into()));
    assert!(json["error"]["message"].as_str().unwrap().contains("AWS_ACCESS_KEY_ID"));
}
