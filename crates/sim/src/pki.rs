//! The Nitro Secure Module's certificate authority: root to leaf.
//!
//! Called by `nsm.rs` for every document. The chain has the exact shape of the
//! one AWS hardware shows: names, validity periods, extensions, their order and
//! criticality. Signed with RustCrypto's P-384, encoded by rcgen.

use std::sync::Arc;
use std::time::Duration;

use p384::ecdsa::signature::Signer;
use p384::elliptic_curve::Generate;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, Issuer, PKCS_ECDSA_P384_SHA384,
    PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};

use crate::SimError;
use extensions::ExtensionSet;

mod extensions;

/// A Nitro root: the trust anchor of every module made under it.
///
/// Share one between modules to have two enclaves that the same verifier
/// accepts, as all of AWS's hardware is under one root.
#[derive(Clone)]
pub struct NitroCa(Arc<Authority>);

impl NitroCa {
    /// A new root with a new key.
    ///
    /// Valid for 30 years and an hour from 2019-10-28, as AWS's.
    ///
    /// # Errors
    /// [`SimError::Certificate`] when it cannot be encoded.
    pub fn new() -> Result<Self, SimError> {
        let profile = Profile {
            name: amazon_name("aws.nitro-enclaves"),
            serial: random_serial(),
            not_before: ROOT_NOT_BEFORE_SECS,
            lifetime: ROOT_LIFETIME_SECS,
            extensions: ExtensionSet::Root,
        };
        let key = P384Key::generate();
        let params = profile.params(&key, None);
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self(Arc::new(Authority { params, key, der })))
    }

    /// The root certificate, DER.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.0.der
    }
}

/// The certificates of one module at one time.
pub(crate) struct Chain {
    /// Root, region, zonal, instance: the `cabundle` in its order.
    pub(crate) cabundle: Vec<Vec<u8>>,
    /// The leaf, whose key signs documents.
    pub(crate) certificate: Vec<u8>,
    /// The leaf's key.
    pub(crate) key: P384Key,
    not_before: u64,
    not_after: u64,
}

impl Chain {
    /// Issues everything below the root for a module, as of `now` (unix seconds).
    pub(crate) fn issue(ca: &NitroCa, module: &ModuleName<'_>, now: u64) -> Result<Self, SimError> {
        let region = module.region;
        let instance_cn = format!("{}.{region}.aws.nitro-enclaves", module.instance_id);
        let regional = ca.0.issue(Profile {
            name: amazon_name(&format!("{}.{region}.aws.nitro-enclaves", random_hex16())),
            serial: random_serial(),
            not_before: now.saturating_sub(4 * DAY),
            lifetime: 20 * DAY + HOUR,
            extensions: ExtensionSet::Region,
        })?;
        let zonal = regional.issue(Profile {
            name: zonal_name(&format!("{}.zonal.{region}.aws.nitro-enclaves", random_hex16())),
            serial: random_serial(),
            not_before: now.saturating_sub(DAY),
            lifetime: 6 * DAY,
            extensions: ExtensionSet::Zonal,
        })?;
        let instance = zonal.issue(Profile {
            name: seattle_name(&instance_cn),
            serial: random_serial(),
            not_before: now.saturating_sub(6 * HOUR),
            lifetime: DAY,
            extensions: ExtensionSet::Instance,
        })?;
        let leaf = instance.issue(Profile {
            name: seattle_name(&format!("{}.{region}.aws", module.module_id)),
            serial: leaf_serial(module.module_id, now),
            not_before: now,
            lifetime: LEAF_LIFETIME_SECS,
            extensions: ExtensionSet::Leaf,
        })?;
        Ok(Self {
            cabundle: vec![ca.0.der.clone(), regional.der, zonal.der, instance.der],
            certificate: leaf.der,
            key: leaf.key,
            not_before: now,
            not_after: now.saturating_add(LEAF_LIFETIME_SECS),
        })
    }

    /// Whether the leaf may still sign at `now`: hardware re-uses a leaf for
    /// many documents.
    pub(crate) fn serves(&self, now: u64) -> bool {
        self.not_before <= now && now.saturating_add(LEAF_RENEW_MARGIN_SECS) < self.not_after
    }
}

/// What a module's certificates name.
pub(crate) struct ModuleName<'a> {
    pub(crate) region: &'a str,
    pub(crate) instance_id: &'a str,
    pub(crate) module_id: &'a str,
}

/// A P-384 key that rcgen signs with.
pub(crate) struct P384Key {
    signing: p384::ecdsa::SigningKey,
    point: Vec<u8>,
}

impl P384Key {
    fn generate() -> Self {
        let signing = p384::ecdsa::SigningKey::generate_from_rng(&mut rand::rng());
        let point = signing.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { signing, point }
    }

    /// A COSE ES384 signature: r‖s, 96 bytes (RFC 9053 §2.1).
    pub(crate) fn sign_cose(&self, message: &[u8]) -> Vec<u8> {
        let signature: p384::ecdsa::Signature = self.signing.sign(message);
        signature.to_bytes().to_vec()
    }
}

impl PublicKeyData for P384Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl SigningKey for P384Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: p384::ecdsa::Signature = self.signing.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// A certificate with its key, able to issue the next one.
struct Authority {
    params: CertificateParams,
    key: P384Key,
    der: Vec<u8>,
}

impl Authority {
    fn issue(&self, profile: Profile) -> Result<Self, SimError> {
        let key = P384Key::generate();
        let params = profile.params(&key, Some(&self.key));
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Self { params, key, der })
    }
}

/// One row of the chain's table.
struct Profile {
    name: DistinguishedName,
    serial: Vec<u8>,
    not_before: u64,
    lifetime: u64,
    extensions: ExtensionSet,
}

impl Profile {
    fn params(self, key: &P384Key, issuer: Option<&P384Key>) -> CertificateParams {
        let mut params = CertificateParams::default();
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.not_before);
        params.not_after =
            epoch + Duration::from_secs(self.not_before.saturating_add(self.lifetime));
        params.serial_number = Some(SerialNumber::from(self.serial));
        params.distinguished_name = self.name;
        params.custom_extensions = self.extensions.encode(key, issuer);
        params
    }
}

/// `C=US, O=Amazon, OU=AWS, CN=…`: root and region.
fn amazon_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, country());
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::OrganizationalUnitName, "AWS");
    name.push(DnType::CommonName, common_name);
    name
}

/// The zonal authority's own order and its `ST=WA`.
fn zonal_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationalUnitName, "AWS");
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::CountryName, country());
    name.push(DnType::StateOrProvinceName, "WA");
    name.push(DnType::LocalityName, "Seattle");
    name
}

/// `C=US, ST=Washington, L=Seattle, O=Amazon, OU=AWS, CN=…`: instance and leaf.
fn seattle_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, country());
    name.push(DnType::StateOrProvinceName, "Washington");
    name.push(DnType::LocalityName, "Seattle");
    name.push(DnType::OrganizationName, "Amazon");
    name.push(DnType::OrganizationalUnitName, "AWS");
    name.push(DnType::CommonName, common_name);
    name
}

fn country() -> DnValue {
    #[expect(clippy::expect_used, reason = "two letters are a printable string")]
    let us = "US".try_into().expect("two letters are a printable string");
    DnValue::PrintableString(us)
}

/// The slot of the module id, four zero bytes, and the start in unix seconds.
fn leaf_serial(module_id: &str, now: u64) -> Vec<u8> {
    let slot = module_id.rsplit_once("-enc").and_then(|(_, slot)| hex::decode(slot).ok());
    match slot {
        Some(mut serial) if serial.len() == 8 => {
            serial.extend(now.to_be_bytes());
            serial
        }
        _ => random_serial(),
    }
}

fn random_serial() -> Vec<u8> {
    rand::random::<[u8; 16]>().to_vec()
}

fn random_hex16() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// 2019-10-28T13:28:05Z, the start of AWS's root.
const ROOT_NOT_BEFORE_SECS: u64 = 1_572_269_285;
/// Until 2049-10-28T14:28:05Z, as AWS's root.
const ROOT_LIFETIME_SECS: u64 = 946_774_800;
/// Three hours and three seconds, as hardware since 2022.
const LEAF_LIFETIME_SECS: u64 = 3 * HOUR + 3;
/// A leaf closer than this to its end is not used for new documents, so that a
/// fresh document outlives KMS's five minutes.
const LEAF_RENEW_MARGIN_SECS: u64 = 600;
