//! A verified document as plain text values, for people and for JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::verify::VerifiedDocument;

/// What a verified document says, in plain values. Byte fields are lower-case
/// hex; an absent field is `None` (`null`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `i-<hex>-enc<hex>`.
    pub module_id: String,
    /// When the document was made, milliseconds since the epoch.
    pub timestamp_ms: u64,
    /// `production` or `debug`.
    pub mode: &'static str,
    /// The PCRs that the document carries.
    pub pcrs: BTreeMap<u8, String>,
    /// The public key that the document binds to the enclave.
    pub public_key: Option<String>,
    /// The application's own bytes.
    pub user_data: Option<String>,
    /// The verifier's nonce.
    pub nonce: Option<String>,
    /// SHA-256 of the root that the document was verified under.
    pub root_sha256: String,
}

impl From<&VerifiedDocument> for Report {
    fn from(document: &VerifiedDocument) -> Self {
        Self {
            module_id: document.module_id().to_owned(),
            timestamp_ms: document.timestamp_ms(),
            mode: document.mode().as_str(),
            pcrs: document.pcrs().iter().map(|(&i, value)| (i, value.to_string())).collect(),
            public_key: document.public_key().map(hex::encode),
            user_data: document.user_data().map(hex::encode),
            nonce: document.nonce().map(hex::encode),
            root_sha256: hex::encode(document.root_sha256()),
        }
    }
}
