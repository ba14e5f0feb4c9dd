//! The commands that try one job of a `dev` run, as [`super::guide`] shows them.
//!
//! Where no example can be made of what the manifest says, a note says so in the
//! place of a command that would be refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use strongroom::manifest::fields::Shape;
use strongroom::manifest::operations::{FieldsVerb, OperationSpec, SignSpec, Signs};
use strongroom::manifest::{Ciphertext, Format, Input, Job, OutputSpec, Source};

use super::folder::{self, Folder};
use crate::command_line::CommandLine;
use crate::output::Output;

/// How to try a job.
#[derive(Serialize)]
pub(super) struct Commands {
    job: String,
    /// None where the job takes nothing that is encrypted as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypt: Option<CommandLine>,
    /// Of a job with two inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypt_second: Option<CommandLine>,
    call: CommandLine,
    /// What has to be changed before the commands work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Commands {
    /// `trusted` adds the options that say which enclave is believed.
    pub(super) fn of(
        job: &Job,
        folder: &Folder,
        address: &str,
        trusted: impl Fn(CommandLine) -> CommandLine,
    ) -> Self {
        let file = |name: &str| folder.file(name).display().to_string();
        let name = job.name.as_str();
        let args: BTreeMap<String, String> =
            job.args.keys().map(|arg| (arg.clone(), EXAMPLE_VALUE.to_owned())).collect();
        let mut encrypts = Vec::new();
        let mut call =
            CommandLine::new("strongroomctl call").option("--to", address).option("--job", name);
        for (arg, value) in &args {
            call = call.option("--arg", &format!("{arg}={value}"));
        }
        for (input, place) in job.inputs.iter().zip(places(job)) {
            let sent = match &input.source {
                Source::Whole(ciphertext) => {
                    let message = file(&format!("{name}{place}.encrypted"));
                    let customers = file("customers.csv");
                    encrypts.push(encrypt(ciphertext, &args, &customers, &message));
                    message
                }
                Source::Clear => file("customers.csv"),
                Source::Fields(_) => file(&format!("{name}.records")),
            };
            call = call.option("--input", &sent);
        }
        call = call.option("--output", &file(&format!("{name}.result")));
        let caller = job.callers.first();
        if let Some(caller) = caller {
            let key = file(&folder::caller_key_name(caller));
            call = call.option("--sign-with", &format!("{caller}:{key}"));
        }
        let seals = matches!(job.output, OutputSpec::Seal { .. });
        if seals {
            call = call.option("--seal-key", &file("owner.key"));
        }
        if seals || caller.is_some() {
            call = trusted(call);
        }
        let mut encrypts = encrypts.into_iter();
        let (encrypt, encrypt_second) = (encrypts.next(), encrypts.next());
        Self { job: name.to_owned(), encrypt, encrypt_second, call, notes: notes(job) }
    }

    /// For people: notes first, then what is done in its order.
    pub(super) fn text(&self, output: &Output) -> String {
        // Writing to a String cannot fail.
        let mut out = String::new();
        let _ = writeln!(out, "{}", output.dim(&format!("# job {}", self.job)));
        for note in &self.notes {
            let _ = writeln!(out, "{}", output.dim(&format!("# {note}")));
        }
        for encrypt in [&self.encrypt, &self.encrypt_second].into_iter().flatten() {
            let _ = writeln!(out, "{}", encrypt.broken());
        }
        let _ = writeln!(out, "{}", self.call.broken());
        out
    }
}

/// What tells the files of a job's inputs apart.
const fn places(job: &Job) -> &'static [&'static str] {
    match job.inputs.as_slice() {
        [_, _, ..] => &[".first", ".second"],
        _ => &[""],
    }
}

fn encrypt(
    ciphertext: &Ciphertext,
    args: &BTreeMap<String, String>,
    input: &str,
    output: &str,
) -> CommandLine {
    let mut line = CommandLine::new("strongroomctl encrypt");
    line = line.option("--kms-key", ciphertext.key.as_str());
    for (name, value) in ciphertext.context.iter().chain(&ciphertext.required_context) {
        line = line.option("--context", &format!("{name}={}", value.fill(args)));
    }
    if ciphertext.format == Format::PlainEnvelope {
        line = line.option("--format", "plain-envelope");
    }
    line.option("--input", input).option("--output", output)
}

/// What the example values and the example file cannot do.
fn notes(job: &Job) -> Vec<String> {
    let compared = match &job.operation {
        OperationSpec::Match(spec) => Some(spec.arg.as_str()),
        OperationSpec::Fields(_)
        | OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Aggregate(_)
        | OperationSpec::JoinCount(_)
        | OperationSpec::Sign(_) => None,
    };
    let of_match = compared.map(|arg| {
        format!("{arg}={EXAMPLE_VALUE} cannot work: see docs/operations.md#match for its value")
    });
    let unfit = job
        .args
        .iter()
        .filter(|(arg, spec)| Some(arg.as_str()) != compared && !spec.fits(EXAMPLE_VALUE));
    let unfit = unfit.map(|(arg, _)| {
        format!("{arg}={EXAMPLE_VALUE} does not fit the manifest: give another, wherever it stands")
    });
    let of_inputs = job.inputs.iter().filter_map(of_input).map(str::to_owned);
    let of_operation = of_operation(&job.operation).map(str::to_owned);
    of_match.into_iter().chain(unfit).chain(of_inputs).chain(of_operation).collect()
}

const fn of_input(input: &Input) -> Option<&'static str> {
    match (&input.source, input.shape) {
        (Source::Fields(_), _) => {
            Some("records with encrypted fields: see docs/formats.md#encrypted-fields")
        }
        (_, Shape::Ndjson | Shape::Json) => {
            Some("takes JSON: put a file of yours in the place of customers.csv")
        }
        (_, Shape::Csv | Shape::Bytes) => None,
    }
}

fn of_operation(operation: &OperationSpec) -> Option<&'static str> {
    match operation {
        OperationSpec::Fields(spec) if spec.verb == FieldsVerb::Detokenize => {
            Some("takes tokens: put a file with some in the place of customers.csv")
        }
        OperationSpec::Sign(SignSpec { signs: Signs::Digest, .. }) => {
            Some("signs a SHA-256 of 32 bytes: put a file with one in the place of customers.csv")
        }
        OperationSpec::Fields(_)
        | OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Match(_)
        | OperationSpec::Aggregate(_)
        | OperationSpec::JoinCount(_)
        | OperationSpec::Sign(_) => None,
    }
}

/// Value of every argument in the commands.
const EXAMPLE_VALUE: &str = "acme";
