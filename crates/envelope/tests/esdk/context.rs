//! Encryption contexts by themselves.

use proptest::prelude::*;
use strongroom_envelope::esdk::{ContextError, EncryptionContext};

use crate::oracle::encode_context;

proptest! {
    #[test]
    fn encoding_is_the_oracles_and_decodes_to_the_same(
        pairs in prop::collection::btree_map("[^a]{0,9}", ".{0,9}", 0..9),
    ) {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let context = EncryptionContext::new(pairs.clone()).unwrap();
        let encoded = context.encode().unwrap();
        prop_assert_eq!(&encoded, &encode_context(&pairs));
        prop_assert_eq!(EncryptionContext::decode(&encoded).unwrap(), context);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0u8..4) {
        let _ = EncryptionContext::decode(&bytes);
        let _ = EncryptionContext::decode(&[&[0, count, 0], &bytes[..]].concat());
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#serialization
#[test]
fn keys_are_ordered_by_their_bytes() {
    // In UTF-16 the second would come first.
    let context = EncryptionContext::new([("\u{FF5E}", "1"), ("\u{1F600}", "2")]).unwrap();
    let keys: Vec<_> = context.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["\u{FF5E}", "\u{1F600}"]);
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/encrypt.md#encryption-context
#[test]
fn keys_of_the_format_can_not_be_set_by_callers() {
    for key in ["aws-crypto-", "aws-crypto-public-key", "aws-crypto-other"] {
        assert_eq!(EncryptionContext::new([(key, "")]), Err(ContextError::ReservedKey));
    }
    EncryptionContext::new([("aws-crypto", ""), ("x-aws-crypto-", "")]).unwrap();
}

#[test]
fn pair_that_stands_twice_is_refused() {
    let twice = [("k", "v"), ("k", "v")];
    assert_eq!(EncryptionContext::new(twice), Err(ContextError::DuplicateKey));
}

#[test]
fn context_is_bounded_by_its_encoding() {
    // count 2, two lengths 4, key 1
    let fits = "v".repeat(0xFFFF - 7);
    let encoded = EncryptionContext::new([("k", fits.clone())]).unwrap().encode().unwrap();
    assert_eq!(encoded.len(), 0xFFFF);
    let longer = [("k", fits + "v")];
    assert_eq!(EncryptionContext::new(longer), Err(ContextError::TooLong));
    assert_eq!(EncryptionContext::decode(&[0; 0x1_0000]), Err(ContextError::TooLong));
}

#[test]
fn empty_context_has_an_empty_encoding() {
    assert_eq!(EncryptionContext::default().encode().unwrap(), b"");
    assert!(EncryptionContext::decode(b"").unwrap().is_empty());
}
