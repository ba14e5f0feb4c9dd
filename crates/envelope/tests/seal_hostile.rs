//! Sealed results in the hands of a hostile parent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

#[path = "seal/support.rs"]
#[allow(dead_code, reason = "shared with tests/seal.rs")]
mod support;

use proptest::prelude::*;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::seal::{
    MAX_CHUNK_LEN, OpenError, Opener, RecipientPublicKey, RecipientSecretKey, SealError, Setup,
    StreamHeader,
};
use support::{DOCUMENT, Request, Sealed, header, open, seal, three_chunks, user_data};

// Keys.

#[test]
fn public_keys_of_low_order_are_refused() {
    // The points of order 1, 2, 4 and 8 and their other encodings (RFC 7748
    // section 6.1; the list is in "May the Fourth Be With You", section 5).
    for key in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let enc: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
        let key = RecipientPublicKey::from_bytes(&enc).unwrap();
        let refused = Setup::new(&key, &Request::new().binding()).map(|_| ());
        assert_eq!(refused, Err(SealError::RecipientKey), "{key:?}");

        // As the encapsulated key it would let anyone seal.
        let (secret, public) = RecipientSecretKey::generate().unwrap();
        let request = Request::new();
        let (forged, _) = StreamHeader::parse(&header(&request, &enc)).unwrap().unwrap();
        let user_data = user_data(&request, &enc, public.as_bytes());
        let refused = Opener::new(&forged, &request.binding(), &secret, &user_data).map(|_| ());
        assert_eq!(refused, Err(OpenError::OpenFailed), "{key:?}");
    }
}

#[test]
fn keys_of_another_length_are_refused() {
    for length in [0, 31, 33, 64] {
        let bytes = vec![9; length];
        assert_eq!(RecipientPublicKey::from_bytes(&bytes), Err(SealError::RecipientKey));
        let secret = RecipientSecretKey::from_bytes(&bytes).map(|_| ());
        assert_eq!(secret, Err(SealError::RecipientKey));
    }
}

#[test]
fn another_secret_key_is_refused() {
    let (_, request, sealed, _) = three_chunks();
    let (other, _) = RecipientSecretKey::generate().unwrap();
    let result = open(&other, &request, &sealed.user_data, &sealed.stream);
    assert_eq!(result, Err(OpenError::NotAttested));
    // Even with a document that vouches for it.
    let (parsed, _) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    let user_data = parsed.expected_user_data(other.public_key());
    let result = open(&other, &request, &user_data, &sealed.stream);
    assert_eq!(result, Err(OpenError::OpenFailed));
}

// Attestation and binding.

#[test]
fn stream_that_its_document_does_not_vouch_for_is_refused() {
    let (secret, request, sealed, _) = three_chunks();
    let other = seal(secret.public_key(), &request, b"other");
    let mut flipped = sealed.user_data.clone();
    flipped[39] ^= 1;
    let longer = [&sealed.user_data[..], &[0]].concat();
    for wrong in [&other.user_data[..], &flipped, &longer, &sealed.user_data[..39], b""] {
        let result = open(&secret, &request, wrong, &sealed.stream);
        assert_eq!(result, Err(OpenError::NotAttested));
    }
}

#[test]
fn parent_sealing_in_the_enclaves_place_is_refused() {
    // The parent knows the public key and holds a genuine document.
    let (secret, request, genuine, _) = three_chunks();
    let forged = seal(secret.public_key(), &request, b"forged");
    let result = open(&secret, &request, &genuine.user_data, &forged.stream);
    assert_eq!(result, Err(OpenError::NotAttested));
    // Or puts its own chunks behind the genuine header.
    let stream =
        [&genuine.stream[..genuine.header_len], &forged.stream[forged.header_len..]].concat();
    let result = open(&secret, &request, &genuine.user_data, &stream);
    assert_eq!(result, Err(OpenError::OpenFailed));
}

/// Requests that differ from [`Request::new`] in one thing each, and why they
/// are refused.
fn other_requests() -> Vec<(Request, OpenError)> {
    let changed = |change: fn(&mut Request), why| {
        let mut request = Request::new();
        change(&mut request);
        (request, why)
    };
    let change = |change| changed(change, OpenError::OtherRequest);
    let input = |change| changed(change, OpenError::OtherInput);
    vec![
        change(|r| r.id[0] ^= 1),
        change(|r| r.job.push('2')),
        change(|r| r.job.clear()),
        change(|r| r.args.clear()),
        change(|r| _ = r.args.insert("tenant".to_owned(), "evil".to_owned())),
        change(|r| _ = r.args.insert("more".to_owned(), String::new())),
        change(|r| _ = r.args.remove("zone")),
        change(|r| {
            r.args = [("tenan".to_owned(), "tacme".to_owned()), ("zone".to_owned(), String::new())]
                .into();
        }),
        change(|r| r.nonce = None),
        change(|r| r.padded = true),
        change(|r| r.nonce = Some(Vec::new())),
        change(|r| r.nonce = Some(vec![4; 21])),
        input(|r| r.input[0] ^= 1),
        input(|r| r.input[31] ^= 1),
        input(|r| r.input = vec![5; 31]),
        input(|r| r.input = vec![5; 33]),
        input(|r| r.input = vec![5]),
    ]
}

#[test]
fn stream_that_answers_another_request_or_has_another_input_is_refused() {
    let (secret, request, _, _) = three_chunks();
    for (other, why) in other_requests() {
        // Genuine, attested, for this very recipient, and still not the answer.
        let sealed = seal(secret.public_key(), &other, b"other");
        let result = open(&secret, &request, &sealed.user_data, &sealed.stream);
        assert_eq!(result, Err(why), "{other:?}");
        assert!(open(&secret, &other, &sealed.user_data, &sealed.stream).is_ok());
    }
}

#[test]
fn header_rewritten_to_the_expected_request_is_refused() {
    let (secret, request, _, _) = three_chunks();
    for (other, _) in other_requests() {
        let sealed = seal(secret.public_key(), &other, b"other");
        let (parsed, length) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
        let chunks = &sealed.stream[length..];
        let stream = [&header(&request, parsed.enc())[..], chunks].concat();
        let result = open(&secret, &request, &sealed.user_data, &stream);
        assert_eq!(result, Err(OpenError::NotAttested), "{other:?}");
        // The binding is in the keys too, not in the document alone.
        let (rewritten, _) = StreamHeader::parse(&stream).unwrap().unwrap();
        let user_data = rewritten.expected_user_data(secret.public_key());
        let result = open(&secret, &request, &user_data, &stream);
        assert_eq!(result, Err(OpenError::OpenFailed), "{other:?}");
    }
}

// Streams.

#[test]
fn dropped_repeated_and_reordered_chunks_are_refused() {
    let (secret, request, sealed, plaintext) = three_chunks();
    let opened =
        |order: &[usize]| open(&secret, &request, &sealed.user_data, &sealed.arranged(order));
    assert_eq!(opened(&[0, 1, 2]).unwrap(), plaintext);
    for order in [
        &[][..],
        &[0],
        &[0, 1],
        &[0, 2],
        &[1, 2],
        &[2],
        &[1, 0, 2],
        &[0, 0, 1, 2],
        &[0, 1, 1, 2],
        &[0, 1, 2, 2],
        &[0, 1, 2, 0],
        &[0, 2, 1],
        &[2, 0, 1],
    ] {
        assert_eq!(opened(order), Err(OpenError::OpenFailed), "{order:?}");
    }
}

#[test]
fn chunks_of_another_stream_are_refused() {
    let (secret, request, sealed, plaintext) = three_chunks();
    let other = seal(secret.public_key(), &request, &plaintext);
    for at in 0..3 {
        let mut stream = sealed.stream.clone();
        let range = sealed.chunks()[at].clone();
        stream[range.clone()].copy_from_slice(&other.stream[range]);
        let result = open(&secret, &request, &sealed.user_data, &stream);
        assert_eq!(result, Err(OpenError::OpenFailed), "{at}");
    }
}

#[test]
fn final_mark_moved_to_another_chunk_is_refused() {
    let (secret, request, sealed, _) = three_chunks();
    for at in 0..3 {
        let mut stream = sealed.stream.clone();
        stream[sealed.chunks()[at].start] ^= 0x80;
        let result = open(&secret, &request, &sealed.user_data, &stream);
        assert_eq!(result, Err(OpenError::OpenFailed), "{at}");
        // Cut there, so that it would be the end.
        stream.truncate(sealed.chunks()[at].end);
        let result = open(&secret, &request, &sealed.user_data, &stream);
        assert_eq!(result, Err(OpenError::OpenFailed), "{at}");
    }
}

#[test]
fn anything_behind_the_final_chunk_is_refused() {
    let (secret, request, sealed, _) = three_chunks();
    for trailing in [&[0][..], &[0x80, 0, 0, 16], &[0; 100]] {
        let stream = [&sealed.stream[..], trailing].concat();
        let result = open(&secret, &request, &sealed.user_data, &stream);
        assert_eq!(result, Err(OpenError::OpenFailed));
    }
    // Also when it comes in a call of its own.
    let (header, length) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    let mut opener = Opener::new(&header, &request.binding(), &secret, &sealed.user_data).unwrap();
    let mut out = SecretBuf::new();
    opener.open(&sealed.stream[length..], &mut out).unwrap();
    assert_eq!(opener.open(&[], &mut out), Ok(0));
    assert_eq!(opener.open(&[0], &mut out), Err(OpenError::OpenFailed));
    assert_eq!(opener.finish(), Err(OpenError::OpenFailed));
}

#[test]
fn chunk_lengths_out_of_bounds_are_refused_before_their_bytes_arrive() {
    let (secret, request, sealed, _) = three_chunks();
    for length in [0, 1, 15, MAX_CHUNK_LEN as u32 + 17, 0x7fff_ffff] {
        for last in [0, 1 << 31] {
            let mut opener = opener(&secret, &request, &sealed);
            let result = opener.open(&(length | last).to_be_bytes(), &mut SecretBuf::new());
            assert_eq!(result, Err(OpenError::OpenFailed), "{length}");
        }
    }
}

#[test]
fn after_an_error_nothing_more_opens() {
    let (secret, request, sealed, _) = three_chunks();
    let mut opener = opener(&secret, &request, &sealed);
    let chunk = &sealed.stream[sealed.chunks()[0].clone()];
    let mut wrong = chunk.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let mut out = SecretBuf::new();
    assert_eq!(opener.open(&wrong, &mut out), Err(OpenError::OpenFailed));
    assert!(out.is_empty(), "nothing that did not authenticate comes out");
    assert_eq!(opener.open(chunk, &mut out), Err(OpenError::OpenFailed));
    assert_eq!(opener.open(&[], &mut out), Err(OpenError::OpenFailed));
    assert!(out.is_empty());
    assert_eq!(opener.finish(), Err(OpenError::OpenFailed));
}

fn opener(secret: &RecipientSecretKey, request: &Request, sealed: &Sealed) -> Opener {
    let (header, _) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    Opener::new(&header, &request.binding(), secret, &sealed.user_data).unwrap()
}

#[test]
fn every_truncation_is_refused() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let request = Request::new();
    let sealed = seal(&public, &request, b"short");
    for length in 0..sealed.stream.len() {
        let stream = &sealed.stream[..length];
        if length < sealed.header_len {
            assert_eq!(StreamHeader::parse(stream), Ok(None), "{length}");
            continue;
        }
        let (header, length) = StreamHeader::parse(stream).unwrap().unwrap();
        let mut opener =
            Opener::new(&header, &request.binding(), &secret, &sealed.user_data).unwrap();
        assert_eq!(opener.open(&stream[length..], &mut SecretBuf::new()), Ok(0));
        assert_eq!(opener.finish(), Err(OpenError::OpenFailed));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let request = Request::new();
    let sealed = seal(&public, &request, b"short");
    // The document is carried for whoever verifies it; nothing else is spared.
    let start = sealed.header_len - DOCUMENT.len();
    let document = start..sealed.header_len;
    for bit in 0..sealed.stream.len() * 8 {
        if document.contains(&(bit / 8)) {
            continue;
        }
        let mut stream = sealed.stream.clone();
        stream[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some(_)) = StreamHeader::parse(&stream) {
            assert!(open(&secret, &request, &sealed.user_data, &stream).is_err(), "bit {bit}");
        }
    }
}

// Any input.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_behind_a_genuine_header_are_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000)
    ) {
        let (secret, public) = RecipientSecretKey::generate().unwrap();
        let request = Request::new();
        let sealed = seal(&public, &request, b"");
        let stream = [&sealed.stream[..sealed.header_len], &bytes].concat();
        prop_assert!(open(&secret, &request, &sealed.user_data, &stream).is_err());
    }

    #[test]
    fn any_flipped_bit_of_a_long_stream_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (secret, public) = RecipientSecretKey::generate().unwrap();
        let request = Request::new();
        let mut sealed = seal(&public, &request, &vec![1; MAX_CHUNK_LEN + 10]);
        let at = sealed.header_len + at.index(sealed.stream.len() - sealed.header_len);
        sealed.stream[at] ^= 1u8 << bit;
        let result = open(&secret, &request, &sealed.user_data, &sealed.stream);
        prop_assert_eq!(result, Err(OpenError::OpenFailed));
    }
}
