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

/// One operation.
pub(super) struct Operation {
    /// As in `x-amz-target` and, after `kms:`, in policies.
    pub(super) name: &'static str,
    /// Answers an authenticated request.
    pub(super) run: fn(&mut Call<'_>) -> Result<Answer, KmsError>,
}

/// The operation of that name, if it is simulated.
pub(super) fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

const OPERATIONS: &[Operation] = &[
    Operation { name: "CreateKey", run: management::create_key },
    Operation { name: "DescribeKey", run: management::describe_key },
    Operation { name: "ListKeys", run: management::list_keys },
    Operation { name: "GetKeyPolicy", run: management::get_key_policy },
    Operation { name: "PutKeyPolicy", run: management::put_key_policy },
    Operation { name: "Encrypt", run: cryptography::encrypt },
    Operation { name: "Decrypt", run: cryptography::decrypt },
    Operation { name: "GenerateDataKey", run: cryptography::generate_data_key },
    Operation {
        name: "GenerateDataKeyWithoutPlaintext",
        run: cryptography::generate_data_key_without_plaintext,
    },
    Operation { name: "GenerateRandom", run: cryptography::generate_random },
];

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
