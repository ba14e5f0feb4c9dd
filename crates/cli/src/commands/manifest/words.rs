//! Parts of a manifest in plain words. No judgement.

use std::collections::BTreeMap;
use std::fmt::Display;

use strongroom::manifest::Template;
use strongroom::manifest::fields::{
    FieldRule, IndexRule, MaskRule, Normalise, Shape, TokenRule, TokenScheme, UnknownFields,
};
use strongroom::manifest::operations::{
    AggregateSpec, Compute, Condition, FieldsSpec, JoinSpec, MatchForm, OperationSpec, Signs, Test,
};

/// What an operation does, in a sentence.
pub(super) fn is_done(operation: &OperationSpec) -> String {
    let what = match operation {
        OperationSpec::Fields(_) => "each field by its rule",
        OperationSpec::Reencrypt => "nothing but to encrypt it anew",
        OperationSpec::Open => "nothing: it is handed on as it is",
        OperationSpec::Match(_) => "one field is compared with the given value",
        OperationSpec::Aggregate(_) => "numbers are computed about groups of records",
        OperationSpec::JoinCount(_) => "values that both inputs have are counted",
        OperationSpec::Sign(_) => "it is signed; nobody looks at what it says",
    };
    format!("{}: {what}", operation.verb())
}

/// What whoever reads the result learns.
pub(super) fn learns(operation: &OperationSpec) -> String {
    let size = match operation {
        OperationSpec::Aggregate(spec) => Some(spec.min_group_size),
        OperationSpec::JoinCount(spec) => Some(spec.min_group_size),
        OperationSpec::Fields(_)
        | OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Match(_)
        | OperationSpec::Sign(_) => None,
    };
    let learns = operation.class().learns();
    size.map_or_else(|| learns.to_owned(), |n| learns.replace("min_group_size", &n.to_string()))
}

/// The parameters of an operation, a line each.
pub(super) fn details(operation: &OperationSpec) -> Vec<String> {
    match operation {
        OperationSpec::Fields(spec) => of_fields(spec),
        OperationSpec::Reencrypt | OperationSpec::Open => Vec::new(),
        OperationSpec::Match(spec) => {
            let form = match &spec.form {
                MatchForm::Indexed { rule, tenant, .. } => {
                    format!("given as {}{}", index(rule), of_tenant(tenant.as_ref()))
                }
                MatchForm::Encrypted => "given encrypted as the input is".to_owned(),
            };
            vec![format!("{} with the argument {}, {form}", spec.field, spec.arg)]
        }
        OperationSpec::Aggregate(spec) => of_aggregate(spec),
        OperationSpec::JoinCount(spec) => of_join(spec),
        OperationSpec::Sign(spec) => vec![match spec.signs {
            Signs::Message => "what comes in is the message".to_owned(),
            Signs::Digest => "what comes in is a SHA-256 digest".to_owned(),
        }],
    }
}

fn of_fields(spec: &FieldsSpec) -> Vec<String> {
    let mut details: Vec<String> = spec
        .rules
        .iter()
        .map(|(path, rule)| format!("{path}: {}", of_rule(rule, spec.tenant.as_ref())))
        .collect();
    details.push(match spec.unknown {
        UnknownFields::Drop => "every other field is left out".to_owned(),
        UnknownFields::Keep => "every other field is kept as it is".to_owned(),
    });
    details
}

fn of_rule(rule: &FieldRule, tenant: Option<&Template>) -> String {
    match rule {
        FieldRule::Mask(rule) => of_mask(rule),
        FieldRule::Token(rule) => format!("{}{}", token(rule), of_tenant(tenant)),
        FieldRule::Detoken(rule) => {
            format!("the value of {}{}", token(rule), of_tenant(tenant))
        }
        FieldRule::Index(rule) => format!("{}{}", index(rule), of_tenant(tenant)),
    }
}

fn of_mask(rule: &MaskRule) -> String {
    match rule {
        MaskRule::Redact => "nothing of it is left".to_owned(),
        MaskRule::Last4 => "the last four characters are left".to_owned(),
        MaskRule::First6Last4 => "the first six and last four characters are left".to_owned(),
        MaskRule::Initials => "the first character of each word is left".to_owned(),
        MaskRule::Email => "the domain of the address is left".to_owned(),
        MaskRule::YearOfDate => "the year is left".to_owned(),
        MaskRule::Generalise(width) => format!("the range of width {width} is left"),
        MaskRule::Keep => "kept as it is".to_owned(),
        MaskRule::Drop => "left out".to_owned(),
    }
}

fn token(rule: &TokenRule) -> String {
    match rule.scheme {
        TokenScheme::Siv => format!("an AES-SIV token of {:?}", rule.name),
        TokenScheme::Ff1(_) => format!("a format-preserving token (FF1) of {:?}", rule.name),
    }
}

fn index(rule: &IndexRule) -> String {
    let steps = steps(&rule.normalise);
    format!("the blind index of {:?}{steps}, {} bytes", rule.name, rule.bytes)
}

fn steps(steps: &[Normalise]) -> String {
    let word = |step: &Normalise| match step {
        Normalise::Trim => "trim",
        Normalise::Lowercase => "lowercase",
        Normalise::Digits => "digits",
        Normalise::CollapseSpaces => "collapse-spaces",
    };
    if steps.is_empty() {
        return String::new();
    }
    format!(" after {}", list(steps.iter().map(word)))
}

fn of_tenant(tenant: Option<&Template>) -> String {
    tenant.map_or_else(|| ", of no tenant".to_owned(), |name| format!(", of {}", filled(name)))
}

fn of_aggregate(spec: &AggregateSpec) -> Vec<String> {
    let mut details = Vec::new();
    if !spec.group_by.is_empty() {
        details.push(format!("by {}", list(spec.group_by.iter())));
    }
    details.extend(spec.compute.iter().map(|(name, compute)| format!("{name}: {}", of(compute))));
    details.extend(spec.conditions.iter().map(condition));
    let of_whom = match &spec.per {
        Some(field) => format!("{} distinct values of {field}", spec.min_group_size),
        None => format!("{} records", spec.min_group_size),
    };
    details.push(format!(
        "groups of fewer than {of_whom} become one row, without numbers unless they are enough together"
    ));
    details
}

fn of(compute: &Compute) -> String {
    match compute {
        Compute::Count => "how many".to_owned(),
        Compute::Sum(field) => format!("sum of {field}"),
        Compute::Mean(field) => format!("mean of {field}"),
        Compute::Min(field) => format!("smallest {field}"),
        Compute::Max(field) => format!("largest {field}"),
    }
}

fn condition(condition: &Condition) -> String {
    let test = match &condition.test {
        Test::Equals(text) => format!("is {text:?}"),
        Test::Not(text) => format!("is not {text:?}"),
        Test::OneOf(texts) => format!("is one of {}", list(texts.iter())),
        Test::AtLeast(number) => format!("is at least {number}"),
        Test::Below(number) => format!("is below {number}"),
    };
    format!("where {} {test}", condition.field)
}

fn of_join(spec: &JoinSpec) -> Vec<String> {
    let [one, other] = &spec.on;
    let steps = steps(&spec.normalise);
    let mut details = vec![format!("{one} of the first and {other} of the second{steps}")];
    match &spec.aggregate {
        Some(aggregate) => details.extend(of_aggregate(aggregate)),
        None => details.push(format!(
            "of fewer than {} in common only that they are fewer",
            spec.min_group_size
        )),
    }
    details
}

/// How a plaintext is cut into records.
pub(super) const fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Csv => "CSV",
        Shape::Ndjson => "NDJSON",
        Shape::Json => "JSON",
        Shape::Bytes => "bytes",
    }
}

/// An encryption context that data gets.
pub(super) fn context(context: &BTreeMap<String, Template>) -> String {
    if context.is_empty() {
        return String::new();
    }
    format!(", in the context {}", entries(context))
}

/// The entries of an encryption context.
pub(super) fn entries(context: &BTreeMap<String, Template>) -> String {
    list(context.iter().map(|(name, value)| format!("{name} = {}", filled(value))))
}

fn filled(value: &Template) -> String {
    let arg = value.arg().map(|arg| (arg.to_owned(), format!("<{arg}>")));
    value.fill(&arg.into_iter().collect())
}

/// Things in a row.
pub(super) fn list<T: Display>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
