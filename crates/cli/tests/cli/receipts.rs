//! `verify-receipt` and `keygen --caller`: what is accepted, refused, and said.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_client::{CallerKey, CallerSecret};
use strongroom_envelope::receipt::{Receipt, ReceiptKey};
use strongroom_sim::SimNsm;
use tempfile::TempDir;

use crate::program::{error_of, json_of, misused, refused, run, run_json, stderr, text};
use crate::running::Dev;

const INPUT: &[u8] = b"the encrypted message";
const RESULT: &[u8] = b"pan\n1111\n";

/// A receipt, the document that goes with it, and the files that it is about.
struct Case {
    folder: TempDir,
    pcr0: String,
}

impl Case {
    fn new() -> Self {
        let nsm = SimNsm::builder().build().unwrap();
        let key = ReceiptKey::generate().unwrap();
        let receipt = Receipt {
            request_id: [0xab; 16],
            request_digest: [1; 32],
            job: "mask".into(),
            manifest: sha256(b"the manifest"),
            keys: vec!["arn:aws:kms:eu-west-1:111122223333:key/a".into()],
            inputs: vec![sha256(INPUT)],
            result: sha256(RESULT),
            counter: 7,
            time_ms: 1_700_000_000_000,
            caller: Some("billing".into()),
            records: Some(1),
            dropped: Some(2),
        };
        let user_data = Some(&key.user_data()[..]);
        let document = AttestationRequest { public_key: None, user_data, nonce: Some(b"nonce") };
        let case = Self { folder: tempfile::tempdir().unwrap(), pcr0: nsm.pcr_hex(0).unwrap() };
        for (name, bytes) in [
            ("receipt", key.sign(&receipt).unwrap()),
            ("forged", ReceiptKey::generate().unwrap().sign(&receipt).unwrap()),
            ("document", nsm.attest(&document).unwrap()),
            ("keyless", nsm.attest(&AttestationRequest { user_data: None, ..document }).unwrap()),
            ("root", nsm.trust_root_der()),
            ("input", INPUT.to_vec()),
            ("result", RESULT.to_vec()),
            ("manifest", b"the manifest".to_vec()),
            ("other", b"other".to_vec()),
        ] {
            std::fs::write(case.folder.path().join(name), bytes).unwrap();
        }
        case
    }

    fn file(&self, name: &str) -> String {
        text(&self.folder.path().join(name))
    }

    /// Verifies `receipt` with `document`; `@name` is a file of the case.
    fn args(&self, receipt: &str, document: &str, more: &[&str]) -> Vec<String> {
        let (receipt, document, root) =
            (self.file(receipt), self.file(document), self.file("root"));
        let args = ["verify-receipt", &receipt, "--document", &document, "--trust-root", &root];
        let more = more.iter().map(|arg| match arg.strip_prefix('@') {
            Some(name) => self.file(name),
            None => (*arg).to_owned(),
        });
        args.iter().map(ToString::to_string).chain(more).collect()
    }

    fn good(&self, more: &[&str]) -> Vec<String> {
        let mut args = self.args("receipt", "document", &["--pcr0", &self.pcr0]);
        args.extend(self.args("", "", more).split_off(6));
        args
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

#[test]
fn a_good_receipt_is_shown_with_what_was_compared() {
    let case = Case::new();
    let more = [
        "--input",
        "@input",
        "--result",
        "@result",
        "--job",
        "mask",
        "--manifest",
        "@manifest",
        "--caller",
        "billing",
        "--request",
        "abababababababababababababababab",
        "--nonce",
        "6e6f6e6365",
    ];
    let (code, json) = run_json(case.good(&more));
    assert_eq!(code, 0, "{json}");
    assert_eq!((&json["job"], &json["caller"]), (&"mask".into(), &"billing".into()));
    assert_eq!((&json["number"], &json["dropped"]), (&7.into(), &2.into()));
    assert_eq!(json["result_sha256"], hex::encode(sha256(RESULT)));
    assert_eq!(json["compared"].as_array().unwrap().len(), 6);

    let output = run(case.good(&more));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("genuine") && !shown.contains("not compared"), "{shown}");
    assert!(shown.contains("records      1\ndropped      2 malformed"), "{shown}");
    let output = run(case.good(&["--job", "mask"]));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("not compared: the request (--request), the input"), "{shown}");
}

#[test]
fn a_receipt_for_something_else_is_refused_and_says_for_what() {
    let case = Case::new();
    for (what, more) in [
        ("input", vec!["--input", "@other"]),
        ("input", vec!["--input", "@input", "--input", "@input"]),
        ("result", vec!["--result", "@other"]),
        ("job", vec!["--job", "rotate"]),
        ("manifest", vec!["--manifest", "@other"]),
        ("caller", vec!["--caller", "support"]),
        ("request", vec!["--request", "00000000000000000000000000000000"]),
    ] {
        let error = error_of(case.good(&more));
        assert_eq!(error["code"], "receipt-refused");
        let message = error["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("for another {what}")), "{message}");
        assert!(error["hint"].as_str().unwrap().contains("compare"));
    }
}

#[test]
fn only_the_enclave_that_was_named_makes_a_receipt_good() {
    let case = Case::new();
    assert_eq!(misused(case.args("receipt", "document", &[]))["code"], "image-unpinned");
    let other = "11".repeat(48);
    assert_eq!(refused(case.args("receipt", "document", &["--pcr0", &other])), "pcr-mismatch");
    assert_eq!(refused(case.good(&["--nonce", "00"])), "nonce-mismatch");
    let pinned = ["--pcr0", &case.pcr0];
    for (receipt, document) in
        [("forged", "document"), ("receipt", "keyless"), ("other", "document")]
    {
        assert_eq!(refused(case.args(receipt, document, &pinned)), "receipt-refused", "{receipt}");
    }
    assert_eq!(refused(case.args("receipt", "other", &pinned)), "cbor");
    assert_eq!(refused(case.args("absent", "document", &pinned)), "file");
}

#[test]
fn a_callers_key_is_for_its_owner_only_and_signs_under_the_public_key_that_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("billing.key");
    let (code, json) = run_json(["keygen", "--caller", "--output", &text(&path)]);
    assert_eq!(code, 0, "{json}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let public = hex::decode(json["public_key"].as_str().unwrap()).unwrap();
    let pem = std::fs::read_to_string(&path).unwrap();
    let line = pem.lines().nth(1).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.lines().count() == 3, "{pem}");
    let pkcs8 = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, line).unwrap();
    let signature = CallerSecret::ed25519(&pkcs8).unwrap().sign(b"x").unwrap();
    assert!(CallerKey::ed25519(&public).unwrap().verify(b"x", &signature).is_ok());
    let beside = PathBuf::from(format!("{}.pub", path.display()));
    assert_eq!(std::fs::read_to_string(beside).unwrap().trim(), json["public_key"]);
}

#[test]
fn a_call_that_cannot_be_signed_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (key, pem) = (text(&folder.path().join("owner.key")), text(&folder.path().join("c.key")));
    assert_eq!(run_json(["keygen", "--output", &key]).0, 0);
    assert_eq!(run_json(["keygen", "--caller", "--output", &pem]).0, 0);
    let nowhere = ["call", "--to", "unix:/nowhere", "--job", "j", "--input", "/dev/null"];
    let with =
        |more: &[&str]| nowhere.iter().chain(more).map(ToString::to_string).collect::<Vec<_>>();
    // A key that opens results is none that signs.
    assert_eq!(refused(with(&["--sign-with", &format!("billing:{key}")])), "key-file");
    assert_eq!(refused(with(&["--sign-with", &format!("billing:{pem}")])), "connect");
    assert_eq!(misused(with(&["--sign-with", &pem]))["code"], "usage");
    assert_eq!(misused(with(&["--enclave", "i-1-enc1"]))["code"], "usage");
    let three = ["--input", "/dev/null", "--input", "/dev/null"];
    assert_eq!(misused(with(&three))["code"], "usage");
}

#[test]
fn the_document_saved_beside_a_receipt_verifies_it_when_the_enclave_is_gone() {
    let mut dev = Dev::start();
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let [receipt, document, message, result] =
        ["receipt", "document", "message", "result"].map(|name| dev.path(name));
    let mut call = dev.call("mask-customers", "message", "result");
    call.extend(["--receipt", &receipt, "--document", &document].map(str::to_owned));
    // Nothing says which enclave the document has to be of.
    assert_eq!(misused(call.clone())["code"], "image-unpinned");
    call.extend(dev.trust());
    let output = run(call);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    let (_, request) = shown.trim_end().rsplit_once("\nrequest ").unwrap();
    dev.child.kill().unwrap();
    dev.child.wait().unwrap();
    let verify = ["verify-receipt", &receipt, "--document", &document, "--request", request];
    let compared = ["--input", &message, "--result", &result];
    let trust = dev.trust();
    let verify = verify.into_iter().chain(compared).chain(trust.iter().map(String::as_str));
    let (code, json) = run_json(verify);
    assert_eq!((code, &json["request"]), (0, &request.into()), "{json}");
    assert!(json["records"].as_u64().is_some_and(|records| records > 0), "{json}");
    let without = ["call", "--to", "unix:/nowhere", "--job", "j", "--document", &document];
    assert_eq!(misused(without)["code"], "usage");
}
