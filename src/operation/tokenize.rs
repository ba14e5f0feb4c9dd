//! `tokenize` and `detokenize`: a value's place is taken by its token, and back.
//!
//! What a parent learns: which values of a field and tenant are equal; of a
//! format-preserving token also the value's length, alphabet and separators.
//! Tokens of `detokenize` become plaintext, which leaves protected only.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::token::{Alphabet, Ff1, Siv, TokenError, TokenKey};

use crate::manifest::fields::{self, TokenRule, TokenScheme};
use crate::shape::{Edit, FieldError, Kind, Value};

/// The scheme of one field, keyed.
pub enum Tokens {
    /// AES-SIV.
    Siv(Siv),
    /// FF1.
    Ff1(Ff1),
}

impl Tokens {
    pub(super) fn new(key: &TokenKey, rule: &TokenRule, tenant: &str) -> Result<Self, TokenError> {
        match rule.scheme {
            TokenScheme::Siv => Ok(Self::Siv(Siv::new(key, &rule.name, tenant)?)),
            TokenScheme::Ff1(alphabet) => {
                Ok(Self::Ff1(Ff1::new(key, &rule.name, tenant, alphabet.into())?))
            }
        }
    }

    /// Appends the token of a value to `new`. Null and empty stay what they are.
    pub(super) fn token(&self, value: Value<'_>, new: &mut SecretBuf) -> Result<Edit, FieldError> {
        let Some(text) = text(value)? else { return Ok(Edit::Keep) };
        let done = match self {
            Self::Siv(siv) => siv.tokenize(text.as_bytes(), new),
            Self::Ff1(ff1) => ff1.encrypt(text, new),
        };
        done.map(|()| Edit::Text).map_err(|_| FieldError::NotTokenizable)
    }

    /// Appends the value of a token to `new`.
    pub(super) fn value(&self, token: Value<'_>, new: &mut SecretBuf) -> Result<Edit, FieldError> {
        let Some(text) = text(token)? else { return Ok(Edit::Keep) };
        let done = match self {
            Self::Siv(siv) => siv.detokenize(text.as_bytes(), new),
            Self::Ff1(ff1) => ff1.decrypt(text, new),
        };
        done.map(|()| Edit::Text).map_err(|_| FieldError::NotAToken)
    }
}

/// The text of a value; `None` where there is none.
pub(super) fn text<'a>(value: Value<'a>) -> Result<Option<&'a str>, FieldError> {
    match value.kind {
        Kind::Null => return Ok(None),
        Kind::Nested => return Err(FieldError::Nested),
        Kind::Text | Kind::Number | Kind::Bool => {}
    }
    let text = str::from_utf8(value.text).map_err(|_| FieldError::NotUtf8)?;
    Ok((!text.is_empty()).then_some(text))
}

impl From<fields::Alphabet> for Alphabet {
    fn from(alphabet: fields::Alphabet) -> Self {
        match alphabet {
            fields::Alphabet::Digits => Self::Digits,
            fields::Alphabet::Lowercase => Self::Lowercase,
            fields::Alphabet::Alphanumeric => Self::Alphanumeric,
            fields::Alphabet::Hex => Self::HexLowercase,
        }
    }
}
