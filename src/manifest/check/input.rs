//! Inputs: which data, and what proves that it is the right one.

use std::collections::{BTreeMap, BTreeSet};

use super::{at, check_context, check_key};
use crate::manifest::fields::{BadRecords, FieldPath, Pointer, Shape};
use crate::manifest::raw::{
    BadWord, CiphertextWord, CommitmentWord, RawCiphertext, RawInput, RawJob, ShapeWord,
    SignaturesWord, Verb,
};
use crate::manifest::{Ciphertext, Format, Input, ManifestError, Region, Source};

impl RawJob {
    /// The inputs, as many as the verb takes.
    pub(super) fn inputs(
        &mut self,
        args: &BTreeSet<&str>,
        region: &Region,
    ) -> Result<Vec<Input>, ManifestError> {
        let raw = match (self.operation, self.input.take(), self.inputs.take()) {
            (Verb::JoinCount, None, Some(inputs)) if inputs.len() == 2 => inputs,
            (Verb::JoinCount, _, _) => {
                let problem = "join-count takes two: inputs = [{ … }, { … }]";
                return Err(ManifestError::value("inputs", problem));
            }
            (_, Some(input), None) => vec![input],
            (_, _, Some(_)) => {
                let problem = "only join-count takes two inputs; write input = { … }";
                return Err(ManifestError::value("inputs", problem));
            }
            (_, None, None) => {
                return Err(ManifestError::value(
                    "input",
                    "is missing: which data does the job take?",
                ));
            }
        };
        let inputs: Vec<Input> =
            raw.into_iter().map(|input| input.check(args, region)).collect::<Result<_, _>>()?;
        inputs.iter().try_for_each(|input| input.fits(self.operation, !self.callers.is_empty()))?;
        Ok(inputs)
    }
}

impl RawInput {
    fn check(self, args: &BTreeSet<&str>, region: &Region) -> Result<Input, ManifestError> {
        let shape = match self.format {
            None | Some(ShapeWord::Bytes) => Shape::Bytes,
            Some(ShapeWord::Csv) => Shape::Csv,
            Some(ShapeWord::Ndjson) => Shape::Ndjson,
            Some(ShapeWord::Json) => Shape::Json,
        };
        let bad_records = match self.bad_records {
            Some(BadWord::Drop) if shape == Shape::Bytes => {
                let problem = "there are no records without a format of csv, ndjson or json";
                return Err(ManifestError::value("input.bad_records", problem));
            }
            Some(BadWord::Drop) => BadRecords::Drop,
            None | Some(BadWord::Refuse) => BadRecords::Refuse,
        };
        let format = self.encryption.unwrap_or_default();
        let source = match (self.fields, format) {
            (Some(fields), _)
                if self.encryption.is_none()
                    && self.context.is_none()
                    && self.required_context.is_none()
                    && self.commitment.is_none()
                    && self.signatures.is_none() =>
            {
                Source::Fields(check_fields(fields, self.key.as_deref(), shape, args, region)?)
            }
            (Some(_), _) => {
                let problem =
                    "say encryption, context and the like of each field, not of the whole input";
                return Err(ManifestError::value("input.fields", problem));
            }
            (None, CiphertextWord::None) => {
                if self.key.is_some()
                    || self.context.is_some()
                    || self.required_context.is_some()
                    || self.commitment.is_some()
                    || self.signatures.is_some()
                {
                    let problem =
                        "\"none\" means data in the clear: there is no key and no context";
                    return Err(ManifestError::value("input.encryption", problem));
                }
                Source::Clear
            }
            (None, format) => {
                let raw = RawCiphertext {
                    format,
                    key: self.key,
                    context: self.context.unwrap_or_default(),
                    required_context: self.required_context.unwrap_or_default(),
                    commitment: self.commitment,
                    signatures: self.signatures,
                };
                Source::Whole(raw.check("input", None, args, region)?)
            }
        };
        Ok(Input { source, shape, bad_records })
    }
}

impl RawCiphertext {
    fn check(
        self,
        place: &str,
        default_key: Option<&str>,
        args: &BTreeSet<&str>,
        region: &Region,
    ) -> Result<Ciphertext, ManifestError> {
        let Some(key) = self.key.as_deref().or(default_key) else {
            return Err(ManifestError::value(
                format!("{place}.key"),
                "is missing: the KMS key's ARN",
            ));
        };
        let key = check_key(&format!("{place}.key"), key, region)?;
        let context = check_context(&format!("{place}.context"), self.context, args)?;
        let required = format!("{place}.required_context");
        let required_context = check_context(&required, self.required_context, args)?;
        if let Some(twice) = context.keys().find(|name| required_context.contains_key(*name)) {
            let problem = format!("{twice:?} stands in context too");
            return Err(ManifestError::value(required, problem));
        }
        // A context that the caller could choose whole would pin nothing.
        if context.values().chain(required_context.values()).all(|value| value.arg().is_some()) {
            return Err(ManifestError::value(
                format!("{place}.context"),
                "at least one value must be fixed here, not an argument: it says what the data may be used for",
            ));
        }
        let allow_legacy = self.commitment == Some(CommitmentWord::AllowLegacy);
        let refuse_signed = self.signatures == Some(SignaturesWord::Refuse);
        let format = match self.format {
            CiphertextWord::AwsEncryptionSdk => {
                Format::AwsEncryptionSdk { allow_legacy, refuse_signed }
            }
            CiphertextWord::PlainEnvelope
                if required_context.is_empty()
                    && self.commitment.is_none()
                    && self.signatures.is_none() =>
            {
                Format::PlainEnvelope
            }
            CiphertextWord::PlainEnvelope => {
                let problem = "a plain envelope has no commitment, no signatures and no required_context: all of its context is required";
                return Err(ManifestError::value(place, problem));
            }
            CiphertextWord::None => {
                return Err(ManifestError::value(place, "a field in the clear is not listed here"));
            }
        };
        Ok(Ciphertext { format, key, context, required_context })
    }
}

fn check_fields(
    fields: BTreeMap<String, RawCiphertext>,
    default_key: Option<&str>,
    shape: Shape,
    args: &BTreeSet<&str>,
    region: &Region,
) -> Result<BTreeMap<FieldPath, Ciphertext>, ManifestError> {
    let checked: BTreeMap<FieldPath, Ciphertext> = fields
        .into_iter()
        .map(|(name, raw)| {
            let path = field_path("input.fields", &name, shape)?;
            let place = format!("input.fields.{name:?}");
            Ok((path, raw.check(&place, default_key, args, region)?))
        })
        .collect::<Result<_, ManifestError>>()?;
    if checked.is_empty() {
        return Err(ManifestError::value("input.fields", "names no field"));
    }
    no_overlap("input.fields", checked.keys())?;
    Ok(checked)
}

/// The field that `name` means in a record of this shape.
pub(super) fn field_path(
    place: &str,
    name: &str,
    shape: Shape,
) -> Result<FieldPath, ManifestError> {
    match shape {
        Shape::Csv if name.is_empty() => Err(ManifestError::value(place, "a column needs a name")),
        Shape::Csv => Ok(FieldPath::Column(name.to_owned())),
        Shape::Ndjson | Shape::Json => {
            Ok(FieldPath::Pointer(Pointer::parse(name).map_err(at(place))?))
        }
        Shape::Bytes => Err(ManifestError::value(
            "input.format",
            "there are no fields without a format of csv, ndjson or json",
        )),
    }
}

/// Refuses places that lie within one another: two rules would meet there.
pub(super) fn no_overlap<'a>(
    place: &str,
    paths: impl Iterator<Item = &'a FieldPath> + Clone,
) -> Result<(), ManifestError> {
    for (index, one) in paths.clone().enumerate() {
        let other = paths.clone().take(index).find(|other| overlap(one, other));
        if let Some(other) = other {
            let problem = format!("{other} and {one} lie within one another");
            return Err(ManifestError::value(place, problem));
        }
    }
    Ok(())
}

/// Whether a value of one can lie within a value of the other.
pub(super) fn overlap(one: &FieldPath, other: &FieldPath) -> bool {
    match (one, other) {
        (FieldPath::Column(one), FieldPath::Column(other)) => one == other,
        (FieldPath::Pointer(one), FieldPath::Pointer(other)) => one.overlaps(other),
        (FieldPath::Column(_), FieldPath::Pointer(_))
        | (FieldPath::Pointer(_), FieldPath::Column(_)) => false,
    }
}

impl Input {
    /// Refuses a source that would make an operation an oracle.
    fn fits(&self, verb: Verb, signed: bool) -> Result<(), ManifestError> {
        let refuse = |problem: &str| Err(ManifestError::value("input", problem));
        match (&self.source, verb) {
            (Source::Whole(_), _)
            | (Source::Clear, Verb::Detokenize)
            | (
                Source::Fields(_),
                Verb::Mask
                | Verb::Reencrypt
                | Verb::Tokenize
                | Verb::Detokenize
                | Verb::Index
                | Verb::Open,
            ) => Ok(()),
            (Source::Clear, Verb::Sign) if signed => Ok(()),
            (Source::Clear, Verb::Sign) => refuse(
                "with encryption = \"none\" whoever can connect could have anything signed: name the callers that may",
            ),
            (Source::Clear, _) => refuse(
                "encryption = \"none\" is for detokenize and sign: any other operation would tell the caller about values of its own choice",
            ),
            (Source::Fields(_), _) => refuse(
                "with encrypted fields the caller composes the records, and could repeat or single out one: encrypt the whole input",
            ),
        }
    }
}
