//! The format once more, written from the specification over RustCrypto: no
//! code and no library in common with the crate under test.
//!
//! Writes messages of every suite, and reads those of format 2, in memory;
//! panics on all that is not well-formed.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Sha256, Sha384, Sha512};

/// Every suite there is.
pub(crate) const SUITES: [u16; 11] =
    [0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0478, 0x0578];

/// What a message consists of.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) suite: u16,
    /// Format 1 takes the first half.
    pub(crate) message_id: [u8; 32],
    /// As a caller gives it: without the verification key.
    pub(crate) context: Vec<(String, String)>,
    /// What the header does not store.
    pub(crate) required: Vec<(String, String)>,
    /// `None`: the content is not framed.
    pub(crate) frame_len: Option<u32>,
    /// Whether an empty final frame follows when the last frame is full.
    pub(crate) empty_final_frame: bool,
    /// Stored in format 1 only.
    pub(crate) header_iv: [u8; 12],
    /// How much of the data key goes into the derivation.
    pub(crate) data_key_len: usize,
}

impl Message {
    pub(crate) fn of(suite: u16, frame_len: Option<u32>) -> Self {
        Self {
            suite,
            message_id: [3; 32],
            context: vec![("b".into(), "2".into()), ("a".into(), "ä".into())],
            required: vec![],
            frame_len,
            empty_final_frame: false,
            header_iv: [0; 12],
            data_key_len: aes_key_len(suite),
        }
    }

    /// Of `data_key` as much is taken as the suite asks for.
    pub(crate) fn write(&self, data_key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
        self.write_committed_to(data_key, data_key, plaintext)
    }

    /// A message whose header commits to a key that it was not written with.
    pub(crate) fn write_committed_to(
        &self,
        data_key: &[u8; 32],
        committed: &[u8; 32],
        plaintext: &[u8],
    ) -> Vec<u8> {
        let key = Gcm::derive(self.suite, self.id(), &data_key[..self.data_key_len]);
        let mut out = self.header(&committed[..self.data_key_len]);
        let covered = [&out[..], &encode_context(&self.required)].concat();
        let tag = key.seal(&self.header_iv, &covered, b"");
        if self.is_v1() {
            out.extend(self.header_iv);
        }
        out.extend(tag);
        match self.frame_len {
            Some(frame_len) => self.write_frames(frame_len, &key, plaintext, &mut out),
            None => self.write_single(&key, plaintext, &mut out),
        }
        if let Some(signature) = sign(self.suite, &out) {
            out.extend(field(&signature));
        }
        out
    }

    fn header(&self, committed: &[u8]) -> Vec<u8> {
        let mut context = self.context.clone();
        if let Some(point) = public_key(self.suite) {
            context.push(("aws-crypto-public-key".into(), STANDARD.encode(point)));
        }
        let mut out = if self.is_v1() { vec![1, 0x80] } else { vec![2] };
        out.extend(self.suite.to_be_bytes());
        out.extend(self.id());
        out.extend(field(&encode_context(&context)));
        out.extend([0, 1]);
        for part in [&b"provider"[..], b"key", b"wrapped"] {
            out.extend(field(part));
        }
        out.push(if self.frame_len.is_some() { 2 } else { 1 });
        if self.is_v1() {
            out.extend([0, 0, 0, 0, 12]);
        }
        out.extend(self.frame_len.unwrap_or(0).to_be_bytes());
        if !self.is_v1() {
            out.extend(commitment(self.id(), committed));
        }
        out
    }

    fn write_frames(&self, frame_len: u32, key: &Gcm, plaintext: &[u8], out: &mut Vec<u8>) {
        let mut chunks: Vec<&[u8]> = plaintext.chunks(frame_len as usize).collect();
        let full = chunks.last().is_some_and(|last| last.len() == frame_len as usize);
        if chunks.is_empty() || (full && self.empty_final_frame) {
            chunks.push(b"");
        }
        let count = chunks.len() as u32;
        for (number, chunk) in (1..).zip(chunks) {
            let last = number == count;
            if last {
                out.extend([0xFF; 4]);
            }
            out.extend(number.to_be_bytes());
            out.extend(nonce(number));
            if last {
                out.extend((chunk.len() as u32).to_be_bytes());
            }
            let label = if last { "Final Frame" } else { "Frame" };
            let aad = body_aad(self.id(), label, number, chunk.len());
            out.extend(key.seal(&nonce(number), &aad, chunk));
        }
    }

    fn write_single(&self, key: &Gcm, plaintext: &[u8], out: &mut Vec<u8>) {
        out.extend(nonce(1));
        out.extend((plaintext.len() as u64).to_be_bytes());
        let aad = body_aad(self.id(), "Single Block", 1, plaintext.len());
        out.extend(key.seal(&nonce(1), &aad, plaintext));
    }

    fn is_v1(&self) -> bool {
        self.suite < 0x0400
    }

    fn id(&self) -> &[u8] {
        if self.is_v1() { &self.message_id[..16] } else { &self.message_id }
    }
}

/// What [`read`] found.
pub(crate) struct Read {
    /// As it stands in the message.
    pub(crate) context: Vec<(String, String)>,
    pub(crate) frame_lens: Vec<usize>,
    pub(crate) plaintext: Vec<u8>,
}

/// Reads a message of format 2, panicking on anything that is not as the
/// specification says.
pub(crate) fn read(message: &[u8], data_key: &[u8; 32]) -> Read {
    let mut rest = message;
    assert_eq!(take(&mut rest, 1), [2]);
    let suite = number(take(&mut rest, 2)) as u16;
    assert!(matches!(suite, 0x0478 | 0x0578), "suite {suite:#06x}");
    let message_id = take(&mut rest, 32);
    let context = decode_context(take_field(&mut rest));
    let keys = number(take(&mut rest, 2));
    assert!(keys > 0);
    for _ in 0..3 * keys {
        take_field(&mut rest);
    }
    assert_eq!(take(&mut rest, 1), [2]);
    let frame_len = number(take(&mut rest, 4));
    let key = Gcm::derive(suite, message_id, data_key);
    assert_eq!(take(&mut rest, 32), commitment(message_id, data_key));
    let header = &message[..message.len() - rest.len()];
    key.open(&nonce(0), header, take(&mut rest, 16));

    let (frame_lens, plaintext) = read_body(&mut rest, &key, message_id, frame_len);
    let signed_part = &message[..message.len() - rest.len()];
    if suite == 0x0578 {
        let point = &context.iter().find(|(key, _)| key == "aws-crypto-public-key").unwrap().1;
        let point = STANDARD.decode(point).unwrap();
        let verifying_key = VerifyingKey::from_sec1_bytes(&point).unwrap();
        let signature = DerSignature::from_bytes(take_field(&mut rest)).unwrap();
        verifying_key.verify(signed_part, &signature).unwrap();
    }
    assert!(rest.is_empty());
    Read { context, frame_lens, plaintext }
}

fn read_body(
    rest: &mut &[u8],
    key: &Gcm,
    message_id: &[u8],
    frame_len: usize,
) -> (Vec<usize>, Vec<u8>) {
    let (mut lens, mut plaintext) = (Vec::new(), Vec::new());
    for expected in 1u32.. {
        let mut first = take(rest, 4);
        let last = first == [0xFF; 4];
        if last {
            first = take(rest, 4);
        }
        assert_eq!(first, expected.to_be_bytes());
        assert_eq!(take(rest, 12), nonce(expected));
        let len = if last { number(take(rest, 4)) } else { frame_len };
        assert!(len <= frame_len);
        let sealed = take(rest, len + 16);
        let label = if last { "Final Frame" } else { "Frame" };
        let aad = body_aad(message_id, label, expected, len);
        plaintext.extend(key.open(&nonce(expected), &aad, sealed));
        lens.push(len);
        if last {
            break;
        }
    }
    (lens, plaintext)
}

/// The key of a message.
enum Gcm {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<aes::Aes192, aes_gcm::aead::consts::U12>),
    Aes256(Aes256Gcm),
}

impl Gcm {
    fn derive(suite: u16, id: &[u8], data_key: &[u8]) -> Self {
        let len = aes_key_len(suite);
        let mut key = vec![0; len];
        let info = [&suite.to_be_bytes()[..], id].concat();
        let commit_info = [&suite.to_be_bytes()[..], b"DERIVEKEY"].concat();
        match suite {
            0x0014 | 0x0046 | 0x0078 => key.copy_from_slice(data_key),
            0x0114 | 0x0146 | 0x0178 | 0x0214 => {
                Hkdf::<Sha256>::new(None, data_key).expand(&info, &mut key).unwrap();
            }
            0x0346 | 0x0378 => {
                Hkdf::<Sha384>::new(None, data_key).expand(&info, &mut key).unwrap();
            }
            _ => Hkdf::<Sha512>::new(Some(id), data_key).expand(&commit_info, &mut key).unwrap(),
        }
        match len {
            16 => Self::Aes128(Aes128Gcm::new_from_slice(&key).unwrap()),
            24 => Self::Aes192(AesGcm::new_from_slice(&key).unwrap()),
            _ => Self::Aes256(Aes256Gcm::new_from_slice(&key).unwrap()),
        }
    }

    fn seal(&self, nonce: &[u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let (nonce, payload) = (Nonce::from(*nonce), Payload { msg, aad });
        match self {
            Self::Aes128(key) => key.encrypt(&nonce, payload).unwrap(),
            Self::Aes192(key) => key.encrypt(&nonce, payload).unwrap(),
            Self::Aes256(key) => key.encrypt(&nonce, payload).unwrap(),
        }
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let (nonce, payload) = (Nonce::from(*nonce), Payload { msg, aad });
        match self {
            Self::Aes128(key) => key.decrypt(&nonce, payload).unwrap(),
            Self::Aes192(key) => key.decrypt(&nonce, payload).unwrap(),
            Self::Aes256(key) => key.decrypt(&nonce, payload).unwrap(),
        }
    }
}

fn aes_key_len(suite: u16) -> usize {
    match suite {
        0x0014 | 0x0114 | 0x0214 => 16,
        0x0046 | 0x0146 | 0x0346 => 24,
        _ => 32,
    }
}

fn commitment(message_id: &[u8], data_key: &[u8]) -> [u8; 32] {
    let mut commitment = [0; 32];
    let prk = Hkdf::<Sha512>::new(Some(message_id), data_key);
    prk.expand(b"COMMITKEY", &mut commitment).unwrap();
    commitment
}

/// The compressed point of a signed suite's verification key.
fn public_key(suite: u16) -> Option<Vec<u8>> {
    match suite {
        0x0214 => Some(p256_key().verifying_key().to_sec1_point(true).as_bytes().to_vec()),
        0x0346 | 0x0378 | 0x0578 => {
            Some(p384_key().verifying_key().to_sec1_point(true).as_bytes().to_vec())
        }
        _ => None,
    }
}

fn sign(suite: u16, message: &[u8]) -> Option<Vec<u8>> {
    match suite {
        0x0214 => {
            let signature: p256::ecdsa::Signature = p256_key().sign(message);
            Some(signature.to_der().as_bytes().to_vec())
        }
        0x0346 | 0x0378 | 0x0578 => {
            let signature: p384::ecdsa::Signature = p384_key().sign(message);
            Some(signature.to_der().as_bytes().to_vec())
        }
        _ => None,
    }
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()
}

fn p384_key() -> p384::ecdsa::SigningKey {
    p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap()
}

pub(crate) fn encode_context(context: &[(String, String)]) -> Vec<u8> {
    if context.is_empty() {
        return Vec::new();
    }
    let mut sorted = context.to_vec();
    sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut out = (sorted.len() as u16).to_be_bytes().to_vec();
    for (key, value) in sorted {
        out.extend(field(key.as_bytes()));
        out.extend(field(value.as_bytes()));
    }
    out
}

fn decode_context(mut bytes: &[u8]) -> Vec<(String, String)> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let count = number(take(&mut bytes, 2));
    let mut text = || String::from_utf8(take_field(&mut bytes).to_vec()).unwrap();
    let context = (0..count).map(|_| (text(), text())).collect();
    assert!(bytes.is_empty());
    context
}

fn body_aad(message_id: &[u8], label: &str, number: u32, len: usize) -> Vec<u8> {
    let mut aad = message_id.to_vec();
    aad.extend(format!("AWSKMSEncryptionClient {label}").bytes());
    aad.extend(number.to_be_bytes());
    aad.extend((len as u64).to_be_bytes());
    aad
}

fn nonce(number: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, behind) = rest.split_at(len);
    *rest = behind;
    taken
}

fn take_field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let len = number(take(rest, 2));
    take(rest, len)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
