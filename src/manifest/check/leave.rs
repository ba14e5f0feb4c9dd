//! What may leave: no job's output lets more out than its operation's class.

use std::collections::BTreeSet;

use crate::manifest::class::Class;
use crate::manifest::fields::{FieldPath, FieldRule, MaskRule, UnknownFields};
use crate::manifest::operations::{MatchForm, OperationSpec};
use crate::manifest::{Ciphertext, Job, ManifestError, OutputSpec, Source, Template};

impl Job {
    /// Refuses an output that lets more leave than the operation's class allows.
    pub(super) fn check_leaving(&self) -> Result<(), ManifestError> {
        if let OutputSpec::Fields(fields, _) = &self.output {
            return self.check_fields_leaving(fields);
        }
        if !matches!(self.output, OutputSpec::None) {
            return Ok(());
        }
        let refuse = |place: &str, problem: &str| Err(ManifestError::value(place, problem));
        match self.operation.class() {
            Class::Plaintext => {
                let verb = self.operation.verb();
                let problem = format!(
                    "{verb} with protect = \"none\" would hand the parent the plaintext; use \"kms\" or \"seal\""
                );
                refuse("output", &problem)
            }
            Class::Reduced if self.masks_nothing() => refuse(
                "fields",
                "nothing would be masked, and protect = \"none\" would hand the parent the plaintext",
            ),
            Class::Numbers => match self.min_group_size() {
                Some(size) if size < MIN_GROUP_IN_CLEAR => refuse(
                    "min_group_size",
                    "with protect = \"none\" a group must have at least 5 records: numbers about fewer come close to the records themselves",
                ),
                Some(_) | None => Ok(()),
            },
            Class::Reduced | Class::Tokens | Class::Indexes | Class::Answer | Class::Signature => {
                Ok(())
            }
        }
    }

    /// Fields that are opened and encrypted anew in place; the rest was in the
    /// clear before.
    fn check_fields_leaving(&self, fields: &BTreeSet<FieldPath>) -> Result<(), ManifestError> {
        let refuse = |problem: &str| Err(ManifestError::value("output.fields", problem));
        if !matches!(self.operation, OperationSpec::Reencrypt) {
            return refuse(
                "is for reencrypt: the other operations leave nothing to encrypt in place",
            );
        }
        let Some(Source::Fields(encrypted)) = self.inputs.first().map(|input| &input.source) else {
            return refuse(
                "needs input.fields: what comes encrypted as a whole would leave in the clear but for these",
            );
        };
        match encrypted.keys().eq(fields) {
            true => Ok(()),
            false => refuse(
                "must name the fields of input.fields, all of them: another would leave in the clear",
            ),
        }
    }

    fn masks_nothing(&self) -> bool {
        let OperationSpec::Fields(spec) = &self.operation else { return false };
        spec.unknown == UnknownFields::Keep
            && spec.rules.values().all(|rule| *rule == FieldRule::Mask(MaskRule::Keep))
    }

    fn min_group_size(&self) -> Option<u64> {
        match &self.operation {
            OperationSpec::Aggregate(spec) => Some(spec.min_group_size),
            OperationSpec::JoinCount(spec) => Some(spec.min_group_size),
            OperationSpec::Fields(_)
            | OperationSpec::Reencrypt
            | OperationSpec::Open
            | OperationSpec::Match(_)
            | OperationSpec::Sign(_) => None,
        }
    }

    /// An argument must be proven by the message, or be what the message is
    /// compared with, or be said by a caller that the job names. One that only
    /// the result's context used would let a caller label one tenant's data as
    /// another's.
    pub(super) fn check_args(&self) -> Result<(), ManifestError> {
        let contexts = |ciphertext: &Ciphertext| -> BTreeSet<String> {
            let all = ciphertext.context.values().chain(ciphertext.required_context.values());
            all.filter_map(Template::arg).map(str::to_owned).collect()
        };
        let used: BTreeSet<String> = self.ciphertexts().flat_map(contexts).collect();
        let proven = |arg: &String| used.contains(arg) || !self.callers.is_empty();
        let compared = |arg: &String| match &self.operation {
            OperationSpec::Match(spec) => {
                spec.arg == *arg
                    && !matches!(&spec.form,
                MatchForm::Indexed { tenant: Some(tenant), .. } if tenant.arg() == Some(arg))
            }
            OperationSpec::Fields(_)
            | OperationSpec::Reencrypt
            | OperationSpec::Open
            | OperationSpec::Aggregate(_)
            | OperationSpec::JoinCount(_)
            | OperationSpec::Sign(_) => false,
        };
        match self.args.keys().find(|arg| !proven(arg) && !compared(arg)) {
            Some(arg) => Err(ManifestError::value(
                "args",
                format!(
                    "{arg:?} is not used in input.context: what a caller says must be checked against the message"
                ),
            )),
            None => Ok(()),
        }
    }
}

/// Records that a group must have at least to be shown in the clear.
const MIN_GROUP_IN_CLEAR: u64 = 5;
