//! `mask` and the other operations on fields of records: each named field by
//! its rule, record after record.
//!
//! What a parent learns: the fields that are kept, what each rule leaves of the
//! others, the number of records, and, from the sizes of input and output and
//! how they follow each other, how long records are: to a frame's length. A
//! masked value does not show its own length, nor a dropped field anything but
//! its share of the record's.

use strongroom_envelope::SecretBuf;

use super::mask::mask;
use crate::manifest::fields::MaskRule;
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
}

/// A rule per field of a layout, in its order.
struct Rules(Vec<Rule>);

impl Fields {
    /// Deals with the fields of `layout` by `rules`, which are in the same order.
    #[must_use]
    pub fn new(layout: Layout, rules: Vec<Rule>) -> Self {
        Self { records: Records::new(layout), rules: Rules(rules) }
    }

    pub(super) fn process(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<(), RecordError> {
        self.deal_with(input, out, false)
    }

    pub(super) fn finish(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
    ) -> Result<Counts, RecordError> {
        self.deal_with(input, out, true)?;
        Ok(self.records.counts())
    }

    fn deal_with(
        &mut self,
        input: &mut SecretBuf,
        out: &mut SecretBuf,
        at_end: bool,
    ) -> Result<(), RecordError> {
        let done = self.records.process(input.expose(), at_end, &mut self.rules, Some(out))?;
        input.consume(done);
        Ok(())
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
