//! The `Recipient` parameter: an attestation document in, the condition keys it
//! satisfies and the key to answer to out.

use std::time::Duration;

use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use serde::Deserialize;
use strongroom_attestation::{DebugMode, Policy, TrustRoot, UnixTime, VerifiedDocument, verify};

use super::cms::RecipientKey;
use super::condition::RequestKeys;
use super::error::KmsError;
use super::operations::Blob;

/// The parameter as it is in the request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Recipient {
    key_encryption_algorithm: Option<String>,
    attestation_document: Option<Blob>,
}

/// A recipient whose document was verified.
pub(super) struct Attested {
    document: VerifiedDocument,
    /// The key that answers are encrypted to.
    pub(super) key: RecipientKey,
}

impl Attested {
    /// Verifies the document under any of the trusted roots.
    ///
    /// A document in debug mode is accepted, as KMS does: its `ImageSha384` is
    /// 96 zeros, which no sane policy names.
    ///
    /// # Errors
    /// `ValidationException` for whatever is wrong with it.
    pub(super) fn verify(
        recipient: &Recipient,
        roots: &[TrustRoot],
        now_ms: u64,
    ) -> Result<Self, KmsError> {
        let bytes = recipient.document()?;
        let policy = Policy {
            debug: DebugMode::Allow,
            max_age: Some(MAX_DOCUMENT_AGE),
            ..Policy::any_image()
        };
        let now = UnixTime::from_millis(now_ms);
        let mut reason = String::from("no Nitro root is trusted");
        for root in roots {
            match verify(bytes, root, now, &policy) {
                Ok(document) => return Self::with_key(document),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(KmsError::validation(format!("The attestation document is invalid: {reason}")))
    }

    /// PCR0 in hex: the enclave's image.
    pub(super) fn image_sha384(&self) -> Option<String> {
        self.document.pcr(0).map(ToString::to_string)
    }

    /// The enclave's id.
    pub(super) fn module_id(&self) -> &str {
        self.document.module_id()
    }

    /// Adds `kms:RecipientAttestation:…`.
    pub(super) fn add_keys(&self, keys: &mut RequestKeys) {
        if let Some(image) = self.image_sha384() {
            keys.add("kms:RecipientAttestation:ImageSha384", image);
        }
        for (index, value) in self.document.pcrs() {
            keys.add(&format!("kms:RecipientAttestation:PCR{index}"), value.to_string());
        }
    }

    fn with_key(document: VerifiedDocument) -> Result<Self, KmsError> {
        let spki = document.public_key().ok_or_else(|| {
            KmsError::validation("The attestation document carries no public key.")
        })?;
        let key = recipient_key(spki).ok_or_else(|| {
            KmsError::validation(
                "The attestation document's public key is not RSA of 2048, 3072 or 4096 bits.",
            )
        })?;
        Ok(Self { document, key })
    }
}

impl Recipient {
    fn document(&self) -> Result<&[u8], KmsError> {
        match self.key_encryption_algorithm.as_deref() {
            Some("RSAES_OAEP_SHA_256") => {}
            Some(_) => {
                return Err(KmsError::constraint(
                    "recipient.keyEncryptionAlgorithm",
                    "Member must satisfy enum value set: [RSAES_OAEP_SHA_256]",
                ));
            }
            None => return Err(KmsError::missing("recipient.keyEncryptionAlgorithm")),
        }
        let document = self.attestation_document.as_ref();
        let document =
            document.ok_or_else(|| KmsError::missing("recipient.attestationDocument"))?;
        if document.0.is_empty() || document.0.len() > MAX_DOCUMENT_LEN {
            return Err(KmsError::constraint(
                "recipient.attestationDocument",
                "Member must have length between 1 and 262144",
            ));
        }
        Ok(&document.0)
    }
}

/// An RSA key of a size KMS answers to, from its SubjectPublicKeyInfo.
pub(super) fn recipient_key(spki: &[u8]) -> Option<RecipientKey> {
    let key = rsa::PublicKey::from_public_key_der(spki).ok()?;
    let bits = key.n().bit_width();
    matches!(bits, 2048 | 3072 | 4096).then(|| RecipientKey { spki: spki.to_vec(), key })
}

/// A document older than this is refused.
const MAX_DOCUMENT_AGE: Duration = Duration::from_secs(300);
/// KMS's limit on the parameter, bytes.
const MAX_DOCUMENT_LEN: usize = 262_144;
