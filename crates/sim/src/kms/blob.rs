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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kms::policy::{Policy, PolicyKind};

    fn key() -> Key {
        let policy = Policy::parse(&Policy::default_for("111122223333"), PolicyKind::Key).unwrap();
        Key::new("eu-west-1", "111122223333", policy, 0)
    }

    proptest! {
        #[test]
        fn a_blob_opens_with_its_key_and_context_only(
            plaintext in prop::collection::vec(any::<u8>(), 1..200),
            context in prop::collection::btree_map(".{1,8}", ".{0,8}", 0..4),
            bit in any::<prop::sample::Index>(),
        ) {
            let key = key();
            let blob = seal(&key, &context, &plaintext);
            prop_assert_eq!(key_id(&blob), Some(key.id));
            prop_assert_eq!(open(&key, &context, &blob), Some(plaintext));
            let mut other = context.clone();
            other.insert("another".into(), String::new());
            prop_assert_eq!(open(&key, &other, &blob), None);
            prop_assert_eq!(open(&Key { material: [1; 32], ..key.clone() }, &context, &blob), None);
            let mut flipped = blob.clone();
            let bit = bit.index(blob.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&key, &context, &flipped), None);
        }

        #[test]
        fn what_is_no_blob_does_not_open(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(open(&key(), &Context::new(), &bytes), None);
        }
    }

    #[test]
    fn contexts_that_concatenate_alike_are_different() {
        let context = |key: &str, value: &str| Context::from([(key.into(), value.into())]);
        assert_ne!(aad(b"", &context("ab", "c")), aad(b"", &context("a", "bc")));
    }
}
