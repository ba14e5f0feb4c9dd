//! Makes `CiphertextForRecipient` messages with RustCrypto and hand-assembled
//! BER: nothing of the code under test. Every field can be replaced by a wrong
//! one before [`Shape::build`].

use aes::cipher::block_padding::{NoPadding, Padding, Pkcs7};
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use rsa::pkcs8::DecodePublicKey;
use rsa::sha2::{Digest, Sha256};
use strongroom_envelope::cms::RecipientKey;

pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
pub(crate) const ENVELOPED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
pub(crate) const RSA_PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub(crate) const OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
pub(crate) const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
pub(crate) const AES128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
pub(crate) const AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
pub(crate) const AES256_GCM: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e];

pub(crate) const CEK: [u8; 32] = [0x5a; 32];
pub(crate) const IV: [u8; 16] = [0xa5; 16];

/// One message, field by field; complete values with their headers, unless said
/// otherwise.
#[derive(Clone)]
pub(crate) struct Shape {
    /// Contents of the outer OBJECT IDENTIFIER.
    pub(crate) outer_type: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) recipients: Vec<Recipient>,
    /// Contents of the inner OBJECT IDENTIFIER.
    pub(crate) content_type: Vec<u8>,
    pub(crate) content_algorithm: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// Whether the four outer values have indefinite lengths, as KMS writes them.
    pub(crate) indefinite: bool,
    /// Appended inside `EnvelopedData`.
    pub(crate) unprotected: Vec<u8>,
    /// Appended behind the message.
    pub(crate) trailing: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Recipient {
    pub(crate) version: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) encrypted_key: Vec<u8>,
}

impl Shape {
    /// What KMS answers for `plaintext`.
    pub(crate) fn new(key: &RecipientKey, plaintext: &[u8]) -> Self {
        Self {
            outer_type: ENVELOPED.to_vec(),
            version: integer(2),
            recipients: vec![Recipient::new(key, &CEK)],
            content_type: DATA.to_vec(),
            content_algorithm: content_algorithm(AES256_CBC, &IV),
            content: indefinite(0xa0, &[octets(&encrypt(plaintext))]),
            indefinite: true,
            unprotected: Vec::new(),
            trailing: Vec::new(),
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let wrap = if self.indefinite { indefinite } else { definite };
        let recipients: Vec<_> = self.recipients.iter().map(Recipient::build).collect();
        let content = wrap(
            0x30,
            &[
                definite(0x06, &[&self.content_type]),
                self.content_algorithm.clone(),
                self.content.clone(),
            ],
        );
        let recipients = definite(0x31, &recipients);
        let data =
            wrap(0x30, &[self.version.clone(), recipients, content, self.unprotected.clone()]);
        let outer_type = definite(0x06, &[&self.outer_type]);
        let mut message = wrap(0x30, &[outer_type, wrap(0xa0, &[data])]);
        message.extend_from_slice(&self.trailing);
        message
    }
}

impl Recipient {
    pub(crate) fn new(key: &RecipientKey, cek: &[u8]) -> Self {
        Self {
            version: integer(2),
            id: definite(0x80, &[Sha256::digest(key.public_key_der())]),
            algorithm: oaep(&hash_id(SHA256, true), &hash_id(SHA256, true), &[]),
            encrypted_key: octets(&wrap_key(key, cek)),
        }
    }

    fn build(&self) -> Vec<u8> {
        let parts = [&self.version, &self.id, &self.algorithm, &self.encrypted_key];
        definite(0x30, &parts)
    }
}

/// RSAES-OAEP with SHA-256 and no label, by RustCrypto.
pub(crate) fn wrap_key(key: &RecipientKey, cek: &[u8]) -> Vec<u8> {
    public(key).oaep_encrypt::<Sha256>(cek).unwrap()
}

pub(crate) fn public(key: &RecipientKey) -> rsa::PublicKey {
    rsa::PublicKey::from_public_key_der(key.public_key_der()).unwrap()
}

/// AES-256-CBC with PKCS#7 padding, by RustCrypto.
pub(crate) fn encrypt(plaintext: &[u8]) -> Vec<u8> {
    encrypt_with::<Pkcs7>(&CEK, plaintext)
}

/// The same without padding; `blocks` must be whole.
pub(crate) fn encrypt_raw(blocks: &[u8]) -> Vec<u8> {
    encrypt_with::<NoPadding>(&CEK, blocks)
}

/// [`encrypt`] under another key.
pub(crate) fn encrypt_under(cek: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    encrypt_with::<Pkcs7>(cek, plaintext)
}

fn encrypt_with<P: Padding>(cek: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let mut buffer = plaintext.to_vec();
    buffer.resize(plaintext.len() + 16, 0);
    cbc::Encryptor::<aes::Aes256>::new(&(*cek).into(), &IV.into())
        .encrypt_padded::<P>(&mut buffer, plaintext.len())
        .unwrap()
        .to_vec()
}

pub(crate) fn content_algorithm(oid: &[u8], iv: &[u8]) -> Vec<u8> {
    definite(0x30, &[definite(0x06, &[oid]), octets(iv)])
}

/// RSAES-OAEP's identifier: hash and mask hash are complete identifiers, `more`
/// goes behind them.
pub(crate) fn oaep(hash: &[u8], mask_hash: &[u8], more: &[u8]) -> Vec<u8> {
    let mask = definite(0x30, &[&definite(0x06, &[MGF1]), mask_hash]);
    let parameters = definite(0x30, &[&definite(0xa0, &[hash]), &definite(0xa1, &[&mask]), more]);
    definite(0x30, &[definite(0x06, &[OAEP]), parameters])
}

pub(crate) fn hash_id(oid: &[u8], null: bool) -> Vec<u8> {
    let parameters: &[u8] = if null { &[5, 0] } else { &[] };
    definite(0x30, &[&definite(0x06, &[oid]), parameters])
}

pub(crate) fn integer(value: u8) -> Vec<u8> {
    definite(0x02, &[[value]])
}

pub(crate) fn octets(contents: &[u8]) -> Vec<u8> {
    definite(0x04, &[contents])
}

pub(crate) fn definite<T: AsRef<[u8]>>(identifier: u8, parts: &[T]) -> Vec<u8> {
    let contents = concat(parts);
    let mut value = vec![identifier];
    match contents.len() {
        length @ 0..0x80 => value.push(length as u8),
        length @ 0x80..0x100 => value.extend([0x81, length as u8]),
        length => value.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    value.extend(contents);
    value
}

pub(crate) fn indefinite<T: AsRef<[u8]>>(identifier: u8, parts: &[T]) -> Vec<u8> {
    [&[identifier, 0x80][..], &concat(parts), &[0, 0]].concat()
}

fn concat<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.as_ref().iter().copied()).collect()
}
