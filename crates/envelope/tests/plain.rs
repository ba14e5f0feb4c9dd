//! Plain envelopes: what a hostile sender can not do, and what two other
//! implementations write opens here and the other way round.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use proptest::prelude::*;
use strongroom_envelope::esdk::{ContextError, EncryptionContext};
use strongroom_envelope::plain::{
    DecryptFailed, FormatError, Header, Limits, MAX_ENCRYPTED_DATA_KEY_LEN, Opener, SealError,
    TAG_LEN, seal,
};
use strongroom_envelope::{DataKey, SecretBuf};

const KEY: [u8; 32] = [0x42; 32];
const BLOB: &[u8] = b"what KMS returned";
/// Bytes in front of the ciphertext when the encrypted data key is [`BLOB`].
const HEADER_LEN: usize = 4 + 2 + BLOB.len() + 12;

fn key() -> DataKey {
    DataKey::from_slice(&KEY).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new([("tenant", "acme"), ("purpose", "support")]).unwrap()
}

/// [`context`] as the module's page writes it down.
const CONTEXT: &[u8] = b"\0\x02\0\x07purpose\0\x07support\0\x06tenant\0\x04acme";

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    seal(&key(), BLOB, &context(), plaintext, &mut message).unwrap();
    message
}

fn parse(message: &[u8]) -> Result<Option<(Header, usize)>, FormatError> {
    Header::parse(message, &Limits::DEFAULT)
}

/// Opens all of `message`; `Err` for whatever is wrong with it.
fn open(message: &[u8], key: &DataKey, context: &EncryptionContext) -> Result<Vec<u8>, String> {
    let (header, len) = parse(message).map_err(|e| e.to_string())?.ok_or("no header")?;
    let mut out = SecretBuf::new();
    out.extend_from_slice(b"before");
    let opener = Opener::new(header, key, context).map_err(|e| e.to_string())?;
    let opened = opener.finish(&message[len..], &mut out);
    if opened.is_err() {
        assert_eq!(out.expose(), b"before", "plaintext of a message that did not open");
    }
    opened.map(|()| out.expose()[6..].to_vec()).map_err(|e| e.to_string())
}

fn failed() -> String {
    DecryptFailed.to_string()
}

#[test]
fn any_flipped_bit_is_refused_and_releases_nothing() {
    let message = sealed(b"confidential");
    for bit in 0..message.len() * 8 {
        let mut changed = message.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&changed, &key(), &context()).is_err(), "bit {bit}");
    }
}

#[test]
fn message_cut_or_lengthened_anywhere_is_refused() {
    let message = sealed(b"confidential");
    for len in 0..message.len() {
        assert!(open(&message[..len], &key(), &context()).is_err(), "{len}");
    }
    assert_eq!(open(&[&message[..], b"\0"].concat(), &key(), &context()), Err(failed()));
}

#[test]
fn message_under_another_context_or_key_is_refused_alike() {
    let message = sealed(b"confidential");
    let other = |pairs: &[(&str, &str)]| EncryptionContext::new(pairs.iter().copied()).unwrap();
    for context in [
        other(&[]),
        other(&[("tenant", "acme")]),
        other(&[("tenant", "other"), ("purpose", "support")]),
        other(&[("tenant", "acme"), ("purpose", "support"), ("more", "")]),
    ] {
        assert_eq!(open(&message, &key(), &context), Err(failed()));
    }
    assert_eq!(
        open(&message, &DataKey::from_slice(&[0x43; 32]).unwrap(), &context()),
        Err(failed())
    );
}

#[test]
fn encrypted_data_key_of_another_message_is_refused() {
    let mut message = sealed(b"confidential");
    message[6..6 + BLOB.len()].copy_from_slice(b"what KMS RETURNED");
    assert_eq!(open(&message, &key(), &context()), Err(failed()));
}

#[test]
fn header_cut_elsewhere_is_refused() {
    // The last byte of the encrypted data key becomes the first of the nonce.
    let mut message = sealed(b"confidential");
    message[5] -= 1;
    assert!(open(&message, &key(), &context()).is_err());
}

#[test]
fn other_magics_are_refused_at_their_first_wrong_byte() {
    for wrong in [&b"X"[..], b"SX", b"SRPX", b"SRP2", b"SRSEAL\0\x01", b"\x02\x05\x78"] {
        assert_eq!(parse(wrong), Err(FormatError::Magic), "{wrong:?}");
    }
    for short in [&b""[..], b"S", b"SRP1", b"SRP1\0"] {
        assert_eq!(parse(short), Ok(None));
    }
}

#[test]
fn encrypted_data_key_lengths_are_refused_before_the_key_arrives() {
    assert_eq!(parse(b"SRP1\0\0"), Err(FormatError::NoEncryptedDataKey));
    assert_eq!(parse(b"SRP1\x18\x00"), Ok(None));
    assert_eq!(parse(b"SRP1\x18\x01"), Err(FormatError::EncryptedDataKeyTooLong(6145)));
    assert_eq!(parse(b"SRP1\xFF\xFF"), Err(FormatError::EncryptedDataKeyTooLong(0xFFFF)));
    let wide = Limits { max_encrypted_data_key: usize::MAX, max_len: 0 };
    assert_eq!(
        Header::parse(b"SRP1\x18\x01", &wide),
        Err(FormatError::EncryptedDataKeyTooLong(6145))
    );
    let narrow = Limits { max_encrypted_data_key: 16, ..Limits::DEFAULT };
    assert_eq!(
        Header::parse(b"SRP1\0\x11", &narrow),
        Err(FormatError::EncryptedDataKeyTooLong(17))
    );
}

#[test]
fn body_over_the_limit_is_refused_by_name_and_never_opened() {
    let message = sealed(b"confidential");
    let parse = |max_len| {
        let limits = Limits { max_len, ..Limits::DEFAULT };
        Header::parse(&message, &limits).unwrap().unwrap().0
    };
    let (exact, short) = (parse(12), parse(11));
    let body = &message[HEADER_LEN..];
    assert_eq!(exact.check_body_len(body.len()), Ok(()));
    assert_eq!(short.check_body_len(body.len()), Err(FormatError::TooLong(11)));
    let mut out = SecretBuf::new();
    assert_eq!(
        Opener::new(short, &key(), &context()).unwrap().finish(body, &mut out),
        Err(DecryptFailed)
    );
    assert!(out.is_empty());
    assert_eq!(Opener::new(exact, &key(), &context()).unwrap().finish(body, &mut out), Ok(()));
    assert_eq!(out.expose(), b"confidential");
}

#[test]
fn what_no_reader_accepts_is_not_written() {
    let mut out = b"before".to_vec();
    for len in [0, MAX_ENCRYPTED_DATA_KEY_LEN + 1, 70_000] {
        let sealed = seal(&key(), &vec![1; len], &context(), b"x", &mut out);
        assert_eq!(sealed, Err(SealError::EncryptedDataKeyLen(len)));
    }
    assert_eq!(out, b"before");
    let long = EncryptionContext::new([("k", "v".repeat(70_000))]);
    assert_eq!(long, Err(ContextError::TooLong));
}

#[test]
fn nonces_differ_from_message_to_message() {
    let nonce = |message: Vec<u8>| message[HEADER_LEN - 12..HEADER_LEN].to_vec();
    assert_ne!(nonce(sealed(b"x")), nonce(sealed(b"x")));
}

#[test]
fn rustcrypto_opens_ours_and_ours_opens_rustcryptos() {
    let cipher = Aes256Gcm::new(&KEY.into());
    let message = sealed(b"confidential");
    let (header, body) = message.split_at(HEADER_LEN);
    assert_eq!(header[..HEADER_LEN - 12], *b"SRP1\0\x11what KMS returned");
    let aad = [header, CONTEXT].concat();
    let nonce = Nonce::try_from(&header[HEADER_LEN - 12..]).unwrap();
    let opened = cipher.decrypt(&nonce, Payload { msg: body, aad: &aad }).unwrap();
    assert_eq!(opened, b"confidential");

    let header = b"SRP1\0\x01Kabcdefghijkl";
    for (context, encoded) in [(context(), CONTEXT), (EncryptionContext::default(), b"")] {
        let aad = [&header[..], encoded].concat();
        let nonce = Nonce::try_from(&header[7..]).unwrap();
        let body = cipher.encrypt(&nonce, Payload { msg: b"theirs", aad: &aad }).unwrap();
        let message = [&header[..], &body].concat();
        assert_eq!(parse(&message).unwrap().unwrap().0.encrypted_data_key(), b"K");
        assert_eq!(open(&message, &key(), &context).unwrap(), b"theirs");
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_its_header_reads_the_same_from_any_prefix(
        blob in prop::collection::vec(any::<u8>(), 1..400),
        pairs in prop::collection::btree_map("[a-z]{0,4}", ".{0,4}", 0..4),
        plaintext in prop::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
    ) {
        let context = EncryptionContext::new(pairs).unwrap();
        let mut message = Vec::new();
        seal(&key(), &blob, &context, &plaintext, &mut message).unwrap();
        let (header, len) = parse(&message).unwrap().unwrap();
        prop_assert_eq!(header.encrypted_data_key(), &blob[..]);
        prop_assert_eq!(message.len(), len + plaintext.len() + TAG_LEN);
        let cut = cut.index(message.len());
        let expected = (cut >= len).then_some((header, len));
        prop_assert_eq!(parse(&message[..cut]).unwrap(), expected);
        prop_assert_eq!(open(&message, &key(), &context).unwrap(), plaintext);
    }

    #[test]
    fn no_input_panics(
        start in prop::sample::select(vec![&b""[..], b"SRP1", b"SRP1\0\x01", b"SRP1\0\x01k"]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assert!(open(&[start, &bytes].concat(), &key(), &context()).is_err());
    }
}

#[test]
fn ten_lines_of_python_write_what_opens_here() {
    let Some(python) = python() else { return };
    let script = r#"
import sys
sys.path.insert(0, sys.argv[1])
import plain_envelope
context = {"tenant": "acme", "purpose": "support"}
class Kms:
    def generate_data_key(self, *, KeyId, KeySpec, EncryptionContext):
        assert (KeyId, KeySpec, EncryptionContext) == ("key", "AES_256", context)
        return {"Plaintext": b"\x42" * 32, "CiphertextBlob": b"blob" * 46}
sys.stdout.buffer.write(plain_envelope.seal(Kms(), "key", context, b"from Python"))
"#;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop");
    let mut child = Command::new(python)
        .args(["-B", "-", dir])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    let header = parse(&done.stdout).unwrap().unwrap().0;
    assert_eq!(header.encrypted_data_key(), b"blob".repeat(46));
    assert_eq!(open(&done.stdout, &key(), &context()).unwrap(), b"from Python");
}

#[allow(clippy::disallowed_methods, clippy::print_stdout)]
fn python() -> Option<String> {
    let python = std::env::var("STRONGROOM_PYTHON").ok();
    if python.is_none() {
        println!("skipped: STRONGROOM_PYTHON is not set");
    }
    python
}
