//! What is written can be read, by us and by the oracle, however it is cut.

use proptest::prelude::*;
use strongroom_envelope::esdk::{
    ContextError, EncryptionContext, FrameLen, Header, Limits, Opener, PUBLIC_KEY, Policy,
    SealError, Sealer, Signer, Suite,
};
use strongroom_envelope::{DataKey, SecretBuf};

use crate::oracle::{self, Message};
use crate::support::{
    KEY, context, data_key, edk, open, open_in_parts, seal, seal_in_parts, seal_signed,
};

fn message(signed: bool, frame_len: u32) -> Message {
    Message::of(if signed { 0x0578 } else { 0x0478 }, Some(frame_len))
}

proptest! {
    #[test]
    fn oracle_reads_what_we_write(
        plaintext in prop::collection::vec(any::<u8>(), 0..2000),
        frame_len in 1usize..600,
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let read = oracle::read(&seal_in_parts(&plaintext, frame_len, &cuts), &KEY);
        let pairs: Vec<_> = read.context.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        prop_assert_eq!(pairs, [("purpose", "test"), ("tenant", "a")]);
        prop_assert_eq!(read.plaintext, plaintext.clone());
        // Every frame is full but the last, and that one is empty only if all is.
        let expected: Vec<usize> = match plaintext.len() {
            0 => vec![0],
            _ => plaintext.chunks(frame_len).map(<[u8]>::len).collect(),
        };
        prop_assert_eq!(read.frame_lens, expected);
    }

    #[test]
    fn we_read_what_the_oracle_writes_however_it_is_cut(
        plaintext in prop::collection::vec(any::<u8>(), 0..2000),
        frame_len in 1u32..600,
        empty_final_frame: bool,
        message_id: [u8; 32],
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        max_out in 0usize..1000,
    ) {
        let written = Message { message_id, empty_final_frame, ..message(false, frame_len) }
            .write(&KEY, &plaintext);
        prop_assert_eq!(open_in_parts(&written, &cuts, max_out).plaintext(), plaintext);
    }

    #[test]
    fn any_context_survives_a_header(
        pairs in prop::collection::btree_map("[^a]{0,20}", ".{0,20}", 0..8),
    ) {
        let context = EncryptionContext::new(pairs.clone()).unwrap();
        let mut out = Vec::new();
        Sealer::new(&data_key(), &context, &[edk(), edk()], FrameLen::DEFAULT, &mut out).unwrap();
        let (header, len) = Header::parse(&out, &Limits::default(), &Policy::default()).unwrap().unwrap();
        prop_assert_eq!(len, out.len());
        prop_assert_eq!(header.encryption_context(), &context);
        prop_assert_eq!(header.encrypted_data_keys(), &[edk(), edk()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn signed_messages_are_read_both_ways(
        plaintext in prop::collection::vec(any::<u8>(), 0..500),
        frame_len in 1u32..200,
        empty_final_frame: bool,
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let written = Message { empty_final_frame, ..message(true, frame_len) }
            .write(&KEY, &plaintext);
        prop_assert_eq!(&open_in_parts(&written, &cuts, 100).plaintext(), &plaintext);
        let read = oracle::read(&seal_signed(&plaintext, frame_len as usize), &KEY);
        prop_assert_eq!(read.plaintext, plaintext);
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_as_all_at_once() {
    let plaintext: Vec<u8> = (0..=255).collect();
    for written in [seal(&plaintext, 100), seal_signed(&plaintext, 100)] {
        let cuts: Vec<usize> = (0..written.len()).collect();
        assert_eq!(open_in_parts(&written, &cuts, usize::MAX).plaintext(), plaintext);
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/encrypt.md#construct-the-body
#[test]
fn full_last_frame_is_the_final_one_however_the_plaintext_came() {
    for cuts in [vec![], vec![4], vec![3], vec![3, 10], vec![4, 8], vec![1, 5, 9, 11]] {
        let read = oracle::read(&seal_in_parts(&[7; 12], 4, &cuts), &KEY);
        assert_eq!(read.frame_lens, [4, 4, 4], "{cuts:?}");
    }
}

#[test]
fn header_says_what_was_written() {
    let written = seal(b"x", 4096);
    let (header, _) =
        Header::parse(&written, &Limits::default(), &Policy::default()).unwrap().unwrap();
    assert_eq!(header.suite(), Suite::HkdfSha512Commit);
    assert_eq!(header.frame_len(), 4096);
    assert_eq!(header.message_id().len(), 32);
    let again = seal(b"x", 4096);
    let (other, _) =
        Header::parse(&again, &Limits::default(), &Policy::default()).unwrap().unwrap();
    assert_ne!(header.message_id(), other.message_id());
}

#[test]
fn signed_header_carries_the_signers_key() {
    let signer = Signer::new(&context()).unwrap();
    let given = signer.encryption_context().clone();
    let mut out = Vec::new();
    Sealer::signed(&data_key(), signer, &[edk()], FrameLen::DEFAULT, &mut out).unwrap();
    let (header, _) = Header::parse(&out, &Limits::default(), &Policy::default()).unwrap().unwrap();
    assert_eq!(header.suite(), Suite::HkdfSha512CommitEcdsaP384);
    assert_eq!(header.encryption_context(), &given);
    assert!(header.encryption_context().get(PUBLIC_KEY).is_some());
}

#[test]
fn a_call_releases_no_more_than_it_was_allowed() {
    let written = seal(&[7; 1000], 100);
    let (header, len) =
        Header::parse(&written, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let mut opener = Opener::new(header, &data_key()).unwrap();
    let mut out = SecretBuf::new();
    let used = opener.open(&written[len..], &mut out, 399).unwrap();
    assert_eq!(out.len(), 300);
    let used = used + opener.open(&written[len + used..], &mut out, 0).unwrap();
    assert_eq!(out.len(), 400);
    opener.open(&written[len + used..], &mut out, 600).unwrap();
    assert_eq!(out.len(), 1000);
    assert!(opener.is_complete());
    opener.finish().unwrap();
}

#[test]
fn writer_refuses_what_no_reader_would_accept() {
    let mut out = Vec::new();
    let mut start = |context: &EncryptionContext, edks: &[_]| {
        let result = Sealer::new(&data_key(), context, edks, FrameLen::DEFAULT, &mut out);
        let error = result.err();
        assert!(error.is_none() || out.is_empty(), "a refused header must not be sent");
        out.clear();
        error
    };
    assert_eq!(start(&context(), &[]), Some(SealError::NoEncryptedDataKeys));
    assert_eq!(start(&context(), &vec![edk(); 8]), None);
    assert_eq!(start(&context(), &vec![edk(); 9]), Some(SealError::TooManyEncryptedDataKeys(9)));

    let mut long = edk();
    long.ciphertext = vec![0; 0x1_0000];
    assert_eq!(start(&context(), &[long]), Some(SealError::HeaderTooLong(65536)));
    let mut long = edk();
    long.ciphertext = vec![0; 33_000];
    assert_eq!(start(&context(), &[long.clone()]), None);
    assert_eq!(start(&context(), &[long.clone(), long]), Some(SealError::HeaderTooLong(65536)));

    // A context that came out of somebody else's signed message.
    let signed = Signer::new(&context()).unwrap().encryption_context().clone();
    let reserved = SealError::Context(ContextError::ReservedKey);
    assert_eq!(start(&signed, &[edk()]), Some(reserved));
    assert_eq!(Signer::new(&signed).err(), Some(reserved));
}

#[test]
fn writer_takes_data_keys_of_32_bytes_only() {
    for len in [16, 24] {
        let (key, mut out) = (DataKey::from_slice(&KEY[..len]).unwrap(), Vec::new());
        let sealer = Sealer::new(&key, &context(), &[edk()], FrameLen::DEFAULT, &mut out);
        assert_eq!(sealer.err(), Some(SealError::DataKeyLen));
        let signer = Signer::new(&context()).unwrap();
        let sealer = Sealer::signed(&key, signer, &[edk()], FrameLen::DEFAULT, &mut out);
        assert_eq!(sealer.err(), Some(SealError::DataKeyLen));
        assert!(out.is_empty());
    }
}

#[test]
fn frame_length_is_within_what_readers_accept() {
    let max = Limits::DEFAULT.max_frame_len;
    assert!(FrameLen::new(0).is_none());
    assert!(FrameLen::new(1).is_some());
    assert!(FrameLen::new(max).is_some());
    assert!(FrameLen::new(max + 1).is_none());
    assert_eq!(FrameLen::new(65536), Some(FrameLen::default()));
    assert_eq!(open(&seal(&vec![1; max + 1], max)).plaintext().len(), max + 1);
}
