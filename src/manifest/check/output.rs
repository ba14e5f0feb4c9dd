//! Outputs: in what form, and for whom.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_envelope::esdk::FrameLen;

use super::input::field_path;
use super::{check_context, check_key};
use crate::manifest::fields::{FieldPath, Shape};
use crate::manifest::raw::{AnyWord, RawFields, RawOutput, RawRecipients};
use crate::manifest::{
    ByteCount, Input, KmsOutput, ManifestError, OutputSpec, Recipients, Region, Template,
};

impl RawOutput {
    pub(super) fn check(
        self,
        inputs: &[Input],
        args: &BTreeSet<&str>,
        region: &Region,
    ) -> Result<OutputSpec, ManifestError> {
        match self {
            Self::None { pad_to: None } => Ok(OutputSpec::None),
            Self::None { pad_to: Some(_) } => Err(ManifestError::value(
                "output.pad_to",
                "hides the length of what is encrypted; protect = \"none\" encrypts nothing",
            )),
            Self::Kms { key, context, frame, signed, fields, pad_to, reuse } => {
                let Some(frame) = FrameLen::new(frame.0) else {
                    return Err(ManifestError::value("output.frame", "must be 1 byte to 8MiB"));
                };
                let key = check_key("output.key", &key, region)?;
                let context = check_context("output.context", context, args)?;
                let pad_to = check_padding(pad_to)?;
                let reuse = reuse.map(|reuse| reuse.check(signed)).transpose()?;
                let kms = KmsOutput { key, context, frame, signed, pad_to, reuse };
                match (fields, inputs) {
                    (None, _) => Ok(OutputSpec::Kms(kms)),
                    (Some(fields), [input]) => {
                        Ok(OutputSpec::Fields(fields.check(&kms, input.shape, args)?, kms))
                    }
                    (Some(_), _) => {
                        Err(ManifestError::value("output.fields", "a join's result has none"))
                    }
                }
            }
            Self::Seal { to, pad_to } => {
                Ok(OutputSpec::Seal { to: to.check()?, pad_to: check_padding(pad_to)? })
            }
        }
    }
}

impl RawFields {
    fn check(
        self,
        kms: &KmsOutput,
        shape: Shape,
        args: &BTreeSet<&str>,
    ) -> Result<BTreeMap<FieldPath, BTreeMap<String, Template>>, ManifestError> {
        let each = match self {
            Self::Listed(names) => names.into_iter().map(|name| (name, BTreeMap::new())).collect(),
            Self::Each(fields) => fields,
        };
        let field = |(name, context): (String, BTreeMap<String, String>)| {
            let place = format!("output.fields.{name:?}");
            let context = check_context(&place, context, args)?;
            if let Some(twice) = context.keys().find(|name| kms.context.contains_key(*name)) {
                let problem = format!("{twice:?} stands in output.context too");
                return Err(ManifestError::value(place, problem));
            }
            Ok((field_path("output.fields", &name, shape)?, context))
        };
        each.into_iter().map(field).collect()
    }
}

impl RawRecipients {
    fn check(self) -> Result<Recipients, ManifestError> {
        match self {
            Self::Word(AnyWord::Any) => Ok(Recipients::Any),
            Self::Listed(keys) => {
                let keys: Result<Vec<_>, _> = keys.iter().map(|key| public_key(key)).collect();
                match keys {
                    Ok(keys) if !keys.is_empty() => Ok(Recipients::Listed(keys)),
                    _ => Err(ManifestError::value(
                        "output.to",
                        "must be \"any\" or a list of X25519 public keys of 64 hex digits each",
                    )),
                }
            }
        }
    }
}

fn check_padding(pad_to: Option<ByteCount>) -> Result<Option<usize>, ManifestError> {
    match pad_to {
        None => Ok(None),
        Some(ByteCount(bytes)) if (16..=MAX_PADDING).contains(&bytes) => Ok(Some(bytes)),
        Some(_) => Err(ManifestError::value("output.pad_to", "must be 16 bytes to 64MiB")),
    }
}

fn public_key(text: &str) -> Result<[u8; 32], hex::FromHexError> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map(|()| key)
}

/// Most that a result is padded to a multiple of, in bytes.
const MAX_PADDING: usize = 64 << 20;
