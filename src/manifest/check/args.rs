//! Arguments: what a caller says must be checked against something.
//!
//! One that only labelled a result would let a caller label one tenant's data as
//! another's.

use std::collections::BTreeMap;

use crate::manifest::fields::FieldRule;
use crate::manifest::operations::{FieldsSpec, MatchForm, OperationSpec};
use crate::manifest::{Ciphertext, Job, ManifestError, OutputSpec, Source, Template};

impl Job {
    /// Refuses an argument that nothing proves: no message's encryption context,
    /// and no caller that the job names.
    pub(super) fn check_args(&self) -> Result<(), ManifestError> {
        if !self.callers.is_empty() {
            return Ok(());
        }
        for arg in self.args.keys() {
            let proven = self.ciphertexts().any(|ciphertext| pins(ciphertext, arg));
            if !proven && !self.compares_with(arg) {
                return Err(ManifestError::value(
                    "args",
                    format!(
                        "{arg:?} is not used in input.context: what a caller says must be checked against the message"
                    ),
                ));
            }
            self.check_label(arg)?;
        }
        Ok(())
    }

    /// Whether the argument is what fields are compared with, and nothing else.
    fn compares_with(&self, arg: &str) -> bool {
        let OperationSpec::Match(spec) = &self.operation else { return false };
        let tenant = match &spec.form {
            MatchForm::Indexed { tenant, .. } => tenant.as_ref().and_then(Template::arg),
            MatchForm::Encrypted => None,
        };
        spec.arg == arg && tenant != Some(arg)
    }

    /// Where the argument labels a result, all that it labels must prove it: with
    /// encrypted fields, each of them.
    fn check_label(&self, arg: &str) -> Result<(), ManifestError> {
        let whole = |job: &Self| {
            let whole = |source: &Source| match source {
                Source::Whole(ciphertext) => pins(ciphertext, arg),
                Source::Fields(_) | Source::Clear => false,
            };
            job.inputs.iter().any(|input| whole(&input.source))
        };
        if whole(self) {
            return Ok(());
        }
        let refuse = |place: &str| {
            let problem = format!(
                "{arg:?} would label what nothing proves: pin it in the context of each field that it labels, or name the callers that may say it"
            );
            Err(ManifestError::value(place, problem))
        };
        let encrypted = self.inputs.iter().find_map(|input| match &input.source {
            Source::Fields(fields) => Some(fields),
            Source::Whole(_) | Source::Clear => None,
        });
        let used = |context: &BTreeMap<String, Template>| {
            context.values().any(|value| value.arg() == Some(arg))
        };
        match (&self.output, encrypted) {
            (OutputSpec::Fields(own, kms), Some(fields)) => {
                let labels = |path| used(&kms.context) || own.get(path).is_some_and(used);
                if fields.iter().any(|(path, field)| labels(path) && !pins(field, arg)) {
                    return refuse("output.context");
                }
            }
            (OutputSpec::Kms(kms) | OutputSpec::Fields(_, kms), _) if used(&kms.context) => {
                return refuse("output.context");
            }
            (
                OutputSpec::Kms(_)
                | OutputSpec::Fields(..)
                | OutputSpec::None
                | OutputSpec::Seal { .. },
                _,
            ) => {}
        }
        match &self.operation {
            OperationSpec::Fields(spec)
                if spec.tenant.as_ref().and_then(Template::arg) == Some(arg) =>
            {
                let proven = |spec: &FieldsSpec| {
                    spec.rules.iter().filter(|(_, rule)| !matches!(rule, FieldRule::Mask(_))).all(
                        |(path, _)| {
                            let field = encrypted.and_then(|fields| fields.get(path));
                            field.is_some_and(|ciphertext| pins(ciphertext, arg))
                        },
                    )
                };
                if proven(spec) { Ok(()) } else { refuse("tenant") }
            }
            OperationSpec::Fields(_)
            | OperationSpec::Reencrypt
            | OperationSpec::Open
            | OperationSpec::Match(_)
            | OperationSpec::Aggregate(_)
            | OperationSpec::JoinCount(_)
            | OperationSpec::Sign(_) => Ok(()),
        }
    }
}

/// Whether a ciphertext must have the argument in its encryption context.
fn pins(ciphertext: &Ciphertext, arg: &str) -> bool {
    let all = ciphertext.context.values().chain(ciphertext.required_context.values());
    all.filter_map(Template::arg).any(|pinned| pinned == arg)
}
