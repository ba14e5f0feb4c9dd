//! What a refusal says, and whether what it advises fits.

use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::program::{error_of, json_of, program, run, run_json, stderr, text};
use crate::running::Dev;

fn hint(error: &Value) -> &str {
    error["hint"].as_str().unwrap()
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

fn with(args: &[String], more: &[&str]) -> Vec<String> {
    args.iter().cloned().chain(more.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_key_too_few_or_too_many_is_named_as_the_option_that_it_is() {
    let dev = Dev::start();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let error = error_of(dev.call("export-sealed", "message", "x"));
    assert_eq!(error["code"], "bad_argument");
    assert!(hint(&error).starts_with("give --seal-key FILE"), "{error}");
    let key = dev.path("owner.key");
    let call = with(&dev.call("mask-customers", "message", "x"), &["--seal-key", &key]);
    let error = error_of(with(&call, &["--any-image"]));
    assert_eq!(error["code"], "bad_argument");
    assert!(hint(&error).starts_with("leave --seal-key"), "{error}");
}

#[test]
fn what_cannot_be_opened_is_refused_with_what_to_look_at() {
    let dev = Dev::start();
    std::fs::write(dev.file("customers.csv"), rows(20_000)).unwrap();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let call = dev.call("export-sealed", "message", "sealed");
    assert_eq!(run_json(with(&call, &["--seal-to", &dev.path("owner.key.pub")])).0, 0);
    let open = |key: &str, input: &str, output: &str| {
        let args = ["open", "--seal-key", &dev.path(key), "--input", &dev.path(input)];
        let open: Vec<String> = args.iter().map(ToString::to_string).collect();
        with(&[open, dev.trust().to_vec()].concat(), &["--output", output])
    };
    let out = dev.path("opened");
    let error = error_of(open("owner.key", "message", &out));
    assert!(hint(&error).contains("call --seal-to"), "{error}");
    let error = error_of(with(&open("owner.key", "sealed", &out), &["--job", "rotate"]));
    assert!(hint(&error).contains("--job"), "{error}");
    assert_eq!(run_json(["keygen", "--output", &dev.path("other.key")]).0, 0);
    let error = error_of(open("other.key", "sealed", &out));
    assert_eq!(error["code"], "user-data-mismatch");
    assert!(hint(&error).starts_with("is --seal-key the key"), "{error}");
    assert!(message(&error).starts_with("the attestation document"), "as verify says it: {error}");

    let sealed = std::fs::read(dev.file("sealed")).unwrap();
    std::fs::write(dev.file("sealed"), &sealed[..sealed.len() - 1]).unwrap();
    let error = error_of(open("owner.key", "sealed", &out));
    assert!(message(&error).starts_with("nothing was written: "), "{error}");
    assert!(!message(&error).contains("bytes that came before"), "{error}");
    assert!(!dev.file("opened").exists());
    let shown = stderr(&run(open("owner.key", "sealed", "-")));
    assert!(shown.contains("discard the "), "standard output has them: {shown}");
}

#[test]
fn a_bad_record_is_named_once() {
    let dev = Dev::start();
    std::fs::write(dev.file("customers.csv"), [rows(2), "short\n".to_owned()].concat()).unwrap();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let error = error_of(dev.call("mask-customers", "message", "x"));
    assert_eq!((&error["code"], &error["record"]), (&"bad_record".into(), &4.into()));
    assert_eq!(message(&error).matches("record 4").count(), 1, "{error}");
}

#[test]
fn one_record_is_not_called_records() {
    let dev = Dev::start();
    std::fs::write(dev.file("customers.csv"), rows(1)).unwrap();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let output = run(dev.call("mask-customers", "message", "x"));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(", 1 record,"), "{shown}");
}

#[test]
fn where_no_service_answers_the_question_is_which_one_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let status = ["status", "--to", &format!("unix:{}", text(&socket))].map(str::to_owned);
    let error = error_of(&status);
    assert_eq!(
        (&error["code"], hint(&error)),
        (&"connect".into(), "is the service running there?")
    );
    let listener = UnixListener::bind(&socket).unwrap();
    let hang_up = std::thread::spawn(move || drop(listener.accept()));
    let error = error_of(&status);
    assert_eq!(error["code"], "connection");
    assert!(hint(&error).contains("the same version"), "{error}");
    hang_up.join().unwrap();
}

#[test]
fn a_file_that_is_not_there_and_a_key_that_is_get_other_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("owner.key"));
    let error = error_of(["verify", "--document", &path]);
    assert!(hint(&error).starts_with("there is no such file"), "{error}");
    assert_eq!(run_json(["keygen", "--output", &path]).0, 0);
    let error = error_of(["keygen", "--output", &path]);
    assert!(hint(&error).contains("never overwritten"), "{error}");
}

#[test]
fn a_kms_refusal_is_explained_by_its_code() {
    let dev = Dev::start();
    let advice = |command: &mut std::process::Command| {
        let (code, json) = json_of(command);
        assert_eq!((code, &json["error"]["code"]), (1, &"kms-refused".into()));
        hint(&json["error"]).to_owned()
    };
    let nobody = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000";
    let mut unknown = dev.as_role("producer");
    unknown.args(["encrypt", "--json", "--kms-key", nobody]);
    assert!(advice(&mut unknown).contains("--kms-key and --region"));
    let mut forged = dev.encrypt("producer", "acme", "x");
    assert!(advice(forged.env("AWS_SECRET_ACCESS_KEY", "wrong")).contains("the credentials"));
    assert!(advice(&mut dev.encrypt("reader", "acme", "x")).contains("policy"));
}

#[test]
fn expired_credentials_of_the_environment_are_refused_before_kms_is_asked() {
    let mut command = program();
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01";
    command.args(["encrypt", "--json", "--kms-key", arn]);
    command.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "S");
    let (code, json) = json_of(command.env("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z"));
    assert_eq!((code, &json["error"]["code"]), (1, &"credentials-expired".into()));
}

fn rows(count: u32) -> String {
    let header = "id,name,email,pan,city,balance\n".to_owned();
    let row = |id| format!("{id},Ada Lovelace,ada@example.org,4000001234567899,London,1.00\n");
    std::iter::once(header).chain((1..=count).map(row)).collect()
}
