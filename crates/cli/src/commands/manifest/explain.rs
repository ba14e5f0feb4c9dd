//! What each job of a manifest means: who may ask, what goes in, what is done,
//! what comes out, who learns what. Says what the manifest allows, not what
//! key policies add to it.

use serde::Serialize;
use strongroom::manifest::class::Class;
use strongroom::manifest::fields::BadRecords;
use strongroom::manifest::operations::{FieldsVerb, OperationSpec};
use strongroom::manifest::{
    ArgSpec, Ciphertext, Format, Input, Job, KmsOutput, Manifest, OutputSpec, Recipients, Source,
};

use super::warnings::{self, Warning};
use super::words::{self, context, entries, list, shape};

/// A manifest, explained.
#[derive(Serialize)]
pub(super) struct Explanation {
    /// SHA-256 of its text: what `status` and receipts name it by.
    pub(super) sha256: String,
    /// Of the whole manifest.
    pub(super) warnings: Vec<Warning>,
    pub(super) jobs: Vec<JobExplained>,
}

/// A job, explained.
#[derive(Serialize)]
pub(super) struct JobExplained {
    pub(super) name: String,
    pub(super) operation: &'static str,
    pub(super) who_may_ask: String,
    pub(super) arguments: Vec<String>,
    pub(super) goes_in: Vec<String>,
    pub(super) is_done: String,
    pub(super) details: Vec<String>,
    pub(super) comes_out: String,
    pub(super) who_learns: Vec<Learner>,
    pub(super) warnings: Vec<Warning>,
}

/// Who learns what.
#[derive(Serialize)]
pub(super) struct Learner {
    pub(super) who: String,
    pub(super) what: String,
}

impl Explanation {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            sha256: hex::encode(manifest.digest),
            warnings: warnings::of_manifest(manifest),
            jobs: manifest.jobs.values().map(|job| JobExplained::of(job, manifest)).collect(),
        }
    }
}

impl JobExplained {
    fn of(job: &Job, manifest: &Manifest) -> Self {
        let secret = job.operation.secret().and_then(|name| {
            let spec = manifest.secrets.get(name)?;
            Some(format!("with the secret {name:?}, wrapped by KMS under {}", spec.key))
        });
        let mut details = words::details(&job.operation);
        details.extend(secret);
        Self {
            name: job.name.to_string(),
            operation: job.operation.verb(),
            who_may_ask: who_may_ask(job),
            arguments: job.args.iter().map(|(name, spec)| argument(job, name, spec)).collect(),
            goes_in: job.inputs.iter().flat_map(goes_in).collect(),
            is_done: words::is_done(&job.operation),
            details,
            comes_out: comes_out(&job.output),
            who_learns: who_learns(job).into_iter().chain(who_turns_back(job, manifest)).collect(),
            warnings: warnings::of_job(job),
        }
    }
}

fn who_may_ask(job: &Job) -> String {
    if job.callers.is_empty() {
        return "whoever can connect to the enclave: the parent".to_owned();
    }
    format!("only requests that are signed by {}", list(job.callers.iter()))
}

fn argument(job: &Job, name: &str, spec: &ArgSpec) -> String {
    let in_context = job.ciphertexts().any(|ciphertext| {
        let values = ciphertext.context.values().chain(ciphertext.required_context.values());
        values.filter_map(|value| value.arg()).any(|arg| arg == name)
    });
    let compared = matches!(&job.operation, OperationSpec::Match(spec) if spec.arg == name);
    let proof = match (in_context, compared) {
        (true, _) => "the data's encryption context proves it",
        (false, true) => "what is compared with",
        (false, false) => "whoever signs the request answers for it",
    };
    let pattern = if spec.pattern.is_some() { " that match its pattern" } else { "" };
    format!("{name}: 1 to {} bytes{pattern}; {proof}", spec.max_len)
}

fn goes_in(input: &Input) -> Vec<String> {
    let dropped = match input.bad_records {
        BadRecords::Drop => " (malformed records are left out and counted: bad_records = \"drop\")",
        BadRecords::Refuse => "",
    };
    let shape = format!("{}{dropped}", shape(input.shape));
    match &input.source {
        Source::Whole(ciphertext) => vec![format!("{shape} in {}", described(ciphertext))],
        Source::Clear => vec![format!("{shape} in the clear, whatever the caller sends")],
        Source::Fields(fields) => {
            let clear = format!(
                "{shape} whose records the parent composes, in the clear but for these fields:"
            );
            let fields = fields
                .iter()
                .map(|(path, ciphertext)| format!("{path}, in base64: {}", described(ciphertext)));
            std::iter::once(clear).chain(fields).collect()
        }
    }
}

/// A ciphertext, and what proves that it is the right one.
fn described(ciphertext: &Ciphertext) -> String {
    let what = match ciphertext.format {
        Format::AwsEncryptionSdk { allow_legacy, refuse_signed } => {
            let legacy = if allow_legacy { ", also without key commitment" } else { "" };
            let signed = if refuse_signed { ", not signed" } else { "" };
            format!("an AWS Encryption SDK message{legacy}{signed}")
        }
        Format::PlainEnvelope => "a plain envelope".to_owned(),
    };
    let mut text = format!("{what} under {}", ciphertext.key);
    if !ciphertext.context.is_empty() {
        let all = ciphertext.format == Format::PlainEnvelope;
        let verb = if all { "made for exactly" } else { "made for" };
        text += &format!(", {verb} {}", entries(&ciphertext.context));
    }
    if !ciphertext.required_context.is_empty() {
        text += &format!(", and bound to {}", entries(&ciphertext.required_context));
    }
    text
}

fn comes_out(output: &OutputSpec) -> String {
    match output {
        OutputSpec::None => "in the clear".to_owned(),
        OutputSpec::Kms(kms) => {
            format!("as {}{}", message(kms), padding(kms.pad_to))
        }
        OutputSpec::Fields(fields, kms) => format!(
            "in the clear but for {}, each as {}{}",
            list(fields.keys()),
            message(kms),
            padding(kms.pad_to)
        ),
        OutputSpec::Seal { to: Recipients::Any, pad_to } => {
            format!("sealed to whatever public key the request names{}", padding(*pad_to))
        }
        OutputSpec::Seal { to: Recipients::Listed(keys), pad_to } => {
            let keys = list(keys.iter().map(hex::encode));
            format!("sealed to one of these public keys: {keys}{}", padding(*pad_to))
        }
    }
}

fn message(kms: &KmsOutput) -> String {
    let signed = if kms.signed { "a signed" } else { "an" };
    format!("{signed} AWS Encryption SDK message under {}{}", kms.key, context(&kms.context))
}

fn padding(pad_to: Option<usize>) -> String {
    pad_to.map(|bytes| format!(", padded to a multiple of {bytes} bytes")).unwrap_or_default()
}

fn who_learns(job: &Job) -> Vec<Learner> {
    let what = words::learns(&job.operation);
    let learner = |who: String, what: &str| Learner { who, what: what.to_owned() };
    let decrypts = |kms: &KmsOutput| {
        format!("whoever KMS lets Decrypt with {}{}", kms.key, context(&kms.context))
    };
    let (who, pad_to) = match &job.output {
        OutputSpec::None => {
            return vec![learner("the parent, and whoever it shows the result to".into(), &what)];
        }
        OutputSpec::Kms(kms) => (decrypts(kms), kms.pad_to),
        OutputSpec::Fields(_, kms) => (format!("of these fields, {}", decrypts(kms)), None),
        OutputSpec::Seal { to: Recipients::Listed(_), pad_to } => {
            ("the holders of the private keys of the public keys above".to_owned(), *pad_to)
        }
        OutputSpec::Seal { to: Recipients::Any, pad_to } if job.callers.is_empty() => {
            ("whomever the parent names, itself if it likes".to_owned(), *pad_to)
        }
        OutputSpec::Seal { to: Recipients::Any, pad_to } => {
            ("whomever the signer of the request names".to_owned(), *pad_to)
        }
    };
    vec![learner(who, &what), learner("the parent".to_owned(), &parent_sees(job, pad_to))]
}

/// What a parent sees that cannot read the result.
fn parent_sees(job: &Job, pad_to: Option<usize>) -> String {
    let sees = match pad_to {
        Some(_) => "when it runs and for how long, and the size to the padding's multiple",
        None => "sizes, and when it runs and for how long",
    };
    let clear = job.inputs.iter().any(|input| !matches!(input.source, Source::Whole(_)));
    let before = if clear { "what comes in in the clear, " } else { "" };
    format!("{before}{sees}")
}

/// Jobs by which tokens become values again.
fn who_turns_back(job: &Job, manifest: &Manifest) -> Option<Learner> {
    if job.operation.class() != Class::Tokens {
        return None;
    }
    let turns_back = |other: &&Job| {
        let detokenizes = matches!(&other.operation,
            OperationSpec::Fields(spec) if spec.verb == FieldsVerb::Detokenize);
        detokenizes && other.operation.secret() == job.operation.secret()
    };
    let jobs = list(manifest.jobs.values().filter(turns_back).map(|other| &other.name));
    (!jobs.is_empty()).then(|| Learner {
        who: format!("whoever reads the results of {jobs}, with the same secret"),
        what: "the values of the tokens".to_owned(),
    })
}
