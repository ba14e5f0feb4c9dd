//! Raw keyrings: data keys wrapped under a local AES or RSA key instead of KMS's.
//!
//! For tests and for `strongroomctl`, which read what producers wrote under such
//! keys; never reachable from a job, whose data keys come from KMS alone. A key
//! that somebody holds proves nothing about an enclave, and PKCS#1 v1.5 must not
//! be answered where an attacker can ask.
//!
//! Both speak the SDKs' own formats (framework/raw-aes-keyring.md and
//! framework/raw-rsa-keyring.md of the Encryption SDK's specification).
//!
//! ```text
//!       provider id   provider info                                  ciphertext
//! AES   namespace     name ‖ tag bits u32 ‖ IV length u32 ‖ IV 12    ciphertext ‖ tag 16
//! RSA   namespace     name                                           RSA ciphertext
//! ```

mod aes;
mod rsa;

pub use self::aes::RawAes;
pub use self::rsa::{RawRsa, RsaPadding};

/// Why a keyring did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The namespace is KMS's own.
    #[error("the namespace {KMS:?} is reserved")]
    ReservedNamespace,
    /// The wrapping key can not be used: wrong length, malformed, too small.
    #[error("the wrapping key can not be used")]
    Key,
    /// The encrypted data key names another namespace or key.
    #[error("the encrypted data key is not under this key")]
    OtherKey,
    /// The data key could not be unwrapped, whatever was wrong.
    #[error("unwrapping the data key failed")]
    Unwrap,
    /// The data key could not be wrapped: no public key, a context that is too
    /// long, a failing library.
    #[error("wrapping the data key failed")]
    Wrap,
}

/// A namespace and a name: how an encrypted data key says what it is under.
struct KeyName {
    namespace: String,
    name: String,
}

impl KeyName {
    fn new(namespace: &str, name: &str) -> Result<Self, KeyringError> {
        if namespace == KMS {
            return Err(KeyringError::ReservedNamespace);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// The provider id of KMS.
const KMS: &str = "aws-kms";
