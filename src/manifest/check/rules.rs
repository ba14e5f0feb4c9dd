//! Rules for fields: `mask`, `tokenize`, `detokenize` and `index`.

use std::collections::{BTreeMap, BTreeSet};

use super::input::{field_path, no_overlap, overlap};
use super::{Names, at};
use crate::manifest::fields::{
    Alphabet, FieldPath, FieldRule, IndexRule, MaskRule, Normalise, TokenRule, TokenScheme,
    UnknownFields,
};
use crate::manifest::operations::{FieldsSpec, FieldsVerb, SecretName};
use crate::manifest::raw::{
    AlphabetWord, MaskWord, NormaliseWord, RawIndex, RawJob, RawRule, RawRuleTable, SchemeWord,
    UnknownWord,
};
use crate::manifest::{Input, ManifestError, Source, Template};

impl RawJob {
    pub(super) fn fields_spec(
        &mut self,
        verb: FieldsVerb,
        input: &Input,
        args: &BTreeSet<&str>,
        names: &Names<'_>,
    ) -> Result<FieldsSpec, ManifestError> {
        let Some(raw) = self.fields.take() else {
            return Err(ManifestError::value(
                "fields",
                "is missing: the operation needs a rule per field, as in fields = { pan = \"last4\" }",
            ));
        };
        let mut rules = BTreeMap::new();
        for (name, rule) in raw {
            let path = field_path("fields", &name, input.shape)?;
            let rule = rule.check(verb, &name).map_err(at(&format!("fields.{name:?}")))?;
            check_secrecy(&path, &rule, &input.source)?;
            rules.insert(path, rule);
        }
        no_overlap("fields", rules.keys())?;
        let unknown = match self.unknown_fields.take() {
            None | Some(UnknownWord::Drop) => UnknownFields::Drop,
            Some(UnknownWord::Keep) => UnknownFields::Keep,
        };
        check_left(verb, &rules, unknown)?;
        check_opened(&rules, unknown, &input.source)?;
        let keyed = rules.values().any(FieldRule::needs_key);
        let secret = self.secret(keyed, names)?;
        let tenant = self.tenant(keyed, args)?;
        Ok(FieldsSpec { verb, rules, unknown, secret, tenant })
    }

    /// The wrapped key that the job names, where its operation needs one.
    pub(super) fn secret(
        &mut self,
        needed: bool,
        names: &Names<'_>,
    ) -> Result<Option<SecretName>, ManifestError> {
        match (self.secret.take(), needed) {
            (Some(name), true) if names.secrets.contains_key(&name) => Ok(Some(name)),
            (Some(name), true) => {
                let problem = format!("{name:?} is not the name of a [[secret]]");
                Err(ManifestError::value("secret", problem))
            }
            (None, true) => {
                let problem = "is missing: the operation needs a key of its own, a [[secret]]";
                Err(ManifestError::value("secret", problem))
            }
            (Some(_), false) => {
                Err(ManifestError::value("secret", "nothing here needs one; leave it out"))
            }
            (None, false) => Ok(None),
        }
    }

    pub(super) fn tenant(
        &mut self,
        keyed: bool,
        args: &BTreeSet<&str>,
    ) -> Result<Option<Template>, ManifestError> {
        match self.tenant.take() {
            Some(_) if !keyed => Err(ManifestError::value(
                "tenant",
                "is bound into tokens and indexes only; leave it out",
            )),
            Some(text) => Ok(Some(Template::parse(&text, args).map_err(at("tenant"))?)),
            None => Ok(None),
        }
    }
}

impl RawRule {
    fn check(self, verb: FieldsVerb, field: &str) -> Result<FieldRule, String> {
        match self {
            Self::Word(word) => Ok(FieldRule::Mask(word.into())),
            Self::Table(table) => table.check(verb, field),
        }
    }
}

impl RawRuleTable {
    fn check(self, verb: FieldsVerb, field: &str) -> Result<FieldRule, String> {
        match (self.generalise, self.token, self.index) {
            (Some(0), None, None) => Err("the width of a range must be at least 1".to_owned()),
            (Some(width), None, None) if self.alphabet.is_none() && self.name.is_none() => {
                Ok(FieldRule::Mask(MaskRule::Generalise(width)))
            }
            (None, Some(scheme), None) => {
                let scheme = token_scheme(scheme, self.alphabet)?;
                let rule = TokenRule { scheme, name: bound_to(self.name, field)? };
                match verb {
                    FieldsVerb::Tokenize => Ok(FieldRule::Token(rule)),
                    FieldsVerb::Detokenize => Ok(FieldRule::Detoken(rule)),
                    FieldsVerb::Mask | FieldsVerb::Index => {
                        Err("token is a rule of the operations tokenize and detokenize".to_owned())
                    }
                }
            }
            (None, None, Some(index)) if self.alphabet.is_none() && self.name.is_none() => match verb {
                FieldsVerb::Index => Ok(FieldRule::Index(index.check(field)?)),
                FieldsVerb::Mask | FieldsVerb::Tokenize | FieldsVerb::Detokenize => {
                    Err("index is a rule of the operation index".to_owned())
                }
            },
            _ => Err("a rule has one of the keys generalise, token (with name, and alphabet for ff1) and index".to_owned()),
        }
    }
}

fn token_scheme(scheme: SchemeWord, alphabet: Option<AlphabetWord>) -> Result<TokenScheme, String> {
    match (scheme, alphabet) {
        (SchemeWord::Siv, None) => Ok(TokenScheme::Siv),
        (SchemeWord::Ff1, Some(alphabet)) => Ok(TokenScheme::Ff1(alphabet.into())),
        (SchemeWord::Siv, Some(_)) => Err("siv takes any text: leave alphabet out".to_owned()),
        (SchemeWord::Ff1, None) => {
            Err("ff1 needs an alphabet: \"digits\", \"lowercase\", \"alphanumeric\" or \"hex\""
                .to_owned())
        }
    }
}

/// The name that a token or index is bound to.
fn bound_to(name: Option<String>, field: &str) -> Result<String, String> {
    let name = name.unwrap_or_else(|| field.to_owned());
    match name.len() {
        1..=256 => Ok(name),
        _ => Err("name must be 1 to 256 bytes".to_owned()),
    }
}

impl RawIndex {
    pub(super) fn check(self, field: &str) -> Result<IndexRule, String> {
        if !(8..=32).contains(&self.bytes) {
            return Err("bytes must be 8 to 32".to_owned());
        }
        let normalise = self.normalise.into_iter().map(Normalise::from).collect();
        Ok(IndexRule { name: bound_to(self.name, field)?, normalise, bytes: self.bytes })
    }
}

/// A token or index of a value that the caller chose would tell it about others'.
fn check_secrecy(path: &FieldPath, rule: &FieldRule, source: &Source) -> Result<(), ManifestError> {
    match (rule, source) {
        (FieldRule::Token(_) | FieldRule::Index(_), Source::Fields(encrypted))
            if !encrypted.contains_key(path) =>
        {
            Err(ManifestError::value(
                "fields",
                format!(
                    "{path} comes in the clear: the caller could have a token or index of any value it likes"
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn check_left(
    verb: FieldsVerb,
    rules: &BTreeMap<FieldPath, FieldRule>,
    unknown: UnknownFields,
) -> Result<(), ManifestError> {
    let all_dropped = rules.values().all(|rule| *rule == FieldRule::Mask(MaskRule::Drop));
    if all_dropped && unknown == UnknownFields::Drop {
        return Err(ManifestError::value(
            "fields",
            "no column would be left; give one a rule other than drop",
        ));
    }
    let (word, has) = match verb {
        FieldsVerb::Mask => return Ok(()),
        FieldsVerb::Tokenize => {
            ("tokenize", rules.values().any(|rule| matches!(rule, FieldRule::Token(_))))
        }
        FieldsVerb::Detokenize => {
            ("detokenize", rules.values().any(|rule| matches!(rule, FieldRule::Detoken(_))))
        }
        FieldsVerb::Index => {
            ("index", rules.values().any(|rule| matches!(rule, FieldRule::Index(_))))
        }
    };
    match has {
        true => Ok(()),
        false => Err(ManifestError::value("fields", format!("no rule has anything to {word}"))),
    }
}

/// A field that is opened is named by a rule, or left out: never kept for want of one.
fn check_opened(
    rules: &BTreeMap<FieldPath, FieldRule>,
    unknown: UnknownFields,
    source: &Source,
) -> Result<(), ManifestError> {
    let Source::Fields(encrypted) = source else { return Ok(()) };
    for path in encrypted.keys() {
        if unknown == UnknownFields::Keep && !rules.contains_key(path) {
            let problem =
                format!("{path} is opened and would be kept in the clear for want of a rule");
            return Err(ManifestError::value("fields", problem));
        }
        if let Some(rule) = rules.keys().find(|rule| *rule != path && overlap(rule, path)) {
            let problem = format!("{rule} and the encrypted field {path} lie within one another");
            return Err(ManifestError::value("fields", problem));
        }
    }
    Ok(())
}

impl FieldRule {
    fn needs_key(&self) -> bool {
        match self {
            Self::Mask(_) => false,
            Self::Token(_) | Self::Detoken(_) | Self::Index(_) => true,
        }
    }
}

impl From<MaskWord> for MaskRule {
    fn from(word: MaskWord) -> Self {
        match word {
            MaskWord::Redact => Self::Redact,
            MaskWord::Last4 => Self::Last4,
            MaskWord::First6last4 => Self::First6Last4,
            MaskWord::Initials => Self::Initials,
            MaskWord::Email => Self::Email,
            MaskWord::YearOfDate => Self::YearOfDate,
            MaskWord::Keep => Self::Keep,
            MaskWord::Drop => Self::Drop,
        }
    }
}

impl From<AlphabetWord> for Alphabet {
    fn from(word: AlphabetWord) -> Self {
        match word {
            AlphabetWord::Digits => Self::Digits,
            AlphabetWord::Lowercase => Self::Lowercase,
            AlphabetWord::Alphanumeric => Self::Alphanumeric,
            AlphabetWord::Hex => Self::Hex,
        }
    }
}

impl From<NormaliseWord> for Normalise {
    fn from(word: NormaliseWord) -> Self {
        match word {
            NormaliseWord::Trim => Self::Trim,
            NormaliseWord::Lowercase => Self::Lowercase,
            NormaliseWord::Digits => Self::Digits,
            NormaliseWord::CollapseSpaces => Self::CollapseSpaces,
        }
    }
}
