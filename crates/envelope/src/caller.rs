//! Signed requests: which caller asks, proved with a key that the manifest names.
//!
//! The client and the command line sign with a [`CallerSecret`]; the service
//! verifies with a [`CallerKey`] and then asks [`Replay`]. The order matters:
//! **first the signature, then the replay guard.** A request is remembered only
//! once its signature verified; otherwise anyone could fill a caller's room, or
//! burn a nonce before the caller's own request arrives.
//!
//! What is signed names the enclave, so a request that was made for one enclave,
//! or for one that has since been restarted, means nothing to another.
//!
//! ```text
//! message = "strongroom caller v1" 00
//!           ‖ length of enclave id u16 ‖ enclave id        integers big-endian
//!           ‖ request id 16 ‖ SHA-256(run) 32 ‖ nonce 16 ‖ time u64, ms since 1970
//! ```
//!
//! `run` is the exact bytes of the request's CBOR as they are sent.

mod key;
mod replay;
mod secret;

use aws_lc_rs::digest::{SHA256, digest};

pub use key::CallerKey;
pub use replay::{DEFAULT_WINDOW_MS, Replay, ReplayError};
pub use secret::CallerSecret;

/// Length of a signature in bytes: Ed25519's, and r ‖ s of P-256.
pub const SIGNATURE_LEN: usize = 64;

/// Length of a request's nonce in bytes.
pub const NONCE_LEN: usize = 16;

/// What a caller signs.
///
/// No two different sets of arguments give the same message: all that follows
/// the enclave id has a fixed length, so its end is known even if it were longer
/// than its u16 can say (which is then FFFF).
#[must_use]
pub fn message(
    enclave_id: &str,
    request_id: &[u8; 16],
    run: &[u8],
    nonce: &[u8; NONCE_LEN],
    time_ms: u64,
) -> Vec<u8> {
    let len = u16::try_from(enclave_id.len()).unwrap_or(u16::MAX);
    [
        DOMAIN,
        &len.to_be_bytes(),
        enclave_id.as_bytes(),
        request_id,
        digest(&SHA256, run).as_ref(),
        nonce,
        &time_ms.to_be_bytes(),
    ]
    .concat()
}

/// Why a caller's key or signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// Not a public key of the kind, or one under which anyone could sign: the
    /// manifest's fault.
    #[error("not a usable public key")]
    PublicKey,
    /// Not a PKCS#8 private key of the kind: the client's fault.
    #[error("not a usable private key")]
    SecretKey,
    /// The signature is not the caller's.
    #[error("the request's signature is wrong")]
    Signature,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Fault,
}

const DOMAIN: &[u8] = b"strongroom caller v1\0";
