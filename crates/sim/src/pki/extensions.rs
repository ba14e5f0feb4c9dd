//! The extensions of each certificate of the chain, in the order of hardware.
//!
//! Written out instead of left to rcgen, which puts them in another order, and
//! marks keyUsage critical where the leaf has it not.

use rcgen::{CustomExtension, PublicKeyData};
use sha2::{Digest, Sha256};

use super::P384Key;
use crate::asn1::{BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE, constructed, tlv};

/// Which certificate of the chain.
#[derive(Clone, Copy)]
pub(super) enum ExtensionSet {
    Root,
    Region,
    Zonal,
    Instance,
    Leaf,
}

impl ExtensionSet {
    /// The extensions of a certificate over `key`, issued by `issuer`.
    pub(super) fn encode(self, key: &P384Key, issuer: Option<&P384Key>) -> Vec<CustomExtension> {
        let ski = || subject_key_id(key);
        let aki = || authority_key_id(issuer.unwrap_or(key));
        match self {
            Self::Root => vec![ca(None), ski(), usage(CA_USAGE, true)],
            Self::Region => vec![ca(Some(2)), aki(), ski(), usage(CA_USAGE, true), crl()],
            Self::Zonal => vec![ca(Some(1)), aki(), ski(), usage(CA_USAGE, true), crl()],
            // Two in three of the real ones carry no key identifiers here.
            Self::Instance => vec![ca(Some(0)), usage(CERT_SIGN_USAGE, true)],
            Self::Leaf => vec![not_ca(), usage(LEAF_USAGE, false)],
        }
    }
}

fn ca(path_len: Option<u8>) -> CustomExtension {
    let yes = tlv(BOOLEAN, &[0xff]);
    let limit = path_len.map(|len| tlv(INTEGER, &[len])).unwrap_or_default();
    extension(BASIC_CONSTRAINTS, true, constructed(SEQUENCE, &[&yes, &limit]))
}

fn not_ca() -> CustomExtension {
    extension(BASIC_CONSTRAINTS, true, tlv(SEQUENCE, &[]))
}

fn usage(bits: [u8; 2], critical: bool) -> CustomExtension {
    extension(KEY_USAGE, critical, tlv(BIT_STRING, &bits))
}

fn subject_key_id(key: &P384Key) -> CustomExtension {
    extension(SUBJECT_KEY_ID, false, tlv(OCTET_STRING, &key_id(key)))
}

fn authority_key_id(issuer: &P384Key) -> CustomExtension {
    let id = tlv(CONTEXT_0_PRIMITIVE, &key_id(issuer));
    extension(AUTHORITY_KEY_ID, false, tlv(SEQUENCE, &id))
}

fn crl() -> CustomExtension {
    let uri = tlv(CONTEXT_6_PRIMITIVE, b"http://crl.nitro-enclaves.simulated.invalid/crl.pem");
    let point = tlv(CONTEXT_0, &tlv(CONTEXT_0, &uri));
    extension(CRL_DISTRIBUTION_POINTS, false, tlv(SEQUENCE, &tlv(SEQUENCE, &point)))
}

fn extension(oid: &[u64], critical: bool, value: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value);
    extension.set_criticality(critical);
    extension
}

/// 20 bytes of SHA-256 over the public point (RFC 7093 §2, method 1).
fn key_id(key: &P384Key) -> Vec<u8> {
    Sha256::digest(key.der_bytes()).iter().copied().take(20).collect()
}

const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const CRL_DISTRIBUTION_POINTS: &[u64] = &[2, 5, 29, 31];

/// Unused bits, then digitalSignature, keyCertSign, cRLSign.
const CA_USAGE: [u8; 2] = [1, 0x86];
/// keyCertSign only.
const CERT_SIGN_USAGE: [u8; 2] = [2, 0x04];
/// digitalSignature, nonRepudiation.
const LEAF_USAGE: [u8; 2] = [6, 0xc0];

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_0_PRIMITIVE: u8 = 0x80;
const CONTEXT_6_PRIMITIVE: u8 = 0x86;
