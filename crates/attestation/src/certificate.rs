//! One X.509 certificate (RFC 5280) of a Nitro chain: parsed, and judged by the
//! place it takes.
//!
//! Called by [`crate::chain`] and [`crate::root`]. `x509-cert` reads the fields;
//! the signature is checked over the TBS bytes as received, never over a
//! re-encoding. Only P-384 keys and ecdsa-with-SHA384 exist here. Nitro's
//! certificates have neither a SAN nor an EKU, and often no AKI or SKI, so none
//! is asked for; revocation is off in AWS's own procedure (§3.2.4).

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use der::asn1::{BitStringRef, ObjectIdentifier};
use der::oid::AssociatedOid;
use der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::{TbsCertificate, Version};

use crate::time::UnixTime;

/// What a chain needs to know of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    tbs: Vec<u8>,
    signature: Vec<u8>,
    issuer: Name,
    subject: Name,
    not_before: u64,
    not_after: u64,
    public_key: Vec<u8>,
    /// With whether the extension is critical.
    constraints: Option<(BasicConstraints, bool)>,
    usage: Option<KeyUsage>,
}

/// What is wrong with a certificate; continues the sentence "certificate N …".
pub(crate) type Problem = &'static str;

impl Certificate {
    /// Parses one certificate and nothing after it.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Problem> {
        let (tbs_bytes, algorithm, signature) = split(der).map_err(|_| MALFORMED)?;
        let tbs = TbsCertificate::from_der(tbs_bytes).map_err(|_| MALFORMED)?;
        if tbs.version() != Version::V3 {
            return Err("is not of X.509 version 3");
        }
        let is_es384 = |algorithm: &AlgorithmIdentifierOwned| {
            algorithm.oid == ECDSA_WITH_SHA384 && algorithm.parameters.is_none()
        };
        if !is_es384(&algorithm) || !is_es384(tbs.signature()) {
            return Err("is not signed with ecdsa-with-SHA384");
        }
        let (constraints, usage) = extensions(&tbs)?;
        Ok(Self {
            signature: signature.as_bytes().ok_or(MALFORMED)?.to_vec(),
            issuer: tbs.issuer().clone(),
            subject: tbs.subject().clone(),
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            public_key: p384_key(tbs.subject_public_key_info())?,
            constraints,
            usage,
            tbs: tbs_bytes.to_vec(),
        })
    }

    /// Judges it as an authority with `authorities_below` more under it.
    pub(crate) fn check_authority(&self, authorities_below: usize) -> Result<(), Problem> {
        let Some((BasicConstraints { ca: true, path_len_constraint }, critical)) = self.constraints
        else {
            return Err("is not a certificate authority's");
        };
        if !critical {
            return Err("does not mark its basic constraints as critical");
        }
        if !self.usage.is_some_and(|usage| usage.key_cert_sign()) {
            return Err("may not sign certificates (its key usage lacks keyCertSign)");
        }
        match path_len_constraint {
            Some(limit) if authorities_below > usize::from(limit) => {
                Err("has more authorities below it than its pathLenConstraint allows")
            }
            _ => Ok(()),
        }
    }

    /// Judges it as the module's own, which signs documents and nothing else.
    pub(crate) fn check_leaf(&self) -> Result<(), Problem> {
        if let Some((constraints, _)) = &self.constraints
            && (constraints.ca || constraints.path_len_constraint.is_some())
        {
            return Err("is a certificate authority's in the place of the module's");
        }
        match self.usage {
            Some(usage) if usage.digital_signature() && !usage.key_cert_sign() => Ok(()),
            _ => Err("is not for signing documents (its key usage must have digitalSignature \
                      and not keyCertSign)"),
        }
    }

    /// Checks that `issuer` signed this certificate and is named in it.
    pub(crate) fn check_issued_by(&self, issuer: &Self) -> Result<(), Problem> {
        if self.issuer != issuer.subject {
            return Err("does not name the certificate before it as its issuer");
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &issuer.public_key)
            .verify(&self.tbs, &self.signature)
            .map_err(|_| "was not signed by the certificate before it")
    }

    /// Whether it names itself as its issuer, as only a root does.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// First second of its validity.
    pub(crate) const fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Last second of its validity.
    pub(crate) const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whether `time` lies in its validity, both ends included (RFC 5280 §4.1.2.5).
    pub(crate) const fn is_valid_at(&self, time: UnixTime) -> bool {
        self.not_before <= time.as_secs() && time.as_secs() <= self.not_after
    }

    /// The key, as an uncompressed P-384 point.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether its common name is `<module_id>.<more>`.
    pub(crate) fn is_issued_to_module(&self, module_id: &str) -> bool {
        let mut names = self.subject.iter().filter(|attribute| attribute.oid == COMMON_NAME);
        let (Some(name), None) = (names.next(), names.next()) else { return false };
        name.value
            .value()
            .strip_prefix(module_id.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'.') && rest.len() > 1)
    }
}

/// `SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`, the first
/// as raw bytes.
fn split(der: &[u8]) -> der::Result<(&[u8], AlgorithmIdentifierOwned, BitStringRef<'_>)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|body| {
        Ok::<_, der::Error>((body.tlv_bytes()?, body.decode()?, body.decode()?))
    })?;
    reader.finish()?;
    Ok(parts)
}

/// Basic constraints, with whether they are critical, and key usage.
type Deciding = (Option<(BasicConstraints, bool)>, Option<KeyUsage>);

/// The two extensions that decide. Any other is ignored, unless it is critical
/// (RFC 5280 §4.2) or there twice.
fn extensions(tbs: &TbsCertificate) -> Result<Deciding, Problem> {
    let (mut constraints, mut usage) = (None, None);
    let mut seen = Vec::new();
    for extension in tbs.extensions().map_or(&[][..], Vec::as_slice) {
        if seen.contains(&extension.extn_id) {
            return Err("has an extension twice");
        }
        seen.push(extension.extn_id);
        let value = extension.extn_value.as_bytes();
        if extension.extn_id == BasicConstraints::OID {
            let value = BasicConstraints::from_der(value).map_err(|_| MALFORMED)?;
            constraints = Some((value, extension.critical));
        } else if extension.extn_id == KeyUsage::OID {
            usage = Some(KeyUsage::from_der(value).map_err(|_| MALFORMED)?);
        } else if extension.critical {
            return Err("has a critical extension that is not known here");
        }
    }
    Ok((constraints, usage))
}

/// The uncompressed point of a P-384 key (RFC 5480 §2).
fn p384_key(spki: &SubjectPublicKeyInfoOwned) -> Result<Vec<u8>, Problem> {
    let curve = spki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let point = spki.subject_public_key.as_bytes().unwrap_or_default();
    let is_p384 = spki.algorithm.oid == EC_PUBLIC_KEY
        && curve == Some(SECP384R1)
        && point.len() == UNCOMPRESSED_P384_LEN
        && point.first() == Some(&0x04);
    if is_p384 { Ok(point.to_vec()) } else { Err("does not hold an uncompressed P-384 key") }
}

const MALFORMED: Problem = "is not a well-formed DER certificate";
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// 0x04 ‖ x ‖ y.
const UNCOMPRESSED_P384_LEN: usize = 97;
