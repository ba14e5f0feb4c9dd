//! From untrusted bytes to a [`VerifiedDocument`]: the order of the checks.
//!
//! Called by whoever must decide whether to talk to an enclave. Trusts the
//! root, the time and the policy it is handed, and nothing in the document
//! until the root's chain and the leaf's signature vouch for it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chain::Chain;
use crate::cose::Sign1;
use crate::document::Document;
use crate::error::VerifyError;
use crate::pcr::PcrValue;
use crate::policy::Policy;
use crate::root::TrustRoot;
use crate::time::UnixTime;

/// How far in the future a document's timestamp may lie: what two clocks that
/// are both kept by NTP never differ by.
pub const MAX_FUTURE_SKEW: Duration = Duration::from_secs(5 * 60);

/// Verifies an attestation document under `root` at the time `now`, and checks
/// what it says against `policy`.
///
/// The steps are those of AWS "Nitro Enclaves attestation process" §3: the
/// structure, the chain to the root, the signature, the time, and then the
/// content. No step is reported before all earlier ones hold.
///
/// # Errors
/// [`VerifyError`] with the first check that failed.
pub fn verify(
    document: &[u8],
    root: &TrustRoot,
    now: UnixTime,
    policy: &Policy,
) -> Result<VerifiedDocument, VerifyError> {
    let sign1 = Sign1::parse(document)?;
    let document = Document::parse(sign1.payload())?;
    let chain = Chain::build(&document, root)?;
    sign1.verify(chain.leaf().public_key())?;
    chain.check_validity(now)?;
    check_timestamp(&document, &chain, now)?;
    let mode = policy.check(&document, now)?;
    Ok(VerifiedDocument {
        module_id: document.module_id.to_owned(),
        timestamp_ms: document.timestamp_ms,
        pcrs: document.pcrs,
        public_key: document.public_key.map(<[u8]>::to_vec),
        user_data: document.user_data.map(<[u8]>::to_vec),
        nonce: document.nonce.map(<[u8]>::to_vec),
        mode,
        root_sha256: root.sha256(),
    })
}

/// A document that [`verify()`] accepted, under one root, at one time, by one
/// policy. It can come from nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDocument {
    module_id: String,
    timestamp_ms: u64,
    pcrs: BTreeMap<u8, PcrValue>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    mode: Mode,
    root_sha256: [u8; 32],
}

impl VerifiedDocument {
    /// `i-<hex>-enc<hex>`: the EC2 instance and the enclave on it.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When the document was made, milliseconds since the epoch.
    #[must_use]
    pub const fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// The PCRs that the document carries: 0 to 15, and those locked later.
    #[must_use]
    pub const fn pcrs(&self) -> &BTreeMap<u8, PcrValue> {
        &self.pcrs
    }

    /// One PCR, if the document carries it.
    #[must_use]
    pub fn pcr(&self, index: u8) -> Option<&PcrValue> {
        self.pcrs.get(&index)
    }

    /// The public key that the document binds to the enclave. Its form is the
    /// application's choice; the module does not look at it.
    #[must_use]
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// The application's own bytes.
    #[must_use]
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// The verifier's nonce.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// Whether the enclave runs in production or in debug mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// SHA-256 of the root certificate it was verified under.
    #[must_use]
    pub const fn root_sha256(&self) -> [u8; 32] {
        self.root_sha256
    }
}

/// How an enclave was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Its image is measured and its console closed.
    Production,
    /// PCR0 is zero: the image is not vouched for, and the parent reads the
    /// console.
    Debug,
}

impl Mode {
    /// `production` or `debug`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Debug => "debug",
        }
    }
}

/// The document was made while its leaf was valid, and not after now.
fn check_timestamp(
    document: &Document<'_>,
    chain: &Chain<'_>,
    now: UnixTime,
) -> Result<(), VerifyError> {
    let made = UnixTime::from_millis(document.timestamp_ms);
    if !chain.leaf().is_valid_at(made) {
        return Err(VerifyError::TimestampOutsideCertificate);
    }
    let ahead = made.saturating_since(now);
    if ahead > MAX_FUTURE_SKEW {
        return Err(VerifyError::TimestampFuture { ahead });
    }
    Ok(())
}
