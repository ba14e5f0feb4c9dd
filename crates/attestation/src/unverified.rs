//! What a document says, without anyone vouching for it.
//!
//! For the enclave that has just been handed the document by its own module:
//! it looks at the time in it. Whoever gets a document from elsewhere takes
//! [`crate::verify()`] and nothing else.

use std::collections::BTreeMap;

use crate::cose::Sign1;
use crate::document::Document;
use crate::error::VerifyError;
use crate::pcr::PcrValue;

/// The content of a well-formed document. No signature, certificate or time was
/// looked at: as trustworthy as whoever handed the bytes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified<'a> {
    /// `i-<hex>-enc<hex>`.
    pub module_id: &'a str,
    /// When the document was made, milliseconds since the epoch.
    pub timestamp_ms: u64,
    /// The PCRs that it carries.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The nonce that its module was given.
    pub nonce: Option<&'a [u8]>,
}

impl<'a> Unverified<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// [`VerifyError`] when it is not of the form of an attestation document.
    pub fn read(document: &'a [u8]) -> Result<Self, VerifyError> {
        let Document { module_id, timestamp_ms, pcrs, nonce, .. } =
            Document::parse(Sign1::parse(document)?.payload())?;
        Ok(Self { module_id, timestamp_ms, pcrs, nonce })
    }
}
