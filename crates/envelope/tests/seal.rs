//! Sealed results: round trips, opened and sealed by two other HPKE
//! implementations, and the header's one encoding.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

#[path = "seal/support.rs"]
#[allow(dead_code, reason = "shared with tests/seal_hostile.rs")]
mod support;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use proptest::prelude::*;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::seal::{
    FormatError, MAGIC, MAX_CHUNK_LEN, MAX_HEADER_LEN, MAX_INPUT_ID_LEN, Opener,
    RecipientSecretKey, SealError, Setup, StreamHeader,
};
use support::{
    DOCUMENT, Request, aad, bytes, framed, header, info, open, seal, seal_in, text, three_chunks,
    user_data,
};

// Round trips.

#[test]
fn sealed_result_opens_at_every_chunk_boundary() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let chunk = MAX_CHUNK_LEN;
    for length in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 3 * chunk + 7] {
        let plaintext = vec![0x61; length];
        let sealed = seal(&public, &Request::new(), &plaintext);
        assert_eq!(sealed.chunks().len(), length / chunk + 1, "{length}");
        let opened = open(&secret, &Request::new(), &sealed.user_data, &sealed.stream);
        assert_eq!(opened.unwrap(), plaintext, "{length}");
    }
}

#[test]
fn stored_secret_key_opens_later() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let stored = *secret.expose();
    drop(secret);
    let sealed = seal(&public, &Request::new(), b"result");
    let secret = RecipientSecretKey::from_bytes(&stored).unwrap();
    assert_eq!(secret.public_key(), &public);
    let opened = open(&secret, &Request::new(), &sealed.user_data, &sealed.stream);
    assert_eq!(opened.unwrap(), b"result");
}

#[test]
fn owner_without_a_record_of_the_request_opens_by_the_header() {
    let (secret, _, sealed, plaintext) = three_chunks();
    let (header, length) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    assert_eq!(header.attestation(), DOCUMENT);
    assert_eq!(header.job(), "mask-customers");
    assert_eq!(header.args(), &Request::new().args);
    assert_eq!(header.request_id(), [9; 16]);
    assert_eq!(header.input(), [5; 32]);
    assert_eq!(header.nonce(), Some(&[4; 20][..]));
    assert_eq!(header.expected_user_data(secret.public_key()).to_vec(), sealed.user_data);
    let mut opener = Opener::new(&header, &header.binding(), &secret, &sealed.user_data).unwrap();
    let mut out = SecretBuf::new();
    opener.open(&sealed.stream[length..], &mut out).unwrap();
    opener.finish().unwrap();
    assert_eq!(out.expose(), plaintext);
}

#[test]
fn two_streams_of_one_request_share_nothing() {
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let (one, two) = [(); 2].map(|()| seal(&public, &Request::new(), b"same")).into();
    assert_ne!(one.user_data, two.user_data);
    assert_ne!(one.stream[one.header_len..], two.stream[two.header_len..]);
}

// Other implementations.

#[test]
fn hpke_crate_opens_what_is_sealed() {
    let (secret, request, sealed, plaintext) = three_chunks();
    let (header, _) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret.expose()).unwrap();
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(header.enc()).unwrap();
    let mut context = hpke::setup_receiver::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &enc,
        &info(&request),
    )
    .unwrap();
    let mut opened = Vec::new();
    for (index, chunk) in sealed.chunks().into_iter().enumerate() {
        let chunk = &sealed.stream[chunk];
        opened.extend(context.open(&chunk[4..], &aad(index, chunk[0] & 0x80 != 0)).unwrap());
    }
    assert_eq!(opened, plaintext);
}

#[test]
fn stream_written_from_the_specification_with_the_hpke_crate_opens() {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let mut no_nonce = Request::new();
    no_nonce.nonce = None;
    for request in [Request::new(), no_nonce] {
        let recipient =
            <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public.as_bytes()).unwrap();
        let (enc, mut context) = hpke::setup_sender::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &recipient,
            &info(&request),
        )
        .unwrap();
        let enc: [u8; 32] = enc.to_bytes().as_slice().try_into().unwrap();
        let mut stream = header(&request, &enc);
        let mut chunk = |index, last: bool, plaintext: &[u8]| {
            let ciphertext = context.seal(plaintext, &aad(index, last)).unwrap();
            let head = ciphertext.len() as u32 | u32::from(last) << 31;
            [&head.to_be_bytes()[..], &ciphertext].concat()
        };
        stream.extend(chunk(0, false, b"short "));
        stream.extend(chunk(1, false, b"chunks"));
        stream.extend(chunk(2, true, b""));
        let user_data = user_data(&request, &enc, public.as_bytes());
        assert_eq!(open(&secret, &request, &user_data, &stream).unwrap(), b"short chunks");
    }
}

#[test]
fn rustls_hpke_opens_what_is_sealed_and_the_reverse() {
    use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
    use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

    let (secret, request, sealed, plaintext) = three_chunks();
    let (parsed, _) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
    let private = HpkePrivateKey::from(secret.expose().to_vec());
    let enc = EncapsulatedSecret(parsed.enc().to_vec());
    let mut opener = SUITE.setup_opener(&enc, &info(&request), &private).unwrap();
    let mut opened = Vec::new();
    for (index, chunk) in sealed.chunks().into_iter().enumerate() {
        let chunk = &sealed.stream[chunk];
        opened.extend(opener.open(&aad(index, chunk[0] & 0x80 != 0), &chunk[4..]).unwrap());
    }
    assert_eq!(opened, plaintext);

    let recipient = HpkePublicKey(secret.public_key().as_bytes().to_vec());
    let (enc, mut sealer) = SUITE.setup_sealer(&info(&request), &recipient).unwrap();
    let enc: [u8; 32] = enc.0.try_into().unwrap();
    let ciphertext = sealer.seal(&aad(0, true), b"reverse").unwrap();
    let head = ciphertext.len() as u32 | 1 << 31;
    let stream = [&header(&request, &enc)[..], &head.to_be_bytes(), &ciphertext].concat();
    let user_data = user_data(&request, &enc, secret.public_key().as_bytes());
    assert_eq!(open(&secret, &request, &user_data, &stream).unwrap(), b"reverse");
}

// Headers.

#[test]
fn header_is_exactly_the_documented_bytes() {
    let requests = [(None, 1), (Some(vec![]), 32), (Some(vec![7; 300]), MAX_INPUT_ID_LEN)];
    for (nonce, input) in requests {
        let (_, public) = RecipientSecretKey::generate().unwrap();
        let mut request = Request::new();
        request.nonce = nonce;
        request.input = vec![8; input];
        let sealed = seal(&public, &request, b"");
        let (parsed, length) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
        assert_eq!(length, sealed.header_len);
        assert_eq!(sealed.stream[..length], header(&request, parsed.enc()));
    }
}

#[test]
fn every_other_encoding_of_a_header_is_malformed() {
    let request = Request::new();
    let good = header(&request, &[3; 32])[12..].to_vec();
    assert!(StreamHeader::parse(&framed(&good)).unwrap().is_some());
    let entry = |name: &str, value: Vec<u8>| [text(name), value].concat();
    let with = |from: Vec<u8>, to: Vec<u8>| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], &to, &good[at + from.len()..]].concat()
    };
    let id = entry("request_id", bytes(&[9; 16]));
    let job = entry("job", text("mask-customers"));
    let input = entry("input", bytes(&[5; 32]));
    let nonce = entry("nonce", bytes(&[4; 20]));
    let enc = entry("enc", bytes(&[3; 32]));
    let more = |extra: Vec<u8>| [&[0xa8][..], &good[1..], &extra].concat();
    let fewer = |map: Vec<u8>| [&[0xa6][..], &map[1..]].concat();
    for (what, map) in [
        ("empty", vec![]),
        ("no map", vec![0x80]),
        ("empty map", vec![0xa0]),
        ("unknown key", more(entry("extra", vec![0]))),
        ("key twice", more(job.clone())),
        ("key missing", with(job.clone(), vec![])),
        (
            "keys in another order",
            with([id.clone(), job.clone()].concat(), [job.clone(), id].concat()),
        ),
        ("no input", fewer(with(input.clone(), vec![]))),
        ("empty input", with(input.clone(), entry("input", bytes(&[])))),
        ("long input", with(input.clone(), entry("input", bytes(&[5; 65])))),
        ("null input", with(input.clone(), entry("input", vec![0xf6]))),
        ("input as text", with(input.clone(), entry("input", text(&"5".repeat(32))))),
        ("input as an array", with(input.clone(), entry("input", vec![0x81, 5]))),
        ("input twice", more(input.clone())),
        (
            "input behind the nonce",
            with([input.clone(), nonce.clone()].concat(), [nonce.clone(), input].concat()),
        ),
        ("key by number", with(text("job"), vec![0x01])),
        ("null nonce", with(nonce.clone(), entry("nonce", vec![0xf6]))),
        ("nonce as an array", with(nonce, entry("nonce", vec![0x81, 4]))),
        ("job as bytes", with(job.clone(), entry("job", bytes(b"mask-customers")))),
        ("job not UTF-8", with(job.clone(), entry("job", vec![0x61, 0xff]))),
        (
            "job as chunks",
            with(job.clone(), entry("job", [&[0x7f][..], &text("mask"), &[0xff]].concat())),
        ),
        (
            "job with a long length",
            with(job, entry("job", [&[0x78, 14][..], b"mask-customers"].concat())),
        ),
        ("short enc", with(enc.clone(), entry("enc", bytes(&[3; 31])))),
        ("long enc", with(enc, entry("enc", bytes(&[3; 33])))),
        (
            "arg twice",
            with(
                [vec![0xa2], text("tenant"), text("acme")].concat(),
                [vec![0xa3], text("tenant"), text("acme"), text("tenant"), text("acme")].concat(),
            ),
        ),
        (
            "args in another order",
            with(
                [text("tenant"), text("acme"), text("zone"), text("")].concat(),
                [text("zone"), text(""), text("tenant"), text("acme")].concat(),
            ),
        ),
        ("map without an end", [&[0xbf][..], &good[1..]].concat()),
        ("indefinite map", [&[0xbf][..], &good[1..], &[0xff]].concat()),
        ("long map head", [&[0xb8, 7][..], &good[1..]].concat()),
        ("tagged", [&[0xc1][..], &good].concat()),
        ("trailing", [&good[..], &[0]].concat()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("nested arrays", vec![0x81; 60_000]),
        ("endless array", vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("endless map", vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (
            "endless bytes",
            [&[0xa1][..], &text("enc"), &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
                .concat(),
        ),
    ] {
        assert_eq!(StreamHeader::parse(&framed(&map)), Err(FormatError::Header), "{what}");
    }
}

#[test]
fn header_is_refused_at_its_first_wrong_byte() {
    assert_eq!(StreamHeader::parse(b""), Ok(None));
    assert_eq!(StreamHeader::parse(b"X"), Err(FormatError::Magic));
    assert_eq!(StreamHeader::parse(b"SRSEAL\x00\x02"), Err(FormatError::Magic));
    let long = [&MAGIC[..], &(MAX_HEADER_LEN as u32 + 1).to_be_bytes()].concat();
    assert_eq!(StreamHeader::parse(&long), Err(FormatError::HeaderTooLong));
    let longest = [&MAGIC[..], &(MAX_HEADER_LEN as u32).to_be_bytes()].concat();
    assert_eq!(StreamHeader::parse(&longest), Ok(None));
}

#[test]
fn header_that_no_client_would_read_is_not_written() {
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let request = Request::new();
    let start = |length| {
        let mut out = Vec::new();
        let setup = Setup::new(&public, &request.binding()).unwrap();
        let result = setup.start(&vec![0; length], &mut out).map(|_| ());
        (result, out)
    };
    let (result, out) = start(MAX_HEADER_LEN);
    assert_eq!(result, Err(SealError::HeaderTooLong));
    assert!(out.is_empty());
    let (result, out) = start(MAX_HEADER_LEN - 1000);
    assert_eq!(result, Ok(()));
    assert_eq!(StreamHeader::parse(&out).unwrap().unwrap().1, out.len());
}

#[test]
fn input_without_an_id_is_not_sealed() {
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let mut request = Request::new();
    for length in [0, MAX_INPUT_ID_LEN + 1, 1000] {
        request.input = vec![5; length];
        let refused = Setup::new(&public, &request.binding()).map(|_| ());
        assert_eq!(refused, Err(SealError::Input), "{length}");
    }
}

// Any input.

fn requests() -> impl Strategy<Value = Request> {
    let args = proptest::collection::btree_map(".{0,8}", ".{0,40}", 0..6);
    let nonce = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let input = proptest::collection::vec(any::<u8>(), 1..=MAX_INPUT_ID_LEN);
    (any::<[u8; 16]>(), ".{0,30}", args, input, nonce, any::<bool>()).prop_map(
        |(id, job, args, input, nonce, padded)| Request { id, job, args, input, nonce, padded },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_result_in_any_pieces_and_any_arrivals_comes_back(
        request in requests(),
        pieces in proptest::collection::vec(
            prop_oneof![0usize..300, MAX_CHUNK_LEN - 2..MAX_CHUNK_LEN + 2], 0..6,
        ),
        arrivals in proptest::collection::vec(prop_oneof![1usize..64, 1usize..90_000], 1..8),
    ) {
        let (secret, public) = RecipientSecretKey::generate().unwrap();
        let plaintext: Vec<u8> = (0..pieces.iter().sum()).map(|i: usize| (i % 253) as u8).collect();
        let mut rest = &plaintext[..];
        let mut cut = Vec::new();
        for length in pieces {
            let (piece, behind) = rest.split_at(length);
            cut.push(piece);
            rest = behind;
        }
        let sealed = seal_in(&public, &request, &cut);

        let mut arrivals = arrivals.into_iter().cycle();
        let mut waiting = Vec::new();
        let mut stream = &sealed.stream[..];
        let mut opener = None;
        let mut out = SecretBuf::new();
        while !stream.is_empty() {
            let (new, later) = stream.split_at(arrivals.next().unwrap().min(stream.len()));
            waiting.extend_from_slice(new);
            stream = later;
            if opener.is_none() && let Some((header, length)) = StreamHeader::parse(&waiting).unwrap() {
                waiting.drain(..length);
                let made = Opener::new(&header, &request.binding(), &secret, &sealed.user_data);
                opener = Some(made.unwrap());
            }
            if let Some(opener) = &mut opener {
                let taken = opener.open(&waiting, &mut out).unwrap();
                waiting.drain(..taken);
            }
        }
        prop_assert!(waiting.is_empty());
        opener.unwrap().finish().unwrap();
        prop_assert_eq!(out.expose(), &plaintext[..]);
    }

    #[test]
    fn any_header_is_encoded_as_documented(request in requests()) {
        let (_, public) = RecipientSecretKey::generate().unwrap();
        let sealed = seal(&public, &request, b"");
        let (parsed, length) = StreamHeader::parse(&sealed.stream).unwrap().unwrap();
        prop_assert_eq!(&sealed.stream[..length], &header(&request, parsed.enc())[..]);
        prop_assert_eq!(parsed.binding(), request.binding());
        prop_assert_eq!(sealed.user_data, user_data(&request, parsed.enc(), public.as_bytes()));
    }

    #[test]
    fn any_bytes_as_a_header_do_no_harm(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000)
    ) {
        prop_assert!(!matches!(StreamHeader::parse(&bytes), Ok(Some(_))));
        prop_assert_eq!(StreamHeader::parse(&framed(&bytes)), Err(FormatError::Header));
    }
}
