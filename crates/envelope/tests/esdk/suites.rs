//! All eleven suites, framed and not, as an independent writer writes them and
//! as a hostile parent changes them.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use strongroom_envelope::esdk::{DecryptFailed, FormatError, Header, Limits, Opener, Suite};
use strongroom_envelope::{DataKey, SecretBuf};

use crate::oracle::{Message, SUITES};
use crate::support::{KEY, Outcome, Reader, Refused};

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

fn suite(id: u16) -> Suite {
    *Suite::ALL.iter().find(|suite| suite.id() == id).unwrap()
}

fn reader(id: u16) -> Reader {
    Reader::legacy(suite(id))
}

/// Every suite in frames of 100 bytes and in one piece.
fn every_layout() -> impl Iterator<Item = Message> {
    let layouts = |id| [Message::of(id, Some(100)), Message::of(id, None)];
    SUITES.into_iter().flat_map(layouts)
}

/// How much of `len` bytes may be released before the message's end was seen.
fn before_the_end(message: &Message, len: usize) -> usize {
    let frame_len = message.frame_len.map_or(usize::MAX, |len| len as usize);
    len.saturating_sub(1) / frame_len * frame_len
}

#[track_caller]
fn assert_nothing(outcome: &Outcome) {
    assert_eq!(outcome.result, Err(Refused::Decrypt));
    assert!(outcome.released.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_suite_is_read_however_it_is_cut(
        id in select(&SUITES[..]),
        len in 0usize..1500,
        frame_len in prop::option::of(1u32..600),
        empty_final_frame: bool,
        message_id: [u8; 32],
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        max_out in 0usize..1000,
    ) {
        let message = Message { message_id, empty_final_frame, ..Message::of(id, frame_len) };
        let written = message.write(&KEY, &plaintext(len));
        let outcome = reader(id).open_in_parts(&written, &cuts, max_out);
        prop_assert_eq!(outcome.plaintext(), plaintext(len));
    }

    #[test]
    fn any_flipped_bit_is_refused_in_every_suite(
        id in select(&SUITES[..]),
        len in 0usize..450,
        frame_len in prop::option::of(1u32..200),
        at: Index,
        bit in 0u8..8,
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let message = Message::of(id, frame_len);
        let mut written = message.write(&KEY, &plaintext(len));
        let at = at.index(written.len());
        written[at] ^= 1 << bit;
        let outcome = reader(id).open_in_parts(&written, &cuts, usize::MAX);
        prop_assert!(outcome.result.is_err());
        // Not the last frame either, nor a piece of what is not framed.
        prop_assert!(plaintext(before_the_end(&message, len)).starts_with(&outcome.released));
    }

    #[test]
    fn any_truncation_is_refused_in_every_suite(
        id in select(&SUITES[..]),
        len in 0usize..450,
        frame_len in prop::option::of(1u32..200),
        at: Index,
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let message = Message::of(id, frame_len);
        let written = message.write(&KEY, &plaintext(len));
        let cut = &written[..at.index(written.len())];
        let outcome = reader(id).open_in_parts(cut, &cuts, usize::MAX);
        prop_assert!(matches!(outcome.result, Err(Refused::Incomplete | Refused::Decrypt)));
        prop_assert!(plaintext(before_the_end(&message, len)).starts_with(&outcome.released));
    }

    #[test]
    fn no_message_of_format_1_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        keep in 0usize..300,
        id in select(&SUITES[..9]),
        frame_len in prop::option::of(1u32..9),
    ) {
        let message = Message::of(id, frame_len).write(&KEY, b"0123456789");
        let mixed = [&message[..keep.min(message.len())], &bytes].concat();
        prop_assert_eq!(reader(id).open(&mixed).result.is_ok(), mixed == message);
    }
}

#[test]
fn every_bit_of_every_header_is_authenticated() {
    for message in every_layout() {
        let written = message.write(&KEY, b"x");
        let reader = reader(message.suite);
        let (_, len) =
            Header::parse(&written, &Limits::default(), &reader.policy).unwrap().unwrap();
        for at in 0..len * 8 {
            let mut changed = written.clone();
            changed[at / 8] ^= 1 << (at % 8);
            let outcome = reader.open(&changed);
            assert!(outcome.result.is_err(), "{:#06x} bit {at}", message.suite);
            assert!(outcome.released.is_empty());
        }
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#key-derivation-input-length
#[test]
fn data_key_of_another_length_than_the_suites_is_refused() {
    for message in every_layout() {
        let written = message.write(&KEY, b"x");
        for len in [16, 24, 32] {
            let reader = Reader { key: KEY[..len].to_vec(), ..reader(message.suite) };
            let outcome = reader.open(&written);
            if len == suite(message.suite).data_key_len() {
                assert_eq!(outcome.plaintext(), b"x");
            } else {
                assert_nothing(&outcome);
            }
        }
    }
}

#[test]
fn data_key_of_another_length_is_refused_though_the_message_was_written_with_it() {
    // HKDF takes a key of any length, and all tags are right.
    for message in every_layout().filter(|message| message.suite > 0x0100) {
        for data_key_len in [16, 24, 32] {
            let written = Message { data_key_len, ..message.clone() }.write(&KEY, b"x");
            let key = KEY[..data_key_len].to_vec();
            let outcome = Reader { key, ..reader(message.suite) }.open(&written);
            if data_key_len == suite(message.suite).data_key_len() {
                assert_eq!(outcome.plaintext(), b"x");
            } else {
                assert_nothing(&outcome);
            }
        }
    }
}

#[test]
fn wrong_data_key_is_refused_in_every_suite() {
    for message in every_layout() {
        let mut reader = reader(message.suite);
        reader.key[0] ^= 1;
        assert_nothing(&reader.open(&message.write(&KEY, b"x")));
    }
}

#[test]
fn suite_is_bound_to_the_message() {
    // Same format, same length of the data key, no signature to miss.
    for (from, to) in [(0x0078u16, 0x0178u16), (0x0178, 0x0078), (0x0014, 0x0114)] {
        let mut written = Message::of(from, Some(100)).write(&KEY, b"x");
        written[2..4].copy_from_slice(&to.to_be_bytes());
        assert_nothing(&reader(to).open(&written));
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-header
#[test]
fn header_iv_of_format_1_is_the_stored_one() {
    for message in every_layout().filter(|message| message.suite < 0x0400) {
        let written = Message { header_iv: [9; 12], ..message.clone() }.write(&KEY, b"x");
        assert_eq!(reader(message.suite).open(&written).plaintext(), b"x");
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-signature
#[test]
fn nothing_is_final_before_the_footer_verifies() {
    for message in every_layout().filter(|message| suite(message.suite).is_signed()) {
        let sent = plaintext(250);
        let written = message.write(&KEY, &sent);
        let reader = reader(message.suite);
        assert_eq!(reader.open(&written).plaintext(), sent);
        let held_back = before_the_end(&message, 250);

        // A footer of another message by the same signer, or none, or half of it.
        let other = Message { message_id: [4; 32], ..message.clone() }.write(&KEY, &sent);
        let footer_at = written.len() - footer_len(&written);
        let swapped = [&written[..footer_at], &other[other.len() - footer_len(&other)..]].concat();
        let half = &written[..written.len() - 9];
        for bad in [&swapped[..], &written[..footer_at], half, &[&written[..], b"x"].concat()] {
            let outcome = reader.open_in_parts(bad, &[], 0);
            assert_eq!(outcome.result, Err(Refused::Decrypt));
            assert_eq!(outcome.released, sent[..held_back]);
        }
    }
}

/// Of a message whose last bytes are a length and a signature in DER.
fn footer_len(message: &[u8]) -> usize {
    let fits = |len: &usize| message[message.len() - len..][..2] == (*len as u16 - 2).to_be_bytes();
    (60..=106).find(fits).unwrap()
}

#[test]
fn footer_of_a_p256_suite_is_bounded_by_its_curve() {
    let written = Message::of(0x0214, None).write(&KEY, b"x");
    let reader = reader(0x0214);
    let (header, len) =
        Header::parse(&written, &Limits::default(), &reader.policy).unwrap().unwrap();
    let body = &written[len..written.len() - footer_len(&written)];
    for (signature_len, refused) in [(72u8, false), (73, true)] {
        let mut opener = reader.start(header.clone()).unwrap();
        let input = [body, &[0, signature_len]].concat();
        let result = opener.open(&input, &mut SecretBuf::new(), usize::MAX);
        assert_eq!(result, if refused { Err(DecryptFailed) } else { Ok(0) });
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body.md#encrypted-content-length
#[test]
fn content_in_one_piece_is_bounded_before_it_arrives() {
    let written = Message::of(0x0478, None).write(&KEY, &plaintext(300));
    let policy = Reader::strict().policy;
    let limits = |max_frame_len| Limits { max_frame_len, ..Limits::default() };
    let (header, len) = Header::parse(&written, &limits(300), &policy).unwrap().unwrap();
    assert_eq!(header.frame_len(), 300);
    let too_long = Err(FormatError::ContentTooLong(300));
    assert_eq!(Header::parse(&written, &limits(299), &policy).map(|_| ()), too_long);
    // The 20 bytes that say so are enough, one less is not.
    assert_eq!(Header::parse(&written[..len + 20], &limits(299), &policy).map(|_| ()), too_long);
    let parsed = Header::parse(&written[..len + 19], &limits(299), &policy);
    assert!(parsed.unwrap().is_none());
    // A header that is as long as may be leaves them room.
    let tight = Limits { max_header_len: len, ..limits(300) };
    assert!(Header::parse(&written[..len + 19], &tight, &policy).unwrap().is_none());
    assert!(Header::parse(&written, &tight, &policy).unwrap().is_some());

    let mut lie = written;
    lie[len + 12..][..8].copy_from_slice(&u64::MAX.to_be_bytes());
    let parsed = Header::parse(&lie, &Limits::default(), &policy);
    assert_eq!(parsed.map(|_| ()), Err(FormatError::ContentTooLong(u64::MAX)));
}

#[test]
fn content_in_one_piece_that_lies_about_its_length_is_refused() {
    for id in SUITES {
        let written = Message::of(id, None).write(&KEY, &plaintext(300));
        let reader = reader(id);
        let (header, len) =
            Header::parse(&written, &Limits::default(), &reader.policy).unwrap().unwrap();
        for claimed in [0u64, 299, 301, 1000] {
            let mut lie = written.clone();
            lie[len + 12..][..8].copy_from_slice(&claimed.to_be_bytes());
            assert_nothing(&reader.open(&lie));
            // Also behind a header that was parsed with the honest length.
            let mut opener = reader.start(header.clone()).unwrap();
            let mut out = SecretBuf::new();
            let opened = opener.open(&lie[len..], &mut out, usize::MAX);
            assert_eq!((opened, out.len()), (Err(DecryptFailed), 0));
        }
    }
}

#[test]
fn content_in_one_piece_has_one_iv() {
    let mut written = Message::of(0x0178, None).write(&KEY, b"x");
    let at = written.len() - 16 - 1 - 8 - 1;
    assert_eq!(written[at], 1);
    written[at] = 2;
    assert_nothing(&reader(0x0178).open(&written));
}

#[test]
fn content_in_one_piece_is_released_all_at_once() {
    let written = Message::of(0x0478, None).write(&KEY, &plaintext(300));
    let policy = Reader::strict().policy;
    let (header, len) = Header::parse(&written, &Limits::default(), &policy).unwrap().unwrap();
    let mut opener = Opener::new(header, &DataKey::from_slice(&KEY).unwrap()).unwrap();
    let (body, last) = written[len..].split_at(written.len() - len - 1);
    let mut out = SecretBuf::new();
    assert_eq!(opener.needs(&body[..19]), 20);
    assert_eq!(opener.needs(body), body.len() + 1);
    assert_eq!(opener.open(body, &mut out, usize::MAX), Ok(0));
    assert!(out.is_empty());
    let whole = [body, last].concat();
    assert_eq!(opener.open(&whole, &mut out, 0), Ok(whole.len()));
    assert_eq!(out.expose(), plaintext(300));
    opener.finish().unwrap();
}

#[test]
fn framed_body_behind_a_header_that_says_one_piece_is_refused() {
    for id in SUITES {
        for (from, to) in [(Some(100), None), (None, Some(100))] {
            let reader = reader(id);
            let [from, to] =
                [from, to].map(|layout| Message::of(id, layout).write(&KEY, &[7; 250]));
            let head_len = |written: &[u8]| {
                Header::parse(written, &Limits::default(), &reader.policy).unwrap().unwrap().1
            };
            let mixed = [&from[..head_len(&from)], &to[head_len(&to)..]].concat();
            let outcome = reader.open(&mixed);
            assert!(outcome.result.is_err());
            assert!(outcome.released.is_empty());
        }
    }
}
