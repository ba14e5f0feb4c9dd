//! Wrong usage is told apart from a refusal.

use crate::program::{json_of, misused, program, run, run_json, text};

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
        &["keygen", "--output", "-"],
        &["call", "--to", "unix:/x", "--job", "x", "--arg", "a=1", "--arg", "a=2"],
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

#[test]
fn the_exit_codes_are_in_the_help() {
    let shown = String::from_utf8(run(["--help"]).stdout).unwrap();
    assert!(shown.contains("2 used wrongly, 130 interrupted"), "{shown}");
}

#[test]
fn a_nonce_that_is_not_hex_is_told_what_is_expected() {
    let error = misused(["verify", "--document", "x", "--nonce", "zz"]);
    assert!(error["message"].as_str().unwrap().contains("expected hex"), "{error}");
}

#[test]
fn whoever_opens_a_result_says_from_which_image_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let key = text(&folder.path().join("owner.key"));
    assert_eq!(run_json(["keygen", "--output", &key]).0, 0);
    // Nothing listens there, and the input would not do either.
    let call = ["call", "--to", "unix:/nowhere", "--job", "x", "--seal-key", &key];
    let parents_only = ["--pcr4", &"ab".repeat(48)];
    assert_eq!(misused(call)["code"], "image-unpinned");
    assert_eq!(misused(call.iter().chain(&parents_only))["code"], "image-unpinned");
    assert_eq!(misused(["open", "--seal-key", &key])["code"], "image-unpinned");
    assert_eq!(run_json(call.iter().chain(&["--any-image"])).1["error"]["code"], "connect");
}

#[test]
fn an_output_never_replaces_its_own_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    assert_eq!(run_json(["keygen", "--output", &at("owner.key")]).0, 0);
    std::fs::write(at("input"), "ciphertext").unwrap();
    std::os::unix::fs::symlink("input", at("symbolic")).unwrap();
    std::fs::hard_link(at("input"), at("hard")).unwrap();
    for output in ["input", "./input", "symbolic", "hard"] {
        let (input, output) = (at("input"), at(output));
        let files = ["--input", &input, "--output", &output];
        let open = ["open", "--any-image", "--seal-key", &at("owner.key")];
        let call = ["call", "--to", "unix:/nowhere", "--job", "x"];
        assert_eq!(misused(open.iter().chain(&files))["code"], "usage", "{output}");
        assert_eq!(misused(call.iter().chain(&files))["code"], "usage", "{output}");
    }
    assert_eq!(std::fs::read_to_string(at("input")).unwrap(), "ciphertext");
    // Standard input and output are not the file that has their name.
    std::fs::write(at("-"), "").unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["call", "--json", "--to", "unix:/nowhere"]);
    assert_eq!(json_of(command.args(["--job", "x"])).1["error"]["code"], "connect");
}
