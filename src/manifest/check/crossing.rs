//! Crossings: what one job takes in or gives out, put in the place of another's.
//!
//! Whoever carries ciphertexts can put any of them anywhere. KMS key and
//! encryption context keep apart what must not be exchanged: a whole file must
//! not open as a field that is kept, nor one field as another; and nothing that
//! the caller composed may come back as data that a producer encrypted.

use std::collections::BTreeMap;

use crate::manifest::fields::{FieldPath, Step};
use crate::manifest::{
    Ciphertext, Format, Job, JobName, KmsOutput, ManifestError, OutputSpec, Source, Template,
};

/// A ciphertext that some job opens.
struct Opened<'a> {
    job: &'a JobName,
    /// Which field it is; `None` for a whole input.
    field: Option<&'a FieldPath>,
    ciphertext: &'a Ciphertext,
}

/// A ciphertext that some job writes.
struct Written<'a> {
    /// Which field it is; `None` for a whole result.
    field: Option<&'a FieldPath>,
    kms: &'a KmsOutput,
    /// The field's own context, beside the common one.
    own: Option<&'a BTreeMap<String, Template>>,
}

/// Refuses jobs whose ciphertexts could be exchanged.
pub(super) fn check(jobs: &BTreeMap<JobName, Job>) -> Result<(), ManifestError> {
    let all: Vec<Opened<'_>> = jobs.values().flat_map(opened).collect();
    for (index, one) in all.iter().enumerate() {
        for other in all.iter().take(index) {
            one.check_apart(other)?;
        }
    }
    jobs.values().try_for_each(|job| check_written(job, &all))
}

fn opened<'a>(job: &'a Job) -> Vec<Opened<'a>> {
    let name = &job.name;
    let of = |source: &'a Source| match source {
        Source::Whole(ciphertext) => vec![Opened { job: name, field: None, ciphertext }],
        Source::Fields(fields) => fields
            .iter()
            .map(|(path, ciphertext)| Opened { job: name, field: Some(path), ciphertext })
            .collect(),
        Source::Clear => Vec::new(),
    };
    job.inputs.iter().flat_map(|input| of(&input.source)).collect()
}

fn written(job: &Job) -> Vec<Written<'_>> {
    match &job.output {
        OutputSpec::Kms(kms) => vec![Written { field: None, kms, own: None }],
        OutputSpec::Fields(fields, kms) => {
            let each = fields.iter();
            each.map(|(path, own)| Written { field: Some(path), kms, own: Some(own) }).collect()
        }
        OutputSpec::None | OutputSpec::Seal { .. } => Vec::new(),
    }
}

/// Whether two jobs mean the same by their ciphertexts: both a whole, or fields
/// of one name, whatever the shape that they stand in.
fn alike(one: Option<&FieldPath>, other: Option<&FieldPath>) -> bool {
    one.map(last_name) == other.map(last_name)
}

fn last_name(path: &FieldPath) -> &str {
    match path {
        FieldPath::Column(name) => name,
        FieldPath::Pointer(pointer) => {
            let mut names = pointer.steps().iter().rev().filter_map(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                Step::Each => None,
            });
            names.next().unwrap_or("*")
        }
    }
}

impl Opened<'_> {
    fn check_apart(&self, other: &Self) -> Result<(), ManifestError> {
        let same_kind = matches!(
            (self.ciphertext.format, other.ciphertext.format),
            (Format::AwsEncryptionSdk { .. }, Format::AwsEncryptionSdk { .. })
                | (Format::PlainEnvelope, Format::PlainEnvelope)
        );
        // Within a job, what has the same name is another field all the same.
        let same = match self.job == other.job {
            true => self.field == other.field,
            false => alike(self.field, other.field),
        };
        let exchangeable = same_kind
            && !same
            && self.ciphertext.key == other.ciphertext.key
            && !differ(self.ciphertext, other.ciphertext);
        if !exchangeable {
            return Ok(());
        }
        Err(ManifestError::value(
            format!("job {:?}: input", self.job.as_str()),
            format!(
                "{} and {} have the same KMS key, and no entry of their contexts is fixed to different values: either could be put in the other's place. Give each one of its own, such as column = \"pan\"",
                self.place(),
                other.place()
            ),
        ))
    }

    fn place(&self) -> String {
        match self.field {
            Some(field) => format!("the field \"{field}\" of job {:?}", self.job.as_str()),
            None => format!("the whole input of job {:?}", self.job.as_str()),
        }
    }
}

/// Whether no ciphertext fits both.
fn differ(one: &Ciphertext, other: &Ciphertext) -> bool {
    // A plain envelope's context is the whole of it.
    if one.format == Format::PlainEnvelope && !one.context.keys().eq(other.context.keys()) {
        return true;
    }
    let fixed = |ciphertext: &Ciphertext, name: &str| {
        let value = ciphertext.context.get(name).or_else(|| ciphertext.required_context.get(name));
        value.filter(|value| value.arg().is_none()).cloned()
    };
    one.context.keys().chain(one.required_context.keys()).any(|name| {
        match (fixed(one, name), fixed(other, name)) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        }
    })
}

/// Refuses a result that some job would take for what it is not: for a
/// producer's data where the caller composed it, for a field where it is a whole
/// file or another field.
fn check_written(job: &Job, all: &[Opened<'_>]) -> Result<(), ManifestError> {
    let composed = job.inputs.iter().any(|input| !matches!(input.source, Source::Whole(_)));
    for written in written(job) {
        for opened in all.iter().filter(|opened| written.fits(opened.ciphertext)) {
            let what = match written.field {
                // All that may come in the clear stays there.
                Some(field) if !alike(written.field, opened.field) => {
                    format!("the field \"{field}\" of this result for its own")
                }
                Some(_) => continue,
                None if composed => "this result, of which the caller can compose all that comes in the clear, for a producer's data".to_owned(),
                None if opened.field.is_some() => "this result for a field".to_owned(),
                None => continue,
            };
            return Err(ManifestError::value(
                format!("job {:?}: output.context", job.name.as_str()),
                format!(
                    "{} would take {what}: fix an entry of the context to another value",
                    opened.place()
                ),
            ));
        }
    }
    Ok(())
}

impl Written<'_> {
    /// Whether it can be a ciphertext that a job opens.
    fn fits(&self, input: &Ciphertext) -> bool {
        let given = |name: &String| {
            let own = self.own.and_then(|own| own.get(name));
            own.or_else(|| self.kms.context.get(name))
        };
        let possible = |name: &String, wanted: &Template| match given(name) {
            Some(given) => given.arg().is_some() || wanted.arg().is_some() || given == wanted,
            None => false,
        };
        matches!(input.format, Format::AwsEncryptionSdk { .. })
            && self.kms.key == input.key
            && input.context.iter().all(|(name, wanted)| possible(name, wanted))
            && input
                .required_context
                .iter()
                .all(|(name, wanted)| given(name).is_none() || possible(name, wanted))
    }
}
