//! Secret types and ciphertext formats, sans-IO.
//!
//! Bytes in, bytes out: this crate knows no socket, no clock and no KMS. The
//! service feeds it what arrives and writes what it returns; the client opens
//! sealed results with it.
//!
//! - [`secret`]: the types every key and plaintext lives in.
//! - [`esdk`]: AWS Encryption SDK messages, opened and written as a stream.
//! - [`cms`]: KMS's `CiphertextForRecipient`.
//! - [`seal`]: results sealed to a client's public key (HPKE, RFC 9180).
//! - [`token`]: values replaced by deterministic or format-preserving tokens.
//! - [`index`]: blind indexes of values.
//! - [`signing`]: signatures with a private key that KMS unwrapped.
#![forbid(unsafe_code)]

pub mod cms;
pub mod esdk;
pub mod index;
pub mod seal;
pub mod secret;
pub mod signing;
mod stack;
pub mod token;

pub use secret::{DataKey, SecretBuf};
