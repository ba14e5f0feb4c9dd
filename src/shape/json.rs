//! JSON strings, and what can be wrong with a JSON record.
//!
//! Strings are unescaped into memory that is erased, and only those that a
//! visitor reads.

pub(super) mod scan;

use strongroom_envelope::SecretBuf;

/// What is wrong with a JSON record. Names what stands in the manifest, never
/// what stands in the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not what RFC 8259 calls JSON, or something behind it.
    #[error("it is not JSON")]
    Syntax,
    /// Bytes that are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The data ended before the document did, or there is none.
    #[error("the data ends before the JSON document is complete")]
    Unended,
    /// A record in which there can be no field.
    #[error("it is neither an object nor an array")]
    NotARecord,
    /// Two members of the name of a field, or of what holds one: a rule could
    /// apply to the wrong one.
    #[error("two members have the same name on the way to {0:?}")]
    DuplicateName(String),
    /// A field is not there, and would pass unchanged under another name.
    #[error("it lacks the field {0:?}, which the job has a rule for")]
    MissingField(String),
    /// Half a surrogate pair, which stands for no character, in a name or value
    /// that has to be read.
    #[error("a string has half of a surrogate pair")]
    Surrogate,
}

/// Appends to `out` what a string means of which `inner` stands between its
/// quotes (RFC 8259 §7).
pub(super) fn unescape(inner: &str, out: &mut SecretBuf) -> Result<(), JsonError> {
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let mut chars = escape.chars();
        let simple = match chars.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (c, behind) = hex_escape(chars.as_str())?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind;
                continue;
            }
            _ => return Err(JsonError::Syntax),
        };
        out.extend_from_slice(simple.encode_utf8(&mut [0; 4]).as_bytes());
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(())
}

/// The character behind `\u`, and what follows it.
fn hex_escape(text: &str) -> Result<(char, &str), JsonError> {
    let (unit, rest) = code_unit(text)?;
    if let Some(c) = char::from_u32(u32::from(unit)) {
        return Ok((c, rest));
    }
    let low = rest.strip_prefix("\\u").ok_or(JsonError::Surrogate)?;
    let (low, rest) = code_unit(low)?;
    match char::decode_utf16([unit, low]).next() {
        Some(Ok(c)) => Ok((c, rest)),
        _ => Err(JsonError::Surrogate),
    }
}

/// A UTF-16 code unit in four hex digits, and what follows it.
fn code_unit(text: &str) -> Result<(u16, &str), JsonError> {
    let (digits, rest) = text.split_at_checked(4).ok_or(JsonError::Syntax)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(JsonError::Syntax);
    }
    u16::from_str_radix(digits, 16).map(|unit| (unit, rest)).map_err(|_| JsonError::Syntax)
}

/// Whether `text` can stand between the quotes of a string as it is, and is
/// ASCII.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    !scan::is_marked(text)
}

/// Appends `text` as a JSON string.
pub(super) fn write_string(text: &str, out: &mut SecretBuf) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, behind) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = behind.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                let digits = [digit(control >> 4), digit(control & 0xf)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const HEX: &[u8] = b"0123456789abcdef";

#[cfg(test)]
mod tests;
