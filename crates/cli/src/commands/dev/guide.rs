//! How to call a `dev` run: commands that can be pasted as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use strongroom::manifest::{Job, KeyArn, Manifest};

use super::folder::Folder;
use super::job::Commands;
use crate::command_line::{CommandLine, quoted};
use crate::error::CliError;
use crate::output::Output;
use crate::stage::Stage;

/// What `dev` prints.
#[derive(Serialize)]
pub(super) struct Guide {
    address: String,
    module_id: String,
    pcr0: String,
    kms_endpoint: String,
    kms_ca_file: String,
    trust_root_file: String,
    manifest_file: String,
    /// To be sourced by a shell: variables and credentials of each role.
    env_files: BTreeMap<&'static str, String>,
    /// The same without the credentials.
    environment: BTreeMap<&'static str, String>,
    keys: Vec<Key>,
    jobs: Vec<Commands>,
    attest: CommandLine,
    credentials: CommandLine,
}

#[derive(Serialize)]
struct Key {
    arn: String,
    input: bool,
    output: bool,
    /// Jobs whose inputs are encrypted under it.
    input_of: Vec<String>,
    /// Jobs whose results leave under it.
    output_of: Vec<String>,
}

impl Guide {
    pub(super) fn new(stage: &Stage, folder: &Folder) -> Result<Self, CliError> {
        let path = |name: &str| folder.file(name).display().to_string();
        let address = format!("unix:{}", folder.socket().display());
        let pcr0 = stage.pcr0()?.to_string();
        let trusted = |line: CommandLine| {
            line.option("--trust-root", &path("nitro-root.der")).option("--pcr0", &pcr0)
        };
        let to = |command| CommandLine::new(command).option("--to", &address);
        let manifest = stage.manifest()?;
        let keys = stage.keys.keys().map(|arn| Key::of(arn, &manifest));
        let jobs = manifest.jobs.values().map(|job| Commands::of(job, folder, &address, trusted));
        Ok(Self {
            module_id: stage.nsm.module_id().to_owned(),
            kms_endpoint: stage.kms.endpoint_url(),
            kms_ca_file: path("kms-ca.pem"),
            trust_root_file: path("nitro-root.der"),
            manifest_file: path("enclave.eif.toml"),
            env_files: BTreeMap::from([
                ("producer", path("producer.env")),
                ("parent", path("parent.env")),
                ("reader", path("reader.env")),
            ]),
            environment: folder.variables(stage).into_iter().collect(),
            keys: keys.collect(),
            jobs: jobs.collect(),
            attest: trusted(to("strongroomctl attest")),
            credentials: to("strongroomctl credentials"),
            address,
            pcr0,
        })
    }

    pub(super) fn text(&self, output: &Output) -> String {
        // Writing to a String cannot fail.
        let mut out = String::new();
        let title = "simulated Nitro, KMS and the service are running; Ctrl-C ends them";
        let _ = writeln!(out, "{}\n", output.bold(title));
        let _ = writeln!(out, "service      {}", self.address);
        let _ = writeln!(out, "enclave      {}", self.module_id);
        let _ = writeln!(out, "PCR0         {}", self.pcr0);
        let _ = writeln!(out, "KMS          {}, authority {}", self.kms_endpoint, self.kms_ca_file);
        for key in &self.keys {
            let _ = writeln!(out, "KMS key      {}", key.arn);
            for (uses, jobs) in [("inputs", &key.input_of), ("results", &key.output_of)] {
                if !jobs.is_empty() {
                    let _ = writeln!(out, "             {uses} of {}", jobs.join(", "));
                }
            }
        }
        let _ = writeln!(out, "manifest     {}", self.manifest_file);
        // The producer last: the jobs' commands follow, and begin with its part.
        for role in ["parent", "reader", "producer"] {
            let head = format!("\n# as {role}: strongroomctl, boto3 and the AWS CLI read these");
            let file = self.env_files.get(role).map(String::as_str).unwrap_or_default();
            let _ = writeln!(out, "{}\n. {}", output.dim(&head), quoted(file));
            if role == "parent" {
                // Done already; for whoever has tried others.
                let _ = writeln!(out, "{}", self.credentials.broken());
            }
        }
        for commands in &self.jobs {
            let _ = write!(out, "\n{}", commands.text(output));
        }
        let head = "\n# as data owner: is it the enclave that I expect?";
        let _ = writeln!(out, "{}\n{}", output.dim(head), self.attest.broken());
        out
    }
}

impl Key {
    fn of(arn: &KeyArn, manifest: &Manifest) -> Self {
        let of = |uses: fn(&Job, &KeyArn) -> bool| -> Vec<String> {
            let jobs = manifest.jobs.values().filter(|job| uses(job, arn));
            jobs.map(|job| job.name.to_string()).collect()
        };
        let input_of = of(|job, arn| job.ciphertexts().any(|ciphertext| ciphertext.key == *arn));
        let output_of = of(|job, arn| job.output_key() == Some(arn));
        let (input, output) = (!input_of.is_empty(), !output_of.is_empty());
        Self { arn: arn.to_string(), input, output, input_of, output_of }
    }
}
