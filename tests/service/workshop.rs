//! Houses for particular jobs: manifests with keys of their own, and messages of
//! every algorithm suite, written here from the specification.

use std::collections::BTreeMap;
use std::fmt::Write;

use ::hkdf::Hkdf;
use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
};
use aws_lc_rs::{hkdf, rand};
use aws_sdk_kms::primitives::Blob;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use strongroom_envelope::esdk::EncryptedDataKey;
use strongroom_sim::kms::SimCredentials;

use crate::house::{Foundation, House, PRODUCER, Plan, key_policy, sdk};

/// A key that the manifest holds wrapped, for the use that is its name.
pub struct Wrapped {
    pub name: &'static str,
    /// What KMS was told that it is for.
    pub wrapped_for: &'static str,
    /// `None`: made by KMS, and known to nobody.
    pub value: Option<Vec<u8>>,
}

impl Wrapped {
    pub const fn generated(name: &'static str) -> Self {
        Self { name, wrapped_for: name, value: None }
    }

    pub const fn of(name: &'static str, value: Vec<u8>) -> Self {
        Self { name, wrapped_for: name, value: Some(value) }
    }
}

/// A house whose manifest has these jobs too.
pub async fn house(jobs: &str) -> House {
    house_with(jobs, &[], |manifest| manifest).await
}

/// A house whose manifest has these jobs and keys too. In `jobs`, `$customers`
/// and `$archive` stand for KMS keys; `change` has the last word.
pub async fn house_with(
    jobs: &str,
    secrets: &[Wrapped],
    change: impl FnOnce(String) -> String,
) -> House {
    house_of(Plan::default(), jobs, secrets, change).await
}

/// As [`house_with`], where the plan is another one too.
pub async fn house_of(
    plan: Plan,
    jobs: &str,
    secrets: &[Wrapped],
    change: impl FnOnce(String) -> String,
) -> House {
    let mut found = Foundation::laid(plan).await;
    let mut text = std::mem::take(&mut found.manifest);
    for secret in secrets {
        text.push_str(&wrap(&found, secret).await);
    }
    text.push_str(
        &jobs.replace("$customers", &found.customers).replace("$archive", &found.archive),
    );
    found.manifest = change(text);
    House::upon(found, None, true).await
}

async fn wrap(found: &Foundation, secret: &Wrapped) -> String {
    let policy = key_policy(&found.nitro.nsm.pcr_hex(0).unwrap());
    found.nitro.kms.put_key_policy(&found.archive, &policy).unwrap();
    let producer = SimCredentials::long_term(PRODUCER);
    found.nitro.kms.add_credentials(producer.clone()).unwrap();
    let (kms, key) = (sdk(&found.nitro, &producer), &found.archive);
    let blob = match &secret.value {
        None => {
            let call = kms.generate_data_key_without_plaintext().key_id(key).number_of_bytes(32);
            let answer = call.encryption_context("use", secret.wrapped_for).send().await;
            answer.unwrap().ciphertext_blob
        }
        Some(value) => {
            let call = kms.encrypt().key_id(key).plaintext(Blob::new(value.clone()));
            let answer = call.encryption_context("use", secret.wrapped_for).send().await;
            answer.unwrap().ciphertext_blob
        }
    };
    let (name, wrapped) = (secret.name, STANDARD.encode(blob.unwrap()));
    format!(
        "\n[[secret]]\nname = \"{name}\"\nkey = \"{key}\"\ncontext = {{ use = \"{name}\" }}\nwrapped = \"{wrapped}\"\n"
    )
}

/// An Encryption SDK message of any suite.
pub struct Message<'a> {
    pub suite: u16,
    /// Bytes in a frame; 0 for content that is not framed.
    pub frame: u32,
    pub context: &'a [(&'a str, &'a str)],
    /// Context that the header does not store.
    pub required: &'a [(&'a str, &'a str)],
    /// Stand before the data key that opens it.
    pub others: &'a [EncryptedDataKey],
}

/// The suites, by id.
pub const SUITES: [u16; 11] =
    [0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0478, 0x0578];

pub const fn commits(suite: u16) -> bool {
    suite >= 0x0400
}

pub const fn is_signed(suite: u16) -> bool {
    matches!(suite, 0x0214 | 0x0346 | 0x0378 | 0x0578)
}

impl Message<'_> {
    /// Writes it under a new data key of the KMS key.
    pub async fn write(&self, house: &House, kms_key: &str, plaintext: &[u8]) -> Vec<u8> {
        let signer = is_signed(self.suite).then(|| match self.suite {
            0x0214 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            _ => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap(),
        });
        let public_key = signer.as_ref().map(|signer| compressed(signer.public_key().as_ref()));
        let mut stored = self.context.to_vec();
        stored.extend(public_key.as_ref().map(|key| ("aws-crypto-public-key", key.as_str())));
        let (data_key, encrypted) = self.data_key(house, kms_key, &stored).await;
        let keys = [self.others, &[encrypted]].concat();
        let mut out = self.header(&data_key, &keys, &stored);
        self.body(&data_key, plaintext, &mut out);
        if let Some(signer) = signer {
            let signature = signer.sign(&SystemRandom::new(), &out).unwrap();
            out.extend(field(signature.as_ref()));
        }
        out
    }

    async fn data_key(
        &self,
        house: &House,
        kms_key: &str,
        stored: &[(&str, &str)],
    ) -> (Vec<u8>, EncryptedDataKey) {
        let len = match self.suite {
            0x0014 | 0x0114 | 0x0214 => 16,
            0x0046 | 0x0146 | 0x0346 => 24,
            _ => 32,
        };
        let kms = house.kms(&house.producer);
        let mut call = kms.generate_data_key().key_id(kms_key).number_of_bytes(len);
        for (name, value) in stored.iter().chain(self.required) {
            call = call.encryption_context(*name, *value);
        }
        let answer = call.send().await.unwrap();
        let encrypted = EncryptedDataKey {
            provider_id: "aws-kms".into(),
            provider_info: kms_key.as_bytes().to_vec(),
            ciphertext: answer.ciphertext_blob.unwrap().into_inner(),
        };
        (answer.plaintext.unwrap().into_inner(), encrypted)
    }

    fn header(
        &self,
        data_key: &[u8],
        keys: &[EncryptedDataKey],
        stored: &[(&str, &str)],
    ) -> Vec<u8> {
        let mut out = if commits(self.suite) { vec![2] } else { vec![1, 0x80] };
        out.extend(self.suite.to_be_bytes());
        let at = out.len();
        out.resize(at + self.id_len(), 0);
        rand::fill(&mut out[at..]).unwrap();
        out.extend(field(&encode(stored)));
        out.extend((keys.len() as u16).to_be_bytes());
        for key in keys {
            for part in [key.provider_id.as_bytes(), &key.provider_info, &key.ciphertext] {
                out.extend(field(part));
            }
        }
        out.push(if self.frame == 0 { 1 } else { 2 });
        if !commits(self.suite) {
            out.extend([0, 0, 0, 0, 12]);
        }
        out.extend(self.frame.to_be_bytes());
        let (key, commitment) = self.keys(data_key, &out);
        out.extend(commitment);
        let mut covered = out.clone();
        if !self.required.is_empty() {
            covered.extend(encode(self.required));
        }
        let tag = gcm(&key, [0; 12], &covered, b"");
        if !commits(self.suite) {
            out.extend([0; 12]);
        }
        out.extend(tag);
        out
    }

    fn body(&self, data_key: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
        let (key, _) = self.keys(data_key, out);
        let id = self.id(out).to_vec();
        let frame = if self.frame == 0 { plaintext.len() } else { self.frame as usize };
        let chunks: Vec<&[u8]> = plaintext.chunks(frame).collect();
        for (number, chunk) in (1_u32..).zip(&chunks) {
            let last = number as usize == chunks.len();
            let nonce = [&[0; 8][..], &number.to_be_bytes()].concat();
            let len = chunk.len() as u64;
            let label: &[u8] = match (self.frame, last) {
                (0, _) => b"AWSKMSEncryptionClient Single Block",
                (_, true) => b"AWSKMSEncryptionClient Final Frame",
                (_, false) => b"AWSKMSEncryptionClient Frame",
            };
            match (self.frame, last) {
                (0, _) => out.extend([&nonce[..], &len.to_be_bytes()].concat()),
                (_, false) => out.extend([&number.to_be_bytes()[..], &nonce].concat()),
                (_, true) => {
                    let len = (chunk.len() as u32).to_be_bytes();
                    out.extend([&[0xff; 4], &number.to_be_bytes()[..], &nonce, &len].concat());
                }
            }
            let aad = [&id[..], label, &number.to_be_bytes(), &len.to_be_bytes()].concat();
            out.extend(gcm(&key, nonce.try_into().unwrap(), &aad, chunk));
        }
    }

    /// The key of header and body, and what commits to the data key.
    fn keys(&self, data_key: &[u8], header: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (id, suite) = (self.id(header), self.suite.to_be_bytes());
        let (hash, salt) = match self.suite {
            0x0014 | 0x0046 | 0x0078 => return (data_key.to_vec(), Vec::new()),
            0x0346 | 0x0378 => (hkdf::HKDF_SHA384, &[0; 48][..]),
            0x0478 | 0x0578 => (hkdf::HKDF_SHA512, id),
            _ => (hkdf::HKDF_SHA256, &[0; 32][..]),
        };
        let secret = hkdf::Salt::new(hash, salt).extract(data_key);
        let expand = |info: &[&[u8]], len: usize| {
            let mut out = vec![0; len];
            secret.expand(info, Len(len)).unwrap().fill(&mut out).unwrap();
            out
        };
        match commits(self.suite) {
            true => (expand(&[&suite, b"DERIVEKEY"], 32), expand(&[b"COMMITKEY"], 32)),
            false => (expand(&[&suite, id], data_key.len()), Vec::new()),
        }
    }

    const fn id_len(&self) -> usize {
        if commits(self.suite) { 32 } else { 16 }
    }

    fn id<'h>(&self, header: &'h [u8]) -> &'h [u8] {
        let at = if commits(self.suite) { 3 } else { 4 };
        &header[at..at + self.id_len()]
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// An encryption context as header and AAD hold it: nothing at all if it is empty.
fn encode(context: &[(&str, &str)]) -> Vec<u8> {
    let sorted = BTreeMap::from_iter(context.iter().copied());
    let count = (sorted.len() as u16).to_be_bytes();
    let pairs = sorted.iter().flat_map(|(key, value)| [key, value]);
    let pairs = pairs.flat_map(|text| field(text.as_bytes()));
    if sorted.is_empty() { Vec::new() } else { count.into_iter().chain(pairs).collect() }
}

fn gcm(key: &[u8], nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = match key.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    let key = LessSafeKey::new(UnboundKey::new(cipher, key).unwrap());
    let mut out = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut out).unwrap();
    out
}

/// A point's compressed form, in base64.
fn compressed(point: &[u8]) -> String {
    let (x, y) = point[1..].split_at(point.len() / 2);
    STANDARD.encode([&[2 + (y[y.len() - 1] & 1)], x].concat())
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// The secret of an index that the test can make too.
pub const INDEX_SECRET: [u8; 32] = *b"a secret that the test knows too";

/// A blind index under [`INDEX_SECRET`], as another implementation makes it.
pub fn index(field: &str, tenant: &str, value: &str) -> String {
    let (label, mut key) = (b"strongroom index v1", [0; 32]);
    Hkdf::<Sha256>::new(None, &INDEX_SECRET).expand(label, &mut key).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for text in [&label[..], field.as_bytes(), tenant.as_bytes(), value.as_bytes()] {
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text);
    }
    hex::encode(mac.finalize().into_bytes())
}

/// Records that differ, one a line.
pub fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "{}", line(number)).unwrap();
        text
    })
}
