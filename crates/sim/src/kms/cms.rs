//! `CiphertextForRecipient`: a CMS EnvelopedData (RFC 5652 §6) in the very
//! bytes KMS writes, BER with indefinite lengths, checked against real ones by
//! size and shape.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use rsa::PublicKey;
use sha2::{Digest, Sha256};

use crate::asn1::{INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET, constructed, indefinite, tlv};

/// How the encrypted content is written. KMS shows both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmsForm {
    /// Constructed `[0]` of octet strings of at most this many bytes.
    Chunks(usize),
    /// One primitive `[0]`.
    Primitive,
}

impl Default for CmsForm {
    /// Chunks of 1000 bytes, the size BER writers commonly use.
    fn default() -> Self {
        Self::Chunks(1000)
    }
}

/// The key a response is encrypted to.
pub(crate) struct RecipientKey {
    /// SubjectPublicKeyInfo, DER.
    pub(crate) spki: Vec<u8>,
    pub(crate) key: PublicKey,
}

/// Encrypts `plaintext` to the recipient.
///
/// `None` when RSA refuses, which a key of 2048 bits and more does not.
pub(crate) fn seal(recipient: &RecipientKey, plaintext: &[u8], form: CmsForm) -> Option<Vec<u8>> {
    let cek: [u8; 32] = rand::random();
    let iv: [u8; 16] = rand::random();
    let wrapped = recipient.key.oaep_encrypt::<Sha256>(&cek).ok()?;
    let recipient_info = constructed(
        SEQUENCE,
        &[
            &tlv(INTEGER, &[2]),
            &tlv(CONTEXT_0_PRIMITIVE, &Sha256::digest(&recipient.spki)),
            &oaep_algorithm(),
            &tlv(OCTET_STRING, &wrapped),
        ],
    );
    let cipher = constructed(SEQUENCE, &[&tlv(OID, AES256_CBC), &tlv(OCTET_STRING, &iv)]);
    let content = encrypted_content(&encrypt(&cek, &iv, plaintext)?, form);
    let content_info = indefinite(SEQUENCE, &[&tlv(OID, DATA), &cipher, &content]);
    let enveloped =
        indefinite(SEQUENCE, &[&tlv(INTEGER, &[2]), &tlv(SET, &recipient_info), &content_info]);
    let explicit = indefinite(CONTEXT_0, &[&enveloped]);
    Some(indefinite(SEQUENCE, &[&tlv(OID, ENVELOPED_DATA), &explicit]))
}

/// RSAES-OAEP with SHA-256 for hash and MGF1, empty label (RFC 4055 §4.1).
fn oaep_algorithm() -> Vec<u8> {
    let sha256 = constructed(SEQUENCE, &[&tlv(OID, SHA256), &tlv(NULL, &[])]);
    let mgf = constructed(SEQUENCE, &[&tlv(OID, MGF1), &sha256]);
    let params = constructed(SEQUENCE, &[&tlv(CONTEXT_0, &sha256), &tlv(CONTEXT_1, &mgf)]);
    constructed(SEQUENCE, &[&tlv(OID, RSAES_OAEP), &params])
}

fn encrypt(cek: &[u8; 32], iv: &[u8; 16], plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; plaintext.len() / 16 * 16 + 16];
    let cipher = cbc::Encryptor::<aes::Aes256>::new(cek.into(), iv.into());
    cipher.encrypt_padded_b2b::<Pkcs7>(plaintext, &mut out).ok()?;
    Some(out)
}

fn encrypted_content(ciphertext: &[u8], form: CmsForm) -> Vec<u8> {
    match form {
        CmsForm::Primitive => tlv(CONTEXT_0_PRIMITIVE, ciphertext),
        CmsForm::Chunks(size) => {
            let chunks: Vec<u8> =
                ciphertext.chunks(size.max(1)).flat_map(|chunk| tlv(OCTET_STRING, chunk)).collect();
            indefinite(CONTEXT_0, &[&chunks])
        }
    }
}

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
const CONTEXT_0_PRIMITIVE: u8 = 0x80;

/// 1.2.840.113549.1.7.3
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3];
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// 1.2.840.113549.1.1.7
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
/// 1.2.840.113549.1.1.8
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
/// 2.16.840.1.101.3.4.2.1
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// 2.16.840.1.101.3.4.1.42
const AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2a];

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};

    use super::*;

    fn recipient() -> (rsa::PrivateKey, RecipientKey) {
        let private = rsa::PrivateKey::new(&mut rand::rng(), 2048).unwrap();
        let key = PublicKey::from(&private);
        let spki = key.to_public_key_der().unwrap().as_bytes().to_vec();
        (private, RecipientKey { spki, key })
    }

    /// The sizes of `CiphertextForRecipient` that the real KMS answers with.
    #[test]
    fn answers_are_as_long_as_real_ones() {
        let (_, key) = recipient();
        for (plaintext, form, size) in [
            (12, CmsForm::default(), 461),
            (32, CmsForm::default(), 493),
            (154, CmsForm::default(), 606),
            (12, CmsForm::Primitive, 457),
        ] {
            assert_eq!(seal(&key, &vec![7; plaintext], form).unwrap().len(), size);
        }
    }

    #[test]
    fn openssl_opens_every_form() {
        let (private, key) = recipient();
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key.der");
        std::fs::write(&key_file, private.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        for form in [CmsForm::Chunks(1000), CmsForm::Chunks(7), CmsForm::Primitive] {
            for len in [1, 15, 16, 32, 4096] {
                let plaintext = vec![0x5a; len];
                let file = folder.path().join("cms.der");
                std::fs::write(&file, seal(&key, &plaintext, form).unwrap()).unwrap();
                let output = Command::new("openssl")
                    .args(["cms", "-decrypt", "-binary", "-inform", "DER", "-in"])
                    .arg(&file)
                    .args(["-keyform", "DER", "-inkey"])
                    .arg(&key_file)
                    .output()
                    .expect("this test needs the openssl command (apt install openssl)");
                assert!(output.stdout == plaintext, "{form:?} {len}: {output:?}");
            }
        }
    }
}
