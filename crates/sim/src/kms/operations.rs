//! KMS's operations: each reads its members, authorizes, and answers.
//!
//! Called by `service.rs` with an authenticated caller. The order of the checks
//! is the real service's: members, recipient, key, policies, key state,
//! ciphertext.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::call::{Answer, Call};
use super::error::KmsError;

mod cryptography;
mod management;

/// Runs the operation of that name.
///
/// # Errors
/// The operation's errors; `UnknownOperationException` when it is not simulated.
pub(super) fn run(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    match call.record.operation.as_str() {
        "CreateKey" => management::create_key(call),
        "DescribeKey" => management::describe_key(call),
        "ListKeys" => management::list_keys(call),
        "GetKeyPolicy" => management::get_key_policy(call),
        "PutKeyPolicy" => management::put_key_policy(call),
        "Encrypt" => cryptography::encrypt(call),
        "Decrypt" => cryptography::decrypt(call),
        "GenerateDataKey" => cryptography::generate_data_key(call),
        "GenerateDataKeyWithoutPlaintext" => {
            cryptography::generate_data_key_without_plaintext(call)
        }
        "GenerateRandom" => cryptography::generate_random(call),
        _ => Err(KmsError::silent("UnknownOperationException")),
    }
}

/// A `blob` member: base64 in JSON.
pub(super) struct Blob(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A `blob` member's text.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn required<T>(member: Option<T>, name: &str) -> Result<T, KmsError> {
    member.ok_or_else(|| KmsError::missing(name))
}
