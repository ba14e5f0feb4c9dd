//! `sign`: by keys that never leave, over what its owner encrypted or a named
//! caller sent.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use strongroom::manifest::Manifest;
use strongroom_client::{ErrorCode, Job};
use strongroom_wire::Run;

use crate::house::{ACME, House};
use crate::raw::{Line, request, run_of};
use crate::signer::{Caller, Order, over, sha256};
use crate::workshop::{Wrapped, house_with};

struct Key {
    name: &'static str,
    pkcs8: Vec<u8>,
    public: Vec<u8>,
    verifies: &'static dyn VerificationAlgorithm,
}

fn ecdsa(
    name: &'static str,
    signing: &'static EcdsaSigningAlgorithm,
    verifies: &'static dyn VerificationAlgorithm,
) -> Key {
    let pair = EcdsaKeyPair::generate(signing).unwrap();
    let pkcs8 = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    Key { name, pkcs8, public: pair.public_key().as_ref().to_vec(), verifies }
}

fn keys() -> Vec<Key> {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    vec![
        ecdsa("ecdsa-p256", &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
        ecdsa("ecdsa-secp256k1", &ECDSA_P256K1_SHA256_ASN1_SIGNING, &ECDSA_P256K1_SHA256_ASN1),
        Key {
            name: "rsa-pss",
            pkcs8: pkcs8.as_ref().to_vec(),
            public: rsa.public_key().as_ref().to_vec(),
            verifies: &RSA_PSS_2048_8192_SHA256,
        },
        Key {
            name: "ed25519",
            pkcs8: ed25519.to_pkcs8v1().unwrap().as_ref().to_vec(),
            public: ed25519.public_key().as_ref().to_vec(),
            verifies: &ED25519,
        },
    ]
}

impl Key {
    #[track_caller]
    fn verify(&self, message: &[u8], signature: &[u8]) {
        let key = UnparsedPublicKey::new(self.verifies, &self.public);
        assert!(key.verify(message, signature).is_ok(), "{}", self.name);
        assert!(key.verify(&[message, b"x"].concat(), signature).is_err(), "{}", self.name);
    }
}

/// A job that signs what its owner encrypted, and one that signs for Ann.
fn jobs(key: &str, signs: &str) -> String {
    format!(
        r#"
[[job]]
name = "{key}-{signs}"
operation = "sign"
secret = "{key}"
args = ["tenant"]
input = {{ key = "$customers", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
sign = {{ algorithm = "{key}", signs = "{signs}" }}
output = {{ protect = "none" }}

[[job]]
name = "{key}-{signs}-clear"
operation = "sign"
secret = "{key}"
callers = ["ann"]
input = {{ encryption = "none" }}
sign = {{ algorithm = "{key}", signs = "{signs}" }}
output = {{ protect = "none" }}
"#
    )
}

async fn built(keys: &[Key]) -> (House, Caller) {
    let ann = Caller::ed25519("ann");
    let secrets: Vec<_> = keys.iter().map(|key| Wrapped::of(key.name, key.pkcs8.clone())).collect();
    let mut text = ann.entry() + &Caller::ed25519("bob").entry();
    for key in keys {
        text += &jobs(key.name, "message");
        if key.name != "ed25519" {
            text += &jobs(key.name, "digest");
        }
    }
    (house_with(&text, &secrets, |text| text).await, ann)
}

const ARGS: &[(&str, &str)] = &[("tenant", "acme")];

#[tokio::test]
async fn every_algorithm_signs_messages_and_digests_so_that_others_verify_it() {
    let keys = keys();
    let (house, ann) = built(&keys).await;
    let message = "an order of many frames ".repeat(100);
    let of = |plaintext: Vec<u8>| {
        let house = &house;
        async move { house.encrypt(&house.customers, &ACME, &plaintext, 64).await }
    };
    let (whole, digest) =
        (of(message.clone().into_bytes()).await, of(sha256(message.as_bytes()).to_vec()).await);
    for key in &keys {
        let job = format!("{}-message", key.name);
        let (signature, summary) =
            house.run(&Job::new(&job).arg("tenant", "acme"), &whole).await.unwrap();
        key.verify(message.as_bytes(), &signature);
        assert_eq!(summary.records, None);
        let asked = ann.run(&house, &format!("{job}-clear"), &[], message.as_bytes());
        let answer = Line::to(&house).await.ask(&asked, &[message.as_bytes()]).await;
        key.verify(message.as_bytes(), &answer.whole());
        if key.name == "ed25519" {
            continue;
        }
        let job = format!("{}-digest", key.name);
        let (signature, _) =
            house.run(&Job::new(&job).arg("tenant", "acme"), &digest).await.unwrap();
        key.verify(message.as_bytes(), &signature);
        for not_a_digest in [&b"short"[..], &[0; 31], &[0; 33], message.as_bytes()] {
            let input = of(not_a_digest.to_vec()).await;
            let refused = house.refusal(&Job::new(&job).arg("tenant", "acme"), &input).await;
            assert_eq!(refused.code, ErrorCode::BadRecord);
        }
    }
}

#[tokio::test]
async fn clear_input_is_signed_for_a_named_caller_and_for_the_input_it_names_only() {
    let keys = [keys().remove(0)];
    let (house, ann) = built(&keys).await;
    let (job, input, other) = ("ecdsa-p256-message-clear", &b"pay 1"[..], &b"pay 9"[..]);
    let open = Run { input_sha256: None, ..over(job, &[], input) };
    let stranger = Caller::ed25519("bob");
    for (what, asked, sent, code) in [
        ("nobody signed", run_of(job, &[]), input, ErrorCode::BadCaller),
        (
            "nobody signed, and the input is named",
            request(strongroom_wire::Call::Run(over(job, &[], input))),
            input,
            ErrorCode::BadCaller,
        ),
        ("a stranger signed", stranger.run(&house, job, &[], input), input, ErrorCode::BadCaller),
        (
            "the input is not named",
            ann.request(&Order::new(&house, &open)),
            input,
            ErrorCode::BadArgument,
        ),
        ("another input", ann.run(&house, job, &[], input), other, ErrorCode::InputMismatch),
        ("a longer input", ann.run(&house, job, &[], input), b"pay 10", ErrorCode::InputMismatch),
        ("no input", ann.run(&house, job, &[], input), b"", ErrorCode::InputMismatch),
    ] {
        let answer = Line::to(&house).await.ask(&asked, &[sent]).await;
        assert!(answer.data.is_empty(), "{what}: there is a signature");
        assert_eq!(answer.refusal().code, code, "{what}");
    }
    let answer = Line::to(&house).await.ask(&ann.run(&house, job, &[], input), &[input]).await;
    keys[0].verify(input, &answer.whole());
}

#[tokio::test]
async fn a_message_that_does_not_authenticate_is_not_signed() {
    let keys = [keys().remove(0)];
    let (house, _) = built(&keys).await;
    let mut cut = house.encrypt(&house.customers, &ACME, &[b'x'; 200], 64).await;
    cut.truncate(cut.len() - 40);
    let answer = Line::to(&house).await.ask(&run_of("ecdsa-p256-message", ARGS), &[&cut]).await;
    assert!(answer.data.is_empty());
    assert_eq!(answer.refusal().code, ErrorCode::DecryptFailed);
}

#[tokio::test]
async fn a_wrapped_key_of_another_algorithm_signs_nothing_and_is_not_told() {
    let mut keys = keys();
    let p256 = keys[0].pkcs8.clone();
    keys[3].pkcs8.clone_from(&p256);
    let (house, _) = built(&keys).await;
    let input = house.encrypt(&house.customers, &ACME, b"x", 64).await;
    let refused = house.refusal(&Job::new("ed25519-message").arg("tenant", "acme"), &input).await;
    assert_eq!(refused.code, ErrorCode::Internal);
}

#[tokio::test]
async fn manifests_that_would_sign_anything_for_anyone_do_not_load() {
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1";
    let secret = |name: &str| {
        format!(
            "[[secret]]\nname = \"{name}\"\nkey = \"{arn}\"\ncontext = {{ use = \"s\" }}\nwrapped = \"AAAA\"\n"
        )
    };
    let ann = Caller::ed25519("ann").entry();
    let load = |jobs: &str, name: &str| {
        let text = [&crate::house::manifest(arn, arn), &secret(name), &ann, jobs].concat();
        Manifest::parse(&text.replace("$customers", arn))
    };
    for name in ["ecdsa-p256", "ecdsa-secp256k1", "rsa-pss"] {
        load(&jobs(name, "digest"), name).unwrap();
    }
    load(&jobs("ed25519", "message"), "ed25519").unwrap();
    load(&jobs("ed25519", "digest"), "ed25519").expect_err("Ed25519 signs no digests");
    let open = jobs("rsa-pss", "message").replace("callers = [\"ann\"]\n", "");
    load(&open, "rsa-pss").expect_err("anyone could have anything signed");
    let stranger = jobs("rsa-pss", "message").replace("[\"ann\"]", "[\"eve\"]");
    load(&stranger, "rsa-pss").expect_err("eve is no caller of the manifest");
}
