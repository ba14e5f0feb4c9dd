//! The format once more, written from the specification over RustCrypto: no
//! code and no library in common with the crate under test.
//!
//! Reads and writes whole messages in memory; panics on all that is not well-formed.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use sha2::Sha512;

/// What a message consists of.
pub(crate) struct Message {
    pub(crate) signed: bool,
    pub(crate) message_id: [u8; 32],
    /// As a caller gives it: without the verification key.
    pub(crate) context: Vec<(String, String)>,
    pub(crate) frame_len: u32,
    /// Whether an empty final frame follows when the last frame is full.
    pub(crate) empty_final_frame: bool,
}

impl Message {
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
        let signing_key = SigningKey::from_slice(&[7; 48]).unwrap();
        let mut context = self.context.clone();
        if self.signed {
            let point = signing_key.verifying_key().to_sec1_point(true);
            context.push(("aws-crypto-public-key".into(), STANDARD.encode(point.as_bytes())));
        }
        let suite: [u8; 2] = if self.signed { [5, 0x78] } else { [4, 0x78] };
        let (key, _) = derive(data_key, &self.message_id, suite);
        let (_, commitment) = derive(committed, &self.message_id, suite);

        let mut out = vec![2];
        out.extend(suite);
        out.extend(self.message_id);
        out.extend(field(&encode_context(&context)));
        out.extend([0, 1]);
        for part in [&b"provider"[..], b"key", b"wrapped"] {
            out.extend(field(part));
        }
        out.push(2);
        out.extend(self.frame_len.to_be_bytes());
        out.extend(commitment);
        let tag = seal(&key, 0, &out, b"");
        out.extend(tag);
        self.write_body(&key, plaintext, &mut out);
        if self.signed {
            let signature: Signature = signing_key.sign(&out);
            out.extend(field(signature.to_der().as_bytes()));
        }
        out
    }

    fn write_body(&self, key: &Aes256Gcm, plaintext: &[u8], out: &mut Vec<u8>) {
        let mut chunks: Vec<&[u8]> = plaintext.chunks(self.frame_len as usize).collect();
        let full = chunks.last().is_some_and(|last| last.len() == self.frame_len as usize);
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
            out.extend(seal(key, number, &body_aad(&self.message_id, last, number, chunk), chunk));
        }
    }
}

/// What [`read`] found.
pub(crate) struct Read {
    /// As it stands in the message.
    pub(crate) context: Vec<(String, String)>,
    pub(crate) frame_lens: Vec<usize>,
    pub(crate) plaintext: Vec<u8>,
}

/// Reads a message, panicking on anything that is not as the specification says.
pub(crate) fn read(message: &[u8], data_key: &[u8; 32]) -> Read {
    let mut rest = message;
    assert_eq!(take(&mut rest, 1), [2]);
    let suite: [u8; 2] = take(&mut rest, 2).try_into().unwrap();
    let signed = match suite {
        [4, 0x78] => false,
        [5, 0x78] => true,
        _ => panic!("suite {suite:?}"),
    };
    let message_id: [u8; 32] = take(&mut rest, 32).try_into().unwrap();
    let context = decode_context(take_field(&mut rest));
    let keys = number(take(&mut rest, 2));
    assert!(keys > 0);
    for _ in 0..3 * keys {
        take_field(&mut rest);
    }
    assert_eq!(take(&mut rest, 1), [2]);
    let frame_len = number(take(&mut rest, 4));
    let (key, commitment) = derive(data_key, &message_id, suite);
    assert_eq!(take(&mut rest, 32), commitment);
    let header = &message[..message.len() - rest.len()];
    open(&key, 0, header, take(&mut rest, 16));

    let (frame_lens, plaintext) = read_body(&mut rest, &key, &message_id, frame_len);
    let signed_part = &message[..message.len() - rest.len()];
    if signed {
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
    key: &Aes256Gcm,
    message_id: &[u8; 32],
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
        let aad = body_aad(message_id, last, expected, &sealed[..len]);
        plaintext.extend(open(key, expected, &aad, sealed));
        lens.push(len);
        if last {
            break;
        }
    }
    (lens, plaintext)
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

fn derive(data_key: &[u8; 32], message_id: &[u8; 32], suite: [u8; 2]) -> (Aes256Gcm, [u8; 32]) {
    let prk = Hkdf::<Sha512>::new(Some(message_id), data_key);
    let (mut key, mut commitment) = ([0; 32], [0; 32]);
    prk.expand(&[&suite[..], b"DERIVEKEY"].concat(), &mut key).unwrap();
    prk.expand(b"COMMITKEY", &mut commitment).unwrap();
    (Aes256Gcm::new_from_slice(&key).unwrap(), commitment)
}

fn body_aad(message_id: &[u8; 32], last: bool, number: u32, content: &[u8]) -> Vec<u8> {
    let mut aad = message_id.to_vec();
    aad.extend(if last {
        &b"AWSKMSEncryptionClient Final Frame"[..]
    } else {
        b"AWSKMSEncryptionClient Frame"
    });
    aad.extend(number.to_be_bytes());
    aad.extend((content.len() as u64).to_be_bytes());
    aad
}

fn nonce(number: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn seal(key: &Aes256Gcm, number: u32, aad: &[u8], msg: &[u8]) -> Vec<u8> {
    key.encrypt(&Nonce::from(nonce(number)), Payload { msg, aad }).unwrap()
}

fn open(key: &Aes256Gcm, number: u32, aad: &[u8], msg: &[u8]) -> Vec<u8> {
    key.decrypt(&Nonce::from(nonce(number)), Payload { msg, aad }).unwrap()
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
