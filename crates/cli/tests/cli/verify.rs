//! `verify`: what is accepted, what is refused, under which code, in which form.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_sim::SimNsm;
use tempfile::TempDir;

use crate::program::{program, refused, run, run_json, stderr, text};

/// A document in a file, and everything about it.
struct Case {
    folder: TempDir,
    pcr0: String,
    pcr4: String,
    module_id: String,
}

impl Case {
    fn new(debug: bool) -> Self {
        let builder = SimNsm::builder();
        let nsm = if debug { builder.debug() } else { builder }.build().unwrap();
        let request =
            AttestationRequest { public_key: Some(b"key"), user_data: None, nonce: Some(b"nonce") };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("document"), nsm.attest(&request).unwrap()).unwrap();
        std::fs::write(folder.path().join("root"), nsm.trust_root_der()).unwrap();
        let (pcr0, pcr4) = (nsm.pcr_hex(0).unwrap(), nsm.pcr_hex(4).unwrap());
        Self { folder, pcr0, pcr4, module_id: nsm.module_id().to_owned() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let (document, root) = (text(&self.file("document")), text(&self.file("root")));
        let args = ["verify", "--document", &document, "--trust-root", &root];
        args.iter().chain(more).map(ToString::to_string).collect()
    }
}

#[test]
fn a_good_document_is_shown_with_everything_it_says() {
    let case = Case::new(false);
    let (code, json) = run_json(case.args(&["--production", "--nonce", "6e6f6e6365"]));
    assert_eq!(code, 0);
    assert_eq!(json["module_id"], case.module_id);
    assert_eq!(json["mode"], "production");
    assert_eq!(json["pcrs"]["0"], case.pcr0);
    assert_eq!(json["pcrs"]["4"], case.pcr4);
    assert_eq!(json["pcrs"].as_object().unwrap().len(), 16);
    assert_eq!(json["public_key"], "6b6579");
    assert_eq!(json["nonce"], "6e6f6e6365");
    assert!(json["user_data"].is_null() && json["timestamp_ms"].is_u64());
}

#[test]
fn what_is_printed_for_people_says_the_mode_and_the_image() {
    let case = Case::new(false);
    let output = run(case.args(&[]));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(shown.contains("production") && shown.contains(&case.pcr0), "{shown}");
    assert!(!shown.contains('\u{1b}'), "colours off a terminal");
}

#[test]
fn a_document_whose_image_nobody_named_is_not_shown_as_checked() {
    let case = Case::new(false);
    let shown = |more: &[&str]| {
        let (code, json) = run_json(case.args(more));
        assert_eq!(code, 0);
        let text = String::from_utf8(run(case.args(more)).stdout).unwrap();
        (json["image_checked"].clone(), text.lines().next().unwrap().to_owned())
    };
    let unchecked = "verdict      genuine, image NOT checked (no --pcr0)".to_owned();
    assert_eq!(shown(&[]), (false.into(), unchecked.clone()));
    assert_eq!(shown(&["--pcr4", &case.pcr4]), (false.into(), unchecked));
    assert_eq!(shown(&["--pcr0", &case.pcr0]), (true.into(), "verdict      genuine".to_owned()));
}

#[test]
fn any_of_several_values_of_a_pcr_will_do_and_every_pcr_named_must_hold() {
    let case = Case::new(false);
    let other = "ab".repeat(48);
    let ok = |more: &[&str]| run_json(case.args(more)).0;
    assert_eq!(ok(&["--pcr0", &other, "--pcr0", &case.pcr0.to_uppercase()]), 0);
    assert_eq!(ok(&["--pcr0", &case.pcr0, "--pcr4", &case.pcr4]), 0);
    assert_eq!(refused(case.args(&["--pcr0", &case.pcr0, "--pcr4", &other])), "pcr-mismatch");
    assert_eq!(refused(case.args(&["--pcr0", &other, "--pcr0", &case.pcr4])), "pcr-mismatch");
    assert_eq!(refused(case.args(&["--pcr17", &other])), "pcr-mismatch");
}

#[test]
fn each_refusal_has_its_stable_code() {
    let case = Case::new(false);
    let document = text(&case.file("document"));
    assert_eq!(refused(case.args(&["--nonce", "00"])), "nonce-mismatch");
    assert_eq!(refused(case.args(&["--at", "1"])), "certificate-not-yet-valid");
    assert_eq!(refused(case.args(&["--at", "4000000000"])), "certificate-expired");
    assert_eq!(refused(["verify", "--document", &document]), "root-mismatch");
    assert_eq!(refused(["verify", "--document", &text(&case.file("absent"))]), "file");
    assert_eq!(refused(["verify", "--document", &text(&case.file("root"))]), "cose-structure");
    let as_root = ["verify", "--document", &document, "--trust-root", &document];
    assert_eq!(refused(as_root), "trust-root");
    let mut bytes = std::fs::read(&document).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&document, &bytes).unwrap();
    assert_eq!(refused(case.args(&[])), "cose-signature");
    std::fs::write(&document, vec![0; 1 << 20]).unwrap();
    assert_eq!(refused(case.args(&[])), "cose-structure");
}

#[test]
fn a_document_older_than_allowed_is_refused() {
    let case = Case::new(false);
    let json = run_json(case.args(&[])).1;
    let made = json["timestamp_ms"].as_u64().unwrap() / 1000;
    let later = (made + 100).to_string();
    assert_eq!(run_json(case.args(&["--at", &later, "--max-age", "100"])).0, 0);
    assert_eq!(refused(case.args(&["--at", &later, "--max-age", "50"])), "too-old");
}

#[test]
fn a_debug_enclave_is_shown_as_such_and_refused_for_production() {
    let case = Case::new(true);
    let (code, json) = run_json(case.args(&[]));
    assert_eq!((code, &json["mode"]), (0, &"debug".into()));
    assert_eq!(json["pcrs"]["0"], "00".repeat(48));
    assert_eq!(refused(case.args(&["--production"])), "debug-mode");
    assert_eq!(refused(case.args(&["--pcr0", &"ab".repeat(48)])), "pcr-mismatch");
}

#[test]
fn a_document_is_read_from_standard_input() {
    let case = Case::new(false);
    let mut command = program();
    command.args(["verify", "--document", "-", "--trust-root"]).arg(case.file("root"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let document = std::fs::read(case.file("document")).unwrap();
    child.stdin.take().unwrap().write_all(&document).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn a_refusal_for_people_goes_to_standard_error_and_says_what_to_do() {
    let case = Case::new(false);
    let output = run(case.args(&["--nonce", "00"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let shown = stderr(&output);
    assert!(shown.starts_with("error[nonce-mismatch]: ") && shown.contains("\nhint: "), "{shown}");
}
