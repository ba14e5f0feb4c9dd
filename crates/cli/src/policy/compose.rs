//! Writes a key policy for enclaves, without the holes that [`super::lint`] knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// An image that may decrypt: its PCRs, 96 hex digits each. PCR0 is among them.
pub(crate) type Image = BTreeMap<u8, String>;

/// Who may what.
pub(crate) struct Roles {
    /// Role of the parent instance, whose credentials the enclave uses.
    pub(crate) parent: String,
    /// Who administers the key: a role, or the account.
    pub(crate) administrator: String,
    /// Who encrypts for the enclave.
    pub(crate) producers: Vec<String>,
    /// Who has KMS make keys that nobody sees, for the manifest.
    pub(crate) secret_makers: Vec<String>,
    /// Encryption context that every use must have.
    pub(crate) context: BTreeMap<String, String>,
}

/// A key policy under which `images`, in enclaves of the parent, use the key, and
/// nobody decrypts outside of them.
pub(crate) fn policy(images: &[Image], roles: &Roles) -> Value {
    let mut statements = vec![json!({
        "Sid": "Administration",
        "Effect": "Allow",
        "Principal": { "AWS": roles.administrator },
        "Action": ADMINISTRATION,
        "Resource": "*",
    })];
    if !roles.producers.is_empty() {
        statements.push(json!({
            "Sid": "Producers",
            "Effect": "Allow",
            "Principal": { "AWS": roles.producers },
            "Action": ["kms:GenerateDataKey", "kms:Encrypt"],
            "Resource": "*",
        }));
    }
    if !roles.secret_makers.is_empty() {
        statements.push(json!({
            "Sid": "SecretMakers",
            "Effect": "Allow",
            "Principal": { "AWS": roles.secret_makers },
            "Action": [
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:GenerateDataKeyPairWithoutPlaintext",
            ],
            "Resource": "*",
        }));
    }
    // One each: in one statement, the PCR0 of one image and the PCR8 of another
    // would do together.
    for (number, image) in (1..).zip(images) {
        let number: u32 = number;
        statements.push(json!({
            "Sid": format!("Image{number}"),
            "Effect": "Allow",
            "Principal": { "AWS": roles.parent },
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": condition(image, &roles.context),
        }));
    }
    statements.push(json!({
        "Sid": "NobodyWithoutAttestation",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["kms:Decrypt", "kms:ReEncryptFrom"],
        "Resource": "*",
        "Condition": { "Null": { "kms:RecipientAttestation:ImageSha384": "true" } },
    }));
    // Whatever IAM policies let the role do: the parent is not to change this one.
    statements.push(json!({
        "Sid": "ParentOnlyDecrypts",
        "Effect": "Deny",
        "Principal": { "AWS": roles.parent },
        "NotAction": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
        "Resource": "*",
    }));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn condition(image: &Image, context: &BTreeMap<String, String>) -> Value {
    let pcrs: serde_json::Map<String, Value> = image
        .iter()
        .map(|(pcr, value)| {
            let key = match pcr {
                0 => "kms:RecipientAttestation:ImageSha384".to_owned(),
                pcr => format!("kms:RecipientAttestation:PCR{pcr}"),
            };
            (key, value.clone().into())
        })
        .collect();
    let mut condition = serde_json::Map::new();
    condition.insert("StringEqualsIgnoreCase".to_owned(), Value::Object(pcrs));
    if !context.is_empty() {
        let context: serde_json::Map<String, Value> = context
            .iter()
            .map(|(name, value)| (format!("kms:EncryptionContext:{name}"), value.clone().into()))
            .collect();
        condition.insert("StringEquals".to_owned(), Value::Object(context));
    }
    Value::Object(condition)
}

/// What an administrator does: nothing with data, and no grants.
const ADMINISTRATION: &[&str] = &[
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:Describe*",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Get*",
    "kms:List*",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];
