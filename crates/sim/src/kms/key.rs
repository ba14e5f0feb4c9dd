//! KMS keys and where they are kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::policy::Policy;

/// A symmetric encryption key.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) description: String,
    pub(crate) created_ms: u64,
    pub(crate) enabled: bool,
    pub(crate) policy: Policy,
    pub(crate) material_id: String,
    pub(crate) material: [u8; 32],
}

/// The UUID at the end of a key's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId(pub(crate) [u8; 16]);

impl KeyId {
    fn random() -> Self {
        Self(random_uuid())
    }

    /// From its text form, 8-4-4-4-12 hex digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        let bytes = hex::decode(text.replace('-', "")).ok()?;
        let id = Self(bytes.try_into().ok()?);
        (groups == [8, 4, 4, 4, 12]).then_some(id)
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&uuid_text(self.0))
    }
}

impl Key {
    /// A new key with new material.
    pub(crate) fn new(region: &str, account: &str, policy: Policy, created_ms: u64) -> Self {
        let id = KeyId::random();
        Self {
            arn: format!("arn:aws:kms:{region}:{account}:key/{id}"),
            id,
            account: account.into(),
            description: String::new(),
            created_ms,
            enabled: true,
            policy,
            material_id: hex::encode(rand::random::<[u8; 32]>()),
            material: rand::random(),
        }
    }

    /// `KeyMetadata` as CreateKey and DescribeKey return it.
    pub(crate) fn metadata(&self) -> Value {
        let seconds = self.created_ms / 1000;
        json!({
            "AWSAccountId": self.account,
            "KeyId": self.id.to_string(),
            "Arn": self.arn,
            "CreationDate": seconds,
            "Enabled": self.enabled,
            "Description": self.description,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": if self.enabled { "Enabled" } else { "Disabled" },
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": false,
            "CurrentKeyMaterialId": self.material_id,
        })
    }
}

/// All keys of this Region, of every account.
#[derive(Default)]
pub(crate) struct KeyStore(BTreeMap<KeyId, Key>);

impl KeyStore {
    pub(crate) fn insert(&mut self, key: Key) {
        self.0.insert(key.id, key);
    }

    pub(crate) fn by_id(&self, id: KeyId) -> Option<&Key> {
        self.0.get(&id)
    }

    pub(crate) fn by_arn(&self, arn: &str) -> Option<&Key> {
        self.0.values().find(|key| key.arn == arn)
    }

    pub(crate) fn by_arn_mut(&mut self, arn: &str) -> Option<&mut Key> {
        self.0.values_mut().find(|key| key.arn == arn)
    }

    /// Keys of one account after the given one, in the order of their ids.
    pub(crate) fn of_account<'a>(
        &'a self,
        account: &'a str,
        after: Option<KeyId>,
    ) -> impl Iterator<Item = &'a Key> {
        self.0
            .values()
            .filter(move |key| key.account == account && after.is_none_or(|after| key.id > after))
    }
}

/// A random UUID (version 4, RFC 9562 §5.4).
pub(crate) fn random_uuid() -> [u8; 16] {
    let random = u128::from_be_bytes(rand::random());
    let versioned = (random & !(0xf << 76)) | (4 << 76);
    let with_variant = (versioned & !(0b11 << 62)) | (0b10 << 62);
    with_variant.to_be_bytes()
}

/// 8-4-4-4-12 lower-case hex digits.
pub(crate) fn uuid_text(uuid: [u8; 16]) -> String {
    let digits = hex::encode(uuid);
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-")
}
