//! `image build`, `image describe`, `image policy` and `policy lint`, over parts
//! that are made here.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{error_of, misused, program, run_json};

const ROLE: &str = "arn:aws:iam::111122223333:role/parent";

/// Parts that pass for real ones: a static program of no code, a kernel of no code.
struct Parts {
    dir: tempfile::TempDir,
}

impl Parts {
    fn new() -> Self {
        let parts = Self { dir: tempfile::tempdir().unwrap() };
        parts.file("binary", &elf(62, false));
        parts.file("kernel", &bzimage());
        let manifest = include_bytes!("../../../../enclave.eif.toml");
        parts.file("enclave.eif.toml", manifest);
        parts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let mut args = vec!["image".to_owned(), "build".to_owned()];
        for name in ["binary", "kernel"] {
            args.extend([format!("--{name}"), path(name)]);
        }
        args.extend(["--manifest".to_owned(), path("enclave.eif.toml")]);
        args.extend(["--output".to_owned(), path("out.eif")]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    fn built(&self, more: &[&str]) -> (Vec<u8>, Value) {
        let (code, json) = run_json(self.args(more));
        assert_eq!(code, 0, "{json}");
        (std::fs::read(self.path("out.eif")).unwrap(), json)
    }
}

/// A 64-bit little-endian ELF with one program header.
fn elf(machine: u8, interpreter: bool) -> Vec<u8> {
    let mut elf = vec![0; 128];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18] = machine;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = if interpreter { 3 } else { 1 };
    elf
}

fn bzimage() -> Vec<u8> {
    let mut kernel = vec![0; 0x400];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20E] = 0x10;
    kernel[0x210..0x210 + 14].copy_from_slice(b"6.12.0 (x@y)\0\0");
    kernel
}

#[test]
fn the_same_parts_give_the_same_file_in_any_folder_on_any_day() {
    let (one, other) = (Parts::new(), Parts::new());
    let (first, printed) = one.built(&[]);
    // Other times of the files, another umask, another place.
    let touched =
        Command::new("touch").args(["-d", "2001-02-03"]).arg(other.path("binary")).status();
    assert!(touched.unwrap().success());
    let command = "umask 077; exec \"$0\" \"$@\" --json";
    let output = Command::new("/bin/sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_strongroomctl")])
        .args(other.args(&[]))
        .env_clear()
        .env("TZ", "Pacific/Auckland")
        .current_dir(other.dir.path())
        .output()
        .unwrap();
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(std::fs::read(other.path("out.eif")).unwrap(), first);
    assert_eq!(again["Measurements"], printed["Measurements"]);
}

#[test]
fn the_program_is_in_pcr1_and_the_manifest_in_pcr2() {
    let parts = Parts::new();
    let pcrs = |printed: &Value| {
        ["PCR0", "PCR1", "PCR2"]
            .map(|pcr| printed["Measurements"][pcr].as_str().unwrap().to_owned())
    };
    let before = pcrs(&parts.built(&[]).1);
    let manifest = include_str!("../../../../enclave.eif.toml").replace("= 5005", "= 5006");
    parts.file("enclave.eif.toml", manifest.as_bytes());
    let policy = pcrs(&parts.built(&[]).1);
    assert!(policy[0] != before[0] && policy[1] == before[1] && policy[2] != before[2]);
    let mut changed = elf(62, false);
    changed.push(1);
    parts.file("binary", &changed);
    let both = pcrs(&parts.built(&[]).1);
    assert!(both[1] != policy[1] && both[2] == policy[2]);
}

#[test]
fn describe_prints_what_build_printed_and_what_is_inside() {
    let parts = Parts::new();
    parts.file("nsm.ko", b"module");
    parts.file("roots", b"roots");
    let module = parts.path("nsm.ko");
    let extra = format!("/etc/roots.pem={}", parts.path("roots").display());
    let more = ["--module", module.to_str().unwrap(), "--extra", &extra];
    let (_, printed) = parts.built(&more);
    let image = parts.path("out.eif");
    let (code, described) = run_json(["image", "describe", image.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert_eq!(described["Measurements"], printed["Measurements"]);
    assert_eq!((&described["IsSigned"], &described["CheckCRC"]), (&false.into(), &true.into()));
    assert_eq!(described["Kernel"]["Version"], "6.12.0");
    let listed = |ramdisk: usize| -> Vec<String> {
        let entries = described["Ramdisks"][ramdisk]["Entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["Path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        listed(0),
        ["cmdline", "dev", "init", "modules", "modules/nsm.ko", "modules/order", "proc", "sys"]
    );
    assert_eq!(listed(1), ["enclave.eif.toml", "etc", "etc/roots.pem"]);
    let text = program().args(["image", "describe"]).arg(&image).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("not signed") && text.contains("/init") && text.contains("not measured"),
        "{text}"
    );
}

#[test]
fn a_signed_image_shows_its_signer_and_pcr8() {
    let parts = Parts::new();
    let (key, certificate) = (parts.path("key.pem"), parts.path("certificate.pem"));
    let openssl = |args: &[&str]| {
        assert!(Command::new("openssl").args(args).output().unwrap().status.success());
    };
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    openssl(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key]);
    openssl(&[
        "req",
        "-new",
        "-x509",
        "-key",
        key,
        "-days",
        "2",
        "-subj",
        "/CN=signer",
        "-out",
        certificate,
    ]);
    let (_, unsigned) = parts.built(&[]);
    let (_, signed) = parts.built(&["--signing-certificate", certificate, "--private-key", key]);
    assert_eq!(signed["Measurements"]["PCR0"], unsigned["Measurements"]["PCR0"]);
    assert_eq!(signed["Measurements"]["PCR8"].as_str().unwrap().len(), 96);
    let (_, described) = run_json(["image", "describe", parts.path("out.eif").to_str().unwrap()]);
    assert_eq!(described["SignatureCheck"]["Valid"], true);
    assert_eq!(described["SignatureCheck"]["Subject"], "CN=signer");
}

#[test]
fn parts_that_would_not_boot_are_refused_with_what_to_do() {
    let refused = |name: &str, content: &[u8]| {
        let parts = Parts::new();
        parts.file(name, content);
        let message = error_of(parts.args(&[]))["message"].as_str().unwrap().to_owned();
        assert!(!parts.path("out.eif").exists(), "{message}");
        message
    };
    assert!(refused("binary", &elf(62, true)).contains("crt-static"));
    assert!(refused("binary", &elf(183, false)).contains("x86_64"));
    assert!(refused("binary", b"#!/bin/sh").contains("ELF"));
    assert!(refused("kernel", b"vmlinux").contains("no kernel"));
    assert!(refused("enclave.eif.toml", b"[enclave]").contains("enclave.eif.toml"));
}

#[test]
fn no_extra_file_takes_the_place_of_the_program() {
    let parts = Parts::new();
    for path in ["init", "/init", "modules/order", "proc/x", "init/x", "cmdline", "../x"] {
        let extra = format!("{path}={}", parts.path("kernel").display());
        error_of(parts.args(&["--extra", &extra]));
    }
}

#[test]
fn an_image_from_elsewhere_that_is_damaged_is_refused() {
    let parts = Parts::new();
    let (mut image, _) = parts.built(&[]);
    image[600] ^= 1;
    parts.file("damaged.eif", &image);
    let error = error_of(["image", "describe", parts.path("damaged.eif").to_str().unwrap()]);
    assert!(error["message"].as_str().unwrap().contains("CRC"), "{error}");
}

#[test]
fn describe_agrees_with_every_image_of_a_given_folder() {
    let Some(folder) = std::env::var_os("STRONGROOM_VECTORS") else { return };
    let folder = Path::new(&folder).join("eif");
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    for entry in index {
        let path = folder.join(entry["file"].as_str().unwrap());
        let (code, described) = run_json(["image", "describe", path.to_str().unwrap()]);
        let sound = code == 0 && described["SignatureCheck"]["Problem"].is_null();
        assert_eq!(sound, entry["valid"].as_bool().unwrap(), "{described}");
        for (pcr, value) in entry["pcrs"].as_object().into_iter().flatten() {
            assert_eq!(&described["Measurements"][pcr], value, "{}", path.display());
        }
    }
}

#[test]
fn the_policy_of_two_images_has_a_statement_for_each_and_no_hole() {
    let parts = Parts::new();
    parts.built(&[]);
    let image = parts.path("out.eif");
    let old = "ab".repeat(48);
    let image = image.to_str().unwrap();
    let args = ["image", "policy", "--eif", image, "--pcr0", &old, "--role", ROLE];
    let admin = ["--admin", "arn:aws:iam::111122223333:role/admin", "--context", "purpose=support"];
    let (code, policy) = run_json(args.into_iter().chain(admin));
    assert_eq!(code, 0, "{policy}");
    let names: Vec<_> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["Sid"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["Administration", "Image1", "Image2", "NobodyWithoutAttestation", "ParentOnlyDecrypts"]
    );
    parts.file("policy.json", policy.to_string().as_bytes());
    let (code, linted) = run_json(["policy", "lint", parts.path("policy.json").to_str().unwrap()]);
    assert_eq!((code, &linted["findings"]), (0, &Value::Array(Vec::new())));
}

#[test]
fn policies_that_could_not_hold_are_not_written() {
    for args in [
        &["--role", ROLE][..],
        &["--role", ROLE, "--pcr0", "00"],
        &["--role", ROLE, "--pcr0", &"0".repeat(96)],
        &["--role", "parent", "--pcr0", &"ab".repeat(48)],
        &["--role", ROLE, "--admin", ROLE, "--pcr0", &"ab".repeat(48)],
    ] {
        misused([&["image", "policy"], args].concat());
    }
}

#[test]
fn a_policy_with_holes_is_an_error_that_names_them() {
    let parts = Parts::new();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Enable IAM User Permissions",
        "Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;
    parts.file("policy.json", policy.as_bytes());
    let path = parts.path("policy.json");
    let output = program().args(["policy", "lint"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("error[account-root] \"Enable IAM User Permissions\""), "{text}");
    // For scripts, one document, with the findings in it.
    let (code, linted) = run_json(["policy", "lint", path.to_str().unwrap()]);
    assert_eq!((code, &linted["findings"][0]["severity"]), (1, &"error".into()), "{linted}");
    parts.file("policy.json", b"{}");
    let output = program().args(["policy", "lint"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
