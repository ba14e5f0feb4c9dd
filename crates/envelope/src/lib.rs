//! Secret types and ciphertext formats, sans-IO.
//!
//! Bytes in, bytes out: this crate knows no socket, no clock and no KMS. The
//! service feeds it what arrives and writes what it returns; the client opens
//! sealed results with it.
//!
//! - [`secret`]: the types every key and plaintext lives in.
//! - [`esdk`]: AWS Encryption SDK messages, opened and written as a stream.
//! - [`keyring`]: raw keys in the place of KMS, for tests and `strongroomctl`.
//! - [`cms`]: KMS's `CiphertextForRecipient`.
//! - [`seal`]: results sealed to a client's public key (HPKE, RFC 9180).
//! - [`token`]: values replaced by deterministic or format-preserving tokens.
//! - [`index`]: blind indexes of values.
//! - [`signing`]: signatures with a private key that KMS unwrapped.
//! - [`name`]: what a sealed result calls its input.
//! - [`plain`]: one AES-256-GCM message with its encrypted data key in front.
//! - [`padding`]: padding that hides a result's length (ISO/IEC 7816-4).
//! - [`receipt`]: what the enclave did for a request, signed (COSE_Sign1).
//! - [`caller`]: signed requests, and the guard against their replay.
#![forbid(unsafe_code)]

pub mod caller;
pub mod cms;
pub mod esdk;
pub mod index;
pub mod keyring;
pub mod name;
pub mod padding;
pub mod plain;
pub mod receipt;
pub mod seal;
pub mod secret;
pub mod signing;
mod stack;
pub mod token;

pub use secret::{DataKey, SecretBuf};
