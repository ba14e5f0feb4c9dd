//! `manifest check`: what is said of each job, what is warned about, what is
//! refused.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{error_of, program, run, run_json, stderr, text};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER: &str = "arn:aws:kms:eu-west-1:111122223333:key/8d2b6c94-6b0d-4c39-8a11-70c2f0a9be02";
const READER: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";

/// A manifest of one job; `job` is what follows its name.
fn manifest(job: &str) -> String {
    let job = job.replace("KEY", KEY).replace("OTHER", OTHER).replace("READER", READER);
    format!(
        r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512

[listen]
vsock_port = 5005

[kms]
region = "eu-west-1"

[[secret]]
name = "tokens"
key = "{KEY}"
context = {{ purpose = "tokens" }}
wrapped = "AQID"

[[caller]]
name = "branch"
public_key = "{}"

[[job]]
name = "the-job"
{job}
"#,
        "ab".repeat(32)
    )
}

fn checked(manifest: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("enclave.eif.toml");
    std::fs::write(&file, manifest).unwrap();
    let (code, json) = run_json(["manifest", "check", &text(&file)]);
    assert_eq!(code, 0, "{json}");
    json
}

/// What is shown for people.
fn shown(manifest: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("enclave.eif.toml");
    std::fs::write(&file, manifest).unwrap();
    let output = run(["manifest", "check", &text(&file)]);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The rules that a job breaks.
fn rules(job: &str) -> Vec<String> {
    let json = checked(&manifest(job));
    let warnings = json["jobs"][0]["warnings"].as_array().unwrap();
    warnings.iter().map(|warning| warning["rule"].as_str().unwrap().to_owned()).collect()
}

const MASK: &str = r#"
operation = "mask"
args = ["tenant"]
input = { format = "csv", key = "KEY", context = { purpose = "support", tenant = "{tenant}" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }
"#;

const OPEN: &str = r#"
operation = "open"
input = { key = "KEY", context = { purpose = "audit" } }
output = { protect = "seal", to = ["READER"], pad_to = "4KiB" }
"#;

const REENCRYPT: &str = r#"
operation = "reencrypt"
input = { key = "KEY", context = { purpose = "support" } }
output = { protect = "kms", key = "OTHER", context = { purpose = "archive" } }
"#;

const TOKENIZE: &str = r#"
operation = "tokenize"
secret = "tokens"
args = ["tenant"]
tenant = "{tenant}"
input = { format = "csv", key = "KEY", context = { purpose = "support", tenant = "{tenant}" } }
fields = { pan = { token = "siv" } }
output = { protect = "none" }
"#;

const AGGREGATE: &str = r#"
operation = "aggregate"
input = { format = "csv", key = "KEY", context = { purpose = "statistics" } }
aggregate = { group_by = ["country"], compute = { n = "count", top = { mean = "amount" } }, min_group_size = 7 }
output = { protect = "none" }
"#;

const FIELDS: &str = r#"
operation = "mask"
fields = { pan = "last4", name = "keep" }
output = { protect = "none" }
input = { format = "csv", key = "KEY", fields = { pan = { context = { purpose = "x", field = "pan" } }, name = { context = { purpose = "x", field = "name" } } } }
"#;

#[test]
fn the_manifest_of_the_repository_is_explained_without_a_warning() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../enclave.eif.toml");
    let (code, json) = run_json(["manifest", "check", file]);
    assert_eq!(code, 0);
    let jobs = json["jobs"].as_array().unwrap();
    assert!(jobs.iter().any(|job| job["name"] == "mask-customers"), "{json}");
    assert!(jobs.iter().all(|job| job["warnings"] == Value::Array(vec![])), "{json}");
}

#[test]
fn a_job_is_told_from_what_goes_in_to_who_learns_what() {
    let json = checked(&manifest(MASK));
    let job = &json["jobs"][0];
    assert_eq!(job["name"], "the-job");
    assert_eq!(job["who_may_ask"], "whoever can connect to the enclave: the parent");
    assert_eq!(
        job["arguments"][0],
        "tenant: 1 to 256 bytes; the data's encryption context proves it"
    );
    assert_eq!(
        job["goes_in"][0],
        format!(
            "CSV in an AWS Encryption SDK message under {KEY}, made for purpose = support, tenant = <tenant>"
        )
    );
    assert_eq!(job["is_done"], "mask: each field by its rule");
    assert_eq!(job["details"][0], "city: kept as it is");
    assert_eq!(job["details"][3], "every other field is left out");
    assert_eq!(job["comes_out"], "in the clear");
    assert_eq!(job["who_learns"].as_array().unwrap().len(), 1);
    assert_eq!(job["who_learns"][0]["who"], "the parent, and whoever it shows the result to");
    assert_eq!(
        job["who_learns"][0]["what"],
        "what the rules leave of each field, and the number of records"
    );
}

#[test]
fn records_that_may_be_left_out_are_told_with_what_goes_in() {
    let said = |job: &str| checked(&manifest(job))["jobs"][0]["goes_in"][0].to_string();
    let drops = r#"bad_records = "drop", key = "KEY""#;
    for job in [MASK, FIELDS] {
        assert!(!said(job).contains("malformed"), "{job}");
        assert!(said(&job.replace(r#"key = "KEY""#, drops)).contains("malformed"), "{job}");
    }
}

#[test]
fn of_a_protected_result_the_reader_learns_and_the_parent_sees_sizes() {
    let sealed = checked(&manifest(OPEN));
    let job = &sealed["jobs"][0];
    assert_eq!(job["who_learns"][0]["what"], "the plaintext itself");
    assert_eq!(job["who_learns"][1]["who"], "the parent");
    assert!(job["comes_out"].as_str().unwrap().contains(READER), "{job}");
    assert!(job["comes_out"].as_str().unwrap().contains("multiple of 4096 bytes"), "{job}");
    let encrypted = checked(&manifest(REENCRYPT));
    assert_eq!(
        encrypted["jobs"][0]["who_learns"][0]["who"],
        format!("whoever KMS lets Decrypt with {OTHER}, in the context purpose = archive")
    );
}

#[test]
fn the_size_of_groups_is_told_as_it_is() {
    let json = checked(&manifest(AGGREGATE));
    assert_eq!(
        json["jobs"][0]["who_learns"][0]["what"],
        "numbers about groups that have at least 7 records"
    );
}

#[test]
fn every_job_that_is_shown_without_a_warning_has_none_of_the_dangers() {
    for job in [MASK, OPEN, REENCRYPT, TOKENIZE, AGGREGATE, FIELDS] {
        assert_eq!(rules(job), Vec::<String>::new(), "{job}");
    }
}

#[test]
fn each_danger_is_warned_about() {
    let with = |job: &str, from: &str, to: &str| {
        assert!(job.contains(from), "{from}");
        rules(&job.replace(from, to))
    };
    let any = r#"to = "any""#;
    assert_eq!(with(OPEN, r#"to = ["READER"]"#, any), ["seal-to-any"]);
    let legacy = r#"commitment = "allow-legacy", key = "KEY""#;
    assert_eq!(with(REENCRYPT, r#"key = "KEY""#, legacy), ["legacy-suites"]);
    assert_eq!(with(REENCRYPT, "OTHER", "KEY"), ["same-key"]);
    assert_eq!(with(TOKENIZE, "tenant = \"{tenant}\"\ninput", "input"), ["no-tenant"]);
    let keep = "unknown_fields = \"keep\"\noutput";
    assert_eq!(with(MASK, "output", keep), ["keeps-unknown"]);
    assert_eq!(with(FIELDS, r#", name = "keep" }"#, " }"), ["field-without-rule"]);
    let dropped = with(FIELDS, r#", name = "keep" }"#, r#", name = "drop" }"#);
    assert_eq!(dropped, Vec::<String>::new(), "somebody thought of it");
    assert_eq!(with(AGGREGATE, "{ mean =", "{ max ="), ["single-values"]);
    assert_eq!(with(AGGREGATE, "{ mean =", "{ min ="), ["single-values"]);
    let sign = r#"
        operation = "sign"
        secret = "tokens"
        input = { key = "KEY", context = { purpose = "orders" } }
        sign = { algorithm = "ed25519" }
        output = { protect = "none" }
    "#;
    assert_eq!(rules(sign), ["anyone-may-sign"]);
    assert_eq!(with(sign, "secret =", "callers = [\"branch\"]\nsecret ="), Vec::<String>::new());
    let detokenize = r#"
        operation = "detokenize"
        secret = "tokens"
        args = ["tenant"]
        tenant = "{tenant}"
        input = { format = "csv", key = "KEY", context = { purpose = "tokens of {tenant}", of = "us" } }
        fields = { pan = { token = "siv" } }
        output = { protect = "seal", to = ["READER"] }
    "#;
    assert_eq!(rules(detokenize), ["anyone-may-detokenize"]);
    let matching = r#"
        operation = "match"
        args = ["who"]
        input = { format = "csv", key = "KEY", context = { purpose = "sanctions" } }
        match = { field = "email", arg = "who", as = "encrypted" }
        output = { protect = "none" }
    "#;
    assert_eq!(rules(matching), ["anyone-may-match"]);
}

#[test]
fn tokens_are_learned_by_whoever_reads_the_job_that_turns_them_back() {
    let back = r#"
[[job]]
name = "back"
operation = "detokenize"
callers = ["branch"]
secret = "tokens"
args = ["tenant"]
tenant = "{tenant}"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" } }
output = { protect = "seal", to = ["READER"] }
"#;
    let json = checked(&(manifest(TOKENIZE) + &back.replace("READER", READER)));
    let (back, tokenize) = (&json["jobs"][0], &json["jobs"][1]);
    assert_eq!(
        tokenize["who_learns"][1]["who"],
        "whoever reads the results of back, with the same secret"
    );
    assert_eq!(
        back["who_learns"][1]["what"],
        "what comes in in the clear, sizes, and when it runs and for how long"
    );
    assert_eq!(
        back["arguments"][0],
        "tenant: 1 to 256 bytes; whoever signs the request answers for it"
    );
}

#[test]
fn whoever_signs_the_request_answers_for_the_key_that_it_is_sealed_to() {
    let job = OPEN.replace(r#"to = ["READER"]"#, r#"to = "any""#);
    let job = job.replace("operation", "callers = [\"branch\"]\noperation");
    let json = checked(&manifest(&job));
    assert_eq!(json["jobs"][0]["warnings"], Value::Array(vec![]));
    assert_eq!(json["jobs"][0]["who_may_ask"], "only requests that are signed by branch");
    assert_eq!(json["jobs"][0]["who_learns"][0]["who"], "whomever the signer of the request names");
}

#[test]
fn debug_mode_is_warned_about_once() {
    let debug = manifest(MASK).replace("memory_mib = 512", "memory_mib = 512\nallow_debug = true");
    let json = checked(&debug);
    assert_eq!(json["warnings"][0]["rule"], "allow-debug");
    assert_eq!(json["jobs"][0]["warnings"], Value::Array(vec![]));
}

#[test]
fn for_people_warnings_stand_in_plain_sight_and_are_counted() {
    let calm = shown(&manifest(MASK));
    assert!(calm.contains("\nthe-job\n  who may ask  whoever can connect"), "{calm}");
    assert!(calm.ends_with("\naccepted, no warnings\n"), "{calm}");
    let job = OPEN.replace(r#"to = ["READER"]"#, r#"to = "any""#);
    let alarmed = shown(&manifest(&job));
    assert!(alarmed.contains("  warning[seal-to-any] the parent can name"), "{alarmed}");
    assert!(alarmed.ends_with("\naccepted, 1 warning\n"), "{alarmed}");
}

#[test]
fn a_refused_manifest_says_why_and_what_to_write_instead() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("enclave.eif.toml");
    let refusal = |manifest: String| {
        std::fs::write(&file, manifest).unwrap();
        error_of(["manifest", "check", &text(&file)])
    };
    let clear = OPEN.replace(r#""seal", to = ["READER"], pad_to = "4KiB""#, r#""none""#);
    let error = refusal(manifest(&clear));
    assert_eq!(error["code"], "manifest");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("job \"the-job\": output: "), "{message}");
    assert!(message.contains("use \"kms\" or \"seal\""), "{message}");
    let error = refusal(manifest(&MASK.replace("last4", "last5")));
    assert!(error["message"].as_str().unwrap().contains("a rule: \"redact\""), "{error}");
    assert_eq!(refusal("not TOML".to_owned())["code"], "manifest");
    std::fs::write(&file, b"\xff").unwrap();
    assert_eq!(error_of(["manifest", "check", &text(&file)])["code"], "manifest");
    let absent = text(&folder.path().join("absent"));
    assert_eq!(error_of(["manifest", "check", &absent])["code"], "file");
}

#[test]
fn a_manifest_is_read_from_standard_input() {
    let mut command = program();
    command.args(["manifest", "check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest(MASK).as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}
