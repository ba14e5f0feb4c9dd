//! Receipts: what an enclave signed about a run, and what that proves.
//!
//! [`verify_receipt`] is for a receipt that was stored; [`crate::Client`] checks
//! by the same rules what it has run itself. Trusts the verifier and what the
//! caller knows; the parent, who hands over receipts and documents, is trusted
//! with nothing.

use strongroom_attestation::{Policy, UnixTime, VerifiedDocument, verify};
use strongroom_envelope::receipt::{self, PUBLIC_KEY_LEN, Receipt, ReceiptError, receipt_key_of};
use strongroom_wire::RequestId;

use crate::error::Error;
use crate::verifier::Verifier;

/// What the caller knows of a run. What is `None` is not compared; the
/// [`Receipt`] says what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedReceipt {
    /// The request's id. Without it, a receipt for an older run will do.
    pub request: Option<RequestId>,
    /// SHA-256 of the request: of the payload of its `REQUEST` frame, which
    /// holds the arguments.
    pub request_sha256: Option<[u8; 32]>,
    /// The job's name.
    pub job: Option<String>,
    /// SHA-256 of the manifest.
    pub manifest: Option<[u8; 32]>,
    /// SHA-256 of each input, in order, and of no other.
    pub inputs: Option<Vec<[u8; 32]>>,
    /// SHA-256 of the result as it left the enclave.
    pub result: Option<[u8; 32]>,
    /// The caller that signed the request; `Some(None)`: nobody did.
    pub caller: Option<Option<String>>,
}

/// A receipt that is to be believed: an enclave that the verifier accepts signed
/// it, and it says what the caller expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What the enclave signed.
    pub receipt: Receipt,
    /// The enclave.
    pub document: VerifiedDocument,
}

/// Why a receipt is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptRefused {
    /// The document is genuine, and vouches for no receipt key.
    #[error("the attestation document names no key that signs receipts")]
    NoKey,
    /// Not a receipt, or not signed by the enclave.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The enclave gives receipts, and this result came without one.
    #[error("the result came without a receipt, although the enclave gives one with each")]
    Missing,
    /// Signed by the enclave, for something else.
    #[error("the receipt is genuine, but for another {0}")]
    Other(&'static str),
}

/// Verifies `receipt` with the attestation `document` of the enclave that gave it.
///
/// In this order: the document, strictly, as of `now` and with `nonce` if one was
/// sent; the receipt key in its user data; the receipt's signature; then what is
/// `expected`. The document must be of the same boot of the enclave, before or
/// after the run: the key does not outlive it. A document can be verified for
/// about three hours after it was made; later, give the time at which you
/// received it, by your own record.
///
/// # Errors
/// [`Error::Attestation`] when the document does not prove what `verifier`
/// demands, [`Error::Receipt`] for everything else.
pub fn verify_receipt(
    receipt: &[u8],
    document: &[u8],
    verifier: &Verifier,
    nonce: Option<&[u8]>,
    now: UnixTime,
    expected: &ExpectedReceipt,
) -> Result<Checked, Error> {
    let nonce = nonce.map(<[u8]>::to_vec);
    let policy = Policy { nonce, ..verifier.policy.clone() };
    let document = verify(document, &verifier.root, now, &policy)?;
    let key = receipt_key(&document).ok_or(ReceiptRefused::NoKey)?;
    let receipt = check(receipt, &key, expected)?;
    Ok(Checked { receipt, document })
}

/// The key that an enclave signs receipts with, if it gives receipts.
pub(crate) fn receipt_key(document: &VerifiedDocument) -> Option<[u8; PUBLIC_KEY_LEN]> {
    receipt_key_of(document.user_data()?).ok()
}

/// Verifies `receipt` under a key that was attested, and compares.
pub(crate) fn check(
    receipt: &[u8],
    key: &[u8; PUBLIC_KEY_LEN],
    expected: &ExpectedReceipt,
) -> Result<Receipt, ReceiptRefused> {
    let receipt = receipt::verify(receipt, key)?;
    let caller = receipt.caller.as_ref();
    for (what, holds) in [
        ("request", holds(expected.request.as_ref(), &RequestId(receipt.request_id))),
        ("job", holds(expected.job.as_ref(), &receipt.job)),
        ("caller", expected.caller.as_ref().is_none_or(|named| named.as_ref() == caller)),
        (
            "request (its arguments)",
            holds(expected.request_sha256.as_ref(), &receipt.request_digest),
        ),
        ("manifest", holds(expected.manifest.as_ref(), &receipt.manifest)),
        ("input", holds(expected.inputs.as_ref(), &receipt.inputs)),
        ("result", holds(expected.result.as_ref(), &receipt.result)),
    ] {
        if !holds {
            return Err(ReceiptRefused::Other(what));
        }
    }
    Ok(receipt)
}

/// Plain comparison: nothing in a receipt is secret.
fn holds<T: PartialEq>(expected: Option<&T>, found: &T) -> bool {
    expected.is_none_or(|expected| expected == found)
}
