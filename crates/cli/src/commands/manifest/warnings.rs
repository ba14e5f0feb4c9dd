//! What a manifest allows and its author seldom means. The manifest is accepted
//! all the same: what is never right is refused by the parser.

use serde::Serialize;
use strongroom::manifest::fields::{FieldPath, UnknownFields};
use strongroom::manifest::operations::{
    AggregateSpec, Compute, FieldsVerb, MatchForm, OperationSpec,
};
use strongroom::manifest::{Ciphertext, Format, Job, Manifest, OutputSpec, Recipients, Source};

/// Something to think about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    /// Stable name of the rule.
    pub(super) rule: &'static str,
    /// What it lets happen.
    pub(super) what: String,
    /// What to write instead.
    pub(super) instead: &'static str,
}

impl Warning {
    fn new(rule: &'static str, what: impl Into<String>, instead: &'static str) -> Self {
        Self { rule, what: what.into(), instead }
    }
}

/// Of the whole manifest.
pub(super) fn of_manifest(manifest: &Manifest) -> Vec<Warning> {
    let debug = manifest.allow_debug.then(|| {
        Warning::new(
            "allow-debug",
            "jobs run in debug mode too, where the parent reads the console",
            "Set enclave.allow_debug to false for anything but tests.",
        )
    });
    debug.into_iter().collect()
}

/// Of a job.
pub(super) fn of_job(job: &Job) -> Vec<Warning> {
    let warnings = [
        seal_to_any(job),
        anyone_may_ask(job),
        legacy_suites(job),
        no_tenant(job),
        keeps_unknown(job),
        field_without_rule(job),
        single_values(job),
        same_key(job),
    ];
    warnings.into_iter().flatten().collect()
}

fn seal_to_any(job: &Job) -> Option<Warning> {
    let any = matches!(job.output, OutputSpec::Seal { to: Recipients::Any, .. });
    (any && job.callers.is_empty()).then(|| {
        Warning::new(
            "seal-to-any",
            "the parent can name a public key of its own and read the result",
            "List the public keys in output.to, or name callers: they sign for the key.",
        )
    })
}

fn anyone_may_ask(job: &Job) -> Option<Warning> {
    if !job.callers.is_empty() {
        return None;
    }
    let (rule, what) = match &job.operation {
        OperationSpec::Sign(_) => {
            ("anyone-may-sign", "the parent decides which of the data is signed, and how often")
        }
        OperationSpec::Fields(spec) if spec.verb == FieldsVerb::Detokenize => {
            ("anyone-may-detokenize", "the parent can have every token turned back that it has")
        }
        OperationSpec::Match(_) => {
            ("anyone-may-match", "the parent can ask about one value after the other")
        }
        OperationSpec::Fields(_)
        | OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Aggregate(_)
        | OperationSpec::JoinCount(_) => return None,
    };
    Some(Warning::new(rule, what, "Name the callers that may, each a [[caller]] with its key."))
}

fn legacy_suites(job: &Job) -> Option<Warning> {
    let legacy = |ciphertext: &Ciphertext| {
        matches!(ciphertext.format, Format::AwsEncryptionSdk { allow_legacy: true, .. })
    };
    job.ciphertexts().any(legacy).then(|| {
        Warning::new(
            "legacy-suites",
            "whoever makes a message without key commitment can make it open to two plaintexts",
            "Re-encrypt old messages once, then leave commitment out.",
        )
    })
}

fn no_tenant(job: &Job) -> Option<Warning> {
    let without = match &job.operation {
        OperationSpec::Fields(spec) => spec.secret.is_some() && spec.tenant.is_none(),
        OperationSpec::Match(spec) => {
            matches!(spec.form, MatchForm::Indexed { tenant: None, .. })
        }
        OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Aggregate(_)
        | OperationSpec::JoinCount(_)
        | OperationSpec::Sign(_) => false,
    };
    without.then(|| {
        Warning::new(
            "no-tenant",
            "equal values of different owners have equal tokens or indexes",
            "Set tenant, with an argument that the input's context proves.",
        )
    })
}

fn keeps_unknown(job: &Job) -> Option<Warning> {
    let OperationSpec::Fields(spec) = &job.operation else { return None };
    let whole = job.inputs.iter().any(|input| matches!(input.source, Source::Whole(_)));
    let clear = matches!(job.output, OutputSpec::None);
    (spec.unknown == UnknownFields::Keep && whole && clear).then(|| {
        Warning::new(
            "keeps-unknown",
            "a field that nobody thought of leaves in the clear",
            "Leave unknown_fields out, and name each field that may leave.",
        )
    })
}

fn field_without_rule(job: &Job) -> Option<Warning> {
    let OperationSpec::Fields(spec) = &job.operation else { return None };
    let encrypted = job.inputs.iter().filter_map(|input| match &input.source {
        Source::Fields(fields) => Some(fields.keys()),
        Source::Whole(_) | Source::Clear => None,
    });
    let named = |field: &&FieldPath| spec.rules.keys().any(|rule| overlap(rule, field));
    let forgotten: Vec<String> =
        encrypted.flatten().filter(|field| !named(field)).map(ToString::to_string).collect();
    (spec.unknown == UnknownFields::Drop && !forgotten.is_empty()).then(|| {
        Warning::new(
            "field-without-rule",
            format!("encrypted and then left out, for no rule names it: {}", forgotten.join(", ")),
            "Give each encrypted field a rule in fields; \"drop\" says that it is meant.",
        )
    })
}

fn overlap(one: &FieldPath, other: &FieldPath) -> bool {
    match (one, other) {
        (FieldPath::Pointer(one), FieldPath::Pointer(other)) => one.overlaps(other),
        (one, other) => one == other,
    }
}

fn single_values(job: &Job) -> Option<Warning> {
    let aggregate: Option<&AggregateSpec> = match &job.operation {
        OperationSpec::Aggregate(spec) => Some(spec),
        OperationSpec::JoinCount(spec) => spec.aggregate.as_ref(),
        OperationSpec::Fields(_)
        | OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Match(_)
        | OperationSpec::Sign(_) => None,
    };
    let single = |compute: &Compute| matches!(compute, Compute::Min(_) | Compute::Max(_));
    let clear = matches!(job.output, OutputSpec::None);
    (clear && aggregate.is_some_and(|spec| spec.compute.values().any(single))).then(|| {
        Warning::new(
            "single-values",
            "min and max show the value of one record, however large the group",
            "Compute count, sum and mean only, or protect the result.",
        )
    })
}

fn same_key(job: &Job) -> Option<Warning> {
    let output = job.output_key()?;
    job.ciphertexts().any(|ciphertext| ciphertext.key == *output).then(|| {
        Warning::new(
            "same-key",
            "input and output are under one KMS key: only its context keeps their readers apart",
            "Use a KMS key of its own for results.",
        )
    })
}
