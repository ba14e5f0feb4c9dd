//! A parent that changes messages: it gets an error and no byte that the writer
//! did not put there (rows S1, K10 and L1 of the attack list).

use proptest::prelude::*;
use strongroom_envelope::esdk::{DecryptFailed, Header, Limits, Opener, Policy};
use strongroom_envelope::{DataKey, SecretBuf};

use crate::oracle::Message;
use crate::support::{KEY, Pieces, Refused, data_key, open, open_in_parts, seal, seal_signed};

fn plaintext() -> Vec<u8> {
    (0..450u16).map(|i| i as u8).collect()
}

/// Five frames: four of 100 bytes and one of 50.
fn five_frames() -> Pieces {
    Pieces::of(&seal(&plaintext(), 100))
}

#[track_caller]
fn assert_refused(message: &[u8], frames_released: usize) {
    let outcome = open(message);
    assert_eq!(outcome.result, Err(Refused::Decrypt));
    assert!(outcome.released.is_empty(), "an error in the same call releases nothing");
    // Frame by frame, what came before the fault gets out, and nothing else.
    let outcome = open_in_parts(message, &[], 0);
    assert_eq!(outcome.result, Err(Refused::Decrypt));
    assert_eq!(outcome.released, plaintext()[..(100 * frames_released).min(450)]);
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused(
        len in 0usize..450,
        frame_len in 1usize..200,
        at: prop::sample::Index,
        bit in 0u8..8,
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let plaintext = &plaintext()[..len];
        let mut message = seal(plaintext, frame_len);
        let at = at.index(message.len());
        message[at] ^= 1 << bit;
        let outcome = open_in_parts(&message, &cuts, usize::MAX);
        prop_assert!(outcome.result.is_err());
        prop_assert!(plaintext.starts_with(&outcome.released));
        let header_len = message.len() - body_len(len, frame_len);
        if at < header_len {
            prop_assert!(outcome.released.is_empty());
        }
    }

    #[test]
    fn any_truncation_is_refused(
        len in 0usize..450,
        frame_len in 1usize..200,
        at: prop::sample::Index,
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let plaintext = &plaintext()[..len];
        let message = seal(plaintext, frame_len);
        let outcome = open_in_parts(&message[..at.index(message.len())], &cuts, usize::MAX);
        prop_assert!(matches!(outcome.result, Err(Refused::Incomplete | Refused::Decrypt)));
        prop_assert!(plaintext.starts_with(&outcome.released));
        prop_assert!(outcome.released.len() < len || len == 0);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), keep in 0usize..300) {
        let _ = Header::parse(&bytes, &Limits::default(), &Policy::default());
        // A good beginning, so that the rest is reached.
        let message = seal(b"0123456789", 4);
        let mixed = [&message[..keep.min(message.len())], &bytes].concat();
        prop_assert_eq!(open(&mixed).result.is_ok(), mixed == message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_flipped_bit_of_a_signed_message_is_refused(
        at: prop::sample::Index,
        bit in 0u8..8,
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let mut message = seal_signed(&plaintext(), 100);
        let at = at.index(message.len());
        message[at] ^= 1 << bit;
        let outcome = open_in_parts(&message, &cuts, usize::MAX);
        prop_assert!(outcome.result.is_err());
        // The last frame is held back until the signature has been verified.
        prop_assert!(plaintext()[..400].starts_with(&outcome.released));
    }
}

#[test]
fn every_truncation_of_a_signed_message_is_refused_without_its_last_frame() {
    let message = seal_signed(&plaintext(), 100);
    for len in 0..message.len() {
        let outcome = open(&message[..len]);
        assert!(matches!(outcome.result, Err(Refused::Incomplete | Refused::Decrypt)));
        assert!(plaintext()[..400].starts_with(&outcome.released));
    }
}

#[test]
fn swapped_frames_are_refused() {
    let mut pieces = five_frames();
    pieces.frames.swap(1, 2);
    assert_refused(&pieces.join(), 1);
}

#[test]
fn repeated_frame_is_refused() {
    let mut pieces = five_frames();
    pieces.frames.insert(2, pieces.frames[1].clone());
    assert_refused(&pieces.join(), 2);
}

#[test]
fn dropped_frame_is_refused() {
    let mut pieces = five_frames();
    pieces.frames.remove(2);
    assert_refused(&pieces.join(), 2);
    let mut pieces = five_frames();
    pieces.frames.remove(0);
    assert_refused(&pieces.join(), 0);
}

#[test]
fn dropped_frame_with_the_rest_renumbered_is_refused() {
    let mut pieces = five_frames();
    pieces.frames.remove(2);
    let number = 3u32.to_be_bytes();
    pieces.frames[2][..4].copy_from_slice(&number);
    pieces.frames[2][12..16].copy_from_slice(&number);
    assert_refused(&pieces.join(), 2);
}

#[test]
fn final_frame_brought_forward_is_refused() {
    let mut pieces = five_frames();
    pieces.frames.drain(2..4);
    assert_refused(&pieces.join(), 2);
    // Renumbered to its new place.
    let number = 3u32.to_be_bytes();
    pieces.frames[2][4..8].copy_from_slice(&number);
    pieces.frames[2][16..20].copy_from_slice(&number);
    assert_refused(&pieces.join(), 2);
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-body-aad.md#structure
#[test]
fn regular_frame_dressed_as_final_is_refused() {
    let mut pieces = five_frames();
    let regular = pieces.frames[2].clone();
    let (head, sealed) = regular.split_at(16);
    pieces.frames[2] = [&[0xFF; 4], head, &100u32.to_be_bytes(), sealed].concat();
    pieces.frames.truncate(3);
    assert_refused(&pieces.join(), 2);
}

#[test]
fn final_frame_dressed_as_regular_is_refused() {
    // Full, so that its length does not give it away.
    let mut pieces = Pieces::of(&seal(&plaintext()[..400], 100));
    let last = pieces.frames[3].clone();
    pieces.frames[3] = [&last[4..20], &last[24..]].concat();
    pieces.frames.push(last);
    assert_refused(&pieces.join(), 3);
}

#[test]
fn frames_of_another_message_under_the_same_key_are_refused() {
    let mut pieces = five_frames();
    let other = five_frames();
    pieces.frames[3] = other.frames[3].clone();
    assert_refused(&pieces.join(), 3);
    let mut pieces = five_frames();
    pieces.frames[4] = other.frames[4].clone();
    assert_refused(&pieces.join(), 4);
    let mut pieces = five_frames();
    pieces.header = other.header;
    assert_refused(&pieces.join(), 0);
}

#[test]
fn anything_after_the_end_is_refused() {
    let pieces = five_frames();
    let message = pieces.join();
    for tail in [&b"x"[..], &pieces.frames[4], &pieces.frames[0], &message] {
        let longer = [&message, tail].concat();
        assert_eq!(open(&longer).result, Err(Refused::Decrypt));
        // Also if the call had stopped at the last frame: it is not released.
        let outcome = open_in_parts(&longer, &[], 0);
        assert_eq!(outcome.result, Err(Refused::Decrypt));
        assert_eq!(outcome.released, plaintext()[..400]);
        // Also if the message had already been complete.
        let outcome = open_in_parts(&longer, &[message.len()], usize::MAX);
        assert_eq!(outcome.result, Err(Refused::Decrypt));
        assert_eq!(outcome.released, plaintext());
    }
    let signed = [&seal_signed(b"x", 10)[..], b"x"].concat();
    assert_eq!(open(&signed).result, Err(Refused::Decrypt));
}

#[test]
fn wrong_iv_is_refused_even_if_the_rest_is_right() {
    let mut pieces = five_frames();
    pieces.frames[0][4] ^= 1;
    assert_refused(&pieces.join(), 0);
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#decrypt-the-message-body
#[test]
fn final_frame_longer_than_a_frame_is_refused_before_it_arrives() {
    for (claimed, refused) in [(100u32, false), (101, true), (u32::MAX, true)] {
        let mut pieces = five_frames();
        pieces.frames[4][20..24].copy_from_slice(&claimed.to_be_bytes());
        let header_and_four = pieces.header.len() + 4 * 132;
        let message = pieces.join();
        let (header, len) =
            Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
        let mut opener = Opener::new(header, &data_key()).unwrap();
        let mut out = SecretBuf::new();
        let used = opener.open(&message[len..header_and_four], &mut out, usize::MAX).unwrap();
        let head = &message[len + used..][..24];
        assert_eq!(opener.open(head, &mut out, usize::MAX).is_err(), refused);
    }
}

#[test]
fn failed_opener_stays_failed() {
    let mut pieces = five_frames();
    let good = pieces.frames[0].clone();
    pieces.frames[0][20] ^= 1;
    let (header, _) =
        Header::parse(&pieces.header, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let mut opener = Opener::new(header, &data_key()).unwrap();
    let mut out = SecretBuf::new();
    out.extend_from_slice(b"kept");
    assert_eq!(opener.open(&pieces.frames[0], &mut out, usize::MAX), Err(DecryptFailed));
    assert_eq!(opener.open(&good, &mut out, usize::MAX), Err(DecryptFailed));
    assert_eq!(opener.open(&[], &mut out, usize::MAX), Err(DecryptFailed));
    assert_eq!(out.expose(), b"kept");
    assert_eq!(opener.finish(), Err(DecryptFailed));
}

#[test]
fn wrong_key_and_wrong_commitment_are_the_same_refusal() {
    let message = seal(b"x", 10);
    let (header, _) =
        Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let other = DataKey::from_slice(&[0x43; 32]).unwrap();
    assert_eq!(Opener::new(header.clone(), &other).err(), Some(DecryptFailed));
    assert_eq!(Opener::new(header, &data_key()).err(), None);
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#algorithm-suites-commit-key-derivation-settings
#[test]
fn header_that_commits_to_another_key_is_refused_though_its_tag_is_right() {
    // Written by somebody who holds the data key and wants the message to open
    // under a second one: the tag is right, only the commitment is not.
    let message = Message::of(0x0478, Some(10));
    let honest = message.write(&KEY, b"x");
    assert_eq!(open(&honest).plaintext(), b"x");
    let lying = message.write_committed_to(&KEY, &[0x43; 32], b"x");
    assert_eq!(open(&lying).result, Err(Refused::Decrypt));
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#verify-the-signature
#[test]
fn signature_by_another_key_is_refused_and_the_last_frame_kept() {
    let mut pieces = Pieces::of(&seal_signed(&plaintext(), 100));
    let other = Pieces::of(&seal_signed(&plaintext(), 100));
    assert_eq!(open(&pieces.join()).plaintext(), plaintext());
    pieces.footer = other.footer;
    let outcome = open_in_parts(&pieces.join(), &[], 0);
    assert_eq!(outcome.result, Err(Refused::Decrypt));
    assert_eq!(outcome.released, plaintext()[..400]);
}

#[test]
fn footer_is_bounded_and_may_not_be_missing() {
    let mut pieces = Pieces::of(&seal_signed(b"x", 10));
    pieces.footer = vec![];
    assert_eq!(open(&pieces.join()).result, Err(Refused::Decrypt));
    pieces.footer = vec![0, 0];
    assert_eq!(open(&pieces.join()).result, Err(Refused::Decrypt));
    // Refused as soon as the length is there; one less has to wait for more.
    let (header, _) =
        Header::parse(&pieces.header, &Limits::default(), &Policy::default()).unwrap().unwrap();
    for (len, refused) in [(104u8, false), (105, true)] {
        let mut opener = Opener::new(header.clone(), &data_key()).unwrap();
        let input = [&pieces.frames[0][..], &[0, len]].concat();
        let result = opener.open(&input, &mut SecretBuf::new(), usize::MAX);
        assert_eq!(result, if refused { Err(DecryptFailed) } else { Ok(0) });
    }
}

/// Length of a body of `len` bytes of plaintext.
fn body_len(len: usize, frame_len: usize) -> usize {
    let regular = len.saturating_sub(1) / frame_len;
    len + regular * 32 + 40
}
