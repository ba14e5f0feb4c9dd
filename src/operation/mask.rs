//! What a mask leaves of a value.
//!
//! Each rule is for a value of any kind; one that reads takes the text of texts
//! and numbers. `true`, `false` and `null` come out as a text that shows nothing,
//! so that a missing value looks like a short one; where a date or a number is
//! read, an empty text is a missing value. Arrays and objects can be masked whole
//! only.

use std::fmt::{self, Write as _};

use strongroom_envelope::SecretBuf;

use crate::manifest::fields::MaskRule;
use crate::shape::{Edit, FieldError, Kind, Value};

/// Appends to `new` what `rule` leaves of `value`.
pub(super) fn mask(
    rule: &MaskRule,
    value: Value<'_>,
    new: &mut SecretBuf,
) -> Result<Edit, FieldError> {
    match rule {
        MaskRule::Keep => return Ok(Edit::Keep),
        MaskRule::Drop => return Ok(Edit::Drop),
        MaskRule::Redact => new.extend_from_slice(NOTHING),
        MaskRule::Last4 => match text(value)? {
            Some(text) => last4(text, new),
            None => new.extend_from_slice(TOO_SHORT),
        },
        MaskRule::First6Last4 => match text(value)? {
            Some(text) => first6last4(text, new),
            None => new.extend_from_slice(TOO_SHORT),
        },
        MaskRule::Initials => match text(value)? {
            Some(text) => initials(text, new),
            None => new.extend_from_slice(NOTHING),
        },
        MaskRule::Email => match text(value)? {
            Some(text) => email(text, new),
            None => new.extend_from_slice(NOTHING),
        },
        MaskRule::YearOfDate => match text(value)?.filter(|text| !text.is_empty()) {
            Some(text) => new.extend_from_slice(year(text)?.as_bytes()),
            None => new.extend_from_slice(NOTHING),
        },
        MaskRule::Generalise(width) => match text(value)?.filter(|text| !text.is_empty()) {
            Some(text) => range(text, *width, new)?,
            None => new.extend_from_slice(NOTHING),
        },
    }
    Ok(Edit::Text)
}

/// The text that a rule reads; `None` of values without one.
fn text(value: Value<'_>) -> Result<Option<&str>, FieldError> {
    match value.kind {
        Kind::Text | Kind::Number => {
            str::from_utf8(value.text).map(Some).map_err(|_| FieldError::NotUtf8)
        }
        Kind::Bool | Kind::Null => Ok(None),
        Kind::Nested => Err(FieldError::Nested),
    }
}

fn last4(value: &str, out: &mut SecretBuf) {
    out.extend_from_slice(TOO_SHORT);
    if has_chars(value, SHORTEST_FOR_LAST4) {
        out.extend_from_slice(last_four(value).as_bytes());
    }
}

fn first6last4(value: &str, out: &mut SecretBuf) {
    if !has_chars(value, SHORTEST_FOR_FIRST6_LAST4) {
        out.extend_from_slice(TOO_SHORT);
        return;
    }
    let first = value.char_indices().nth(6).and_then(|(at, _)| value.get(..at));
    out.extend_from_slice(first.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"******");
    out.extend_from_slice(last_four(value).as_bytes());
}

fn has_chars(value: &str, count: usize) -> bool {
    // A character has at most four bytes, and an ASCII character has one.
    value.len() >= count.saturating_mul(4)
        || value.as_bytes().get(..count).is_some_and(<[u8]>::is_ascii)
        || value.chars().nth(count.saturating_sub(1)).is_some()
}

fn last_four(value: &str) -> &str {
    let start = match value.as_bytes().last_chunk::<4>() {
        Some(last) if last.is_ascii() => value.len().checked_sub(4),
        _ => value.char_indices().rev().nth(3).map(|(at, _)| at),
    };
    start.and_then(|at| value.get(at..)).unwrap_or_default()
}

fn initials(value: &str, out: &mut SecretBuf) {
    for first in value.split_whitespace().filter_map(|word| word.chars().next()) {
        let mut initial = [b'.'; 5];
        let len = first.encode_utf8(&mut initial).len();
        out.extend_from_slice(initial.get(..=len).unwrap_or_default());
    }
}

fn email(value: &str, out: &mut SecretBuf) {
    out.extend_from_slice(NOTHING);
    let Some(at) = value.bytes().position(|b| b == b'@').filter(|at| *at > 0) else { return };
    let domain = value.get(at.saturating_add(1)..).unwrap_or_default();
    if !domain.is_empty() && is_domain(domain) {
        out.push(b'@');
        out.extend_from_slice(domain.as_bytes());
    }
}

/// Whether there is nothing but letters, digits, dots and hyphens: whatever else
/// stands behind an @ may be more than a domain.
fn is_domain(text: &str) -> bool {
    let ascii = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let any = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    text.bytes().all(ascii) || text.chars().all(any)
}

/// The year of a date written as `YYYY-…` or `YYYYMMDD` (RFC 3339, ISO 8601).
fn year(value: &str) -> Result<&str, FieldError> {
    let (year, rest) = value.split_at_checked(4).ok_or(FieldError::NotADate)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let month = |text: &str| digits(text) && ("01"..="12").contains(&text);
    let day = |text: &str| digits(text) && ("01"..="31").contains(&text);
    let basic = || {
        let (m, d) = rest.split_at_checked(2).filter(|_| rest.len() == 4)?;
        Some(month(m) && day(d))
    };
    // `-MM`, and then nothing or another hyphen: a card number has four digits.
    let extended = || {
        let (m, behind) = rest.strip_prefix('-')?.split_at_checked(2)?;
        Some(month(m) && (behind.is_empty() || behind.starts_with('-')))
    };
    if digits(year) && (extended() == Some(true) || basic() == Some(true)) {
        Ok(year)
    } else {
        Err(FieldError::NotADate)
    }
}

/// The range of that width that a decimal number lies in: `20-29`; below zero
/// `-10 to -1`, where a hyphen would be hard to read.
fn range(value: &str, width: u32, out: &mut SecretBuf) -> Result<(), FieldError> {
    let width = i128::from(width);
    let floor = floor(value).ok_or(FieldError::NotANumber)?;
    let first = floor.checked_div_euclid(width).and_then(|n| n.checked_mul(width));
    let last = first.and_then(|first| first.checked_add(width)).and_then(|n| n.checked_sub(1));
    let (Some(first), Some(last)) = (first, last) else { return Err(FieldError::NotANumber) };
    let between = if first < 0 { " to " } else { "-" };
    write!(Text(out), "{first}{between}{last}").map_err(|_| FieldError::NotANumber)
}

/// Formatted text, straight into memory that is erased.
struct Text<'a>(&'a mut SecretBuf);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The greatest whole number that is not above a decimal one without exponent.
fn floor(value: &str) -> Option<i128> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let positive = whole.strip_prefix('-');
    if !digits(positive.unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let below = positive.is_some() && fraction.bytes().any(|b| b != b'0');
    whole.checked_sub(i128::from(below))
}

/// What stands for a value of which nothing is left.
const NOTHING: &[u8] = b"***";

/// What stands for hidden characters, and alone for a value that is too short to
/// show any.
const TOO_SHORT: &[u8] = b"****";

/// Characters a value must have before its last four are shown.
const SHORTEST_FOR_LAST4: usize = 8;

/// Characters a value must have before its first six and last four are shown.
const SHORTEST_FOR_FIRST6_LAST4: usize = 13;

#[cfg(test)]
mod tests;
