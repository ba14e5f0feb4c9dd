//! `index`: a value's place is taken by its blind index.
//!
//! What a parent learns: which values of a field and tenant are equal once they
//! are normalised. Whoever can have values of its own choice indexed can guess
//! the others: the manifest lets no caller choose them.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::{BlindIndex, IndexError, Normalise};
use strongroom_envelope::token::TokenKey;

use super::tokenize::text;
use crate::manifest::fields::{self, IndexRule};
use crate::shape::{Edit, FieldError, Value};

/// The blind index of one field.
pub struct Index(BlindIndex);

impl Index {
    pub(super) fn new(key: &TokenKey, rule: &IndexRule, tenant: &str) -> Result<Self, IndexError> {
        Ok(Self(blind_index(key, rule, tenant)?))
    }

    /// Appends the index of a value to `new`. Null and empty stay what they are.
    pub(super) fn index(&self, value: Value<'_>, new: &mut SecretBuf) -> Result<Edit, FieldError> {
        let Some(text) = text(value)? else { return Ok(Edit::Keep) };
        match self.0.index(text, new) {
            // Nothing is left of it by normalisation: an empty text is.
            Ok(()) | Err(IndexError::Empty) => Ok(Edit::Text),
            Err(_) => Err(FieldError::TooLong),
        }
    }
}

/// The index that a rule names.
pub fn blind_index(
    key: &TokenKey,
    rule: &IndexRule,
    tenant: &str,
) -> Result<BlindIndex, IndexError> {
    let normalise: Vec<Normalise> = rule.normalise.iter().map(|step| (*step).into()).collect();
    BlindIndex::new(key, &rule.name, tenant, &normalise, rule.bytes)
}

impl From<fields::Normalise> for Normalise {
    fn from(step: fields::Normalise) -> Self {
        match step {
            fields::Normalise::Trim => Self::Trim,
            fields::Normalise::Lowercase => Self::Lowercase,
            fields::Normalise::Digits => Self::Digits,
            fields::Normalise::CollapseSpaces => Self::CollapseSpaces,
        }
    }
}
