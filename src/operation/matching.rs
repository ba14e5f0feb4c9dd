//! `match`: whether a field equals a given value, in any record.
//!
//! Made by [`super`] for one request, fed by a shape as its [`Visitor`], asked
//! for its answer when the plaintext has ended. The given value is never in the
//! clear outside: it came encrypted, or as its blind index.
//!
//! **What a parent learns:** one byte, [`Match::YES`] or [`Match::NO`]; both are
//! of one length, so a sealed answer does not tell by its size. All records are
//! read and each value is compared in the same time whether or not it is equal,
//! so the time of the answer tells how much data there is and not where a match
//! was. Who may ask again can try values one after the other: the job's owner
//! decides who can make such values.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use strongroom_envelope::SecretBuf;

use crate::shape::{Edit, FieldError, Kind, Value, Visitor};

/// What values are compared with.
pub enum Comparand {
    /// A value, byte for byte.
    Value(SecretBuf),
    /// An index: tells of a value whether this is its own, in a time that does
    /// not depend on the answer.
    Index(IsIndexOf),
}

/// Tells of a value whether the given index is its own.
pub type IsIndexOf = Box<dyn FnMut(&[u8]) -> Result<bool, FieldError> + Send>;

/// Compares a field's values.
pub struct Match {
    is_equal: IsIndexOf,
    /// Of the record that has not ended.
    in_record: bool,
    found: bool,
}

impl Match {
    /// The answer when a value is equal.
    pub const YES: &[u8] = b"1";
    /// The answer when none is.
    pub const NO: &[u8] = b"0";

    /// A comparison with `comparand`. The field is number 0 to the [`Visitor`].
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(comparand: Comparand) -> Result<Self, Unspecified> {
        let is_equal = match comparand {
            Comparand::Value(given) => is_value(&given)?,
            Comparand::Index(is_index) => is_index,
        };
        Ok(Self { is_equal, in_record: false, found: false })
    }

    /// Writes the answer.
    pub fn finish(self, out: &mut SecretBuf) {
        out.extend_from_slice(if self.found { Self::YES } else { Self::NO });
    }
}

/// Keyed hashes are compared, so that neither time nor length tells how much of
/// a value is equal, and what may be left of them in memory says nothing.
fn is_value(given: &SecretBuf) -> Result<IsIndexOf, Unspecified> {
    let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
    let given = hmac::sign(&key, given.expose());
    Ok(Box::new(move |value| Ok(hmac::verify(&key, value, given.as_ref()).is_ok())))
}

impl Visitor for Match {
    fn begin(&mut self) {
        self.in_record = false;
    }

    fn field(
        &mut self,
        _field: usize,
        value: Value<'_>,
        _new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        match value.kind {
            Kind::Nested => return Err(FieldError::Nested),
            // Nothing equals nothing, not even the text "null".
            Kind::Null => {}
            Kind::Text | Kind::Number | Kind::Bool => {
                self.in_record |= (self.is_equal)(value.text)?;
            }
        }
        Ok(Edit::Keep)
    }

    fn end(&mut self) -> Result<(), (usize, FieldError)> {
        self.found |= self.in_record;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
