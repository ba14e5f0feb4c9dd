//! Messages of the official Encryption SDK for Python, in every suite that it
//! can write, and ours read by it.
//!
//! Needs `aws-encryption-sdk[MPL]` in the interpreter that `STRONGROOM_PYTHON` names;
//! without the variable it says so and does nothing.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{
    EncryptedDataKey, EncryptionContext, FormatError, FrameLen, Header, Limits, Policy, Sealer,
    Signer,
};
use strongroom_envelope::keyring::{KeyringError, RawAes, RawRsa, RsaPadding};

use crate::support::{Reader, context, data_key};

const WRAPPING: [u8; 32] = [0x77; 32];
const NAMESPACE: &str = "official";

#[test]
fn official_sdk_and_we_read_each_other() {
    let Some(python) = env::var_os("STRONGROOM_PYTHON") else {
        let _ = writeln!(std::io::stderr(), "skipped: STRONGROOM_PYTHON names no interpreter");
        return;
    };
    let folder = empty_folder();
    let plaintext: Vec<u8> = (0..1024u16).map(|i| i as u8).collect();
    fs::write(folder.join("plaintext"), &plaintext).unwrap();
    write_ours(&folder, &plaintext);

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/esdk/official.py");
    let done = Command::new(python).arg(script).arg(&folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let mut read = 0;
    for name in names(&folder).filter(|name| name.matches('-').count() == 2) {
        assert_eq!(open(&folder, &name), plaintext, "{name}");
        read += 1;
    }
    assert_eq!(read, 11 * 5 + 2 * 8 - 2, "two of them are written twice");
}

/// Both suites that we write, under one encrypted data key and under two.
fn write_ours(folder: &Path, plaintext: &[u8]) {
    let keyring = RawAes::new(NAMESPACE, "aes256", &WRAPPING).unwrap();
    let frame_len = FrameLen::new(300).unwrap();
    let signer = Signer::new(&context()).unwrap();
    let wrapped = keyring.wrap(&data_key(), signer.encryption_context()).unwrap();
    let mut signed = Vec::new();
    let sealer = Sealer::signed(&data_key(), signer, &[wrapped], frame_len, &mut signed).unwrap();
    finish(sealer, plaintext, &mut signed);

    let other = RawAes::new(NAMESPACE, "other", &[1; 16]).unwrap();
    let wrapped = [&other, &keyring].map(|key| key.wrap(&data_key(), &context()).unwrap());
    let mut unsigned = Vec::new();
    let sealer = Sealer::new(&data_key(), &context(), &wrapped, frame_len, &mut unsigned).unwrap();
    finish(sealer, plaintext, &mut unsigned);

    fs::write(folder.join("ours-signed"), signed).unwrap();
    fs::write(folder.join("ours-unsigned"), unsigned).unwrap();
}

fn finish(mut sealer: Sealer, plaintext: &[u8], out: &mut Vec<u8>) {
    sealer.seal(plaintext, out).unwrap();
    sealer.finish(out).unwrap();
}

fn open(folder: &Path, name: &str) -> Vec<u8> {
    let message = fs::read(folder.join(name)).unwrap();
    let (suite, wrapping) = (&name[..4], name.rsplit('-').next().unwrap());
    let strict = Header::parse(&message, &Limits::default(), &Policy::default()).map(|_| ());
    let suite = u16::from_str_radix(suite, 16).unwrap();
    let named = strongroom_envelope::esdk::Suite::ALL.into_iter().find(|s| s.id() == suite);
    let mut reader = Reader::legacy(named.unwrap());
    let (header, _) = Header::parse(&message, &Limits::default(), &reader.policy).unwrap().unwrap();
    match header.suite().is_committing() {
        true => strict.unwrap(),
        false => assert_eq!(strict, Err(FormatError::NotKeyCommitting(suite))),
    }
    if name.contains("required") {
        assert_eq!(header.encryption_context().get("ä"), None);
        reader.required = vec![("ä".into(), "ö".into())];
    }
    let supplied = EncryptionContext::new(reader.required.clone()).unwrap();
    let header = header.with_required_context(&supplied).unwrap();
    let [encrypted] = header.encrypted_data_keys() else { panic!("one data key") };
    let key = unwrap(folder, wrapping, encrypted, header.encryption_context()).unwrap();
    reader.key = key.expose().to_vec();
    reader.open_in_parts(&message, &[97, 501], 400).plaintext()
}

fn unwrap(
    folder: &Path,
    wrapping: &str,
    encrypted: &EncryptedDataKey,
    context: &EncryptionContext,
) -> Result<DataKey, KeyringError> {
    assert_eq!(context.get("ä"), Some("ö"));
    let aes = |len| RawAes::new(NAMESPACE, wrapping, &WRAPPING[..len])?.unwrap(encrypted, context);
    let der = fs::read(folder.join("rsa.der")).unwrap();
    let rsa = |padding| {
        RawRsa::from_private(NAMESPACE, wrapping, &der, padding)?.unwrap(encrypted, context)
    };
    match wrapping {
        "aes128" => aes(16),
        "aes192" => aes(24),
        "aes256" => aes(32),
        "pkcs1" => rsa(RsaPadding::Pkcs1),
        "oaep1" => rsa(RsaPadding::OaepSha1),
        "oaep256" => rsa(RsaPadding::OaepSha256),
        "oaep384" => rsa(RsaPadding::OaepSha384),
        "oaep512" => rsa(RsaPadding::OaepSha512),
        other => panic!("{other}"),
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
}

fn empty_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("official-encryption-sdk");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}
