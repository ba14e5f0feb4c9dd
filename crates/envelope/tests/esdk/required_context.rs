//! Context that a message is bound to but does not store.

use strongroom_envelope::esdk::{
    ContextError, EncryptionContext, Header, Limits, RequiredContextError,
};

use crate::oracle::{Message, SUITES};
use crate::support::{KEY, Reader, Refused};

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Stores `b = 2`; bound to `a = 1` and `c = 3` too.
fn message(suite: u16) -> Message {
    Message {
        context: vec![pair("b", "2")],
        required: vec![pair("a", "1"), pair("c", "3")],
        ..Message::of(suite, Some(4))
    }
}

fn reader(suite: u16, required: &[(String, String)]) -> Reader {
    let named = strongroom_envelope::esdk::Suite::ALL.into_iter().find(|s| s.id() == suite);
    Reader { required: required.to_vec(), ..Reader::legacy(named.unwrap()) }
}

fn parse(message: &[u8]) -> Header {
    let policy = Reader::strict().policy;
    Header::parse(message, &Limits::default(), &policy).unwrap().unwrap().0
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-header
#[test]
fn message_opens_with_exactly_its_required_context() {
    let (a, b, c) = (pair("a", "1"), pair("b", "2"), pair("c", "3"));
    for suite in SUITES {
        let written = message(suite).write(&KEY, b"plaintext");
        // In any order, and what is stored may be supplied too.
        for required in [vec![a.clone(), c.clone()], vec![c.clone(), b.clone(), a.clone()]] {
            assert_eq!(reader(suite, &required).open(&written).plaintext(), b"plaintext");
        }
        let bad = [
            vec![],
            vec![b.clone()],
            vec![a.clone()],
            vec![a.clone(), pair("c", "4")],
            vec![pair("a", "3"), pair("c", "1")],
            vec![a.clone(), c.clone(), pair("d", "")],
        ];
        for required in bad {
            let outcome = reader(suite, &required).open(&written);
            assert_eq!(outcome.result, Err(Refused::Decrypt), "{required:?}");
            assert!(outcome.released.is_empty());
        }
    }
}

#[test]
fn message_without_required_context_opens_with_none_that_it_does_not_store() {
    let written = Message { required: vec![], ..message(0x0478) }.write(&KEY, b"x");
    assert_eq!(reader(0x0478, &[pair("b", "2")]).open(&written).plaintext(), b"x");
    let outcome = reader(0x0478, &[pair("a", "1")]).open(&written);
    assert_eq!(outcome.result, Err(Refused::Decrypt));
}

#[test]
fn pair_that_a_parent_strips_from_the_header_is_missed() {
    // The parent moves a stored pair out, hoping that supplying it mends the tag.
    let stored = Message { required: vec![], ..message(0x0478) };
    let honest = Message { context: vec![pair("b", "2"), pair("d", "4")], ..stored.clone() };
    let [honest, stripped] = [honest, stored].map(|message| message.write(&KEY, b"x"));
    let body_at = |message: &[u8]| {
        let policy = Reader::strict().policy;
        Header::parse(message, &Limits::default(), &policy).unwrap().unwrap().1
    };
    let mut mixed = stripped[..body_at(&stripped)].to_vec();
    let tag_at = mixed.len() - 16;
    mixed[tag_at..].copy_from_slice(&honest[body_at(&honest) - 16..][..16]);
    mixed.extend(&honest[body_at(&honest)..]);
    let outcome = reader(0x0478, &[pair("d", "4")]).open(&mixed);
    assert_eq!(outcome.result, Err(Refused::Decrypt));
}

#[test]
fn full_context_is_what_kms_is_given() {
    let header = parse(&message(0x0578).write(&KEY, b"x"));
    let supply = |pairs: &[(&str, &str)]| EncryptionContext::new(pairs.iter().copied()).unwrap();
    // In one call or in several.
    let once = header.clone().with_required_context(&supply(&[("a", "1"), ("c", "3")])).unwrap();
    let twice = header.with_required_context(&supply(&[("c", "3"), ("b", "2")])).unwrap();
    let twice = twice.with_required_context(&supply(&[("a", "1"), ("c", "3")])).unwrap();
    for header in [once, twice] {
        let context = header.encryption_context().clone();
        let keys: Vec<_> = context.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "aws-crypto-public-key", "b", "c"]);
        Reader::strict().start(header).unwrap();
    }
}

#[test]
fn stored_value_that_differs_is_refused_by_name() {
    let header = parse(&message(0x0478).write(&KEY, b"x"));
    let supplied = EncryptionContext::new([("a", "1"), ("b", "3")]).unwrap();
    let refused = header.clone().with_required_context(&supplied).unwrap_err();
    assert_eq!(refused, RequiredContextError::Mismatch("b".to_owned()));
    // So is a value that was supplied before.
    let a = EncryptionContext::new([("a", "1")]).unwrap();
    let other = EncryptionContext::new([("a", "2")]).unwrap();
    let refused = header.with_required_context(&a).unwrap().with_required_context(&other);
    assert_eq!(refused.unwrap_err(), RequiredContextError::Mismatch("a".to_owned()));
}

#[test]
fn verification_key_comes_with_the_message_only() {
    let signed = parse(&message(0x0578).write(&KEY, b"x"));
    let plain = parse(&message(0x0478).write(&KEY, b"x"));
    let reserved = RequiredContextError::Context(ContextError::ReservedKey);
    for header in [signed.clone(), plain] {
        let refused = header.with_required_context(signed.encryption_context());
        assert_eq!(refused.unwrap_err(), reserved);
    }
}

#[test]
fn full_context_is_bounded() {
    let header = parse(&message(0x0478).write(&KEY, b"x"));
    // count 2, lengths 2 × 4, keys 1 + 1, the stored value 1
    let room = 0xFFFF - 13;
    let fits = EncryptionContext::new([("z", "v".repeat(room))]).unwrap();
    header.clone().with_required_context(&fits).unwrap();
    let longer = EncryptionContext::new([("z", "v".repeat(room + 1))]).unwrap();
    let refused = header.with_required_context(&longer).unwrap_err();
    assert_eq!(refused, RequiredContextError::Context(ContextError::TooLong));
}
