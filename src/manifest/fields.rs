//! Fields of a record: how the manifest names them, and the rules for them.

use std::fmt;

/// Where a field is in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldPath {
    /// A column of a CSV file, by its exact name.
    Column(String),
    /// A place in a JSON document (RFC 6901).
    Pointer(Pointer),
}

/// A JSON Pointer (RFC 6901) with at least one step, in which a step `*` means
/// each element of an array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<Step>);

/// A step of a [`Pointer`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The member of this name, or the element of this index, written in
    /// decimal without leading zeros.
    Name(String),
    /// Each element of an array.
    Each,
}

impl Pointer {
    /// Parses a pointer.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("{text:?} is not a JSON Pointer: it has to start with \"/\""));
        };
        let steps: Option<Vec<Step>> = rest.split('/').map(Step::parse).collect();
        match steps {
            Some(steps) if steps.len() <= MAX_STEPS => Ok(Self(steps)),
            Some(_) => Err(format!("{text:?} has more than {MAX_STEPS} steps")),
            None => Err(format!("{text:?} is not a JSON Pointer: \"~\" is written \"~0\"")),
        }
    }

    /// Its steps, at least one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether one of the two lies within the other, or they are the same place.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let same = |(a, b): (&Step, &Step)| match (a, b) {
            (Step::Name(a), Step::Name(b)) => a == b,
            // An element has a number for a name.
            (Step::Each, Step::Name(name)) | (Step::Name(name), Step::Each) => is_index(name),
            (Step::Each, Step::Each) => true,
        };
        self.0.iter().zip(&other.0).all(same)
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Each);
        }
        // RFC 6901 §4: first ~1, then ~0; and no other use of ~.
        let tildes = text.matches('~').count();
        let escapes = text.matches("~0").count().saturating_add(text.matches("~1").count());
        (tildes == escapes).then(|| Self::Name(text.replace("~1", "/").replace("~0", "~")))
    }
}

/// Whether `name` is an array index (RFC 6901 §4).
fn is_index(name: &str) -> bool {
    name == "0"
        || (!name.starts_with('0') && !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(name),
            Self::Pointer(pointer) => pointer.fmt(f),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Name(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Each => f.write_str("/*"),
        })
    }
}

/// Shape of a plaintext: how it is cut into records and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A header row, then a record per row (RFC 4180).
    Csv,
    /// A JSON document per line.
    Ndjson,
    /// One JSON document: each element of a top-level array is a record, any
    /// other document is one.
    Json,
    /// Bytes without a shape.
    Bytes,
}

/// What becomes of a record that is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecords {
    /// The request fails and names the record.
    Refuse,
    /// It is left out and counted.
    Drop,
}

/// What becomes of fields that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are left out.
    Drop,
    /// They are kept unchanged.
    Keep,
}

/// What becomes of a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRule {
    /// Only part of it is left, or nothing.
    Mask(MaskRule),
    /// A token takes its place.
    Token(TokenRule),
    /// It is a token, and the value takes its place.
    Detoken(TokenRule),
    /// Its blind index takes its place.
    Index(IndexRule),
}

/// What is left of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskRule {
    /// `***`, always.
    Redact,
    /// `****` and the last four characters; only `****` for values of fewer
    /// than eight, which four characters would give away.
    Last4,
    /// The first six and the last four characters around `******` (PCI DSS 3.4);
    /// only `****` for values of fewer than thirteen.
    First6Last4,
    /// The first letter of each word, as `A.L.`.
    Initials,
    /// `***@` and the domain of an address; `***` for what is none.
    Email,
    /// The year of a date that begins with it (`2026-11-24…`, RFC 3339).
    YearOfDate,
    /// The range of this width that a number lies in: `20-29` for 25 and a width
    /// of 10, `-10 to -1` for -3. A fraction is rounded down; an exponent is no
    /// number here.
    Generalise(u32),
    /// Unchanged.
    Keep,
    /// The field is left out.
    Drop,
}

/// How a value becomes a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRule {
    /// The scheme.
    pub scheme: TokenScheme,
    /// The name that the token is bound to: the field's own, if not said.
    pub name: String,
}

/// A scheme of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenScheme {
    /// AES-SIV (RFC 5297), in base64url.
    Siv,
    /// FF1 (NIST SP 800-38G): a token of the value's length and alphabet.
    Ff1(Alphabet),
}

/// The characters of a format-preserving token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// `0-9`.
    Digits,
    /// `a-z`.
    Lowercase,
    /// `0-9A-Za-z`.
    Alphanumeric,
    /// `0-9a-f`.
    Hex,
}

/// How a value becomes a blind index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRule {
    /// The name that the index is bound to: the field's own, if not said.
    pub name: String,
    /// Steps that make equal what means the same, in order.
    pub normalise: Vec<Normalise>,
    /// Bytes of the index that are kept, 8 to 32; two hex digits each.
    pub bytes: usize,
}

/// A step of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalise {
    /// White space at both ends goes.
    Trim,
    /// Letters become lower case (Unicode).
    Lowercase,
    /// Everything but `0-9` goes.
    Digits,
    /// Each run of white space becomes one space.
    CollapseSpaces,
}

/// Most steps of a pointer.
const MAX_STEPS: usize = 16;
