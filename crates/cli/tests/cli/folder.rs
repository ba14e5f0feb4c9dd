//! `dev`: the folder that it works in, and the commands that it shows.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::program::{error_of, json_of, program, run_json, shell, stderr, tell, text};
use crate::running::Dev;

#[test]
fn the_folder_of_a_dev_run_is_closed_to_others() {
    let dev = Dev::start();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dev.file("")), 0o700);
    for name in ["producer.env", "parent.env", "reader.env", "owner.key"] {
        assert_eq!(mode(dev.file(name)), 0o600, "{name}");
    }
    let printed = dev.guide.to_string();
    let secrets = std::fs::read_to_string(dev.file("producer.env")).unwrap();
    let secret = secrets.lines().find(|line| line.contains("SECRET_ACCESS_KEY")).unwrap();
    assert!(!printed.contains(secret.split_once('=').unwrap().1));
}

#[test]
fn a_folder_with_somebody_elses_files_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("customers.csv");
    std::fs::write(&file, "mine").unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let error = refused_in(folder.path());
    assert_eq!(error["code"], "folder");
    assert!(error["hint"].as_str().unwrap().contains("--dir"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_second_dev_does_not_take_the_folder_of_one_that_runs() {
    let dev = Dev::start();
    let pcr0 = dev.guide["pcr0"].clone();
    let root = std::fs::read(dev.file("nitro-root.der")).unwrap();
    let error = refused_in(&dev.file(""));
    assert_eq!(error["code"], "folder");
    assert!(error["message"].as_str().unwrap().contains("another dev runs"), "{error}");
    assert_eq!(std::fs::read(dev.file("nitro-root.der")).unwrap(), root);
    let attest = ["attest", "--to", dev.address()].map(str::to_owned);
    let (code, json) = run_json(attest.into_iter().chain(dev.trust()));
    assert_eq!((code, &json["pcrs"]["0"]), (0, &pcr0), "the first one still answers");
}

#[test]
fn a_dev_run_that_is_told_to_end_takes_its_socket_away_and_leaves_the_folder_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    std::fs::create_dir(at.join("dev")).unwrap();
    let mut dev = Dev::start_in(folder, &[]);
    let key = std::fs::read(dev.file("owner.key")).unwrap();
    tell(&dev.child, "INT");
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
    assert!(!dev.file("service.sock").exists());
    let mut command = program();
    let mut again = Running::of(command.args(["dev", "--dir"]).arg(at.join("dev")));
    again.lines_until("strongroomctl attest");
    tell(&again.0, "TERM");
    assert_eq!(again.0.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read(dev.file("owner.key")).unwrap(), key);
}

#[test]
fn the_services_credentials_can_be_handed_in_anew_after_wrong_ones() {
    let dev = Dev::start();
    let hand_in = dev.guide["credentials"].as_str().unwrap();
    let script = |role: &str| format!(". {}\n{hand_in}", dev.path(&format!("{role}.env")));
    assert!(shell(&script("reader")).status.success());
    assert_eq!(json_of(&mut dev.encrypt("producer", "acme", "message")).0, 0);
    let error = error_of(dev.call("mask-customers", "message", "masked"));
    assert_eq!(error["code"], "key_denied");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.find("role") < hint.find("PCRs"), "{hint}");
    assert!(shell(&script("parent")).status.success());
    assert_eq!(run_json(dev.call("mask-customers", "message", "masked")).0, 0);
}

#[test]
fn the_commands_for_a_manifest_with_other_columns_work_as_they_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("mine.toml");
    let example = include_str!("../../../../enclave.eif.toml");
    let mine = example.replace("balance = \"keep\"", "\"iban, if any\" = \"last4\"");
    assert_ne!(mine, example);
    std::fs::write(&manifest, mine).unwrap();
    let dev = Dev::start_in(folder, &["--manifest", &text(&manifest)]);
    for job in dev.guide["jobs"].as_array().unwrap() {
        let (encrypt, call) = (job["encrypt"].as_str().unwrap(), job["call"].as_str().unwrap());
        let output = shell(&format!(". {}\n{encrypt}\n{call}", dev.path("producer.env")));
        assert!(output.status.success(), "{job}: {}", stderr(&output));
    }
    let masked = std::fs::read_to_string(dev.file("mask-customers.result")).unwrap();
    assert!(masked.contains("\"iban, if any\"") && masked.lines().count() == 101, "{masked}");
}

#[test]
fn what_dev_shows_names_the_jobs_of_each_key_and_breaks_lines_so_that_they_can_be_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("a folder");
    let mut command = program();
    let mut running = Running::of(command.args(["dev", "--dir"]).arg(&at));
    let shown = running.lines_until("strongroomctl attest");
    let mut uses: Vec<&str> =
        shown.lines().filter(|line| line.starts_with("             ")).map(str::trim).collect();
    uses.sort_unstable();
    let names = ["inputs of export-sealed, mask-customers, rotate", "results of rotate"];
    assert_eq!(uses, names);
    // A PCR value alone has 96 digits.
    let pcr0 = ["PCR0  ", "  --pcr0 "];
    let wide = shown.lines().find(|line| {
        line.chars().count() > 100 && !pcr0.iter().any(|start| line.starts_with(start))
    });
    assert_eq!(wide, None, "{shown}");
    let (_, job) = shown.split_once("# job mask-customers\n").unwrap();
    let (job, _) = job.split_once("\n\n").unwrap();
    assert!(job.contains(" \\\n  --"), "{job}");
    let output = shell(&format!(". '{}'\n{job}", text(&at.join("producer.env"))));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Why `dev` does not start in a folder. If it does, it is ended.
fn refused_in(folder: &Path) -> Value {
    let mut command = program();
    let mut running = Running::of(command.args(["dev", "--json", "--dir"]).arg(folder));
    let shown: Value = serde_json::from_str(&running.lines_until("}")).unwrap();
    shown["error"].clone()
}

/// A program that ends with this.
struct Running(Child);

impl Running {
    fn of(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// What it prints, up to the line that begins so and those that continue it.
    fn lines_until(&mut self, last: &str) -> String {
        let (mut shown, mut is_last) = (String::new(), false);
        for line in BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap) {
            is_last |= line.starts_with(last);
            shown.push_str(&line);
            shown.push('\n');
            if is_last && !line.ends_with('\\') {
                break;
            }
        }
        shown
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
