//! Sealed results: a result stream that only one recipient can open, and that
//! proves which enclave made it, for which request, from which input.
//!
//! The service seals with [`Setup`] and [`Sealer`]; the data owner opens with
//! [`StreamHeader`] and [`Opener`], at once or years later, with nothing but the
//! stream, the secret key and the PCRs expected. The parent carries the stream
//! and is trusted with nothing.
//!
//! # Attested seal
//!
//! HPKE (RFC 9180) in base mode does not say who sealed: the recipient's public
//! key is public. So the service first sets up the HPKE context, which gives
//! the encapsulated key `enc`, then has the NSM attest a hash of `enc`, the
//! recipient and the request ([`Setup::user_data`]), and only then writes. The
//! secret behind `enc` exists in that enclave alone, so chunks that open under
//! an attested `enc` were made there. The service must never let a caller
//! choose a `user_data` that starts with [`MAGIC`].
//!
//! # Input
//!
//! The parent can pass a request on and put another message in place of its
//! body. So `input` says which one was opened: for an AWS Encryption SDK message
//! its message id, which is random and which the header's tag covers. It proves
//! which message that was, not who made it: whoever may call GenerateDataKey or
//! Encrypt under the job's KMS key can make inputs, with any content and with
//! any message id.
//!
//! # Format
//!
//! All integers are big-endian. `‖` concatenates; `u64(x)` is the length of `x`
//! in 8 bytes; strings are UTF-8.
//!
//! ```text
//! stream = header chunk* final-chunk
//!
//! header                                          chunk
//! +----------+-----------------------------+      +-------+-------------------------------+
//! | 8 bytes  | magic "SRSEAL" 00 01        |      | 1 bit | 1 in the final chunk, else 0  |
//! +----------+-----------------------------+      +-------+-------------------------------+
//! | 4 bytes  | n, length of the map,       |      | 31    | n, length of the ciphertext,  |
//! |          | at most 65536               |      | bits  | 16 to 65552                   |
//! +----------+-----------------------------+      +-------+-------------------------------+
//! | n bytes  | map, CBOR (RFC 8949)        |      | n     | AES-256-GCM ciphertext, its   |
//! |          |                             |      | bytes | last 16 bytes the tag         |
//! +----------+-----------------------------+      +-------+-------------------------------+
//!
//! map, definite lengths and shortest forms only, keys in this order
//!   "request_id"    bytes, 16
//!   "job"           text
//!   "args"          map of text to text, keys sorted by their bytes
//!   "input"         bytes, 1 to 64: the input's id; of an AWS Encryption SDK message
//!                   the message id, 32 bytes
//!   "nonce"         bytes; the key is absent when the client sent no nonce
//!   "enc"           bytes, 32: HPKE's encapsulated key
//!   "attestation"   bytes: the NSM's attestation document (COSE_Sign1)
//! ```
//!
//! Every chunk but the final one holds 65536 bytes of plaintext; the final one
//! holds 0 to 65535, and nothing follows it. An opener accepts shorter chunks.
//!
//! # Keys
//!
//! ```text
//! info      = SHA-256( "strongroom sealed result v1: info" 00
//!                      ‖ request_id
//!                      ‖ u64(job) ‖ job
//!                      ‖ number of args in 8 bytes
//!                      ‖ for each arg in the map's order: u64(name) ‖ name ‖ u64(value) ‖ value
//!                      ‖ u64(input) ‖ input
//!                      ‖ 01 if there is a nonce, else 00
//!                      ‖ u64(nonce) ‖ nonce )                    (length 0 without a nonce)
//!
//! HPKE      base mode, KEM 0x0020 DHKEM(X25519, HKDF-SHA256), KDF 0x0001 HKDF-SHA256,
//!           AEAD 0x0002 AES-256-GCM; recipient's public key pk, no PSK, info as above
//!
//! chunk i   = Seal(aad, plaintext), HPKE's sequence number being i = 0, 1, 2, ...
//! aad       = i in 8 bytes ‖ 01 for the final chunk, else 00
//!
//! user_data = "SRSEAL" 00 01
//!             ‖ SHA-256( "strongroom sealed result v1: attested" 00 ‖ enc ‖ pk ‖ info )
//! ```
//!
//! # To open a stream
//!
//! 1. Read the header. Its request and its input must be the ones expected.
//! 2. Verify `attestation`: signature, certificate chain, PCRs, and that its
//!    `user_data` equals the one computed from `enc`, `info` and the own `pk`.
//! 3. Set up the HPKE receiver, open the chunks in order, and refuse everything
//!    unless the final chunk opened and nothing follows it.

mod binding;
mod header;
mod hpke;
mod keys;
mod opener;
mod sealer;

pub use binding::Binding;
pub use header::StreamHeader;
pub use keys::{RecipientPublicKey, RecipientSecretKey};
pub use opener::Opener;
pub use sealer::{Sealer, Setup};

/// First bytes of a sealed stream, and of the `user_data` attested with it: name
/// and version of the format.
pub const MAGIC: [u8; 8] = *b"SRSEAL\x00\x01";

/// Length of the attested `user_data` in bytes; the NSM takes up to 512.
pub const USER_DATA_LEN: usize = MAGIC.len() + 32;

/// Most bytes of a header's CBOR map: an attestation document (up to 16 KiB by
/// AWS's definition) and a request's arguments, with room.
pub const MAX_HEADER_LEN: usize = 64 * 1024;

/// Most bytes of plaintext in a chunk: what sealer and opener hold at a time.
pub const MAX_CHUNK_LEN: usize = 64 * 1024;

/// Most bytes of an input's id; it has at least one. AWS Encryption SDK messages
/// have ids of 32, and other formats' ids, such as digests, are no longer.
pub const MAX_INPUT_ID_LEN: usize = 64;

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not 32 bytes, or of low order: the client's fault.
    #[error("not a usable X25519 key")]
    RecipientKey,
    /// The input's id is empty or longer than [`MAX_INPUT_ID_LEN`]: the service's
    /// fault.
    #[error("not the id of an input")]
    Input,
    /// Arguments and attestation document exceed [`MAX_HEADER_LEN`].
    #[error("the sealed stream's header would be too long")]
    HeaderTooLong,
    /// The cryptographic library failed: nobody's fault outside.
    #[error("sealing failed")]
    Fault,
}

/// Why bytes are not a sealed stream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// They do not start with [`MAGIC`].
    #[error("not a sealed result of version 1")]
    Magic,
    /// The header claims more than [`MAX_HEADER_LEN`].
    #[error("the sealed result's header is too long")]
    HeaderTooLong,
    /// The header's map is not exactly what a sealer writes.
    #[error("the sealed result's header is malformed")]
    Header,
}

/// Why a sealed stream does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The header names another request, job, argument or nonce than expected.
    #[error("the sealed result answers another request")]
    OtherRequest,
    /// The header names another input than expected.
    #[error("the sealed result was made from another input")]
    OtherInput,
    /// The verified attestation document was made for another stream.
    #[error("the attestation document does not vouch for this sealed result")]
    NotAttested,
    /// The stream did not open, or is not whole. Never says where or why.
    #[error("the sealed result does not open")]
    OpenFailed,
}

/// Bit of a chunk's head that marks the final chunk.
const FINAL: u32 = 1 << 31;

/// Associated data of chunk `index`.
fn aad(index: u64, last: bool) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = index.to_be_bytes();
    [a, b, c, d, e, f, g, h, u8::from(last)]
}
