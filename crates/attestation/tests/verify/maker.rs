//! An independent maker of attestation documents, with its own throw-away PKI
//! and a knob for every rule. Shares no code with the verifier: rcgen makes the
//! certificates, ciborium the payload, coset and p384 the signature.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use ciborium::Value;
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::DecodePrivateKey;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, Issuer, KeyPair};
use strongroom_attestation::{Policy, TrustRoot, UnixTime, VerifiedDocument, VerifyError, verify};

/// The verifier's clock in these tests, Unix seconds.
pub const NOW: u64 = 1_768_478_460;
/// The module that the documents are of.
pub const MODULE: &str = "i-0123456789abcdef0-enc0123456789abcdef";
/// PCR0 and the others that a production enclave has.
pub const PCR0: [u8; 48] = [0xa0; 48];

pub const ROOT: usize = 0;
pub const REGION: usize = 1;
pub const ZONE: usize = 2;
pub const INSTANCE: usize = 3;
pub const LEAF: usize = 4;

pub const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
/// digitalSignature + keyCertSign + cRLSign, keyCertSign, digitalSignature + nonRepudiation.
pub const USAGE_CA: &[u8] = &[3, 2, 1, 0x86];
pub const USAGE_INSTANCE: &[u8] = &[3, 2, 2, 0x04];
pub const USAGE_LEAF: &[u8] = &[3, 2, 6, 0xc0];
pub const CA_ANY: &[u8] = &[0x30, 3, 1, 1, 0xff];
pub const NOT_CA: &[u8] = &[0x30, 0];

/// What one certificate shall be like.
pub struct Certificate {
    pub subject: String,
    /// Instead of the subject of the one before.
    pub issuer: Option<String>,
    /// Whose key signs it.
    pub signer: usize,
    pub key: &'static KeyPair,
    pub not_before: u64,
    pub not_after: u64,
    pub extensions: Vec<(&'static [u64], bool, Vec<u8>)>,
    /// Changes the DER after signing.
    pub patch: fn(&mut Vec<u8>),
}

impl Certificate {
    pub fn set_extension(&mut self, oid: &'static [u64], value: &[u8]) {
        let slot = self.extensions.iter_mut().find(|(each, ..)| *each == oid);
        slot.expect("an extension of the baseline").2 = value.to_vec();
    }

    pub fn remove_extension(&mut self, oid: &'static [u64]) {
        self.extensions.retain(|(each, ..)| *each != oid);
    }
}

/// A document to be: begins as a good one, to be broken in one place.
pub struct Forge {
    pub certificates: Vec<Certificate>,
    /// The payload's pairs; `certificate` and `cabundle` are filled in from
    /// `certificates` unless set here.
    pub fields: Vec<(Value, Value)>,
    /// Payload map of indefinite length, as hypervisors emit since 2025.
    pub indefinite: bool,
    pub now: UnixTime,
    pub policy: Policy,
}

impl Forge {
    pub fn new() -> Self {
        let pcrs = (0u8..16).map(|index| {
            let value = match index {
                0 => PCR0.to_vec(),
                1 | 2 | 4 => vec![index; 48],
                _ => vec![0; 48],
            };
            (Value::from(index), Value::Bytes(value))
        });
        let mut forge = Self {
            certificates: chain(),
            fields: Vec::new(),
            indefinite: false,
            now: UnixTime::from_secs(NOW),
            policy: Policy::any_image(),
        };
        forge.set("module_id", MODULE.into());
        forge.set("digest", "SHA384".into());
        forge.set("timestamp", Value::from((NOW - 10) * 1000));
        forge.set("pcrs", Value::Map(pcrs.collect()));
        forge.set("public_key", Value::Bytes(vec![1; 294]));
        forge.set("user_data", Value::Bytes(b"user data".to_vec()));
        forge.set("nonce", Value::Bytes(b"nonce".to_vec()));
        forge
    }

    pub fn set(&mut self, key: &str, value: Value) {
        match self.fields.iter_mut().find(|(each, _)| each.as_text() == Some(key)) {
            Some((_, slot)) => *slot = value,
            None => self.fields.push((key.into(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.fields.retain(|(each, _)| each.as_text() != Some(key));
    }

    pub fn pcrs(&mut self) -> &mut Vec<(Value, Value)> {
        let pcrs = self.fields.iter_mut().find(|(key, _)| key.as_text() == Some("pcrs"));
        pcrs.unwrap().1.as_map_mut().unwrap()
    }

    /// The certificates, from the root to the leaf.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        (0..self.certificates.len()).map(|place| self.issue(place)).collect()
    }

    pub fn root(&self) -> TrustRoot {
        TrustRoot::from_der(&self.issue(ROOT)).unwrap()
    }

    /// The pairs, with the certificates filled in.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        let mut chain: Vec<Value> = self.chain().into_iter().map(Value::Bytes).collect();
        let leaf = chain.pop().unwrap();
        let mut pairs = self.fields.clone();
        for (key, value) in [("certificate", leaf), ("cabundle", Value::Array(chain))] {
            if !pairs.iter().any(|(each, _)| each.as_text() == Some(key)) {
                pairs.push((key.into(), value));
            }
        }
        pairs
    }

    pub fn payload(&self) -> Vec<u8> {
        encode_pairs(self.pairs(), self.indefinite)
    }

    pub fn document(&self) -> Vec<u8> {
        self.sign(self.payload())
    }

    pub fn tagged_document(&self) -> Vec<u8> {
        let mut out = vec![0xd2];
        out.extend(self.document());
        assert_eq!(
            out[..2],
            coset::CoseSign1::default().to_tagged_vec().unwrap()[..2],
            "the tag is coset's"
        );
        out
    }

    /// Signs payload bytes, whatever they are.
    pub fn sign(&self, payload: Vec<u8>) -> Vec<u8> {
        let header = HeaderBuilder::new().algorithm(iana::Algorithm::ES384).build();
        CoseSign1Builder::new()
            .protected(header)
            .payload(payload)
            .create_signature(b"", |bytes| raw_signature(LEAF, bytes))
            .build()
            .to_vec()
            .unwrap()
    }

    pub fn verify(&self) -> Result<VerifiedDocument, VerifyError> {
        self.verify_bytes(&self.document())
    }

    pub fn verify_bytes(&self, document: &[u8]) -> Result<VerifiedDocument, VerifyError> {
        verify(document, &self.root(), self.now, &self.policy)
    }

    /// Signing draws random numbers, so what was signed once is kept: the root
    /// of a forge is the same certificate each time it is asked for.
    fn issue(&self, place: usize) -> Vec<u8> {
        static ISSUED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
        let spec = &self.certificates[place];
        let issuer = match &spec.issuer {
            Some(issuer) => issuer,
            None => &self.certificates[place.saturating_sub(1)].subject,
        };
        let (from, to, key) = (spec.not_before, spec.not_after, spec.key.public_key_raw());
        let what = format!(
            "{issuer} {} {} {from} {to} {key:?} {:?}",
            spec.signer, spec.subject, spec.extensions
        );
        let mut issued = ISSUED.lock().unwrap();
        let mut der = issued.entry(what).or_insert_with(|| sign_certificate(spec, issuer)).clone();
        (spec.patch)(&mut der);
        der
    }
}

fn sign_certificate(spec: &Certificate, issuer_name: &str) -> Vec<u8> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&spec.subject);
    params.not_before = epoch + Duration::from_secs(spec.not_before);
    params.not_after = epoch + Duration::from_secs(spec.not_after);
    for (oid, critical, value) in &spec.extensions {
        let mut extension = CustomExtension::from_oid_content(oid, value.clone());
        extension.set_criticality(*critical);
        params.custom_extensions.push(extension);
    }
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = name(issuer_name);
    let issuer = Issuer::from_params(&issuer, &keys()[spec.signer]);
    params.signed_by(spec.key, &issuer).unwrap().der().to_vec()
}

/// `r ‖ s` over SHA-384 of `bytes`, under the key of that place in the chain.
pub fn raw_signature(place: usize, bytes: &[u8]) -> Vec<u8> {
    let key = SigningKey::from_pkcs8_der(keys()[place].serialized_der()).unwrap();
    let signature: Signature = key.sign(bytes);
    signature.to_bytes().to_vec()
}

/// A COSE_Sign1 of any parts.
pub fn cose(parts: Vec<Value>) -> Vec<u8> {
    encode(&Value::Array(parts))
}

pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

pub fn encode_pairs(pairs: Vec<(Value, Value)>, indefinite: bool) -> Vec<u8> {
    if !indefinite {
        return encode(&Value::Map(pairs));
    }
    let items = pairs.iter().flat_map(|(key, value)| [encode(key), encode(value)].concat());
    [0xbf].into_iter().chain(items).chain([0xff]).collect()
}

/// One key per place in the chain, and a P-256 one that fits nowhere.
pub fn keys() -> &'static [KeyPair; 5] {
    static KEYS: OnceLock<[KeyPair; 5]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [(); 5].map(|()| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap())
    })
}

pub fn p256_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
}

pub fn path_len(limit: u8) -> Vec<u8> {
    vec![0x30, 6, 1, 1, 0xff, 2, 1, limit]
}

/// Nitro's chain: root, region, zone, instance, module.
fn chain() -> Vec<Certificate> {
    let day = 86_400;
    let certificate = |place: usize, subject: &str, from: u64, to: u64| Certificate {
        subject: subject.to_owned(),
        issuer: None,
        signer: place.saturating_sub(1),
        key: &keys()[place],
        not_before: from,
        not_after: to,
        extensions: Vec::new(),
        patch: |_| {},
    };
    let mut chain = vec![
        certificate(ROOT, "test.nitro-enclaves", NOW - 900 * day, NOW + 900 * day),
        certificate(REGION, "0a.test-1.aws.nitro-enclaves", NOW - 9 * day, NOW + 11 * day),
        certificate(ZONE, "0b.zonal.test-1.aws.nitro-enclaves", NOW - 2 * day, NOW + 4 * day),
        certificate(INSTANCE, "i-0123456789abcdef0.test-1.aws", NOW - day / 2, NOW + day / 2),
        certificate(LEAF, &format!("{MODULE}.test-1.aws"), NOW - 60, NOW - 60 + 3 * 3600 + 3),
    ];
    let extensions = [
        (CA_ANY.to_vec(), USAGE_CA),
        (path_len(2), USAGE_CA),
        (path_len(1), USAGE_CA),
        (path_len(0), USAGE_INSTANCE),
        (NOT_CA.to_vec(), USAGE_LEAF),
    ];
    for (place, (constraints, usage)) in extensions.into_iter().enumerate() {
        chain[place].extensions = vec![
            (BASIC_CONSTRAINTS, true, constraints),
            (KEY_USAGE, place != LEAF, usage.to_vec()),
        ];
    }
    chain
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::CommonName, common);
    name
}
