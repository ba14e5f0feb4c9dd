//! A `dev` run, and what it takes to call it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{program, text};

/// A `dev` run in a folder of its own.
pub(crate) struct Dev {
    pub(crate) child: Child,
    folder: TempDir,
    pub(crate) guide: Value,
}

impl Dev {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// In the folder `dev` of a folder.
    pub(crate) fn start_in(folder: TempDir, more: &[&str]) -> Self {
        let mut command = program();
        command.args(["dev", "--json", "--dir"]).arg(folder.path().join("dev")).args(more);
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

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("dev").join(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.file(name))
    }

    pub(crate) fn address(&self) -> &str {
        self.guide["address"].as_str().unwrap()
    }

    /// `strongroomctl encrypt` with the environment of a role.
    pub(crate) fn encrypt(&self, role: &str, tenant: &str, output: &str) -> Command {
        let key = self.guide["keys"].as_array().unwrap().iter().find(|key| key["input"] == true);
        let mut command = self.as_role(role);
        command.args(["encrypt", "--kms-key", key.unwrap()["arn"].as_str().unwrap()]);
        command.args(["--context", "purpose=support", "--context", &format!("tenant={tenant}")]);
        command.args(["--input", &self.path("customers.csv"), "--output", &self.path(output)]);
        command.arg("--json");
        command
    }

    pub(crate) fn as_role(&self, role: &str) -> Command {
        let mut command = program();
        let file = std::fs::read_to_string(self.file(&format!("{role}.env"))).unwrap();
        for line in file.lines() {
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            command.env(name, value.trim_matches('\''));
        }
        command
    }

    pub(crate) fn call(&self, job: &str, input: &str, output: &str) -> Vec<String> {
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

    pub(crate) fn trust(&self) -> [String; 4] {
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
