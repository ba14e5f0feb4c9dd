//! The Encryption SDK's own decrypt vectors, in any number of folders and in
//! every version of their manifest.
//!
//! ```text
//! DIR/esdk/**/manifest.json or decrypt_message.json
//!     {manifest: {type: "awses-decrypt", version: 1 to 4}, keys: "file://…", tests: {id: {
//!         ciphertext, master-keys, encryption-context?, decryption-method?,
//!         plaintext | result: {output: {plaintext}} | result: {error}}}}
//! ```
//!
//! A message that a raw key opens must give its plaintext; one that only KMS
//! opens must parse; one that the manifest calls bad, or that lies in a folder
//! named "invalid…", must fail. There is no fourth verdict.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::esdk::{
    CommitmentPolicy, EncryptionContext, FormatError, Header, Limits, Opener, Policy, Signatures,
};
use strongroom_envelope::keyring::KeyringError;

use crate::master_keys::{Keys, MasterKey};
use crate::tally::Tally;
use crate::{folder, read, text};

#[test]
fn official_encryption_sdk_vectors_get_their_verdicts() {
    let Some(root) = folder("esdk").filter(|root| root.is_dir()) else { return };
    let (mut folders, mut wrong) = (Vec::new(), 0);
    collect_folders(&root, &mut folders);
    for folder in folders {
        let name = folder.strip_prefix(&root).unwrap().display().to_string();
        for set in Set::all_in(&folder, &name) {
            let mut tally = Tally::default();
            for (id, test) in &set.tests {
                let verdict = set.judge(test);
                tally.add(verdict.as_ref().unwrap_or(&"test"), id, verdict.map(|_| ()));
            }
            wrong += tally.report(&format!("esdk/{name} (version {})", set.version));
        }
    }
    assert_eq!(wrong, 0, "{wrong} wrong verdicts");
}

/// A manifest and what it names.
struct Set {
    folder: PathBuf,
    version: u64,
    keys: Keys,
    tests: Vec<(String, Value)>,
    /// Whether every message of it is bad.
    invalid: bool,
}

impl Set {
    fn all_in(folder: &Path, name: &str) -> Vec<Self> {
        let files = ["manifest.json", "decrypt_message.json"].map(|file| folder.join(file));
        let files = files.into_iter().filter(|file| file.is_file());
        files.filter_map(|file| Self::read(folder, name, &file)).collect()
    }

    /// `None` for a manifest of something else: keys, messages to encrypt.
    fn read(folder: &Path, name: &str, file: &Path) -> Option<Self> {
        let manifest = json(file).unwrap();
        let head = &manifest["manifest"];
        if text(head, "type") != Some("awses-decrypt") {
            return None;
        }
        let version = head["version"].as_u64().expect("a version");
        assert!((1..=4).contains(&version), "{name}: manifest version {version}");
        let keys = text(&manifest, "keys").expect("keys");
        let keys = json(&file_in(folder, keys)).and_then(|file| Keys::new(&file)).unwrap();
        let tests = manifest["tests"].as_object().expect("tests").clone().into_iter().collect();
        let invalid = name.split('/').any(|part| part.starts_with("invalid"));
        Some(Self { folder: folder.to_owned(), version, keys, tests, invalid })
    }

    /// What was right about a test, or what was wrong.
    fn judge(&self, test: &Value) -> Result<&'static str, String> {
        let message = read(&self.file(test, "ciphertext")?)?;
        let keys = test.get("master-keys").and_then(Value::as_array).ok_or("no master keys")?;
        let keys = keys.iter().map(|key| self.keys.master_key(key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let only_kms = keys.iter().all(|key| matches!(key, MasterKey::Kms));
        let expected = self.expected(test)?;
        match (open(&message, test, &keys), expected) {
            (Ok(plaintext), Some(expected)) if plaintext == expected => Ok("opened"),
            (Ok(_), Some(_)) => Err("another plaintext".to_owned()),
            (Ok(_), None) => Err("opened, though it is bad".to_owned()),
            (Err(Refused::NeedsKms), Some(_)) => Ok("KMS, parsed"),
            // Not every fault shows before the data key is there.
            (Err(Refused::NeedsKms), None) => Ok("bad, KMS, parsed"),
            (Err(Refused::Because(_)), None) if only_kms => Ok("bad, KMS, refused"),
            (Err(Refused::Because(_)), None) => Ok("bad, refused"),
            (Err(Refused::Because(why)), Some(_)) => Err(why),
        }
    }

    /// The plaintext; `None` if there is to be none.
    fn expected(&self, test: &Value) -> Result<Option<Vec<u8>>, String> {
        let result = test.get("result");
        if self.invalid || result.is_some_and(|result| result.get("error").is_some()) {
            return Ok(None);
        }
        let output = result.and_then(|result| result.get("output")).unwrap_or(test);
        read(&self.file(output, "plaintext")?).map(Some)
    }

    fn file(&self, entry: &Value, field: &str) -> Result<PathBuf, String> {
        let uri = text(entry, field).ok_or_else(|| format!("no {field}"))?;
        Ok(file_in(&self.folder, uri))
    }
}

/// Why there is no plaintext.
enum Refused {
    /// It parses, and no raw key is there for it.
    NeedsKms,
    Because(String),
}

impl<E: ToString> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Because(error.to_string())
    }
}

fn open(message: &[u8], test: &Value, keys: &[MasterKey]) -> Result<Vec<u8>, Refused> {
    let mut policy =
        Policy { commitment: CommitmentPolicy::AllowLegacy, signatures: Signatures::Accept };
    if text(test, "decryption-method") == Some("streaming-unsigned-only") {
        policy.signatures = Signatures::Refuse;
    }
    let limits = Limits::default();
    let (header, len) = Header::parse(message, &limits, &policy)?.ok_or("ends in its header")?;
    check_policy(message, &header)?;
    let header = header.with_required_context(&supplied_context(test)?)?;
    let mut last = None;
    for encrypted in header.encrypted_data_keys() {
        for key in keys {
            match key.unwrap(encrypted, header.encryption_context()) {
                Ok(key) => {
                    let opener = Opener::new(header.clone(), &key)?;
                    return Ok(drain(opener, message.get(len..).unwrap_or_default())?);
                }
                Err(KeyringError::OtherKey) => {}
                Err(error) => last = Some(error),
            }
        }
    }
    let kms = keys.iter().any(|key| matches!(key, MasterKey::Kms));
    let for_kms = header.encrypted_data_keys().iter().any(|key| key.provider_id == "aws-kms");
    match last {
        Some(error) => Err(error.into()),
        None if kms && for_kms => Err(Refused::NeedsKms),
        None => Err("no encrypted data key is under a key of the test".into()),
    }
}

/// A job that says nothing opens no legacy suite, whatever else is right.
fn check_policy(message: &[u8], header: &Header) -> Result<(), String> {
    let strict = Header::parse(message, &Limits::default(), &Policy::default());
    let refused = matches!(strict, Err(FormatError::NotKeyCommitting(_)));
    if refused == header.suite().is_committing() {
        return Err("the default policy is not kept to".to_owned());
    }
    Ok(())
}

fn supplied_context(test: &Value) -> Result<EncryptionContext, String> {
    let Some(context) = test.get("encryption-context").and_then(Value::as_object) else {
        return Ok(EncryptionContext::default());
    };
    let pairs = context.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or("")));
    EncryptionContext::new(pairs).map_err(|error| error.to_string())
}

/// Feeds a body in pieces that fit no frame length.
fn drain(mut opener: Opener, body: &[u8]) -> Result<Vec<u8>, String> {
    let (mut buffer, mut out) = (Vec::new(), SecretBuf::new());
    for piece in body.chunks(1000) {
        buffer.extend_from_slice(piece);
        let used = opener.open(&buffer, &mut out, usize::MAX).map_err(|e| e.to_string())?;
        buffer.drain(..used);
    }
    opener.finish().map_err(|error| error.to_string())?;
    Ok(out.expose().to_vec())
}

fn collect_folders(folder: &Path, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    let mut inside: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inside.sort();
    for path in inside.into_iter().filter(|path| path.is_dir()) {
        collect_folders(&path, found);
    }
}

fn file_in(folder: &Path, uri: &str) -> PathBuf {
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    folder.join(path.trim_start_matches('/'))
}

fn json(path: &Path) -> Result<Value, String> {
    serde_json::from_slice(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}
