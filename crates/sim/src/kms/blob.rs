//! Ciphertext blobs: opaque to everyone but this KMS.
//!
//! ```text
//! prefix 01 02 02 00 | key id 16 | nonce 12 | AES-256-GCM ciphertext | tag 16
//! ```
//! The AAD is everything before the nonce, then the encryption context sorted
//! by key with every string length-prefixed.

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};

use super::key::{Key, KeyId};

/// An encryption context.
pub(crate) type Context = BTreeMap<String, String>;

/// Encrypts under a key.
pub(crate) fn seal(key: &Key, context: &Context, plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = rand::random();
    let header = [PREFIX, &key.id.0].concat();
    let aad = aad(&header, context);
    #[expect(clippy::expect_used, reason = "GCM takes 64 GiB; KMS plaintexts are at most 4 KiB")]
    let sealed = cipher(key)
        .encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: &aad })
        .expect("a KMS plaintext is far below GCM's limit");
    [header.as_slice(), &nonce, &sealed].concat()
}

/// The key a blob names; `None` when it is no blob of this KMS.
pub(crate) fn key_id(blob: &[u8]) -> Option<KeyId> {
    let id = blob.strip_prefix(PREFIX)?.first_chunk::<16>()?;
    Some(KeyId(*id))
}

/// Decrypts; `None` when the blob, the key or the context is not the right one.
pub(crate) fn open(key: &Key, context: &Context, blob: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = blob.split_at_checked(PREFIX.len() + 16)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    let aad = aad(header, context);
    cipher(key).decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: &aad }).ok()
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new(&key.material.into())
}

fn aad(header: &[u8], context: &Context) -> Vec<u8> {
    let mut out = header.to_vec();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        out.extend(text.len().to_be_bytes());
        out.extend(text.as_bytes());
    }
    out
}

const PREFIX: &[u8] = &[1, 2, 2, 0];
const NONCE_LEN: usize = 12;
