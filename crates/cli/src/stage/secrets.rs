//! The wrapped keys of a manifest, made anew: a simulated KMS has never seen the
//! manifest's own.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom::manifest::operations::{OperationSpec, SignatureAlgorithm};
use strongroom::manifest::{Manifest, SecretSpec};
use strongroom_envelope::SecretBuf;
use strongroom_sim::SimKms;

use crate::error::CliError;

/// A new key in the place of `secret`, as the simulated KMS wraps it, in base64:
/// a private key where a job signs with it, else 64 random bytes.
pub(super) fn wrapped(
    kms: &SimKms,
    manifest: &Manifest,
    name: &str,
    secret: &SecretSpec,
) -> Result<String, CliError> {
    let mut algorithms = manifest.jobs.values().filter_map(|job| match &job.operation {
        OperationSpec::Sign(spec) if spec.secret == name => Some(spec.algorithm),
        _ => None,
    });
    let key = match algorithms.next() {
        Some(algorithm) => private_key(algorithm),
        None => random(),
    };
    let key = key.map_err(|_| CliError::Internal("no key can be made"))?;
    let wrapped = kms.wrap(secret.key.as_str(), &secret.context, key.expose())?;
    Ok(STANDARD.encode(wrapped))
}

/// The manifest with `wrapped` in the place of what wraps the secret `name`: in
/// its own table, for placeholders may be alike.
pub(super) fn put(manifest: &str, name: &str, secret: &SecretSpec, wrapped: &str) -> String {
    let before = STANDARD.encode(&secret.wrapped);
    let named = |table: &str| {
        table.lines().any(|line| {
            let value = line.split_once('=').filter(|(key, _)| key.trim() == "name");
            value.is_some_and(|(_, value)| value.trim().trim_matches(['"', '\'']) == name)
        })
    };
    let mut tables = manifest.split("[[secret]]");
    let mut text = tables.next().unwrap_or_default().to_owned();
    for table in tables {
        // What follows the table itself has no secret's name before it.
        let own = table.find("\n[").map_or(table, |end| table.get(..end).unwrap_or(table));
        text.push_str("[[secret]]");
        if named(own) {
            text.push_str(&table.replacen(&before, wrapped, 1));
        } else {
            text.push_str(table);
        }
    }
    text
}

fn random() -> Result<SecretBuf, Unspecified> {
    let mut key = SecretBuf::new();
    rand::fill(key.grow(64))?;
    Ok(key)
}

/// A private key in PKCS#8 (RFC 5958).
fn private_key(algorithm: SignatureAlgorithm) -> Result<SecretBuf, Unspecified> {
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| -> Result<Vec<u8>, Unspecified> {
        let pair = EcdsaKeyPair::generate(algorithm)?;
        Ok(pair.to_pkcs8v1()?.as_ref().to_vec())
    };
    let der = match algorithm {
        SignatureAlgorithm::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        SignatureAlgorithm::EcdsaSecp256k1 => ecdsa(&ECDSA_P256K1_SHA256_ASN1_SIGNING)?,
        SignatureAlgorithm::Ed25519 => {
            Ed25519KeyPair::generate_pkcs8(&rand::SystemRandom::new())?.as_ref().to_vec()
        }
        SignatureAlgorithm::RsaPss => {
            let pair = rsa::KeyPair::generate(KeySize::Rsa2048)?;
            let der: Pkcs8V1Der<'_> = pair.as_der()?;
            der.as_ref().to_vec()
        }
    };
    Ok(SecretBuf::from_vec(der))
}
