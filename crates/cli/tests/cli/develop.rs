//! Every command that talks to a service or to KMS, against a `dev` run.

use strongroom_envelope::plain::{Header, Limits};

use crate::program::{error_of, json_of, refused, run, run_json, shell, stderr, text};
use crate::running::Dev;

#[test]
fn a_file_goes_all_the_way_from_producer_to_parent_and_owner() {
    let dev = Dev::start();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let message = std::fs::read(dev.file("message")).unwrap();
    assert!(!message.windows(12).any(|window| window == b"@example.org"));

    let (code, json) = run_json(dev.call("mask-customers", "message", "masked"));
    assert_eq!((code, &json["protect"], &json["records"]), (0, &"none".into(), &100.into()));
    let masked = std::fs::read_to_string(dev.file("masked")).unwrap();
    assert_eq!(masked.lines().count(), 101);
    assert!(masked.contains(",***,****") && !masked.contains('@'), "{masked}");

    let stored = [dev.call("export-sealed", "message", "sealed"), {
        ["--seal-to", &dev.path("owner.key.pub"), "--nonce", "0102"].map(str::to_owned).to_vec()
    }];
    assert_eq!(run_json(stored.concat()).1["protect"], "seal");
    let (key, sealed, out) = (dev.path("owner.key"), dev.path("sealed"), dev.path("opened"));
    let open: Vec<String> = ["open", "--seal-key", &key, "--input", &sealed, "--output", &out]
        .map(str::to_owned)
        .to_vec();
    let with = |more: &[&str]| {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        [open.clone(), dev.trust().to_vec(), more].concat()
    };
    assert_eq!(refused([open.clone(), vec!["--any-image".to_owned()]].concat()), "root-mismatch");
    assert_eq!(refused(with(&["--nonce", "0103"])), "nonce-mismatch");
    assert_eq!(refused(with(&["--nonce", "0102", "--job", "rotate"])), "sealed-refused");
    // Made from another message of the same tenant, and from none.
    let (of, other) = (dev.path("message"), dev.path("other"));
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "other")).0, 0);
    assert_eq!(refused(with(&["--nonce", "0102", "--of", &other])), "sealed-refused");
    assert_eq!(refused(with(&["--nonce", "0102", "--of", &sealed])), "no-message");
    assert!(!dev.file("opened").exists());
    let demands = ["--nonce", "0102", "--job", "export-sealed", "--arg", "tenant=acme"];
    let (code, json) = run_json(with(&[&demands[..], &["--of", &of]].concat()));
    assert_eq!((code, &json["job"]), (0, &"export-sealed".into()), "{json}");
    assert_eq!(json["input"], hex::encode(&message[3..35]));
    let opened = std::fs::read_to_string(dev.file("opened")).unwrap();
    assert!(opened.lines().count() == 101 && opened.contains("@example.org"));

    let direct = [dev.call("export-sealed", "message", "direct"), dev.trust().to_vec(), {
        ["--seal-key", &key].map(str::to_owned).to_vec()
    }];
    assert_eq!(run_json(direct.concat()).0, 0);
    assert_eq!(std::fs::read_to_string(dev.file("direct")).unwrap(), opened);
}

#[test]
fn a_producer_can_sign_its_message_and_can_write_a_plain_envelope() {
    let dev = Dev::start();
    let encrypt =
        |name: &str, more: &[&str]| json_of(dev.encrypt("producer", "acme", name).args(more));
    assert_eq!(encrypt("signed", &["--signed"]).0, 0);
    let message = std::fs::read(dev.file("signed")).unwrap();
    assert_eq!(message[..3], [2, 5, 0x78], "format 2, suite 0578");
    assert_eq!(run_json(dev.call("mask-customers", "signed", "masked")).0, 0);
    // The signature is the message's last part, and counts.
    std::fs::write(dev.file("cut"), &message[..message.len() - 1]).unwrap();
    assert_eq!(refused(dev.call("mask-customers", "cut", "result")), "decrypt_failed");

    let (code, json) = encrypt("plain", &["--format", "plain-envelope"]);
    let envelope = std::fs::read(dev.file("plain")).unwrap();
    let (header, start) = Header::parse(&envelope, &Limits::DEFAULT).unwrap().unwrap();
    let body = (envelope.len() - start) as u64;
    assert_eq!((code, &json["bytes_in"]), (0, &(body - 16).into()));
    assert!(header.encrypted_data_key().len() > 32);
    assert!(!envelope.windows(12).any(|window| window == b"@example.org"));
    assert_eq!(encrypt("both", &["--format", "plain-envelope", "--signed"]).0, 2);
    assert!(!dev.file("both").exists());
}

#[test]
fn a_call_that_fails_leaves_nothing_and_keeps_what_was_there() {
    let dev = Dev::start();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let message = std::fs::read(dev.file("message")).unwrap();
    std::fs::write(dev.file("cut"), &message[..message.len() - 1]).unwrap();
    let entries = || std::fs::read_dir(dev.file("")).unwrap().count();
    let before = entries();
    assert_eq!(refused(dev.call("mask-customers", "cut", "result")), "decrypt_failed");
    assert_eq!(refused(dev.call("nonsense", "message", "result")), "unknown_job");
    assert_eq!(refused(dev.call("export-sealed", "message", "result")), "bad_argument");
    assert_eq!(entries(), before, "no result, and no temporary file either");
    std::fs::write(dev.file("result"), "earlier").unwrap();
    assert_eq!(refused(dev.call("mask-customers", "cut", "result")), "decrypt_failed");
    assert_eq!(std::fs::read_to_string(dev.file("result")).unwrap(), "earlier");
}

#[test]
fn another_tenants_data_and_another_role_are_refused_with_their_reason() {
    let dev = Dev::start();
    assert_eq!(json_of(&mut dev.encrypt("producer", "globex", "theirs")).0, 0);
    assert_eq!(refused(dev.call("mask-customers", "theirs", "x")), "context_mismatch");
    let (code, json) = json_of(&mut dev.encrypt("reader", "acme", "message"));
    assert_eq!((code, &json["error"]["code"]), (1, &"kms-refused".into()));
    assert!(json["error"]["message"].as_str().unwrap().contains("AccessDeniedException"));
    let mut untrusted = dev.encrypt("producer", "acme", "message");
    let (code, json) = json_of(untrusted.env_remove("AWS_CA_BUNDLE"));
    assert_eq!((code, &json["error"]["code"]), (1, &"kms-unreachable".into()), "Amazon's roots");
    assert!(!dev.file("message").exists());
}

#[test]
fn a_service_proves_itself_and_credentials_are_never_shown() {
    let dev = Dev::start();
    let mut attest = vec!["attest".to_owned(), "--to".to_owned(), dev.address().to_owned()];
    assert_eq!(refused(attest.clone()), "root-mismatch");
    attest.extend(dev.trust());
    attest.push("--production".to_owned());
    let (code, json) = run_json(attest);
    assert_eq!((code, &json["mode"]), (0, &"production".into()));
    assert_eq!(json["nonce"].as_str().unwrap().len(), 64);

    let document = dev.path("document");
    let saved = run_json(["attest", "--to", dev.address(), "--output", &document]).1;
    let nonce = saved["nonce"].as_str().unwrap().to_owned();
    let verify = ["verify", "--document", &document, "--nonce", &nonce].map(str::to_owned);
    assert_eq!(run_json(verify.into_iter().chain(dev.trust())).0, 0);

    let (code, status) = run_json(["status", "--to", dev.address()]);
    assert_eq!((code, &status["credentials"]), (0, &true.into()));
    let credentials =
        r#"{"AccessKeyId":"AKIAX","SecretAccessKey":"hush","Expiration":"2101-01-01T00:00:00Z"}"#;
    std::fs::write(dev.file("credentials"), credentials).unwrap();
    let file = dev.path("credentials");
    let output = run(["credentials", "--to", dev.address(), "--file", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(shown.contains("2101-01-01T00:00:00Z") && !shown.contains("hush"), "{shown}");
    std::fs::write(dev.file("credentials"), r#"{"SecretAccessKey":"hush"}"#).unwrap();
    let output = run(["credentials", "--to", dev.address(), "--file", &file]);
    assert!(stderr(&output).contains("credentials-malformed"));
    assert!(!stderr(&output).contains("hush"));
}

#[test]
fn credentials_that_nobody_would_take_are_not_handed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("credentials"));
    let refused_as = |json: &str| {
        std::fs::write(&path, json).unwrap();
        let error = error_of(["credentials", "--to", "unix:/nowhere", "--file", &path]);
        (error["code"].clone(), error["message"].as_str().unwrap().to_owned())
    };
    let expired =
        r#"{"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"2001-01-01T00:00:00Z"}"#;
    let (code, message) = refused_as(expired);
    assert_eq!(code, "credentials-expired");
    assert!(message.contains("2001-01-01T00:00:00Z"), "{message}");
    for (json, problem) in [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("{}", "AccessKeyId is missing"),
        (r#"{"AccessKeyId":"A"}"#, "SecretAccessKey is missing"),
        ("{", "does not fit"),
    ] {
        let (code, message) = refused_as(json);
        assert_eq!(code, "credentials-malformed", "{json}");
        assert!(message.contains(problem), "{json}: {message}");
    }
}

#[test]
fn the_command_that_attest_suggests_repeats_every_demand() {
    let dev = Dev::start();
    let document = dev.path("document");
    let attest = ["attest", "--to", dev.address(), "--output", &document].map(str::to_owned);
    let output = run(attest.into_iter().chain(dev.trust()).chain(["--production".to_owned()]));
    let shown = String::from_utf8(output.stdout).unwrap();
    let (_, suggested) = shown.split_once('\n').unwrap();
    for demand in dev.trust().iter().map(String::as_str).chain(["--nonce", "--production"]) {
        assert!(suggested.contains(demand), "{suggested}");
    }
    let output = shell(suggested);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("genuine\n"));
}
