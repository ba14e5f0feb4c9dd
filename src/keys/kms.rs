//! KMS through the AWS SDK, always with a recipient.
//!
//! Sends the KMS key's ARN with every call and compares the ARN that comes
//! back; refuses an answer that carries a plaintext. The SDK signs, retries
//! what is worth retrying (back-off with jitter) and gives up in time.

use std::time::{Duration, SystemTime};

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Config, IdentityCache, Region as SdkRegion};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyEncryptionMechanism, RecipientInfo};
use strongroom_envelope::esdk::EncryptionContext;

use super::credentials::{CredentialState, CredentialStore};
use super::road::Road;
use crate::manifest::{KeyArn, Region};

pub(super) struct Kms {
    client: Client,
    credentials: CredentialStore,
}

/// What KMS gave, checked.
pub(super) struct Answer {
    /// The data key, encrypted to this enclave.
    pub(super) for_recipient: Vec<u8>,
    /// The data key, encrypted under the KMS key; only when it was made new.
    pub(super) ciphertext: Vec<u8>,
}

/// Why KMS gave no key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KmsError {
    /// The parent has handed in no credentials.
    #[error("the parent has handed in no AWS credentials")]
    CredentialsMissing,
    /// The credentials have expired.
    #[error("the AWS credentials have expired; hand in new ones")]
    CredentialsExpired,
    /// KMS said no.
    #[error("KMS refused {}: {}: {}", .0.operation, .0.code, .0.message)]
    Refused(Refusal),
    /// KMS is out of reach, throttles or fails; later may be better.
    #[error("KMS cannot be used now: {0}")]
    Unavailable(String),
    /// The answer is for another KMS key than the one asked for.
    #[error("KMS answered for another key than the job's")]
    OtherKey,
    /// The answer carries a plaintext: the recipient was ignored.
    #[error("KMS's answer carries a plaintext, so it was not made for an enclave")]
    PlaintextInAnswer,
    /// The answer lacks what was asked for.
    #[error("KMS's answer holds no data key for this enclave")]
    Incomplete,
}

/// KMS's refusal, in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// KMS operation, such as `Decrypt`.
    pub operation: &'static str,
    /// Error code, such as `AccessDeniedException`.
    pub code: String,
    /// Text.
    pub message: String,
    /// Request id.
    pub request_id: Option<String>,
}

impl Kms {
    pub(super) fn new(region: &Region, road: Road, credentials: CredentialStore) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(SdkRegion::new(region.as_str().to_owned()))
            .credentials_provider(credentials.clone())
            // The store is the cache: what the parent hands in counts at once.
            .identity_cache(IdentityCache::no_cache())
            .http_client(road)
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build(),
            )
            .build();
        Self { client: Client::from_conf(config), credentials }
    }

    pub(super) async fn decrypt(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        ciphertext: &[u8],
        document: Vec<u8>,
    ) -> Result<Answer, KmsError> {
        self.check_credentials()?;
        let call = self
            .client
            .decrypt()
            .key_id(key.as_str())
            .set_encryption_context(Some(sdk_context(context)))
            .ciphertext_blob(Blob::new(ciphertext))
            .recipient(recipient(document));
        let answer = call.send().await.map_err(|error| refused("Decrypt", &error))?;
        check(key, answer.key_id.as_deref(), answer.plaintext.as_ref())?;
        Ok(Answer {
            for_recipient: present(answer.ciphertext_for_recipient)?,
            ciphertext: Vec::new(),
        })
    }

    pub(super) async fn generate(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        document: Vec<u8>,
    ) -> Result<Answer, KmsError> {
        self.check_credentials()?;
        let call = self
            .client
            .generate_data_key()
            .key_id(key.as_str())
            .set_encryption_context(Some(sdk_context(context)))
            .number_of_bytes(32)
            .recipient(recipient(document));
        let answer = call.send().await.map_err(|error| refused("GenerateDataKey", &error))?;
        check(key, answer.key_id.as_deref(), answer.plaintext.as_ref())?;
        Ok(Answer {
            for_recipient: present(answer.ciphertext_for_recipient)?,
            ciphertext: present(answer.ciphertext_blob)?,
        })
    }

    fn check_credentials(&self) -> Result<(), KmsError> {
        match self.credentials.state(SystemTime::now()) {
            CredentialState::Present => Ok(()),
            CredentialState::Missing => Err(KmsError::CredentialsMissing),
            CredentialState::Expired => Err(KmsError::CredentialsExpired),
        }
    }
}

fn sdk_context(context: &EncryptionContext) -> SdkContext {
    context.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn recipient(document: Vec<u8>) -> RecipientInfo {
    RecipientInfo::builder()
        .key_encryption_algorithm(KeyEncryptionMechanism::RsaesOaepSha256)
        .attestation_document(Blob::new(document))
        .build()
}

fn check(key: &KeyArn, answered: Option<&str>, plaintext: Option<&Blob>) -> Result<(), KmsError> {
    if plaintext.is_some_and(|plaintext| !plaintext.as_ref().is_empty()) {
        return Err(KmsError::PlaintextInAnswer);
    }
    if answered != Some(key.as_str()) {
        return Err(KmsError::OtherKey);
    }
    Ok(())
}

fn present(blob: Option<Blob>) -> Result<Vec<u8>, KmsError> {
    blob.map(Blob::into_inner).filter(|bytes| !bytes.is_empty()).ok_or(KmsError::Incomplete)
}

/// What an error of the SDK means to a caller.
fn refused<E>(operation: &'static str, error: &SdkError<E>) -> KmsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    let Some(service) = error.as_service_error() else {
        return KmsError::Unavailable(reasons(error));
    };
    // Without a code it is no answer of KMS's but something garbled.
    let Some(code) = service.code() else {
        return KmsError::Unavailable(reasons(error));
    };
    let message = service.message().unwrap_or_default();
    match code {
        "ExpiredTokenException" | "ExpiredToken" => KmsError::CredentialsExpired,
        "ThrottlingException"
        | "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "InternalFailure"
        | "ServiceUnavailable" => KmsError::Unavailable(format!("{code}: {message}")),
        _ => KmsError::Refused(Refusal {
            operation,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: error.request_id().map(str::to_owned),
        }),
    }
}

/// An error and what it came of, outermost first. Wrappers repeat what they wrap.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Tries per call, the first included.
const MAX_ATTEMPTS: u32 = 4;

/// Longest wait for one try. KMS answers within tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The SDK's own map of a context; nothing depends on its order.
#[expect(clippy::disallowed_types, reason = "the SDK takes no other map")]
type SdkContext = std::collections::HashMap<String, String>;
