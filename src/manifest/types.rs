//! Values of a manifest that are more than text: parsed once, correct ever after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::Error as _;
use strongroom_envelope::esdk::EncryptedDataKey;

/// The full ARN of a KMS key: `arn:<partition>:kms:<region>:<account>:key/<id>`.
///
/// An alias is refused: whoever may move it decides which key is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyArn(String);

impl KeyArn {
    /// Parses an ARN.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(format!(
                "{text:?} is not a KMS key ARN (arn:aws:kms:<region>:<account>:key/<id>)"
            ));
        };
        let Some(id) = resource.strip_prefix("key/") else {
            return Err(format!(
                "{text:?} does not name a key: an alias can be moved, write the key's own ARN"
            ));
        };
        let plain =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !(plain(partition) && plain(region) && plain(id) && digits && text.len() <= MAX_ARN_LEN)
        {
            return Err(format!("{text:?} is not a KMS key ARN"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `encrypted` claims to be a data key under this KMS key (AWS
    /// Encryption SDK specification, framework/aws-kms).
    #[must_use]
    pub fn is_key_of(&self, encrypted: &EncryptedDataKey) -> bool {
        encrypted.provider_id == AWS_KMS && encrypted.provider_info == self.0.as_bytes()
    }

    /// A data key that KMS encrypted under this KMS key, for a message's header.
    #[must_use]
    pub fn data_key(&self, ciphertext: Vec<u8>) -> EncryptedDataKey {
        let provider_info = self.0.as_bytes().to_vec();
        EncryptedDataKey { provider_id: AWS_KMS.to_owned(), provider_info, ciphertext }
    }

    /// Its Region.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An AWS Region, such as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Parses a Region's name.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The Region becomes part of a host name.
        let fits = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} is not an AWS Region")) }
    }

    /// The Region as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A job's name: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobName(String);

impl JobName {
    /// Parses a name.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a job's name: 1 to 64 of a-z, 0-9, - and _"))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for JobName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` can name a job or an argument.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

/// A value of an encryption context, with room for at most one argument:
/// `"support"`, `"{tenant}"`, `"orders/{tenant}"`.
///
/// At most one, because two side by side could be moved against each other
/// (`{a}-{b}` is `x-y-z` in two ways).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    arg: Option<String>,
    after: String,
}

impl Template {
    /// Parses a template whose argument, if any, must be one of `args`.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str, args: &BTreeSet<&str>) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            return Self::fixed(text);
        };
        let Some((arg, after)) = rest.split_once('}') else {
            return Err(format!("{text:?} opens a brace and does not close it"));
        };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err(format!("{text:?} has room for more than one argument"));
        }
        if !args.contains(arg) {
            return Err(format!("{text:?} uses {arg:?}, which is not in the job's args"));
        }
        let own = str::to_owned;
        Ok(Self { before: own(before), arg: Some(own(arg)), after: own(after) })
    }

    fn fixed(text: &str) -> Result<Self, String> {
        if text.contains('}') {
            return Err(format!("{text:?} closes a brace that it does not open"));
        }
        if text.is_empty() {
            return Err("a value of an encryption context is empty".to_owned());
        }
        Ok(Self { before: text.to_owned(), arg: None, after: String::new() })
    }

    /// The argument it has room for.
    #[must_use]
    pub fn arg(&self) -> Option<&str> {
        self.arg.as_deref()
    }

    /// The value with the argument put in; an argument that is not there
    /// leaves its place empty, which matches nothing.
    #[must_use]
    pub fn fill(&self, args: &BTreeMap<String, String>) -> String {
        let value = self.arg.as_ref().and_then(|arg| args.get(arg)).map_or("", String::as_str);
        [&self.before, value, &self.after].concat()
    }
}

/// A number of bytes, written as `"512"`, `"64KiB"`, `"8MiB"` or `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub usize);

impl ByteCount {
    /// Parses a number with its unit.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let scale: usize = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(format!("{text:?} is not a number of bytes such as \"64KiB\"")),
        };
        let bytes = number.parse::<usize>().ok().and_then(|n| n.checked_mul(scale));
        bytes
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a number of bytes such as \"64KiB\""))
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// What an argument's value must be.
#[derive(Clone, Debug)]
pub struct ArgSpec {
    /// Longest value, in bytes.
    pub max_len: usize,
    /// What the whole value must match.
    pub pattern: Option<Pattern>,
}

impl ArgSpec {
    /// Longest value of an argument of which nothing more is said, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Whether `value` fits: 1 to [`ArgSpec::max_len`] bytes, no control
    /// characters, and the pattern.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        (1..=self.max_len).contains(&value.len())
            && !value.chars().any(char::is_control)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(value))
    }
}

impl Default for ArgSpec {
    fn default() -> Self {
        Self { max_len: Self::MAX_LEN, pattern: None }
    }
}

/// A regular expression that a whole text must match.
#[derive(Clone, Debug)]
pub struct Pattern(regex_lite::Regex);

impl Pattern {
    /// Parses an expression.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = regex_lite::RegexBuilder::new(&format!("^(?:{text})$"));
        // On its own too: what closes a bracket of ours is not a pattern.
        let alone = regex_lite::Regex::new(text).and_then(|_| whole.build());
        alone.map(Self).map_err(|error| format!("{text:?} is not a regular expression: {error}"))
    }
}

/// Longest key ARN KMS takes (KMS API, `KeyId`).
const MAX_ARN_LEN: usize = 2048;

/// Provider id of a data key under a KMS key.
const AWS_KMS: &str = "aws-kms";
