//! `CiphertextForRecipient` against messages made by other code: what KMS writes
//! opens, and everything else ends in the same error.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

#[path = "cms/maker.rs"]
mod maker;

use std::sync::OnceLock;

use maker::{Recipient, Shape, definite, indefinite, octets};
use proptest::prelude::*;
use strongroom_envelope::cms::{CmsError, MAX_MESSAGE_LEN, RecipientKey, parse};

const DATA_KEY: [u8; 32] = [0xc3; 32];

fn key() -> &'static RecipientKey {
    static KEY: OnceLock<RecipientKey> = OnceLock::new();
    KEY.get_or_init(|| RecipientKey::generate().unwrap())
}

fn shape() -> Shape {
    Shape::new(key(), &DATA_KEY)
}

fn open(message: &[u8]) -> Result<Vec<u8>, CmsError> {
    key().open(message).map(|plaintext| plaintext.expose().to_vec())
}

#[track_caller]
fn opens(change: impl FnOnce(&mut Shape)) {
    let mut shape = shape();
    change(&mut shape);
    assert_eq!(open(&shape.build()), Ok(DATA_KEY.to_vec()));
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Shape)) {
    let mut shape = shape();
    change(&mut shape);
    assert_eq!(open(&shape.build()), Err(CmsError::Unopenable));
}

/// Refused for its shape, before any key is used.
#[track_caller]
fn malformed(change: impl FnOnce(&mut Shape)) {
    let mut shape = shape();
    change(&mut shape);
    assert_eq!(parse(&shape.build()).map(|_| ()), Err(CmsError::Unopenable));
    assert_eq!(open(&shape.build()), Err(CmsError::Unopenable));
}

// What KMS writes, and what BER allows it to write.

#[test]
fn kms_shape_has_the_documented_sizes_and_opens() {
    let message = shape().build();
    assert_eq!(message.len(), 493);
    assert_eq!(key().public_key_der().len(), 294);
    opens(|_| ());
}

#[test]
fn definite_lengths_open() {
    opens(|shape| {
        shape.indefinite = false;
        shape.content = definite(0xa0, &[octets(&maker::encrypt(&DATA_KEY))]);
    });
}

#[test]
fn primitive_content_opens() {
    opens(|shape| shape.content = definite(0x80, &[maker::encrypt(&DATA_KEY)]));
}

#[test]
fn content_in_chunks_of_any_size_opens() {
    let ciphertext = maker::encrypt(&DATA_KEY);
    for size in 1..=ciphertext.len() {
        let mut chunks: Vec<_> = ciphertext.chunks(size).map(octets).collect();
        chunks.insert(1, octets(&[]));
        opens(|shape| shape.content = indefinite(0xa0, &chunks));
        opens(|shape| shape.content = definite(0xa0, &chunks));
    }
}

#[test]
fn chunks_within_chunks_open_down_to_the_limit_and_no_further() {
    // Five indefinite lengths are open around a chunk already; eight are allowed.
    for (is_definite, deepest) in [(false, 3), (true, 7)] {
        let wrap = if is_definite { definite } else { indefinite };
        let mut content = octets(&maker::encrypt(&DATA_KEY));
        for depth in 0..64 {
            let nested = indefinite(0xa0, &[&content]);
            if depth <= deepest {
                opens(|shape| shape.content = nested);
            } else {
                malformed(|shape| shape.content = nested);
            }
            content = wrap(0x24, &[content]);
        }
    }
}

#[test]
fn an_empty_label_may_be_said_outright() {
    let sha256 = maker::hash_id(maker::SHA256, true);
    let p_specified =
        definite(0x06, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x09][..]]);
    let label =
        |value: &[u8]| definite(0xa2, &[definite(0x30, &[p_specified.clone(), octets(value)])]);
    opens(|shape| shape.recipients[0].algorithm = maker::oaep(&sha256, &sha256, &label(b"")));
    malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&sha256, &sha256, &label(b"x")));
    let twice = [label(b""), label(b"")].concat();
    malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&sha256, &sha256, &twice));
}

#[test]
fn hash_identifiers_without_null_open() {
    for (hash, mask) in [(false, true), (true, false), (false, false)] {
        opens(|shape| {
            shape.recipients[0].algorithm = maker::oaep(
                &maker::hash_id(maker::SHA256, hash),
                &maker::hash_id(maker::SHA256, mask),
                &[],
            );
        });
    }
}

#[test]
fn every_padding_length_opens() {
    for length in 0..=48 {
        let plaintext = vec![0x10; length];
        assert_eq!(open(&Shape::new(key(), &plaintext).build()), Ok(plaintext));
    }
}

#[test]
fn largest_kms_plaintext_in_kilobyte_chunks_opens() {
    let plaintext = vec![0x77; 4096];
    let chunks: Vec<_> = maker::encrypt(&plaintext).chunks(1000).map(octets).collect();
    let mut shape = Shape::new(key(), &plaintext);
    shape.content = indefinite(0xa0, &chunks);
    assert_eq!(open(&shape.build()), Ok(plaintext));
}

// Another recipient, key or content: nothing tells them apart.

#[test]
fn message_for_another_enclave_is_refused() {
    let other = RecipientKey::generate().unwrap();
    let message = Shape::new(&other, &DATA_KEY).build();
    assert_eq!(open(&message), Err(CmsError::Unopenable));
    assert!(other.open(&message).is_ok());
}

#[test]
fn message_that_names_this_recipient_but_is_encrypted_to_another_is_refused() {
    let other = RecipientKey::generate().unwrap();
    refused(|shape| {
        shape.recipients[0].encrypted_key = octets(&maker::wrap_key(&other, &maker::CEK));
    });
}

#[test]
fn message_encrypted_to_this_recipient_but_naming_another_is_refused() {
    refused(|shape| shape.recipients[0].id[5] ^= 1);
}

#[test]
fn content_key_of_any_length_but_32_is_refused() {
    for length in [0, 1, 16, 24, 31, 33, 64] {
        refused(|shape| shape.recipients[0] = Recipient::new(key(), &vec![0x5a; length]));
    }
}

/// The key that stands in for one that did not unwrap must open nothing.
#[test]
fn content_under_the_stand_in_key_is_refused() {
    for cek in [vec![0; 31], vec![0; 33], vec![]] {
        refused(|shape| {
            shape.recipients[0] = Recipient::new(key(), &cek);
            shape.content = definite(0x80, &[maker::encrypt_under(&[0; 32], &DATA_KEY)]);
        });
    }
}

#[test]
fn pkcs1_v15_wrapped_key_is_refused_under_either_name() {
    let public = aws_lc_rs::rsa::PublicEncryptingKey::from_der(key().public_key_der()).unwrap();
    let public = aws_lc_rs::rsa::Pkcs1PublicEncryptingKey::new(public).unwrap();
    let mut wrapped = [0; 256];
    let wrapped = octets(public.encrypt(&maker::CEK, &mut wrapped).unwrap());
    refused(|shape| shape.recipients[0].encrypted_key = wrapped.clone());
    malformed(|shape| {
        shape.recipients[0].encrypted_key = wrapped.clone();
        shape.recipients[0].algorithm =
            definite(0x30, &[definite(0x06, &[maker::RSA_PKCS1]), vec![5, 0]]);
    });
}

#[test]
fn key_wrapped_with_a_label_is_refused() {
    use rsa::oaep::EncryptingKey;
    use rsa::rand_core::UnwrapErr;
    use rsa::traits::RandomizedEncryptor;
    let label = EncryptingKey::<rsa::sha2::Sha256>::new_with_label(
        maker::public(key()),
        b"label".as_slice(),
    );
    let mut rng = UnwrapErr(rand::rngs::SysRng);
    let wrapped = label.encrypt_with_rng(&mut rng, &maker::CEK).unwrap();
    refused(|shape| shape.recipients[0].encrypted_key = octets(&wrapped));
}

#[test]
fn every_wrong_padding_is_refused() {
    // None, longer than a block, longer than everything.
    for last in [0, 17, 255] {
        let content = maker::encrypt_raw(&[last; 32]);
        refused(|shape| shape.content = definite(0x80, &[content]));
    }
    for padding in 2..=16u8 {
        let mut blocks = [padding; 32];
        blocks[32 - usize::from(padding)] ^= 0x40;
        let content = maker::encrypt_raw(&blocks);
        refused(|shape| shape.content = definite(0x80, &[content]));
    }
}

#[test]
fn ciphertext_that_is_empty_or_not_whole_blocks_is_malformed() {
    for length in [0, 1, 15, 17, 31] {
        malformed(|shape| shape.content = definite(0x80, &[vec![9; length]]));
        malformed(|shape| shape.content = indefinite(0xa0, &[octets(&vec![9; length])]));
    }
    malformed(|shape| shape.content = indefinite::<&[u8]>(0xa0, &[]));
}

// Every rule of the profile, broken.

#[test]
fn other_content_types_are_malformed() {
    for oid in [maker::DATA, maker::SIGNED_DATA, &[]] {
        malformed(|shape| shape.outer_type = oid.to_vec());
    }
    malformed(|shape| shape.content_type = maker::ENVELOPED.to_vec());
}

#[test]
fn other_versions_are_malformed() {
    for version in [0, 1, 3, 4, 255] {
        malformed(|shape| shape.version = maker::integer(version));
        malformed(|shape| shape.recipients[0].version = maker::integer(version));
    }
    malformed(|shape| shape.version = definite(0x02, &[[0, 2]]));
    malformed(|shape| shape.version = Vec::new());
}

#[test]
fn no_recipient_or_several_are_malformed() {
    malformed(|shape| shape.recipients.clear());
    malformed(|shape| shape.recipients.push(Recipient::new(key(), &maker::CEK)));
    malformed(|shape| {
        shape.recipients = vec![Recipient::new(key(), &maker::CEK); 20];
    });
}

#[test]
fn recipient_named_by_issuer_and_serial_is_malformed() {
    let name = definite(0x30, &[definite(0x30, &[[0u8; 0]]), maker::integer(1)]);
    malformed(|shape| shape.recipients[0].id = name.clone());
    // The shape that LocalStack writes.
    malformed(|shape| {
        shape.indefinite = false;
        shape.version = maker::integer(0);
        shape.recipients[0].version = maker::integer(0);
        shape.recipients[0].id = name.clone();
        shape.content = definite(0x80, &[maker::encrypt(&DATA_KEY)]);
    });
}

#[test]
fn key_identifier_of_another_length_or_tag_is_malformed() {
    for length in [0, 20, 31, 33, 64] {
        malformed(|shape| shape.recipients[0].id = definite(0x80, &[vec![1; length]]));
    }
    malformed(|shape| shape.recipients[0].id[0] = 0x04);
    malformed(|shape| shape.recipients[0].id[0] = 0xa0);
}

#[test]
fn oaep_with_any_other_hash_mask_or_label_is_malformed() {
    let sha256 = maker::hash_id(maker::SHA256, true);
    for other in [maker::SHA1, maker::SHA384] {
        let other = maker::hash_id(other, true);
        malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&other, &sha256, &[]));
        malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&sha256, &other, &[]));
    }
    let source = definite(0xa2, &[definite(0x30, &[octets(b"label")])]);
    malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&sha256, &sha256, &source));
    // Both defaults mean SHA-1.
    let oid = definite(0x06, &[maker::OAEP]);
    for parameters in [vec![], vec![0x30, 0], vec![5, 0]] {
        malformed(|shape| shape.recipients[0].algorithm = definite(0x30, &[&oid, &parameters]));
    }
    let long = [maker::hash_id(maker::SHA256, true), vec![5, 0]].concat();
    malformed(|shape| shape.recipients[0].algorithm = maker::oaep(&long, &sha256, &[]));
}

#[test]
fn encrypted_key_of_another_length_is_malformed() {
    for length in [0, 1, 255, 257, 384, 512] {
        malformed(|shape| shape.recipients[0].encrypted_key = octets(&vec![1; length]));
    }
}

#[test]
fn any_other_content_cipher_is_malformed() {
    for oid in [maker::AES128_CBC, maker::AES256_GCM, maker::SHA256, &[]] {
        malformed(|shape| shape.content_algorithm = maker::content_algorithm(oid, &maker::IV));
    }
    for length in [0, 8, 12, 15, 17, 32] {
        let algorithm = maker::content_algorithm(maker::AES256_CBC, &vec![0; length]);
        malformed(|shape| shape.content_algorithm = algorithm);
    }
}

#[test]
fn content_under_another_tag_is_malformed() {
    for tag in [0x81, 0xa1, 0x04, 0x24, 0x30, 0x82] {
        malformed(|shape| shape.content[0] = tag);
    }
    malformed(|shape| shape.content = Vec::new());
    // Within the constructed content, octet strings only.
    for tag in [0x02, 0x05, 0x30, 0x80, 0xa0, 0x0c] {
        let chunk = definite(tag, &[maker::encrypt(&DATA_KEY)]);
        malformed(|shape| shape.content = indefinite(0xa0, &[chunk]));
    }
}

#[test]
fn content_twice_or_more_behind_it_is_malformed() {
    malformed(|shape| shape.content = [shape.content.clone(), shape.content.clone()].concat());
    malformed(|shape| shape.unprotected = definite(0xa1, &[[0u8; 0]]));
    malformed(|shape| shape.recipients[0].encrypted_key.extend([5, 0]));
    malformed(|shape| shape.content_algorithm.extend([5, 0]));
}

#[test]
fn trailing_bytes_are_malformed() {
    for trailing in [&[0][..], &[0, 0], &[5, 0], &[0xff; 100]] {
        malformed(|shape| shape.trailing = trailing.to_vec());
        malformed(|shape| {
            shape.indefinite = false;
            shape.trailing = trailing.to_vec();
        });
    }
}

// Lengths.

#[test]
fn indefinite_length_on_a_primitive_value_is_malformed() {
    let content = [&[0x80, 0x80][..], &maker::encrypt(&DATA_KEY), &[0, 0]].concat();
    malformed(|shape| shape.content = content.clone());
    let chunk = [&[0x04, 0x80][..], &maker::encrypt(&DATA_KEY), &[0, 0]].concat();
    malformed(|shape| shape.content = indefinite(0xa0, &[chunk]));
    // Also where the ciphertext happens to read as BER itself.
    let ciphertext = octets(&[7; 30]);
    malformed(|shape| shape.content = indefinite(0x80, &[&ciphertext]));
    malformed(|shape| shape.content = indefinite(0xa0, &[indefinite(0x04, &[&ciphertext])]));
}

#[test]
fn lengths_beyond_the_message_are_malformed_and_cost_nothing() {
    for length in [
        &[0x84, 0xff, 0xff, 0xff, 0xff][..],
        &[0x84, 0x7f, 0xff, 0xff, 0xff],
        &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x85, 0, 0, 0, 1, 0],
        &[0xff],
        &[0x83, 1, 0, 0],
        &[0x82, 0x40, 0],
        &[0x82, 0x40],
        &[0x84],
    ] {
        for tag in [0x04, 0x80, 0xa0, 0x30] {
            let value = [&[tag][..], length, &[1; 64]].concat();
            malformed(|shape| shape.recipients[0].encrypted_key = value.clone());
            malformed(|shape| shape.content = value.clone());
            assert!(parse(&value).is_err());
        }
    }
}

#[test]
fn long_form_lengths_open() {
    let ciphertext = maker::encrypt(&DATA_KEY);
    for length in [&[0x81][..], &[0x82, 0], &[0x83, 0, 0], &[0x84, 0, 0, 0]] {
        let content = [&[0x80][..], length, &[ciphertext.len() as u8], &ciphertext].concat();
        opens(|shape| shape.content = content);
    }
}

#[test]
fn tags_of_several_bytes_are_malformed() {
    for tag in [0x1f, 0x3f, 0x9f, 0xbf] {
        malformed(|shape| shape.content[0] = tag);
    }
}

#[test]
fn message_beyond_the_size_limit_is_refused() {
    let chunks = vec![octets(&[0; 16]); 1024];
    let mut shape = shape();
    shape.content = indefinite(0xa0, &chunks);
    let message = shape.build();
    assert!(message.len() > MAX_MESSAGE_LEN);
    assert!(parse(&message).is_err());
    shape.content = indefinite(0xa0, &chunks[..800]);
    assert!(parse(&shape.build()).is_ok());
}

#[test]
fn deep_nesting_ends_at_once() {
    for pair in [[0x30, 0x80], [0xa0, 0x80], [0x24, 0x80], [0x31, 0x80]] {
        let bomb = pair.repeat(MAX_MESSAGE_LEN / 2);
        assert_eq!(open(&bomb), Err(CmsError::Unopenable));
    }
}

// Any bytes.

#[test]
fn every_truncation_is_refused() {
    let message = shape().build();
    for length in 0..message.len() {
        assert_eq!(open(&message[..length]), Err(CmsError::Unopenable), "{length}");
    }
}

#[test]
fn no_flipped_bit_opens_to_the_same_plaintext() {
    let message = shape().build();
    // CBC has no integrity: flips in these bytes may open to garbage.
    let unauthenticated = find(&message, &maker::IV)..message.len();
    for bit in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match open(&flipped) {
            Err(error) => assert_eq!(error, CmsError::Unopenable),
            Ok(plaintext) => {
                assert_ne!(plaintext, DATA_KEY, "bit {bit}");
                assert!(unauthenticated.contains(&(bit / 8)), "bit {bit}");
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert_eq!(open(&bytes), Err(CmsError::Unopenable));
    }

    #[test]
    fn any_bytes_between_ber_headers_are_refused(
        values in proptest::collection::vec(
            (prop_oneof![Just(0x30u8), Just(0x31), Just(0xa0), Just(0x24), Just(4), Just(0x80), Just(0)],
             prop_oneof![Just(0x80u8), Just(0), Just(1), Just(0x82), any::<u8>()]),
            0..400,
        )
    ) {
        let bytes: Vec<u8> = values.into_iter().flat_map(|(tag, length)| [tag, length]).collect();
        prop_assert!(parse(&bytes).is_err());
    }

    #[test]
    fn overwritten_bytes_never_open_to_the_same_plaintext(
        at in 0usize..493, with in proptest::collection::vec(any::<u8>(), 1..40)
    ) {
        let message = shape().build();
        let mut changed = message.clone();
        for (byte, new) in changed[at..].iter_mut().zip(with) {
            *byte = new;
        }
        if changed != message {
            prop_assert_ne!(open(&changed), Ok(DATA_KEY.to_vec()));
        }
    }

    #[test]
    fn any_plaintext_in_any_chunks_comes_back(
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
        size in 1usize..700,
        definite_lengths: bool,
    ) {
        let chunks: Vec<_> = maker::encrypt(&plaintext).chunks(size).map(octets).collect();
        let mut shape = Shape::new(key(), &plaintext);
        shape.indefinite = !definite_lengths;
        shape.content = if definite_lengths { definite(0xa0, &chunks) } else { indefinite(0xa0, &chunks) };
        prop_assert_eq!(open(&shape.build()), Ok(plaintext));
    }
}

// Keys.

#[test]
fn only_rsa_2048_keys_are_read() {
    assert_eq!(RecipientKey::from_pkcs8(&[]).map(|_| ()), Err(CmsError::Key));
    assert_eq!(RecipientKey::from_pkcs8(&[0x30; 64]).map(|_| ()), Err(CmsError::Key));
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
    let longer = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap().as_der().unwrap();
    assert_eq!(RecipientKey::from_pkcs8(longer.as_ref()).map(|_| ()), Err(CmsError::Key));
    let right = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let right = RecipientKey::from_pkcs8(right.as_ref()).unwrap();
    let message = Shape::new(&right, &DATA_KEY).build();
    assert_eq!(right.open(&message).map(|p| p.expose().to_vec()), Ok(DATA_KEY.to_vec()));
    assert_eq!(parse(&message).unwrap().recipient()[..], rsa_sha2(right.public_key_der()));
}

fn rsa_sha2(bytes: &[u8]) -> Vec<u8> {
    use rsa::sha2::Digest;
    rsa::sha2::Sha256::digest(bytes).to_vec()
}
