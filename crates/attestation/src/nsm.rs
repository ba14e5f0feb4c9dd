//! The Nitro Secure Module as the service sees it.
//!
//! A seam because tests cannot have the device: the service is handed the
//! driver of `/dev/nsm`, tests and the demo a simulated module. The seam
//! carries no trust anchor: what a document proves is decided by whoever
//! verifies it ([`crate::verify()`]), never by the module it came from.

use crate::PcrValue;

/// Largest `user_data`, `nonce` or `public_key` the NSM takes, in bytes each.
///
/// 1024, as AWS's own check program and the CDDL have it, not the 512 of the
/// prose (AWS "Nitro Enclaves attestation process" §2).
pub const MAX_FIELD_LEN: usize = 1024;

/// A Nitro Secure Module. Calls block (an ioctl of about a millisecond, one at
/// a time) and may be made from any thread.
pub trait Nsm: Send + Sync {
    /// An attestation document over the given fields, as COSE_Sign1 bytes.
    ///
    /// # Errors
    /// [`NsmError`] when the module refuses or fails.
    fn attest(&self, request: &AttestationRequest<'_>) -> Result<Vec<u8>, NsmError>;

    /// The value of a PCR and whether it is locked.
    ///
    /// # Errors
    /// [`NsmError`] when the index is unknown or the module fails.
    fn describe_pcr(&self, index: u8) -> Result<PcrState, NsmError>;

    /// What the module says of itself.
    ///
    /// # Errors
    /// [`NsmError`] when the module fails.
    fn describe(&self) -> Result<NsmDescription, NsmError>;

    /// Fills `out` with random bytes from the module.
    ///
    /// # Errors
    /// [`NsmError`] when the module fails; `out` is then not to be used.
    fn random(&self, out: &mut [u8]) -> Result<(), NsmError>;
}

/// What an attestation document shall carry besides the module's own fields.
/// Each at most [`MAX_FIELD_LEN`] bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttestationRequest<'a> {
    /// Public key that the document binds to the enclave.
    pub public_key: Option<&'a [u8]>,
    /// The application's own bytes.
    pub user_data: Option<&'a [u8]>,
    /// The verifier's nonce.
    pub nonce: Option<&'a [u8]>,
}

/// A PCR as the module describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrState {
    /// Current value.
    pub value: PcrValue,
    /// Whether it can still be extended.
    pub locked: bool,
}

/// The module's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsmDescription {
    /// `<instance id>-enc<slot>`, the enclave's id.
    pub module_id: String,
    /// Number of PCRs; 32 on Nitro.
    pub max_pcrs: u16,
    /// Indices that are locked.
    pub locked_pcrs: Vec<u16>,
}

/// Why the module gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NsmError {
    /// The device is missing or cannot be opened.
    #[error("the Nitro Secure Module cannot be opened; is this an enclave?")]
    Unavailable,
    /// The module refused what was asked.
    #[error("the Nitro Secure Module refused the request: {0}")]
    Refused(&'static str),
    /// The module answered with something that is no answer to the question.
    #[error("the Nitro Secure Module gave an answer that does not fit the request")]
    UnexpectedAnswer,
}
