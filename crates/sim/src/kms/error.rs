//! KMS's error answers: code, HTTP status, text, as the real service words them.

use serde_json::{Value, json};

/// An error KMS answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsError {
    /// The `__type` member, e.g. `InvalidCiphertextException`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The text; some errors have none.
    pub message: Option<String>,
}

impl KmsError {
    /// A client's error: HTTP 400.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, status: 400, message: Some(message.into()) }
    }

    /// A client's error that KMS gives no text for.
    pub(crate) fn silent(code: &'static str) -> Self {
        Self { code, status: 400, message: None }
    }

    /// `AccessDeniedException` with this text.
    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(ACCESS_DENIED, message)
    }

    /// `ValidationException` with the service's usual frame around the rule.
    pub(crate) fn constraint(member: &str, rule: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: {rule}"
        ))
    }

    /// `ValidationException` with this text.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// `ValidationException` for a required member that is absent.
    pub(crate) fn missing(member: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ))
    }

    /// `NotFoundException` for a key that this KMS does not have.
    pub(crate) fn key_not_found(arn: &str) -> Self {
        Self::new("NotFoundException", format!("Key '{arn}' does not exist"))
    }

    /// `InvalidCiphertextException`, which KMS sends without any text.
    pub(crate) fn invalid_ciphertext() -> Self {
        Self::silent("InvalidCiphertextException")
    }

    /// The text of a decrypt whose key is unknown or another account's.
    pub(crate) fn ciphertext_key_unknown() -> Self {
        Self::access_denied(
            "The ciphertext refers to a customer master key that does not exist, does not exist \
             in this region, or you are not allowed to access.",
        )
    }

    /// `ThrottlingException`, as under the account's request quota.
    #[must_use]
    pub fn throttling() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    /// `KMSInternalException`, HTTP 500.
    #[must_use]
    pub fn internal() -> Self {
        Self { status: 500, ..Self::silent("KMSInternalException") }
    }

    /// `DependencyTimeoutException`, HTTP 500.
    #[must_use]
    pub fn dependency_timeout() -> Self {
        Self { status: 500, ..Self::silent("DependencyTimeoutException") }
    }

    /// The response body. Access denials spell `Message` with a capital.
    pub(crate) fn body(&self) -> Value {
        let member = if self.code == ACCESS_DENIED { "Message" } else { "message" };
        match &self.message {
            Some(text) => json!({ "__type": self.code, member: text }),
            None => json!({ "__type": self.code }),
        }
    }
}

const ACCESS_DENIED: &str = "AccessDeniedException";
