//! What may leave: no job's output lets more out than its operation's class.

use std::collections::BTreeMap;

use crate::manifest::class::Class;
use crate::manifest::fields::{FieldPath, FieldRule, MaskRule};
use crate::manifest::operations::OperationSpec;
use crate::manifest::{Job, KmsOutput, ManifestError, OutputSpec, Recipients, Source, Template};

impl Job {
    /// Refuses an output that lets more leave than the operation's class allows.
    pub(super) fn check_leaving(&self) -> Result<(), ManifestError> {
        if let OutputSpec::Fields(fields, kms) = &self.output {
            return self.check_fields_leaving(fields, kms);
        }
        let anyone = match &self.output {
            OutputSpec::None => false,
            // The parent can name itself.
            OutputSpec::Seal { to: Recipients::Any, .. } => true,
            OutputSpec::Kms(_) | OutputSpec::Fields(..) | OutputSpec::Seal { .. } => return Ok(()),
        };
        let refuse = |place: &str, problem: &str| Err(ManifestError::value(place, problem));
        match self.operation.class() {
            // Said in so many words.
            Class::Plaintext | Class::Reduced if anyone => Ok(()),
            Class::Plaintext => {
                let verb = self.operation.verb();
                let problem = format!(
                    "{verb} with protect = \"none\" would hand the parent the plaintext; use \"kms\" or \"seal\""
                );
                refuse("output", &problem)
            }
            Class::Reduced if self.masks_nothing() => refuse(
                "fields",
                "nothing would be masked, and protect = \"none\" would hand the parent the plaintext: give a rule other than keep, if only drop, to at least one field",
            ),
            Class::Numbers => match self.min_group_size() {
                Some(size) if size < MIN_GROUP_IN_CLEAR => refuse(
                    "min_group_size",
                    "with protect = \"none\", or sealed to \"any\", a group must have at least 5 records: numbers about fewer come close to the records themselves",
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
    fn check_fields_leaving(
        &self,
        fields: &BTreeMap<FieldPath, BTreeMap<String, Template>>,
        kms: &KmsOutput,
    ) -> Result<(), ManifestError> {
        let refuse = |problem: &str| Err(ManifestError::value("output.fields", problem));
        if kms.signed {
            return refuse(
                "cannot be signed: each signature has a key of its own, and KMS would have to be asked for each",
            );
        }
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
        match encrypted.keys().eq(fields.keys()) {
            true => Ok(()),
            false => refuse(
                "must name the fields of input.fields, all of them: another would leave in the clear",
            ),
        }
    }

    fn masks_nothing(&self) -> bool {
        let OperationSpec::Fields(spec) = &self.operation else { return false };
        // A range of one number is the number.
        let kept = |rule: &FieldRule| {
            matches!(rule, FieldRule::Mask(MaskRule::Keep | MaskRule::Generalise(1)))
        };
        spec.rules.values().all(kept)
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
}

/// Records that a group must have at least to be shown in the clear.
const MIN_GROUP_IN_CLEAR: u64 = 5;
