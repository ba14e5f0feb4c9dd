//! Plain envelopes: opened only as they were written, for the context they were
//! written for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use proptest::prelude::*;
use strongroom_envelope::esdk::{DecryptFailed, EncryptionContext};
use strongroom_envelope::plain::{FormatError, Header, Opener, SealError, seal};
use strongroom_envelope::{DataKey, SecretBuf};

const KEY: [u8; 32] = [7; 32];

fn key() -> DataKey {
    DataKey::from_slice(&KEY).unwrap()
}

fn context(tenant: &str) -> EncryptionContext {
    EncryptionContext::new([("purpose", "support"), ("tenant", tenant)]).unwrap()
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal(&key(), b"edk", &context("acme"), plaintext, &mut out).unwrap();
    out
}

fn opened(envelope: &[u8], context: &EncryptionContext) -> Result<Vec<u8>, DecryptFailed> {
    let (header, len) = Header::parse(envelope).unwrap().unwrap();
    assert_eq!(header.encrypted_data_key(), b"edk");
    let opener = Opener::new(header, &key(), context, 1000)?;
    let mut out = SecretBuf::new();
    let result = opener.finish(&envelope[len..], &mut out);
    assert!(result.is_ok() || out.is_empty());
    result.map(|()| out.expose().to_vec())
}

#[test]
fn an_independent_implementation_opens_what_is_written_and_the_other_way_round() {
    let context = context("acme");
    let mut encoded = vec![0, 2];
    for text in ["purpose", "support", "tenant", "acme"] {
        encoded.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        encoded.extend_from_slice(text.as_bytes());
    }
    let cipher = Aes256Gcm::new(&KEY.into());
    let envelope = sealed(b"hello");
    let (head, body) = envelope.split_at(4 + 2 + 3 + 12);
    let aad = [head, &encoded].concat();
    let nonce = Nonce::try_from(&head[9..]).unwrap();
    let opened_by_other = cipher.decrypt(&nonce, Payload { msg: body, aad: &aad }).unwrap();
    assert_eq!(opened_by_other, b"hello");

    let head = [b"SRP1\0\x03edk", &[9; 12][..]].concat();
    let aad = [&head[..], &encoded].concat();
    let nonce = Nonce::try_from(&[9; 12][..]).unwrap();
    let body = cipher.encrypt(&nonce, Payload { msg: b"from afar", aad: &aad }).unwrap();
    assert_eq!(opened(&[head, body].concat(), &context).unwrap(), b"from afar");
}

#[test]
fn an_envelope_moved_to_another_tenant_does_not_open() {
    let envelope = sealed(b"secret");
    assert_eq!(opened(&envelope, &context("acme")).unwrap(), b"secret");
    assert_eq!(opened(&envelope, &context("other")), Err(DecryptFailed));
    assert_eq!(opened(&envelope, &EncryptionContext::default()), Err(DecryptFailed));
}

#[test]
fn a_cut_or_lengthened_envelope_does_not_open() {
    let envelope = sealed(b"secret");
    for cut in 21..envelope.len() {
        assert_eq!(opened(&envelope[..cut], &context("acme")), Err(DecryptFailed), "{cut}");
    }
    let longer = [&envelope[..], b"\0"].concat();
    assert_eq!(opened(&longer, &context("acme")), Err(DecryptFailed));
}

#[test]
fn a_key_of_another_length_opens_nothing() {
    let (header, _) = Header::parse(&sealed(b"secret")).unwrap().unwrap();
    let short = DataKey::from_slice(&[7; 16]);
    if let Some(short) = short {
        assert!(Opener::new(header, &short, &context("acme"), 1000).is_err());
    }
}

#[test]
fn lengths_are_bounded_before_anything_is_held() {
    assert_eq!(Header::parse(b"SRP1\0\0"), Err(FormatError::DataKeyLength(0)));
    assert_eq!(Header::parse(b"SRP1\xff\xff"), Err(FormatError::DataKeyLength(0xffff)));
    assert_eq!(Header::parse(b"SRP2"), Err(FormatError::Magic));
    assert_eq!(Header::parse(b"X"), Err(FormatError::Magic));
    let (header, _) = Header::parse(&sealed(b"")).unwrap().unwrap();
    let opener = Opener::new(header, &key(), &context("acme"), 10).unwrap();
    assert_eq!(opener.check_len(26), Ok(()));
    assert_eq!(opener.check_len(27), Err(FormatError::TooLong(10)));
    assert!(opener.finish(&[0; 27], &mut SecretBuf::new()).is_err());
    let mut out = Vec::new();
    let refused = seal(&key(), b"", &context("acme"), b"x", &mut out);
    assert_eq!(refused, Err(SealError::DataKeyLength));
    assert!(seal(&key(), &[0; 6145], &context("acme"), b"x", &mut out).is_err());
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn what_is_sealed_opens(plaintext in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(opened(&sealed(&plaintext), &context("acme")).unwrap(), plaintext);
    }

    #[test]
    fn a_header_is_found_when_it_is_whole_and_never_before(plaintext in any::<[u8; 4]>()) {
        let envelope = sealed(&plaintext);
        for len in 0..envelope.len() {
            let found = Header::parse(&envelope[..len]).unwrap();
            prop_assert_eq!(found.map(|(_, len)| len), (len >= 21).then_some(21));
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(at in 0_usize..43, bit in 0_u32..8) {
        let mut envelope = sealed(b"secret");
        prop_assume!(at < envelope.len());
        envelope[at] ^= 1 << bit;
        if let Ok(Some((header, len))) = Header::parse(&envelope)
            && let Ok(opener) = Opener::new(header, &key(), &context("acme"), 1000)
        {
            prop_assert!(opener.finish(&envelope[len..], &mut SecretBuf::new()).is_err());
        }
    }

    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Header::parse(&input);
        let _ = Header::parse(&[b"SRP1\0\x03", &input[..]].concat());
    }
}
