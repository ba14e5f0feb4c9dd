//! Operations: what a job does to the plaintext stream.
//!
//! One file per operation. An operation knows no KMS, no sockets and no job: it
//! takes plaintext as it is opened and gives what may go on to the output. All
//! it holds back is the record that has not ended yet, or what it computes.

pub mod aggregate;
pub mod fields;
mod helpers;
pub mod index;
pub mod join_count;
mod mask;
pub mod matching;
mod normalise;
pub mod sign;
pub mod tokenize;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::signing::SigningKey;
use strongroom_envelope::token::TokenKey;

pub use helpers::Helpers;
pub use matching::Comparand;

use crate::manifest::Input;
use crate::manifest::Limits;
use crate::manifest::fields::{Shape, UnknownFields};
use crate::manifest::operations::OperationSpec;
use crate::shape::{Counts, FieldError, Layout, MissingFields, RecordError, Records};

use aggregate::{Aggregation, Aggregator, Rows};
use fields::{Fields, Rule};
use join_count::JoinCount;
use matching::Match;
use sign::{Sign, SignError};

/// What an operation needs beside the plaintext.
pub enum Material {
    /// Nothing.
    None,
    /// The key of tokens and indexes, and whose data they are.
    Token(TokenKey, String),
    /// The value that fields are compared with.
    Comparand(Comparand),
    /// The private key that signs.
    Signing(SigningKey),
}

/// An operation at work on one request.
pub struct Operation(Work);

enum Work {
    /// Fields are masked, tokenized, detokenized or indexed.
    Fields(Box<Fields>),
    /// Passed on unchanged.
    PassOn,
    /// Compared.
    Match(Box<Records>, Box<Match>),
    /// Added up.
    Aggregate(Box<Aggregation>, Rows),
    /// Joined.
    Join {
        /// Of the input at hand.
        records: Box<Records>,
        /// Of the second, while the first is at hand.
        next: Option<Box<Records>>,
        join: Box<JoinCount>,
        rows: Rows,
        /// Counts of the first.
        before: Counts,
    },
    /// Signed.
    Sign(Box<Sign>),
}

/// Why an operation stopped.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// A malformed record. The data producer's fault.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What was to be signed cannot be.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A number of the result cannot be written.
    #[error("the result cannot be computed: {0}")]
    Result(FieldError),
    /// The manifest's wrapped key is not what the operation needs. Its author's
    /// fault.
    #[error("the manifest's wrapped key is not one that the operation can use")]
    Secret,
}

impl Operation {
    /// The operation that a job names, over its inputs.
    ///
    /// # Errors
    /// [`OperationError::Secret`] when the material is not what it needs.
    pub fn new(
        spec: &OperationSpec,
        inputs: &[Input],
        material: Material,
        limits: &Limits,
    ) -> Result<Self, OperationError> {
        let first = inputs.first().ok_or(OperationError::Secret)?;
        let layout = |input: &Input, fields| Layout {
            shape: input.shape,
            fields,
            unknown: UnknownFields::Drop,
            missing: MissingFields::Allow,
            bad_records: input.bad_records,
            max_record: limits.max_record.0,
        };
        let records = |input: &Input, fields| Box::new(Records::new(layout(input, fields)));
        let max_groups = limits.max_groups;
        let work = match (spec, material) {
            (OperationSpec::Reencrypt | OperationSpec::Open, _) => Work::PassOn,
            (OperationSpec::Fields(spec), material) => {
                let key = match &material {
                    Material::Token(key, tenant) => Some((key, tenant.as_str())),
                    Material::None | Material::Comparand(_) | Material::Signing(_) => None,
                };
                let rules = Rule::all(spec, key)?;
                let unknown = layout(first, spec.rules.keys().cloned().collect());
                let missing = match spec.unknown {
                    UnknownFields::Drop => MissingFields::Allow,
                    // A renamed field would be kept, as one without a rule.
                    UnknownFields::Keep => MissingFields::Refuse,
                };
                let layout = Layout { unknown: spec.unknown, missing, ..unknown };
                Work::Fields(Box::new(Fields::new(layout, rules)))
            }
            (OperationSpec::Match(spec), Material::Comparand(comparand)) => {
                let matching = Match::new(comparand).map_err(|_| OperationError::Secret)?;
                Work::Match(records(first, vec![spec.field.clone()]), Box::new(matching))
            }
            (OperationSpec::Aggregate(spec), _) => {
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
                let key = key.map_err(|_| OperationError::Secret)?;
                let aggregator = Aggregator::new(spec, max_groups).with_key(key);
                let layout = layout(first, Aggregator::fields(spec));
                let aggregation = Aggregation::new(layout, aggregator, max_groups);
                Work::Aggregate(Box::new(aggregation), rows(first.shape))
            }
            (OperationSpec::JoinCount(spec), _) => {
                let second = inputs.get(1).ok_or(OperationError::Secret)?;
                let join = JoinCount::new(spec, max_groups).map_err(|_| OperationError::Secret)?;
                let [left, right] = JoinCount::fields(spec);
                Work::Join {
                    records: records(first, left),
                    next: Some(records(second, right)),
                    join: Box::new(join),
                    rows: rows(second.shape),
                    before: Counts::default(),
                }
            }
            (OperationSpec::Sign(spec), Material::Signing(key)) => {
                Work::Sign(Box::new(Sign::new(key, spec.signs, limits.max_record.0)))
            }
            (OperationSpec::Match(_) | OperationSpec::Sign(_), _) => {
                return Err(OperationError::Secret);
            }
        };
        Ok(Self(work))
    }

    /// Lets it have a thread to help it, where that is of use and one is free. The
    /// result is the same. It waits for `input` to grow to 64 KiB then before it
    /// takes any of it.
    #[must_use]
    pub fn with_helpers(mut self, helpers: &Helpers) -> Self {
        if let Work::Aggregate(aggregation, _) = &mut self.0 {
            aggregation.help(helpers);
        }
        self
    }

    /// One that is done, and takes nothing more to compute.
    #[must_use]
    pub const fn done() -> Self {
        Self(Work::PassOn)
    }

    /// Takes from `input` what can be dealt with and appends the result to `out`.
    ///
    /// # Errors
    /// [`OperationError`]; what was appended before stays there.
    pub fn process(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<(), OperationError> {
        self.step(input, out, false)
    }

    /// Says that an input has ended and another one follows.
    ///
    /// # Errors
    /// [`OperationError`] when it may not end here.
    pub fn next_input(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<(), OperationError> {
        self.step(input, out, true)?;
        if let Work::Join { records, next, join, before, .. } = &mut self.0
            && let Some(next) = next.take()
        {
            *before = records.counts();
            *records = next;
            join.next_input();
        }
        Ok(())
    }

    /// Deals with what is left when the plaintext has ended. Says what there was,
    /// for operations that work on records.
    ///
    /// # Errors
    /// [`OperationError`] when the data may not end here.
    pub fn finish(
        mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<Option<Tally>, OperationError> {
        self.step(input, out, true)?;
        let failed = |problem| OperationError::Result(problem);
        Ok(match self.0 {
            Work::Fields(fields) => Some(Tally::of(fields.counts())),
            Work::PassOn => None,
            Work::Match(records, matching) => {
                matching.finish(out);
                Some(Tally::withheld(records.counts()))
            }
            Work::Aggregate(aggregation, rows) => {
                Some(Tally::withheld(aggregation.finish(out, rows).map_err(failed)?))
            }
            Work::Join { records, join, rows, before, .. } => {
                join.finish(out, rows).map_err(failed)?;
                let mut tally = Tally::withheld(records.counts());
                tally.dropped = tally.dropped.saturating_add(before.dropped);
                Some(tally)
            }
            Work::Sign(sign) => {
                sign.finish(out)?;
                None
            }
        })
    }

    /// Bytes of memory that it holds beside its buffers.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.0 {
            Work::Aggregate(aggregation, _) => aggregation.memory(),
            Work::Join { join, .. } => join.memory(),
            Work::Sign(sign) => sign.memory(),
            Work::Fields(_) | Work::PassOn | Work::Match(..) => 0,
        }
    }

    fn step(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
        at_end: bool,
    ) -> Result<(), OperationError> {
        let used = match &mut self.0 {
            Work::Fields(fields) => fields.process(input.expose(), at_end, out)?,
            Work::PassOn => {
                pass_on(input, out);
                return Ok(());
            }
            Work::Match(records, matching) => {
                records.process(input.expose(), at_end, matching.as_mut(), None)?
            }
            Work::Aggregate(aggregation, _) => return Ok(aggregation.process(input, at_end)?),
            Work::Join { records, join, .. } => {
                records.process(input.expose(), at_end, join.as_mut(), None)?
            }
            Work::Sign(sign) => return Ok(sign.process(input)?),
        };
        input.consume(used);
        Ok(())
    }
}

/// What an operation says about the records that there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records in the result. Not said by operations whose class does not let it
    /// out: less the groups that are shown, it would be the size of those that
    /// are withheld.
    pub records: Option<u64>,
    /// Records that were malformed and left out.
    pub dropped: u64,
}

impl Tally {
    const fn of(counts: Counts) -> Self {
        Self { records: Some(counts.records), dropped: counts.dropped }
    }

    const fn withheld(counts: Counts) -> Self {
        Self { records: None, dropped: counts.dropped }
    }
}

/// Result rows are of the input's shape.
const fn rows(shape: Shape) -> Rows {
    match shape {
        Shape::Csv => Rows::Csv,
        Shape::Ndjson | Shape::Json | Shape::Bytes => Rows::Ndjson,
    }
}

fn pass_on(input: &mut SecretBuf, out: &mut SecretBuf) {
    if out.is_empty() {
        std::mem::swap(input, out);
    } else {
        out.extend_from_slice(input.expose());
        input.clear();
    }
}
