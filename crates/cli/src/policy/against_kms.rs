//! What is written and what is judged, against the simulated KMS, which decides
//! policies by code that neither was made from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyEncryptionMechanism, RecipientInfo};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use strongroom::keys::road::Road;
use strongroom::transport::Endpoint;
use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_sim::kms::SimCredentials;
use strongroom_sim::{NitroCa, SimKms, SimNsm};

use super::compose::{self, Roles};
use super::findings::Severity;
use super::lint::lint;

const REGION: &str = "eu-west-1";
const PARENT: &str = "arn:aws:iam::111122223333:role/parent";
const OTHER: &str = "arn:aws:iam::111122223333:role/other";
const ROOT: &str = "arn:aws:iam::111122223333:root";

/// PCR `index` of the image (or whatever else it measures) number `number`.
fn pcr(index: u8, number: u8) -> PcrValue {
    let mut value = [0xab; 48];
    value[0] = index;
    value[1] = number;
    PcrValue(value)
}

/// A parent with its credentials, and enclaves of its choice.
struct World {
    kms: SimKms,
    key: String,
    client: Client,
    /// Under the key, with the context `purpose`.
    blob: Vec<u8>,
    ca: NitroCa,
    public_key: Vec<u8>,
}

impl World {
    async fn new() -> Self {
        let kms = SimKms::builder(REGION).start((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let credentials = SimCredentials::long_term(PARENT);
        kms.add_credentials(credentials.clone()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(kms.ca_der().to_vec())).unwrap();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(
                credentials.access_key_id,
                credentials.secret_access_key,
                None,
                None,
                "test",
            ))
            .endpoint_url(kms.endpoint_url())
            .http_client(Road::new(Endpoint::Tcp(kms.addr()), roots));
        let client = Client::from_conf(config.build());
        // The account's default policy, with which the parent may do all.
        let key = kms.create_key(None).unwrap();
        let made = client.encrypt().key_id(&key).plaintext(Blob::new(*b"secret"));
        let made = made.encryption_context("purpose", "support").send().await.unwrap();
        let blob = made.ciphertext_blob.unwrap().into_inner();
        let ca = SimNsm::builder().build().unwrap().ca();
        kms.trust_nsm_root(&SimNsm::builder().ca(&ca).build().unwrap().trust_root_der()).unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self { kms, key, client, blob, ca, public_key: public.as_ref().to_vec() }
    }

    /// An enclave on the parent whose image has these numbers in PCR 0, 1, 2 and 8.
    fn enclave(&self, numbers: [u8; 4], debug: bool) -> SimNsm {
        let mut nsm = SimNsm::builder().ca(&self.ca).pcr(3, pcr(3, 1)).pcr(4, pcr(4, 1));
        for (index, number) in [0, 1, 2, 8].into_iter().zip(numbers) {
            nsm = nsm.pcr(index, pcr(index, number));
        }
        if debug { nsm.debug().build().unwrap() } else { nsm.build().unwrap() }
    }

    /// Whether KMS decrypts, in the clear or to the enclave.
    async fn decrypts(&self, enclave: Option<&SimNsm>, purpose: &str) -> bool {
        let recipient = enclave.map(|nsm| {
            let request = AttestationRequest {
                public_key: Some(&self.public_key),
                user_data: None,
                nonce: None,
            };
            RecipientInfo::builder()
                .key_encryption_algorithm(KeyEncryptionMechanism::RsaesOaepSha256)
                .attestation_document(Blob::new(nsm.attest(&request).unwrap()))
                .build()
        });
        let call = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(&*self.blob));
        let call = call.set_recipient(recipient).encryption_context("purpose", purpose);
        match call.send().await {
            Ok(answer) => {
                assert_eq!(answer.plaintext.is_some(), enclave.is_none());
                true
            }
            Err(error) => {
                let error = error.into_service_error();
                let refused = error.meta().code() == Some("AccessDeniedException");
                assert!(refused, "{error:?}");
                false
            }
        }
    }
}

/// The image that is meant is number 1 in each of its PCRs.
const MEANT: [u8; 4] = [1, 1, 1, 1];
/// What a parent can make instead, and the least that it takes to tell it apart.
const FORGED: [[u8; 4]; 4] = [
    // another image, of another signer or of none
    [2, 2, 2, 2],
    // another image of the same signer
    [3, 3, 3, 1],
    // the program meant, with another manifest
    [4, 1, 2, 2],
    // the manifest meant, with another program
    [5, 2, 1, 2],
];

#[tokio::test]
async fn the_policy_that_is_written_lets_the_images_decrypt_and_nothing_else() {
    let world = World::new().await;
    let image = |numbers: [u8; 4]| -> compose::Image {
        let pcrs = [0, 8].into_iter().zip([numbers[0], numbers[3]]);
        pcrs.map(|(index, number)| (index, pcr(index, number).to_string())).collect()
    };
    let upgraded = [6, 6, 6, 2];
    let roles = Roles {
        parent: PARENT.to_owned(),
        administrator: OTHER.to_owned(),
        producers: vec!["arn:aws:iam::111122223333:role/producer".to_owned()],
        secret_makers: Vec::new(),
        context: BTreeMap::from([("purpose".to_owned(), "support".to_owned())]),
    };
    let policy = compose::policy(&[image(MEANT), image(upgraded)], &roles).to_string();
    world.kms.put_key_policy(&world.key, &policy).unwrap();
    for numbers in [MEANT, upgraded] {
        assert!(world.decrypts(Some(&world.enclave(numbers, false)), "support").await);
        assert!(!world.decrypts(Some(&world.enclave(numbers, false)), "marketing").await);
        assert!(!world.decrypts(Some(&world.enclave(numbers, true)), "support").await, "debug");
    }
    assert!(!world.decrypts(None, "support").await, "no recipient");
    // One image's PCR0 with the other's signer is neither.
    for numbers in FORGED.into_iter().chain([[1, 1, 1, 2], [6, 6, 6, 1]]) {
        let enclave = world.enclave(numbers, false);
        assert!(!world.decrypts(Some(&enclave), "support").await, "{numbers:?}");
    }
}

/// Whatever the parent gets out of KMS, `policy lint` has found, in policies of a
/// few statements each, most of them nearly right.
#[tokio::test]
async fn no_policy_that_is_judged_clean_lets_the_parent_decrypt_outside_of_the_image() {
    let world = World::new().await;
    let meant = world.enclave(MEANT, false);
    let mut attacks = vec![None, Some(world.enclave(MEANT, true))];
    attacks.extend(FORGED.map(|numbers| Some(world.enclave(numbers, false))));
    let (mut clean, mut useful, mut open) = (0, 0, 0);
    let mut runner = TestRunner::deterministic();
    for case in 0..CASES {
        let policy = policies().new_tree(&mut runner).unwrap().current().to_string();
        let worst = lint(policy.as_bytes()).unwrap().first().map(|finding| finding.severity);
        let is_clean = worst.is_none_or(|severity| severity == Severity::Note);
        if !is_clean && case % 10 > 0 {
            continue;
        }
        world.kms.put_key_policy(&world.key, &policy).unwrap();
        if is_clean {
            clean += 1;
            useful += u32::from(world.decrypts(Some(&meant), "support").await);
        }
        for (index, enclave) in attacks.iter().enumerate() {
            let got = world.decrypts(enclave.as_ref(), "support").await;
            assert!(!(got && is_clean), "attack {index}: {policy}");
            assert!(!(got && enclave.is_none() && worst != Some(Severity::Error)), "{policy}");
            open += u32::from(got);
        }
    }
    // The test is about something.
    assert!(clean > 20 && useful > 2 && open > 100, "{clean} {useful} {open}");
}

fn policies() -> impl Strategy<Value = Value> {
    proptest::collection::vec(statements(), 1..4).prop_map(|mut statements| {
        // Without an Allow there is nothing to judge.
        statements[0]["Effect"] = json!("Allow");
        json!({ "Version": "2012-10-17", "Statement": statements })
    })
}

fn statements() -> impl Strategy<Value = Value> {
    let principals = vec![
        json!({ "AWS": PARENT }),
        json!({ "AWS": PARENT }),
        json!({ "AWS": PARENT }),
        json!({ "AWS": [OTHER, PARENT] }),
        json!({ "AWS": OTHER }),
        json!({ "AWS": ROOT }),
        json!("*"),
        json!("*"),
    ];
    let actions = vec![
        ("Action", json!("kms:Decrypt")),
        ("Action", json!("kms:Decrypt")),
        ("Action", json!("kms:Decrypt")),
        ("Action", json!("kms:Decrypt")),
        ("Action", json!(["kms:De*", "kms:GenerateDataKey"])),
        ("Action", json!("kms:*")),
        ("Action", json!("kms:Encrypt")),
        ("Action", json!("KMS:D?crypt*")),
        ("NotAction", json!("kms:Encrypt")),
        ("NotAction", json!("kms:D*")),
    ];
    let resources =
        vec![json!("*"), json!("*"), json!("*"), json!("arn:aws:kms:eu-west-1:1:key/x")];
    let conditions = proptest::collection::vec(conditions(), 0..3);
    (any::<bool>(), select(principals), select(actions), select(resources), conditions).prop_map(
        |(allows, principal, (member, action), resource, conditions)| {
            let mut block: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
            for (operator, key, value) in conditions {
                block.entry(operator).or_default().insert(key, value);
            }
            let mut statement = json!({
                "Effect": if allows { "Allow" } else { "Deny" },
                "Principal": principal,
                member: action,
                "Resource": resource,
            });
            if !block.is_empty() {
                statement["Condition"] = json!(block);
            }
            statement
        },
    )
}

fn conditions() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let operators = vec![
        "StringEquals",
        "StringEquals",
        "StringEqualsIgnoreCase",
        "StringEqualsIgnoreCase",
        "StringEqualsIgnoreCase",
        "StringEqualsIfExists",
        "StringNotEquals",
        "StringNotEqualsIgnoreCase",
        "StringNotEqualsIfExists",
        "StringLike",
        "StringNotLike",
        "ForAllValues:StringEquals",
        "ForAllValues:StringNotEquals",
        "ForAnyValue:StringEquals",
        "ForAnyValue:StringNotEquals",
        "ArnLike",
    ];
    let compared = (select(operators), 0..12_usize).prop_flat_map(|(operator, key)| {
        let (key, index) = [
            ("kms:RecipientAttestation:ImageSha384", 0),
            ("kms:RecipientAttestation:PCR0", 0),
            ("kms:RecipientAttestation:PCR0", 0),
            ("kms:RecipientAttestation:PCR0", 0),
            ("KMS:recipientattestation:pcr0", 0),
            ("kms:RecipientAttestation:PCR1", 1),
            ("kms:RecipientAttestation:PCR2", 2),
            ("kms:RecipientAttestation:PCR3", 3),
            ("kms:RecipientAttestation:PCR4", 4),
            ("kms:RecipientAttestation:PCR8", 8),
            ("kms:EncryptionContext:purpose", 40),
            ("aws:PrincipalArn", 41),
        ][key];
        let values = vec![
            pcr(index, 1).to_string(),
            pcr(index, 2).to_string(),
            pcr(index, 1).to_string().to_uppercase(),
            "0".repeat(96),
            "0*".to_owned(),
            "support".to_owned(),
            PARENT.to_owned(),
        ];
        let some = prop_oneof![
            6 => Just(vec![values[0].clone()]),
            3 => subsequence(values, 1..3),
            1 => Just(Vec::new()),
        ];
        some.prop_map(move |values| (operator, key, json!(values)))
    });
    let keys = vec!["kms:RecipientAttestation:ImageSha384", "kms:RecipientAttestation:PCR8"];
    let flags = vec![json!("true"), json!(true), json!("false"), json!(["true", "false"])];
    let null = (select(keys), select(flags)).prop_map(|(key, flag)| ("Null", key, flag));
    prop_oneof![4 => compared, 1 => null]
}

/// Each clean one is asked of KMS, and each tenth of the others.
const CASES: u32 = 1500;
