//! How to call a `dev` run: commands that can be pasted as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use strongroom::manifest::{Job, OutputSpec};

use super::folder::{Folder, quoted};
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
    attest: String,
}

#[derive(Serialize)]
struct Key {
    arn: String,
    input: bool,
    output: bool,
}

#[derive(Serialize)]
struct Commands {
    job: String,
    encrypt: String,
    call: String,
}

impl Guide {
    pub(super) fn new(stage: &Stage, folder: &Folder) -> Result<Self, CliError> {
        let path = |name: &str| folder.file(name).display().to_string();
        let address = format!("unix:{}", folder.socket().display());
        let pcr0 = stage.pcr0()?.to_string();
        let trust = format!("--trust-root {} --pcr0 {pcr0}", quoted(&path("nitro-root.der")));
        let keys = stage.keys.iter().map(|(arn, uses)| Key {
            arn: arn.to_string(),
            input: uses.input,
            output: uses.output,
        });
        let manifest = stage.manifest()?;
        let jobs = manifest.jobs.values().map(|job| Commands::of(job, folder, &address, &trust));
        Ok(Self {
            module_id: stage.nsm.module_id().to_owned(),
            kms_endpoint: stage.kms.endpoint_url(),
            kms_ca_file: path("kms-ca.pem"),
            trust_root_file: path("nitro-root.der"),
            manifest_file: path("enclave.eif.toml"),
            env_files: BTreeMap::from([
                ("producer", path("producer.env")),
                ("reader", path("reader.env")),
            ]),
            environment: folder.variables(stage).into_iter().collect(),
            keys: keys.collect(),
            jobs: jobs.collect(),
            attest: format!("strongroomctl attest --to {} {trust}", quoted(&address)),
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
            let uses = match (key.input, key.output) {
                (true, true) => "inputs and results",
                (true, false) => "inputs",
                (false, _) => "results",
            };
            let _ = writeln!(out, "KMS key      {} ({uses})", key.arn);
        }
        let _ = writeln!(out, "manifest     {}", self.manifest_file);
        for (role, file) in &self.env_files {
            let head = format!("\n# as {role}: strongroomctl, boto3 and the AWS CLI read these");
            let _ = writeln!(out, "{}\n. {}", output.dim(&head), quoted(file));
        }
        for commands in &self.jobs {
            let _ = writeln!(out, "\n{}", output.dim(&format!("# job {}", commands.job)));
            let _ = writeln!(out, "{}\n{}", commands.encrypt, commands.call);
        }
        let head = "\n# as data owner: is it the enclave that I expect?";
        let _ = writeln!(out, "{}\n{}", output.dim(head), self.attest);
        out
    }
}

impl Commands {
    fn of(job: &Job, folder: &Folder, address: &str, trust: &str) -> Self {
        let file = |name: &str| quoted(&folder.file(name).display().to_string());
        let name = job.name.as_str();
        let args: BTreeMap<String, String> =
            job.args.iter().map(|arg| (arg.clone(), EXAMPLE_VALUE.to_owned())).collect();
        let message = file(&format!("{name}.encrypted"));
        let mut encrypt = format!("strongroomctl encrypt --kms-key {}", job.input.key);
        for (key, value) in &job.input.context {
            let pair = format!("{key}={}", value.fill(&args));
            let _ = write!(encrypt, " --context {}", quoted(&pair));
        }
        let _ = write!(encrypt, " --input {} --output {message}", file("customers.csv"));
        let mut call = format!("strongroomctl call --to {} --job {name}", quoted(address));
        for (arg, value) in &args {
            let _ = write!(call, " --arg {}", quoted(&format!("{arg}={value}")));
        }
        let _ = write!(call, " --input {message} --output {}", file(&format!("{name}.result")));
        if let OutputSpec::Seal(_) = &job.output {
            let _ = write!(call, " --seal-key {} {trust}", file("owner.key"));
        }
        Self { job: name.to_owned(), encrypt, call }
    }
}

/// Value of every argument in the commands.
const EXAMPLE_VALUE: &str = "acme";
