//! Operations: each with its own parameters and no others.

use std::collections::{BTreeMap, BTreeSet};

use super::input::field_path;
use super::{Names, at};
use crate::manifest::fields::{FieldPath, Shape, Step};
use crate::manifest::operations::{
    AggregateSpec, Compute, Condition, FieldsVerb, JoinSpec, MatchForm, MatchSpec, OperationSpec,
    SignSpec, SignatureAlgorithm, Signs, Test,
};
use crate::manifest::raw::{
    AlgorithmWord, AsWord, ComputeTable, RawAggregate, RawCompute, RawCondition, RawJob, RawMatch,
    RawOutput, RawSign, SignsWord, Verb,
};
use crate::manifest::{Input, ManifestError};

impl RawJob {
    /// The operation, and the output as it is written.
    pub(super) fn operation(
        mut self,
        inputs: &[Input],
        args: &BTreeSet<&str>,
        names: &Names<'_>,
    ) -> Result<(OperationSpec, RawOutput), ManifestError> {
        let [input, rest @ ..] = inputs else {
            return Err(ManifestError::value("input", "is missing"));
        };
        let operation = match self.operation {
            Verb::Mask => self.fields_of(FieldsVerb::Mask, input, args, names)?,
            Verb::Tokenize => self.fields_of(FieldsVerb::Tokenize, input, args, names)?,
            Verb::Detokenize => self.fields_of(FieldsVerb::Detokenize, input, args, names)?,
            Verb::Index => self.fields_of(FieldsVerb::Index, input, args, names)?,
            Verb::Reencrypt => OperationSpec::Reencrypt,
            Verb::Open => OperationSpec::Open,
            Verb::Match => OperationSpec::Match(self.matching(input, args, names)?),
            Verb::Aggregate => {
                let raw = self.aggregate.take().ok_or_else(|| missing("aggregate"))?;
                OperationSpec::Aggregate(raw.check(input.shape, None)?)
            }
            Verb::JoinCount => OperationSpec::JoinCount(self.join(input, rest)?),
            Verb::Sign => {
                let raw = self.sign.take().ok_or_else(|| missing("sign"))?;
                let secret = self.secret(true, names)?.ok_or_else(|| missing("secret"))?;
                OperationSpec::Sign(raw.check(secret)?)
            }
        };
        let records = matches!(
            operation,
            OperationSpec::Fields(_)
                | OperationSpec::Match(_)
                | OperationSpec::Aggregate(_)
                | OperationSpec::JoinCount(_)
        );
        check_shapes(self.operation, records, inputs)?;
        self.nothing_left()?;
        Ok((operation, self.output))
    }

    fn fields_of(
        &mut self,
        verb: FieldsVerb,
        input: &Input,
        args: &BTreeSet<&str>,
        names: &Names<'_>,
    ) -> Result<OperationSpec, ManifestError> {
        // Before its fields: without a format they cannot be read at all.
        check_shapes(self.operation, true, std::slice::from_ref(input))?;
        Ok(OperationSpec::Fields(self.fields_spec(verb, input, args, names)?))
    }

    fn matching(
        &mut self,
        input: &Input,
        args: &BTreeSet<&str>,
        names: &Names<'_>,
    ) -> Result<MatchSpec, ManifestError> {
        let RawMatch { field, arg, form, index } =
            self.matches.take().ok_or_else(|| missing("match"))?;
        if !args.contains(arg.as_str()) {
            let problem = format!("{arg:?} is not in the job's args");
            return Err(ManifestError::value("match.arg", problem));
        }
        let path = field_path("match.field", &field, input.shape)?;
        let form = match form {
            AsWord::Indexed => {
                let secret = self.secret(true, names)?.ok_or_else(|| missing("secret"))?;
                let tenant = self.tenant(true, args)?;
                let rule = index.unwrap_or_default().check(&field).map_err(at("match.index"))?;
                MatchForm::Indexed { secret, rule, tenant }
            }
            AsWord::Encrypted if index.is_none() => MatchForm::Encrypted,
            AsWord::Encrypted => {
                let problem = "an encrypted value has no index: leave index out";
                return Err(ManifestError::value("match", problem));
            }
        };
        Ok(MatchSpec { field: path, arg, form })
    }

    fn join(&mut self, left: &Input, rest: &[Input]) -> Result<JoinSpec, ManifestError> {
        let raw = self.join.take().ok_or_else(|| missing("join"))?;
        let [right] = rest else { return Err(missing("inputs")) };
        let [one, other] = &raw.on;
        let on =
            [field_path("join.on", one, left.shape)?, field_path("join.on", other, right.shape)?];
        on.iter().try_for_each(|path| single("join.on", path))?;
        if !(1..=MAX_JOIN_KEYS).contains(&raw.max_keys) {
            let problem = format!("must be 1 to {MAX_JOIN_KEYS}");
            return Err(ManifestError::value("join.max_keys", problem));
        }
        let min_group_size = group_size("join.min_group_size", raw.min_group_size)?;
        let aggregate = self.aggregate.take();
        let aggregate =
            aggregate.map(|raw| raw.check(right.shape, Some(min_group_size))).transpose()?;
        let normalise = raw.normalise.into_iter().map(Into::into).collect();
        Ok(JoinSpec { on, normalise, max_keys: raw.max_keys, min_group_size, aggregate })
    }

    /// Refuses parameters of another operation, which would mean nothing here.
    fn nothing_left(&self) -> Result<(), ManifestError> {
        let left = [
            ("fields", self.fields.is_some()),
            ("unknown_fields", self.unknown_fields.is_some()),
            ("secret", self.secret.is_some()),
            ("tenant", self.tenant.is_some()),
            ("match", self.matches.is_some()),
            ("aggregate", self.aggregate.is_some()),
            ("join", self.join.is_some()),
            ("sign", self.sign.is_some()),
        ];
        match left.into_iter().find(|(_, there)| *there) {
            Some((key, _)) => {
                Err(ManifestError::value(key, "is not a parameter of this operation; leave it out"))
            }
            None => Ok(()),
        }
    }
}

fn missing(key: &str) -> ManifestError {
    ManifestError::value(key, "is missing: the operation needs it")
}

fn check_shapes(verb: Verb, records: bool, inputs: &[Input]) -> Result<(), ManifestError> {
    for input in inputs {
        let bytes = input.shape == Shape::Bytes;
        if records && bytes {
            let problem =
                "the operation works on records: format = \"csv\", \"ndjson\" or \"json\"";
            return Err(ManifestError::value("input.format", problem));
        }
        let by_field = matches!(input.source, crate::manifest::Source::Fields(_));
        if !records && !bytes && !by_field {
            let verb = format!("{verb:?}").to_lowercase();
            let problem = format!("{verb} does not look inside; leave format out");
            return Err(ManifestError::value("input.format", problem));
        }
    }
    Ok(())
}

fn group_size(place: &str, size: u64) -> Result<u64, ManifestError> {
    match size {
        0 => Err(ManifestError::value(place, "must be at least 1")),
        size => Ok(size),
    }
}

impl RawAggregate {
    /// `join_size` is the join's own threshold, of which there is then one only.
    fn check(self, shape: Shape, join_size: Option<u64>) -> Result<AggregateSpec, ManifestError> {
        let place = "aggregate.min_group_size";
        let min_group_size = match (self.min_group_size, join_size) {
            (Some(size), None) => group_size(place, size)?,
            (None, Some(size)) => size,
            (None, None) => {
                return Err(ManifestError::value(
                    place,
                    "is missing: how many records must a group have to be shown?",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ManifestError::value(place, "is the join's: leave it out here"));
            }
        };
        let path = |place: &str, name: &str| field_path(place, name, shape);
        let per = self.per.map(|name| path("aggregate.per", &name)).transpose()?;
        per.iter().try_for_each(|path| single("aggregate.per", path))?;
        if per.is_some() && join_size.is_some() {
            let problem = "a join counts the values that it compares: leave it out";
            return Err(ManifestError::value("aggregate.per", problem));
        }
        let group_by: Vec<_> = self
            .group_by
            .iter()
            .map(|name| path("aggregate.group_by", name))
            .collect::<Result<_, _>>()?;
        group_by.iter().try_for_each(|path| single("aggregate.group_by", path))?;
        if self.group_by.iter().any(|name| name == SUPPRESSED) {
            let problem = "\"suppressed\" is a column of every result already";
            return Err(ManifestError::value("aggregate.group_by", problem));
        }
        let named: BTreeSet<_> = group_by.iter().collect();
        if named.len() < group_by.len() {
            return Err(ManifestError::value("aggregate.group_by", "a field is named twice"));
        }
        let mut compute = BTreeMap::new();
        for (name, raw) in self.compute {
            let place = format!("aggregate.compute.{name:?}");
            let reserved = name.is_empty() || name == SUPPRESSED || self.group_by.contains(&name);
            if reserved {
                return Err(ManifestError::value(
                    place,
                    "a column of the result has this name already",
                ));
            }
            let what = match raw {
                RawCompute::Count(_) => Compute::Count,
                RawCompute::Of(ComputeTable::Sum(field)) => Compute::Sum(path(&place, &field)?),
                RawCompute::Of(ComputeTable::Mean(field)) => Compute::Mean(path(&place, &field)?),
                RawCompute::Of(ComputeTable::Min(field)) => Compute::Min(path(&place, &field)?),
                RawCompute::Of(ComputeTable::Max(field)) => Compute::Max(path(&place, &field)?),
            };
            compute.insert(name, what);
        }
        if compute.is_empty() {
            return Err(ManifestError::value("aggregate.compute", "computes nothing"));
        }
        let conditions =
            self.conditions.into_iter().map(|raw| raw.check(shape)).collect::<Result<_, _>>()?;
        Ok(AggregateSpec { group_by, compute, conditions, min_group_size, per })
    }
}

impl RawCondition {
    fn check(self, shape: Shape) -> Result<Condition, ManifestError> {
        let place = "aggregate.where";
        let field = field_path(place, &self.field, shape)?;
        single(place, &field)?;
        let tests = [
            self.equals.map(Test::Equals),
            self.not.map(Test::Not),
            self.one_of.map(Test::OneOf),
            self.at_least.map(Test::AtLeast),
            self.below.map(Test::Below),
        ];
        let mut tests = tests.into_iter().flatten();
        match (tests.next(), tests.next()) {
            (Some(Test::AtLeast(number) | Test::Below(number)), None) if !is_decimal(&number) => {
                Err(ManifestError::value(
                    place,
                    format!("{number:?} is not a decimal number such as \"12.50\""),
                ))
            }
            (Some(test), None) => Ok(Condition { field, test }),
            _ => Err(ManifestError::value(
                place,
                "a condition has a field and one of equals, not, one_of, at_least and below",
            )),
        }
    }
}

/// Refuses a field of which a record can have several values.
fn single(place: &str, path: &FieldPath) -> Result<(), ManifestError> {
    match path {
        FieldPath::Pointer(pointer) if pointer.steps().contains(&Step::Each) => {
            let problem =
                format!("{path} can have several values in a record, and one is compared");
            Err(ManifestError::value(place, problem))
        }
        FieldPath::Pointer(_) | FieldPath::Column(_) => Ok(()),
    }
}

/// Up to 18 digits before the point and up to 9 behind it.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    digits(whole, 18) && digits(fraction, 9)
}

impl RawSign {
    fn check(self, secret: String) -> Result<SignSpec, ManifestError> {
        let algorithm = match self.algorithm {
            AlgorithmWord::EcdsaP256 => SignatureAlgorithm::EcdsaP256,
            AlgorithmWord::EcdsaSecp256k1 => SignatureAlgorithm::EcdsaSecp256k1,
            AlgorithmWord::Ed25519 => SignatureAlgorithm::Ed25519,
            AlgorithmWord::RsaPss => SignatureAlgorithm::RsaPss,
        };
        let signs = match self.signs {
            SignsWord::Message => Signs::Message,
            SignsWord::Digest if algorithm == SignatureAlgorithm::Ed25519 => {
                return Err(ManifestError::value(
                    "sign.signs",
                    "Ed25519 signs messages, not digests (RFC 8032)",
                ));
            }
            SignsWord::Digest => Signs::Digest,
        };
        Ok(SignSpec { secret, algorithm, signs })
    }
}

/// The column that says whether a row stands for groups that are not shown.
const SUPPRESSED: &str = "suppressed";

/// Most distinct keys that a join holds: each takes about 32 bytes.
const MAX_JOIN_KEYS: usize = 50_000_000;
