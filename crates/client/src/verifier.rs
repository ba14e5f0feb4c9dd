//! What a client demands of an enclave before it believes it.
//!
//! Used for every attestation document that this crate sees; there is no way
//! past it but a function with `unverified` in its name.

use std::time::SystemTime;

use aws_lc_rs::rand;
use strongroom_attestation::{Policy, TrustRoot, UnixTime, VerifiedDocument, verify};

use crate::error::Error;

/// Length of the nonces that this crate draws, in bytes.
pub(crate) const NONCE_LEN: usize = 32;

/// What a client demands of an enclave.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The certificate that every document must lead to:
    /// [`TrustRoot::aws_nitro`] for real enclaves.
    pub root: TrustRoot,
    /// The enclave to accept: PCR values above all. Its `nonce` is replaced by
    /// the one that the call drew or was given.
    pub policy: Policy,
}

impl Verifier {
    /// A verifier for `policy` under Amazon's root.
    #[must_use]
    pub fn aws_nitro(policy: Policy) -> Self {
        Self { root: TrustRoot::aws_nitro(), policy }
    }

    /// Verifies `document` as of `now`: chain, signature, policy, and that it
    /// carries exactly `nonce`.
    ///
    /// # Errors
    /// [`Error::Attestation`] with the first check that failed.
    pub fn verify(
        &self,
        document: &[u8],
        nonce: &[u8],
        now: UnixTime,
    ) -> Result<VerifiedDocument, Error> {
        let policy = Policy { nonce: Some(nonce.to_vec()), ..self.policy.clone() };
        Ok(verify(document, &self.root, now, &policy)?)
    }
}

/// The time of this machine's clock. One before 1970 reads as 1970, when no
/// document is valid.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes that nobody has seen before.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}
