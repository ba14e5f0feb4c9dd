//! The keys that a test of the Encryption SDK's vectors may be opened with.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_envelope::keyring::{KeyringError, RawAes, RawRsa, RsaPadding};

use crate::text;

/// A set's `keys.json`.
pub(crate) struct Keys(BTreeMap<String, Value>);

/// One of a test's `master-keys`.
pub(crate) enum MasterKey {
    Aes(RawAes),
    Rsa(RawRsa),
    /// Can not be had here.
    Kms,
}

impl Keys {
    pub(crate) fn new(file: &Value) -> Result<Self, String> {
        let keys = file.get("keys").and_then(Value::as_object).ok_or("keys: no list")?;
        Ok(Self(keys.iter().map(|(name, key)| (name.clone(), key.clone())).collect()))
    }

    pub(crate) fn master_key(&self, entry: &Value) -> Result<MasterKey, String> {
        match text(entry, "type").ok_or("a master key without type")? {
            "raw" => self.raw(entry),
            kms if kms.starts_with("aws-kms") => Ok(MasterKey::Kms),
            other => Err(format!("master key of type {other:?}")),
        }
    }

    fn raw(&self, entry: &Value) -> Result<MasterKey, String> {
        let name = text(entry, "key").ok_or("a raw master key without key")?;
        let key = self.0.get(name).ok_or_else(|| format!("no key {name:?}"))?;
        let namespace = text(entry, "provider-id").ok_or("a raw master key without provider")?;
        let id = text(key, "key-id").unwrap_or(name);
        let material = material(key)?;
        let made = match text(entry, "encryption-algorithm") {
            Some("aes") => RawAes::new(namespace, id, &material).map(MasterKey::Aes),
            Some("rsa") => {
                let padding = padding(entry)?;
                let made = match text(key, "type") {
                    // It wraps only; the test lists the private key too.
                    Some("public") => RawRsa::from_public(namespace, id, &material, padding),
                    _ => RawRsa::from_private(namespace, id, &material, padding),
                };
                made.map(MasterKey::Rsa)
            }
            other => return Err(format!("raw master key for {other:?}")),
        };
        made.map_err(|error| format!("key {name:?}: {error}"))
    }
}

impl MasterKey {
    pub(crate) fn unwrap(
        &self,
        encrypted: &EncryptedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KeyringError> {
        match self {
            Self::Aes(key) => key.unwrap(encrypted, context),
            Self::Rsa(key) => key.unwrap(encrypted, context),
            Self::Kms => Err(KeyringError::OtherKey),
        }
    }
}

fn padding(entry: &Value) -> Result<RsaPadding, String> {
    match (text(entry, "padding-algorithm"), text(entry, "padding-hash")) {
        (Some("pkcs1"), _) => Ok(RsaPadding::Pkcs1),
        (Some("oaep-mgf1"), Some("sha1")) => Ok(RsaPadding::OaepSha1),
        (Some("oaep-mgf1"), Some("sha256")) => Ok(RsaPadding::OaepSha256),
        (Some("oaep-mgf1"), Some("sha384")) => Ok(RsaPadding::OaepSha384),
        (Some("oaep-mgf1"), Some("sha512")) => Ok(RsaPadding::OaepSha512),
        other => Err(format!("padding {other:?}")),
    }
}

/// The bytes of an AES key, the DER of an RSA key.
fn material(key: &Value) -> Result<Vec<u8>, String> {
    // One string, or in old sets the lines of one.
    let text = match (key.get("material"), text(key, "line-separator")) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(Value::Array(lines)), separator) => {
            let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
            lines.join(separator.unwrap_or_default())
        }
        _ => return Err("a key without material".to_owned()),
    };
    match self::text(key, "encoding") {
        Some("base64") => STANDARD.decode(text).map_err(|error| error.to_string()),
        Some("pem") => der(&text),
        other => Err(format!("key in encoding {other:?}")),
    }
}

fn der(pem: &str) -> Result<Vec<u8>, String> {
    let pem = pem.trim();
    let inside = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim);
    let der = STANDARD.decode(inside.collect::<String>()).map_err(|error| error.to_string())?;
    Ok(match pem.lines().next() {
        Some("-----BEGIN RSA PRIVATE KEY-----") => {
            // version 0, algorithm rsaEncryption with NULL, then the key
            let algorithm = b"\x02\x01\0\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\0";
            tlv(0x30, &[&algorithm[..], &tlv(0x04, &der)].concat())
        }
        _ => der,
    })
}

/// DER of more than 255 and less than 65 536 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a private key").to_be_bytes();
    [&[tag, 0x82][..], &len, content].concat()
}
