//! Raw keyrings against RustCrypto, and against changed encrypted data keys.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::{PrivateKey, PublicKey};
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{
    EncryptedDataKey, EncryptionContext, FrameLen, Header, Limits, Policy, Sealer,
};
use strongroom_envelope::keyring::{KeyringError, RawAes, RawRsa, RsaPadding};

use crate::support::{Reader, context, data_key};

const WRAPPING: [u8; 32] = [0x77; 32];

fn aes() -> RawAes {
    RawAes::new("space", "name", &WRAPPING).unwrap()
}

fn key(len: usize) -> DataKey {
    DataKey::from_slice(&vec![5; len]).unwrap()
}

/// Made anew: a key of 2048 bits costs a second.
fn rsa_key() -> PrivateKey {
    PrivateKey::new(&mut rand::rng(), 2048).unwrap()
}

fn rsa_pair(private: &PrivateKey, padding: RsaPadding) -> (RawRsa, RawRsa) {
    let pkcs8 = private.to_pkcs8_der().unwrap();
    let spki = private.to_public_key().to_public_key_der().unwrap();
    (
        RawRsa::from_private("space", "name", pkcs8.as_bytes(), padding).unwrap(),
        RawRsa::from_public("space", "name", spki.as_bytes(), padding).unwrap(),
    )
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-aes-keyring.md#encryption
#[test]
fn aes_wraps_as_the_specification_says() {
    for len in [16, 24, 32] {
        let wrapped = aes().wrap(&key(len), &context()).unwrap();
        assert_eq!(wrapped.provider_id, "space");
        let iv = wrapped.provider_info.strip_prefix(b"name\0\0\0\x80\0\0\0\x0C").unwrap();
        let aad = context().encode().unwrap();
        let payload = Payload { msg: &wrapped.ciphertext, aad: &aad };
        let nonce = Nonce::from(<[u8; 12]>::try_from(iv).unwrap());
        let oracle = Aes256Gcm::new_from_slice(&WRAPPING).unwrap();
        assert_eq!(oracle.decrypt(&nonce, payload).unwrap(), vec![5; len]);
        assert!(aes().unwrap(&wrapped, &context()).unwrap() == key(len));
    }
    let [one, two] = [0; 2].map(|_| aes().wrap(&key(32), &context()).unwrap());
    assert_ne!(one.provider_info, two.provider_info, "an IV was used twice");
}

#[test]
fn aes_unwraps_nothing_that_was_changed() {
    let wrapped = aes().wrap(&key(32), &context()).unwrap();
    for at in 0..wrapped.ciphertext.len() * 8 {
        let mut changed = wrapped.clone();
        changed.ciphertext[at / 8] ^= 1 << (at % 8);
        assert_eq!(aes().unwrap(&changed, &context()).err(), Some(KeyringError::Unwrap));
    }
    for at in 0..wrapped.provider_info.len() {
        let mut changed = wrapped.clone();
        changed.provider_info[at] ^= 1;
        assert!(aes().unwrap(&changed, &context()).is_err());
    }
    for len in 0..wrapped.ciphertext.len() {
        let ciphertext = wrapped.ciphertext[..len].to_vec();
        let cut = EncryptedDataKey { ciphertext, ..wrapped.clone() };
        assert_eq!(aes().unwrap(&cut, &context()).err(), Some(KeyringError::Unwrap));
    }
    let other = EncryptionContext::new([("purpose", "test"), ("tenant", "b")]).unwrap();
    assert_eq!(aes().unwrap(&wrapped, &other).err(), Some(KeyringError::Unwrap));
}

#[test]
fn aes_unwraps_only_what_is_a_data_key() {
    let oracle = Aes256Gcm::new_from_slice(&WRAPPING).unwrap();
    for len in [0, 15, 17, 31, 33, 5000] {
        let aad = context().encode().unwrap();
        let payload = Payload { msg: &vec![5; len], aad: &aad };
        let wrapped = EncryptedDataKey {
            provider_id: "space".into(),
            provider_info: b"name\0\0\0\x80\0\0\0\x0C............".to_vec(),
            ciphertext: oracle.encrypt(&Nonce::from(*b"............"), payload).unwrap(),
        };
        assert_eq!(aes().unwrap(&wrapped, &context()).err(), Some(KeyringError::Unwrap));
    }
}

#[test]
fn rsa_unwraps_what_rustcrypto_wraps_and_the_other_way_round() {
    let private = rsa_key();
    let public = PublicKey::from(&private);
    for padding in [
        RsaPadding::Pkcs1,
        RsaPadding::OaepSha1,
        RsaPadding::OaepSha256,
        RsaPadding::OaepSha384,
        RsaPadding::OaepSha512,
    ] {
        let (ours, ours_public) = rsa_pair(&private, padding);
        let theirs_of = |plain: &[u8]| match padding {
            RsaPadding::Pkcs1 => public.pkcs1v15_encrypt(plain),
            RsaPadding::OaepSha1 => public.oaep_encrypt::<sha1::Sha1>(plain),
            RsaPadding::OaepSha256 => public.oaep_encrypt::<sha2::Sha256>(plain),
            RsaPadding::OaepSha384 => public.oaep_encrypt::<sha2::Sha384>(plain),
            RsaPadding::OaepSha512 => public.oaep_encrypt::<sha2::Sha512>(plain),
        };
        let open_theirs = |ciphertext: &[u8]| match padding {
            RsaPadding::Pkcs1 => private.pkcs1v15_decrypt(ciphertext),
            RsaPadding::OaepSha1 => private.oaep_decrypt::<sha1::Sha1>(ciphertext),
            RsaPadding::OaepSha256 => private.oaep_decrypt::<sha2::Sha256>(ciphertext),
            RsaPadding::OaepSha384 => private.oaep_decrypt::<sha2::Sha384>(ciphertext),
            RsaPadding::OaepSha512 => private.oaep_decrypt::<sha2::Sha512>(ciphertext),
        };
        let theirs = EncryptedDataKey {
            provider_id: "space".into(),
            provider_info: b"name".to_vec(),
            ciphertext: theirs_of(&[5; 24]).unwrap(),
        };
        assert!(ours.unwrap(&theirs, &context()).unwrap() == key(24));
        assert_eq!(ours_public.unwrap(&theirs, &context()).err(), Some(KeyringError::Unwrap));

        let wrapped = ours_public.wrap(&key(32), &context()).unwrap();
        assert_eq!(wrapped.provider_info, b"name");
        assert_eq!(open_theirs(&wrapped.ciphertext).unwrap(), [5; 32]);

        let mut changed = wrapped;
        changed.ciphertext[9] ^= 1;
        assert!(ours.unwrap(&changed, &context()).is_err());
        changed.ciphertext.truncate(9);
        assert_eq!(ours.unwrap(&changed, &context()).err(), Some(KeyringError::Unwrap));
    }
}

#[test]
fn keyrings_leave_other_keys_alone() {
    let (rsa, _) = rsa_pair(&rsa_key(), RsaPadding::OaepSha256);
    let aes_wrapped = aes().wrap(&key(32), &context()).unwrap();
    let rsa_wrapped = rsa.wrap(&key(32), &context()).unwrap();
    let other = Some(KeyringError::OtherKey);
    assert_eq!(aes().unwrap(&rsa_wrapped, &context()).err(), other);
    assert_eq!(rsa.unwrap(&aes_wrapped, &context()).err(), other);
    for (namespace, name) in [("space2", "name"), ("space", "nam"), ("space", "name2")] {
        let keyring = RawAes::new(namespace, name, &WRAPPING).unwrap();
        assert_eq!(keyring.unwrap(&aes_wrapped, &context()).err(), other);
        let moved = EncryptedDataKey {
            provider_id: namespace.into(),
            provider_info: name.into(),
            ..rsa_wrapped.clone()
        };
        assert_eq!(rsa.unwrap(&moved, &context()).err(), other);
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-aes-keyring.md#key-namespace
#[test]
fn keyrings_do_not_pass_for_kms_or_take_any_key() {
    let reserved = Some(KeyringError::ReservedNamespace);
    assert_eq!(RawAes::new("aws-kms", "name", &WRAPPING).err(), reserved);
    let pkcs8 = rsa_key().to_pkcs8_der().unwrap();
    let padding = RsaPadding::OaepSha256;
    assert_eq!(RawRsa::from_private("aws-kms", "n", pkcs8.as_bytes(), padding).err(), reserved);

    let unusable = Some(KeyringError::Key);
    for len in [0, 15, 17, 31, 33] {
        assert_eq!(RawAes::new("space", "name", &vec![1; len]).err(), unusable);
    }
    assert_eq!(RawRsa::from_private("space", "n", &[0x30, 0], padding).err(), unusable);
    assert_eq!(RawRsa::from_public("space", "n", pkcs8.as_bytes(), padding).err(), unusable);
}

#[test]
fn any_of_several_encrypted_data_keys_opens_a_message() {
    let (rsa, rsa_public) = rsa_pair(&rsa_key(), RsaPadding::OaepSha512);
    let encrypted = [
        aes().wrap(&data_key(), &context()).unwrap(),
        rsa_public.wrap(&data_key(), &context()).unwrap(),
    ];
    let mut message = Vec::new();
    let mut sealer =
        Sealer::new(&data_key(), &context(), &encrypted, FrameLen::DEFAULT, &mut message).unwrap();
    sealer.seal(b"plaintext", &mut message).unwrap();
    sealer.finish(&mut message).unwrap();

    let (header, _) =
        Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
    let [first, second] = header.encrypted_data_keys() else { panic!("two keys") };
    let by_aes = aes().unwrap(first, header.encryption_context()).unwrap();
    let by_rsa = rsa.unwrap(second, header.encryption_context()).unwrap();
    for key in [by_aes, by_rsa] {
        let reader = Reader { key: key.expose().to_vec(), ..Reader::strict() };
        assert_eq!(reader.open(&message).plaintext(), b"plaintext");
    }
}
