//! Real and crafted `CiphertextForRecipient` messages.
//!
//! ```text
//! DIR/kms-cms/manifest.json           list of {id, rid, plaintext_hex?}: real-<id>.ber,
//!                                     and real-<id>.key.pkcs8.der where its key is known
//! DIR/kms-cms/crafted/manifest.json   list of {file, key, expect, plaintext_hex?, plaintext_sha256?}
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use rsa::sha2::{Digest, Sha256};
use serde_json::Value;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::cms::{self, RecipientKey};

use crate::tally::Tally;
use crate::{folder, read, text};

#[test]
fn real_kms_cms_vectors_open_or_parse() {
    let Some((folder, list)) = manifest("kms-cms") else { return };
    let mut tally = Tally::default();
    for entry in list {
        let id = text(&entry, "id").unwrap_or_default().to_owned();
        let verdict = real(&folder, &id, &entry);
        tally.add("real", &id, verdict);
    }
    tally.finish("kms-cms");
}

#[test]
fn crafted_kms_cms_vectors_get_their_verdicts() {
    let Some((folder, list)) = manifest("kms-cms/crafted") else { return };
    let mut tally = Tally::default();
    for entry in list {
        let name = text(&entry, "file").unwrap_or_default().to_owned();
        let expect = text(&entry, "expect").unwrap_or_default().to_owned();
        let verdict = crafted(&folder, &name, &expect, &entry);
        tally.add(&expect, &name, verdict);
    }
    tally.finish("kms-cms/crafted");
}

/// A real message opens with its key; without one it must at least be of the
/// profile and name the recipient that the manifest says.
fn real(folder: &Path, id: &str, entry: &Value) -> Result<(), String> {
    let message = read(&folder.join(format!("real-{id}.ber")))?;
    let parsed = cms::parse(&message).map_err(|error| error.to_string())?;
    if let Some(recipient) = text(entry, "rid")
        && hex::encode(parsed.recipient()) != recipient
    {
        return Err(format!("names recipient {}", hex::encode(parsed.recipient())));
    }
    let key = folder.join(format!("real-{id}.key.pkcs8.der"));
    if !key.exists() {
        return Ok(());
    }
    let key = RecipientKey::from_pkcs8(&read(&key)?).map_err(|error| error.to_string())?;
    let plaintext = key.open(&message).map_err(|error| error.to_string())?;
    claimed(entry, &plaintext)
}

fn crafted(folder: &Path, name: &str, expect: &str, entry: &Value) -> Result<(), String> {
    let message = read(&folder.join(name))?;
    let key = text(entry, "key").ok_or("no key named")?;
    let opened = RecipientKey::from_pkcs8(&read(&folder.join(key))?)
        .and_then(|key| key.open(&message))
        .map_err(|error| error.to_string());
    match (expect, opened) {
        ("accept", Ok(plaintext)) | ("accept-optional", Ok(plaintext)) => {
            claimed(entry, &plaintext)
        }
        ("accept", Err(error)) => Err(error),
        // There is no mock mode.
        ("reject" | "accept-if-mock-mode", Ok(_)) => Err("opened".to_owned()),
        ("reject-or-garbage", Ok(plaintext)) => match claimed(entry, &plaintext) {
            Ok(()) if claims(entry) => Err("opened to the claimed plaintext".to_owned()),
            Ok(()) | Err(_) => Ok(()),
        },
        ("reject" | "accept-if-mock-mode" | "accept-optional" | "reject-or-garbage", Err(_)) => {
            Ok(())
        }
        _ => Err(format!("unknown verdict {expect:?}")),
    }
}

fn claims(entry: &Value) -> bool {
    text(entry, "plaintext_hex").or(text(entry, "plaintext_sha256")).is_some()
}

/// Compares with what the manifest says the plaintext is, where it says so.
fn claimed(entry: &Value, plaintext: &SecretBuf) -> Result<(), String> {
    let plaintext = plaintext.expose();
    if let Some(hex) = text(entry, "plaintext_hex")
        && hex::encode(plaintext) != hex.to_lowercase()
    {
        return Err("another plaintext".to_owned());
    }
    if let Some(digest) = text(entry, "plaintext_sha256")
        && hex::encode(Sha256::digest(plaintext)) != digest.to_lowercase()
    {
        return Err("a plaintext of another digest".to_owned());
    }
    Ok(())
}

/// The folder and its list; `None` when there is nothing to run.
fn manifest(under: &str) -> Option<(PathBuf, Vec<Value>)> {
    let folder = folder(under)?;
    let text = fs::read(folder.join("manifest.json")).ok()?;
    let value: Value = serde_json::from_slice(&text).expect("the manifest is JSON");
    let list = match value {
        Value::Array(list) => list,
        Value::Object(map) => map.into_iter().find_map(|(_, value)| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })?,
        _ => return None,
    };
    Some((folder, list))
}
