//! Receipts: what the enclave did for one request, signed with a key that its
//! attestation document vouches for.
//!
//! The service makes a [`ReceiptKey`] at boot, has the NSM attest
//! [`ReceiptKey::user_data`], and signs one [`Receipt`] per response. Whoever
//! holds a receipt verifies the attestation document first, takes the key from
//! its user data ([`receipt_key_of`]), and then calls [`verify`]. The parent
//! carries receipts and is trusted with nothing; receipts hold digests and names,
//! no plaintext and no key.
//!
//! # Format
//!
//! An untagged COSE_Sign1 (RFC 9052 section 4.2), as the NSM's own documents
//! are, with ES256 (RFC 9053 section 2.1) and empty external data:
//!
//! ```text
//! 84                      array of 4
//!   43 A1 01 26           protected header {1: -7}: ES256
//!   A0                    unprotected header: empty
//!   bytes                 payload, the map below
//!   58 40 …               signature: r ‖ s, 32 bytes each
//!
//! payload, deterministically encoded CBOR (RFC 8949 section 4.2.1)
//!   "n"         uint       number of the receipt since boot
//!   "t"         uint       milliseconds since 1970 (Unix time)
//!   "v"         uint       1
//!   "job"       text       the job that ran
//!   "req"       bytes 16   the client's id for the request
//!   "keys"      [text]     ARNs of the KMS keys that the job may use
//!   "input"     [bytes 32] SHA-256 of each input's body as it arrived
//!   "caller"    text       who signed the request; absent when nobody did
//!   "digest"    bytes 32   SHA-256 of the request as it arrived
//!   "result"    bytes 32   SHA-256 of the result's bytes as sent
//!   "dropped"   uint       records left out; absent when the job counts none
//!   "records"   uint       records in the result; absent when the job counts none
//!   "manifest"  bytes 32   SHA-256 of the manifest
//!
//! user data of the attestation document
//!   { "receipt_key": bytes 65 }     uncompressed point (SEC 1 section 2.3.3)
//! ```
//!
//! ECDSA signatures are malleable: from one receipt anyone can make a second one
//! with another signature and the same payload. A receipt's identity is what it
//! says, `n` and the attested key, never its bytes.

mod cbor;
mod key;
mod payload;
mod sign1;

pub use key::{ReceiptKey, receipt_key_of};
pub use payload::Receipt;
pub use sign1::verify;

/// Most bytes of a receipt: names, ARNs and some 400 inputs fit.
pub const MAX_RECEIPT_LEN: usize = 16 * 1024;

/// Length of a public key in bytes: 04 ‖ x ‖ y.
pub const PUBLIC_KEY_LEN: usize = 65;

/// Most bytes of user data that the NSM attests.
pub const MAX_USER_DATA_LEN: usize = 512;

/// Why a receipt was not made or is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Longer than [`MAX_RECEIPT_LEN`], made or received.
    #[error("the receipt is longer than {MAX_RECEIPT_LEN} bytes")]
    TooLong,
    /// Not exactly what a [`ReceiptKey`] writes around a payload.
    #[error("not a receipt")]
    NotAReceipt,
    /// The signature is not the key's.
    #[error("the receipt's signature is wrong")]
    Signature,
    /// Signed, but the payload is not of version 1 or not in its one encoding.
    #[error("the receipt's payload is malformed")]
    Payload,
    /// The public key is not an uncompressed point of P-256.
    #[error("not a receipt key")]
    Key,
    /// The attestation document's user data names no receipt key.
    #[error("the attested user data names no receipt key")]
    UserData,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Fault,
}
