//! Admission: a ciphertext is what the job opens, or KMS is asked for nothing.

use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{
    CommitmentPolicy, EncryptedDataKey, EncryptionContext, Header, Policy, Signatures,
};

use super::InputError;
use crate::job::BoundContext;
use crate::keys::{Handle, Keys};
use crate::manifest::{Format, JobName};

impl BoundContext<'_> {
    /// Compares a message's encryption context with what the job pins: every
    /// entry must be there, with its value; further entries may be.
    pub(super) fn admit(&self, header: Header) -> Result<Header, InputError> {
        let mut header = header;
        if !self.required.is_empty() {
            header = header.with_required_context(&self.required)?;
        }
        let context = header.encryption_context();
        if !kms_takes(context) {
            return Err(InputError::ContextOfNoKey);
        }
        let mut pinned = self.pinned.iter().chain(self.required.iter());
        match pinned.find(|(name, value)| context.get(name) != Some(value)) {
            Some((name, _)) => Err(InputError::Context(name.to_owned())),
            None => Ok(header),
        }
    }

    /// The encrypted data keys of a message that are under the job's KMS key.
    pub(super) fn candidates<'h>(
        &self,
        header: &'h Header,
    ) -> Result<Vec<&'h EncryptedDataKey>, InputError> {
        let key = &self.ciphertext.key;
        let of_kms = |encrypted: &&EncryptedDataKey| {
            key.is_key_of(encrypted)
                && (1..=MAX_CIPHERTEXT_BLOB).contains(&encrypted.ciphertext.len())
        };
        let found: Vec<_> = header.encrypted_data_keys().iter().filter(of_kms).collect();
        if found.is_empty() { Err(InputError::Key(key.clone())) } else { Ok(found) }
    }

    /// The data key of a message, for `job`: of several under the job's KMS key,
    /// one that is kept, or else the first that KMS decrypts.
    pub(super) async fn data_key(
        &self,
        keys: &Keys,
        job: &JobName,
        header: &Header,
    ) -> Result<Handle<Box<DataKey>>, InputError> {
        let (kms_key, context) = (&self.ciphertext.key, header.encryption_context());
        let candidates = self.candidates(header)?;
        // Of one alone, the call finds out as well.
        if candidates.len() > 1 {
            let kept = |edk: &&EncryptedDataKey| keys.kept(job, kms_key, context, &edk.ciphertext);
            if let Some(key) = candidates.iter().find_map(kept) {
                return Ok(key);
            }
        }
        let mut refusal = None;
        for encrypted in candidates {
            match keys.decrypt(job, kms_key, context, &encrypted.ciphertext).await {
                Ok(key) => return Ok(key),
                Err(error) if error.is_of_the_ciphertext() => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(refusal.map_or_else(|| InputError::Key(self.ciphertext.key.clone()), InputError::from))
    }
}

/// Whether KMS would look at a context at all. One that it calls invalid ends a
/// request, and must not where it is the message's fault.
fn kms_takes(context: &EncryptionContext) -> bool {
    // As JSON, each entry has four quotes, a colon and a comma.
    let len = context.iter().fold(1_usize, |len, (name, value)| {
        len.saturating_add(name.len()).saturating_add(value.len()).saturating_add(6)
    });
    len <= MAX_CONTEXT && context.get("").is_none()
}

/// What of the Encryption SDK's suites a job opens.
pub(super) const fn policy(format: Format) -> Policy {
    match format {
        Format::AwsEncryptionSdk { allow_legacy, refuse_signed } => Policy {
            commitment: if allow_legacy {
                CommitmentPolicy::AllowLegacy
            } else {
                CommitmentPolicy::Require
            },
            signatures: if refuse_signed { Signatures::Refuse } else { Signatures::Accept },
        },
        Format::PlainEnvelope => {
            Policy { commitment: CommitmentPolicy::Require, signatures: Signatures::Refuse }
        }
    }
}

/// Longest encrypted data key that KMS takes, in bytes (KMS API, Decrypt).
const MAX_CIPHERTEXT_BLOB: usize = 6144;

/// Longest encryption context that KMS takes, in characters as JSON.
const MAX_CONTEXT: usize = 8192;
