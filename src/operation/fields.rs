//! `mask` and the other operations on fields of records: each named field by
//! its rule, record after record.
//!
//! What a parent learns: the fields that are kept, what each rule leaves of the
//! others, the number of records, and, from the sizes of input and output and
//! how they follow each other, how long records are: to a frame's length. A
//! masked value does not show its own length, nor a dropped field anything but
//! its share of the record's.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::token::TokenKey;

use super::OperationError;
use super::index::Index;
use super::mask::mask;
use super::tokenize::Tokens;
use crate::manifest::fields::{FieldRule, MaskRule};
use crate::manifest::operations::FieldsSpec;
use crate::shape::{Counts, Edit, FieldError, Layout, RecordError, Records, Value, Visitor};

/// The operation at work on one plaintext.
pub struct Fields {
    records: Records,
    rules: Rules,
}

/// What is done with a field, with whatever it takes.
pub enum Rule {
    /// Only part of it is left, or nothing.
    Mask(MaskRule),
    /// A token takes its place.
    Token(Box<Tokens>),
    /// The value of the token takes its place.
    Detoken(Box<Tokens>),
    /// Its blind index takes its place.
    Index(Box<Index>),
}

/// A rule per field of a layout, in its order.
struct Rules(Vec<Rule>);

impl Fields {
    /// Deals with the fields of `layout` by `rules`, which are in the same order.
    #[must_use]
    pub fn new(layout: Layout, rules: Vec<Rule>) -> Self {
        Self { records: Records::new(layout), rules: Rules(rules) }
    }

    /// Deals with the whole records at the front of `input`; how many bytes that
    /// were.
    pub(super) fn process(
        &mut self,
        input: &[u8],
        at_end: bool,
        out: &mut SecretBuf,
    ) -> Result<usize, RecordError> {
        self.records.process(input, at_end, &mut self.rules, Some(out))
    }

    pub(super) const fn counts(&self) -> Counts {
        self.records.counts()
    }
}

impl Rule {
    /// The rules of `spec`, in the order of its fields. Tokens and indexes are
    /// under `key`, of the tenant beside it.
    ///
    /// # Errors
    /// [`OperationError::Secret`] when there is no key, or none that serves.
    pub fn all(
        spec: &FieldsSpec,
        key: Option<(&TokenKey, &str)>,
    ) -> Result<Vec<Self>, OperationError> {
        spec.rules.values().map(|rule| Self::new(rule, key)).collect()
    }

    fn new(rule: &FieldRule, key: Option<(&TokenKey, &str)>) -> Result<Self, OperationError> {
        let secret = |_| OperationError::Secret;
        match (rule, key) {
            (FieldRule::Mask(rule), _) => Ok(Self::Mask(rule.clone())),
            (FieldRule::Token(rule), Some((key, tenant))) => {
                Ok(Self::Token(Box::new(Tokens::new(key, rule, tenant).map_err(secret)?)))
            }
            (FieldRule::Detoken(rule), Some((key, tenant))) => {
                Ok(Self::Detoken(Box::new(Tokens::new(key, rule, tenant).map_err(secret)?)))
            }
            (FieldRule::Index(rule), Some((key, tenant))) => {
                let index = Index::new(key, rule, tenant).map_err(|_| OperationError::Secret)?;
                Ok(Self::Index(Box::new(index)))
            }
            (FieldRule::Token(_) | FieldRule::Detoken(_) | FieldRule::Index(_), None) => {
                Err(OperationError::Secret)
            }
        }
    }
}

impl Visitor for Rules {
    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        match self.0.get(field) {
            Some(Rule::Mask(rule)) => mask(rule, value, new),
            Some(Rule::Token(tokens)) => tokens.token(value, new),
            Some(Rule::Detoken(tokens)) => tokens.value(value, new),
            Some(Rule::Index(index)) => index.index(value, new),
            // A layout of more fields than rules: let nothing pass.
            None => Ok(Edit::Drop),
        }
    }

    fn drops(&self, field: usize) -> bool {
        matches!(self.0.get(field), Some(Rule::Mask(MaskRule::Drop)) | None)
    }
}

#[cfg(test)]
mod tests;
