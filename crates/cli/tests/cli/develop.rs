//! `dev`, and through it every command that talks to a service or to KMS.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{json_of, program, refused, run, run_json, stderr, text};

/// A `dev` run in a folder of its own.
struct Dev {
    child: Child,
    folder: TempDir,
    guide: Value,
}

impl Dev {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program();
        command.args(["dev", "--json", "--dir"]).arg(folder.path().join("dev"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut json = String::new();
        for line in lines {
            json.push_str(&line);
            if line == "}" {
                break;
            }
        }
        Self { child, folder, guide: serde_json::from_str(&json).unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("dev").join(name)
    }

    fn path(&self, name: &str) -> String {
        text(&self.file(name))
    }

    fn address(&self) -> &str {
        self.guide["address"].as_str().unwrap()
    }

    /// `strongroomctl encrypt` with the environment of a role.
    fn encrypt(&self, role: &str, tenant: &str, output: &str) -> Command {
        let key = self.guide["keys"].as_array().unwrap().iter().find(|key| key["input"] == true);
        let mut command = self.as_role(role);
        command.args(["encrypt", "--kms-key", key.unwrap()["arn"].as_str().unwrap()]);
        command.args(["--context", "purpose=support", "--context", &format!("tenant={tenant}")]);
        command.args(["--input", &self.path("customers.csv"), "--output", &self.path(output)]);
        command.arg("--json");
        command
    }

    fn as_role(&self, role: &str) -> Command {
        let mut command = program();
        let file = std::fs::read_to_string(self.file(&format!("{role}.env"))).unwrap();
        for line in file.lines() {
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            command.env(name, value.trim_matches('\''));
        }
        command
    }

    fn call(&self, job: &str, input: &str, output: &str) -> Vec<String> {
        let (input, output) = (self.path(input), self.path(output));
        let to = self.address();
        [
            "call",
            "--to",
            to,
            "--job",
            job,
            "--arg",
            "tenant=acme",
            "--input",
            &input,
            "--output",
            &output,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn trust(&self) -> [String; 4] {
        let pcr0 = self.guide["pcr0"].as_str().unwrap();
        ["--trust-root", &self.path("nitro-root.der"), "--pcr0", pcr0].map(str::to_owned)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    assert_eq!(refused(open.clone()), "root-mismatch");
    assert_eq!(refused(with(&["--nonce", "0103"])), "nonce-mismatch");
    assert_eq!(refused(with(&["--nonce", "0102", "--job", "rotate"])), "sealed-refused");
    assert!(!dev.file("opened").exists());
    let demands = ["--nonce", "0102", "--job", "export-sealed", "--arg", "tenant=acme"];
    let (code, json) = run_json(with(&demands));
    assert_eq!((code, &json["job"]), (0, &"export-sealed".into()), "{json}");
    let opened = std::fs::read_to_string(dev.file("opened")).unwrap();
    assert!(opened.lines().count() == 101 && opened.contains("@example.org"));

    let direct = [dev.call("export-sealed", "message", "direct"), dev.trust().to_vec(), {
        ["--seal-key", &key].map(str::to_owned).to_vec()
    }];
    assert_eq!(run_json(direct.concat()).0, 0);
    assert_eq!(std::fs::read_to_string(dev.file("direct")).unwrap(), opened);
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
        r#"{"AccessKeyId":"AKIAX","SecretAccessKey":"hush","Expiration":"2001-01-01T00:00:00Z"}"#;
    std::fs::write(dev.file("credentials"), credentials).unwrap();
    let file = dev.path("credentials");
    let output = run(["credentials", "--to", dev.address(), "--file", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(shown.contains("2001-01-01T00:00:00Z") && !shown.contains("hush"), "{shown}");
    assert_eq!(run_json(["status", "--to", dev.address()]).1["credentials"], false);
    std::fs::write(dev.file("credentials"), r#"{"SecretAccessKey":"hush"}"#).unwrap();
    let output = run(["credentials", "--to", dev.address(), "--file", &file]);
    assert!(stderr(&output).contains("credentials-malformed"));
    assert!(!stderr(&output).contains("hush"));
}

#[test]
fn the_folder_of_a_dev_run_is_closed_to_others() {
    let dev = Dev::start();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dev.file("")), 0o700);
    for name in ["producer.env", "reader.env", "owner.key"] {
        assert_eq!(mode(dev.file(name)), 0o600, "{name}");
    }
    let printed = dev.guide.to_string();
    let secrets = std::fs::read_to_string(dev.file("producer.env")).unwrap();
    let secret = secrets.lines().find(|line| line.contains("SECRET_ACCESS_KEY")).unwrap();
    assert!(!printed.contains(secret.split_once('=').unwrap().1));
}
