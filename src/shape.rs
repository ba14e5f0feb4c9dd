//! Shapes: how a plaintext is cut into records, and records into fields.
//!
//! Between the opened stream and the operation. A shape finds whole records,
//! hands the fields that a job names to a [`Visitor`], and writes the record
//! anew with what the visitor put in their place. It is strict: a record that
//! two readers could cut differently could carry a field past its rule.
//! It knows no keys and no operation, and keeps no plaintext of its own but in
//! buffers that are erased.

mod array;
pub(crate) mod csv;
mod document;
mod json;
mod lines;
mod records;
mod table;
mod tree;

use strongroom_envelope::SecretBuf;

pub use csv::CsvError;
pub use json::JsonError;
pub use records::{RecordError, RecordProblem, Records};

use crate::manifest::fields::{BadRecords, FieldPath, Shape, UnknownFields};

/// A field's value as it is handed to a [`Visitor`].
#[derive(Clone, Copy)]
pub struct Value<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text without quotes and escapes; for an array or object its JSON.
    pub text: &'a [u8],
}

/// What a value is. In CSV every value is [`Kind::Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// An array or object.
    Nested,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It stays as it stands.
    Keep,
    /// It is left out: its column, member or element.
    Drop,
    /// The text in the visitor's buffer takes its place (a string in JSON).
    Text,
    /// What is in the visitor's buffer takes its place as it is: a JSON value.
    Json,
}

/// Why a field cannot be dealt with. Says nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// An array or object where a rule has to read a value.
    #[error("it is an array or object")]
    Nested,
    /// Several values where there may be one.
    #[error("it has several values where the operation reads one")]
    Several,
    /// Bytes that are not UTF-8 where a rule has to read text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Not a number where one is needed.
    #[error("it is not a number that can be computed with")]
    NotANumber,
    /// Not a date where one is needed.
    #[error("it is not a date that begins with a year")]
    NotADate,
    /// A value that this token's alphabet or length does not fit.
    #[error("it does not fit the token's alphabet and length")]
    NotTokenizable,
    /// Not a token of this field, tenant and key.
    #[error("it is not a token of this field and tenant")]
    NotAToken,
    /// Not a ciphertext.
    #[error("it is not a ciphertext of the job's format, in base64")]
    NotACiphertext,
    /// A ciphertext for another use.
    #[error("its encryption context is not the one that the job requires")]
    OtherContext,
    /// A ciphertext under another KMS key.
    #[error("none of its data keys is under the job's KMS key")]
    OtherKey,
    /// Not a ciphertext that opens.
    #[error("it cannot be opened")]
    NotOpened,
    /// The cryptographic library failed.
    #[error("it cannot be encrypted")]
    NotEncrypted,
    /// It is longer than a rule takes.
    #[error("it is too long")]
    TooLong,
    /// More distinct values than there may be.
    #[error("there are more distinct values than the job may hold")]
    TooMany,
}

/// Whoever deals with the fields of records, one record after the other.
pub trait Visitor {
    /// A record begins. What was collected of one that did not end is void.
    fn begin(&mut self) {}

    /// A value of the field number `field` (of those the shape was made for, in
    /// their order). An edit's new text is appended to `new`; what stands in it
    /// already is not the visitor's and stays as it is. What was appended without
    /// an edit, or before an error, is taken back.
    ///
    /// # Errors
    /// [`FieldError`]: the record is bad.
    fn field(
        &mut self,
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError>;

    /// Whether the field number `field` is left out of every record. The header
    /// row of a CSV file has to know before the first value comes; a column that
    /// is left out is not handed over.
    fn drops(&self, field: usize) -> bool {
        let _ = field;
        false
    }

    /// The record is complete.
    ///
    /// # Errors
    /// The number of a field and what is wrong with it: the record is bad.
    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        Ok(())
    }
}

/// What a job's manifest says about the shape of a plaintext.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The shape.
    pub shape: Shape,
    /// The fields that a visitor gets, by number.
    pub fields: Vec<FieldPath>,
    /// What becomes of the others when a record is written.
    pub unknown: UnknownFields,
    /// What becomes of a JSON document in which one of the fields is missing; a
    /// CSV file always has to have them all.
    pub missing: MissingFields,
    /// What becomes of malformed records.
    pub bad_records: BadRecords,
    /// Longest record, in bytes.
    pub max_record: usize,
}

impl Layout {
    /// What is wrong with a record of which the field number `field` is bad.
    fn bad_field(&self, field: usize, problem: FieldError) -> RecordProblem {
        RecordProblem::Field { field: self.name(field), problem }
    }

    /// A field's name as the manifest has it.
    fn name(&self, field: usize) -> String {
        self.fields.get(field).map(ToString::to_string).unwrap_or_default()
    }
}

/// Where a shape's records go: to a visitor, and, when they are written anew,
/// to a buffer.
struct Target<'a, V> {
    visitor: &'a mut V,
    out: Option<&'a mut SecretBuf>,
}

impl<V> Target<'_, V> {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    /// Length of what has been written.
    fn mark(&self) -> usize {
        self.out.as_ref().map_or(0, |out| out.len())
    }

    /// Erases what was written since the length was `mark`.
    fn back_to(&mut self, mark: usize) {
        if let Some(out) = &mut self.out {
            out.truncate(mark);
        }
    }
}

/// What becomes of a record that lacks a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFields {
    /// There is no value of it.
    Allow,
    /// The record is bad: one that was renamed would pass as unknown.
    Refuse,
}

/// How many records there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that a visitor has dealt with, without a CSV file's header row.
    pub records: u64,
    /// Records that were malformed and left out.
    pub dropped: u64,
}
