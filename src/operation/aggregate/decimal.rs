//! Decimal numbers: read, compared, summed and written without a float.
//!
//! The numbers of [`super`]. A value is taken to nine digits behind the point
//! (more are rounded, half to even); everything after that is exact, but for a
//! mean, which is rounded once. So a result does not depend on the order of the
//! records, and no two readers of it can differ.

use std::fmt::{self, Write};

use strongroom_envelope::SecretBuf;
use zeroize::DefaultIsZeroes;

/// A decimal number: a count of billionths.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operation) struct Decimal(i128);

impl DefaultIsZeroes for Decimal {}

impl Decimal {
    /// Reads a number: an optional sign, digits with or without a point among
    /// them, an optional exponent (the numbers of RFC 8259 §6, and `+1`, `.5`,
    /// `5.` and `007`, which CSV files have). `None` for anything else, for
    /// more than 18 digits before the point, and for more than 36 in all.
    #[inline]
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        Self::parse_short(text).or_else(|| Self::parse_any(text))
    }

    /// Reads what nearly all numbers are, as [`parse_any`](Self::parse_any)
    /// would: digits, few enough for a machine word, with or without a minus
    /// sign and a point. `None` for anything else.
    #[inline]
    fn parse_short(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if text.len() > SHORT {
            return None;
        }
        let (mut value, mut point) = (0_u64, None);
        for (at, byte) in text.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if *byte == b'.' && point.is_none() {
                point = Some(at);
            } else {
                return None;
            }
        }
        let (digits, fraction) = match point {
            Some(at) => (text.len().checked_sub(1)?, text.len().checked_sub(at)?.checked_sub(1)?),
            None => (text.len(), 0),
        };
        let unit = UNITS.get(fraction).filter(|_| digits > 0)?;
        let value = i128::from(value).wrapping_mul(i128::from(*unit));
        Some(Self(if negative { value.wrapping_neg() } else { value }))
    }

    fn parse_any(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (text, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => {
                let (text, exponent) = text.split_at(at);
                (text, parse_exponent(exponent.get(1..)?)?)
            }
            None => (text, 0),
        };
        let (digits, fraction) = parse_digits(text)?;
        let shift = FRACTION_DIGITS.checked_sub(fraction)?.checked_add(exponent)?;
        let value = scale(digits, shift)?;
        (value < LIMIT).then_some(Self(if negative { -value } else { value }))
    }

    /// The sum. Exact for fewer than [`MAX_TERMS`] numbers that were parsed, and
    /// at the end of the range for what no caller comes to.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// A `count`th of it, rounded half to even; `None` for none.
    pub(super) fn mean(self, count: u64) -> Option<Self> {
        (count > 0).then(|| Self(divide(self.0, i128::from(count))))
    }

    /// Appends it: without trailing zeros, and without a point where it is whole.
    pub(super) fn write(self, out: &mut SecretBuf) {
        let (magnitude, one) = (self.0.unsigned_abs(), ONE.unsigned_abs());
        let (whole, fraction) = (magnitude / one, magnitude % one);
        let sign = if self.0 < 0 { "-" } else { "" };
        text(out, format_args!("{sign}{whole}"));
        if fraction > 0 {
            text(out, format_args!(".{fraction:09}"));
            let zeros = out.expose().iter().rev().take_while(|b| **b == b'0').count();
            out.truncate(out.len().saturating_sub(zeros));
        }
    }
}

/// Appends what is formatted.
pub(super) fn text(out: &mut SecretBuf, formatted: fmt::Arguments<'_>) {
    struct Text<'a>(&'a mut SecretBuf);
    impl fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Neither the buffer nor a number says no.
    let _ = Text(out).write_fmt(formatted);
}

/// All digits as one number, and how many of them stand behind the point.
fn parse_digits(text: &[u8]) -> Option<(i128, i32)> {
    let (mut value, mut digits, mut fraction) = (0_i128, 0_usize, None);
    for byte in text {
        match byte {
            b'0'..=b'9' if value < MAX_DIGITS => {
                value = value * 10 + i128::from(byte - b'0');
                digits = digits.saturating_add(1);
            }
            b'.' if fraction.is_none() => fraction = Some(digits),
            _ => return None,
        }
    }
    let fraction = fraction.map_or(0, |before| digits.saturating_sub(before));
    (digits > 0).then_some((value, i32::try_from(fraction).ok()?))
}

/// A power of ten: a sign and up to three digits, which is all a double has.
fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    if !(1..=3).contains(&digits.len()) {
        return None;
    }
    let value = digits.iter().try_fold(0_i32, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i32::from(byte - b'0'))
    })?;
    Some(sign * value)
}

/// `value` times ten to the power of `shift`; `None` where that does not fit.
fn scale(value: i128, shift: i32) -> Option<i128> {
    let power = power_of_ten(shift.unsigned_abs());
    match (value, shift) {
        (0, _) => Some(0),
        (value, 0..) => value.checked_mul(power?),
        // Less than half of a billionth where the power does not fit.
        (value, _) => Some(power.map_or(0, |power| divide(value, power))),
    }
}

fn power_of_ten(power: u32) -> Option<i128> {
    match 10_u64.checked_pow(power) {
        Some(value) => Some(i128::from(value)),
        None => 10_i128.checked_pow(power),
    }
}

/// Divides by a number above zero and rounds half to even.
fn divide(value: i128, by: i128) -> i128 {
    let (floor, rest) = (value.div_euclid(by), value.rem_euclid(by));
    match rest.cmp(&(by - rest)) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Equal => floor + (floor & 1),
        std::cmp::Ordering::Greater => floor + 1,
    }
}

/// Digits behind the point that are kept.
const FRACTION_DIGITS: i32 = 9;

/// Bytes of a number that [`Decimal::parse_short`] reads: so many digits are
/// below 2^64, and below [`LIMIT`] without a point.
const SHORT: usize = 18;

/// What a number without its point counts, by the digits behind the point: in
/// billionths.
const UNITS: [u32; 10] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// One, in billionths.
const ONE: i128 = 1_000_000_000;

/// What a parsed number is below: 10^18, in billionths.
const LIMIT: i128 = ONE * ONE * ONE;

/// What another digit may be put behind: less than 10^35.
const MAX_DIGITS: i128 = LIMIT * 100_000_000;

/// Numbers whose sum is exact, whatever they are: this many times [`LIMIT`] is
/// below 2^127.
pub(super) const MAX_TERMS: u64 = 100_000_000_000;

#[cfg(test)]
mod tests;
