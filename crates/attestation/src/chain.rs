//! The certificates of a document, from the trusted root down to the module's.
//!
//! Called by [`crate::verify()`]. A [`Chain`] exists only if its first element is
//! the trusted root byte for byte, each certificate is fit for its place, and
//! each was signed by the one before it. Whether it is valid *now* is asked
//! separately, after the document's signature.

use crate::certificate::Certificate;
use crate::document::Document;
use crate::error::VerifyError;
use crate::root::{TrustRoot, fingerprint};
use crate::time::UnixTime;

/// A chain that leads from the root to a leaf issued to the document's module.
pub(crate) struct Chain<'r> {
    root: &'r Certificate,
    intermediates: Vec<Certificate>,
    leaf: Certificate,
}

impl<'r> Chain<'r> {
    /// Builds it. Cheap checks come before signatures.
    pub(crate) fn build(document: &Document<'_>, root: &'r TrustRoot) -> Result<Self, VerifyError> {
        let first = document.cabundle.first().copied().unwrap_or_default();
        if !root.is(first) {
            return Err(VerifyError::RootMismatch {
                found: hex::encode(fingerprint(first)),
                trusted: hex::encode(root.sha256()),
            });
        }
        let intermediates = (1..)
            .zip(document.cabundle.iter().skip(1))
            .map(|(place, der)| Certificate::parse(der).map_err(unfit(place)))
            .collect::<Result<Vec<_>, _>>()?;
        let leaf_place = document.cabundle.len();
        let leaf = Certificate::parse(document.certificate).map_err(unfit(leaf_place))?;
        let chain = Self { root: root.certificate(), intermediates, leaf };

        for (place, authority) in chain.authorities().enumerate() {
            let below = chain.intermediates.len().saturating_sub(place);
            authority.check_authority(below).map_err(unfit(place))?;
        }
        chain.leaf.check_leaf().map_err(unfit(leaf_place))?;
        chain.check_links()?;
        if !chain.leaf.is_issued_to_module(document.module_id) {
            return Err(VerifyError::ModuleIdMismatch);
        }
        Ok(chain)
    }

    /// Fails on the first certificate, from the root down, not valid at `now`.
    pub(crate) fn check_validity(&self, now: UnixTime) -> Result<(), VerifyError> {
        for (certificate, held) in self.all().enumerate() {
            let (not_before, not_after, now) = (held.not_before(), held.not_after(), now.as_secs());
            if now < not_before {
                return Err(VerifyError::CertificateNotYetValid { certificate, not_before, now });
            }
            if now > not_after {
                return Err(VerifyError::CertificateExpired { certificate, not_after, now });
            }
        }
        Ok(())
    }

    pub(crate) const fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    fn check_links(&self) -> Result<(), VerifyError> {
        for (place, (issuer, issued)) in self.all().zip(self.all().skip(1)).enumerate() {
            let certificate = place.saturating_add(1);
            let invalid = |problem| VerifyError::ChainInvalid { certificate, problem };
            if issued.is_self_issued() {
                return Err(invalid("names itself as its issuer, as only the root may"));
            }
            issued.check_issued_by(issuer).map_err(invalid)?;
        }
        Ok(())
    }

    fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(self.root).chain(&self.intermediates)
    }

    fn all(&self) -> impl Iterator<Item = &Certificate> {
        self.authorities().chain(std::iter::once(&self.leaf))
    }
}

/// Names the place of a certificate that is malformed or unfit.
fn unfit(certificate: usize) -> impl Fn(&'static str) -> VerifyError {
    move |problem| VerifyError::CertificateInvalid { certificate, problem }
}
