//! Data keys: from an encrypted data key to one that opens, and nothing else.
//!
//! Each call makes a fresh attestation document over the recipient key pair of
//! this boot, has KMS encrypt the data key to it, and unwraps the answer. Knows
//! no plaintext. What comes back from KMS is trusted because TLS ended here
//! with Amazon's roots, and checked all the same: the key it names must be the
//! key that was asked for, and it must not carry a plaintext.

pub mod credentials;
mod kms;
pub mod road;
pub mod roots;

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmError};
use strongroom_envelope::cms::{CmsError, RecipientKey};
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_envelope::{DataKey, SecretBuf};

use tokio::sync::Semaphore;

use credentials::CredentialStore;
use kms::{Answer, Kms};
pub use kms::{KmsError, Refusal};
use road::Road;

use crate::clock::{self, ClockError};
use crate::manifest::{KeyArn, Region, SecretSpec};

/// The way to data keys.
pub struct Keys {
    nsm: Arc<dyn Nsm>,
    recipient: RecipientKey,
    kms: Kms,
    credentials: CredentialStore,
    pcrs: BTreeMap<u8, PcrValue>,
    /// The module answers one at a time: those who wait for it do so here, in
    /// order, and not each on a thread.
    nsm_turn: Semaphore,
}

/// Why there is no data key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The NSM gave no document.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// The enclave's clock is not to be trusted.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// KMS gave no key.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// What KMS gave does not open with this enclave's recipient key, or is no
    /// 256-bit key.
    #[error("KMS's answer cannot be opened by this enclave")]
    Unwrap,
    /// The call was cut off inside the service.
    #[error("the service stopped before the key arrived")]
    Interrupted,
}

impl Keys {
    /// Makes the recipient key pair of this boot and readies the way to KMS.
    ///
    /// # Errors
    /// [`NsmError`] when the module does not answer, [`KeyError::Unwrap`] when no
    /// key pair can be made.
    pub async fn new(nsm: Arc<dyn Nsm>, region: &Region, road: Road) -> Result<Self, KeyError> {
        let (nsm, recipient, pcrs) = blocking(move || {
            let pcrs = read_pcrs(&*nsm)?;
            let recipient = RecipientKey::generate()?;
            Ok((nsm, recipient, pcrs))
        })
        .await?;
        let credentials = CredentialStore::default();
        let kms = Kms::new(region, road, credentials.clone());
        Ok(Self { nsm, recipient, kms, credentials, pcrs, nsm_turn: Semaphore::new(1) })
    }

    /// Has KMS decrypt a data key to this enclave.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn decrypt(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &[u8],
    ) -> Result<DataKey, KeyError> {
        let document = self.attest_for_kms().await?;
        let answer = self.kms.decrypt(key, context, encrypted, document).await?;
        self.unwrap(&answer.for_recipient)
    }

    /// Has KMS unwrap a key of the manifest's own to this enclave.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn secret(&self, secret: &SecretSpec) -> Result<SecretBuf, KeyError> {
        let context = EncryptionContext::new(secret.context.clone());
        let context = context.map_err(|_| KeyError::Unwrap)?;
        let document = self.attest_for_kms().await?;
        let answer = self.kms.decrypt(&secret.key, &context, &secret.wrapped, document).await?;
        Ok(self.recipient.open(&answer.for_recipient)?)
    }

    /// Has KMS make a new data key, for this enclave and for later.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn generate(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
    ) -> Result<(DataKey, EncryptedDataKey), KeyError> {
        let document = self.attest_for_kms().await?;
        let Answer { for_recipient, ciphertext } =
            self.kms.generate(key, context, document).await?;
        Ok((self.unwrap(&for_recipient)?, key.data_key(ciphertext)))
    }

    /// An attestation document over the recipient public key of this boot.
    ///
    /// # Errors
    /// [`KeyError::Nsm`].
    pub async fn attest(
        &self,
        nonce: Option<&[u8]>,
        user_data: Option<&[u8]>,
    ) -> Result<Vec<u8>, KeyError> {
        let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        let (nonce, user_data) = (owned(nonce), owned(user_data));
        let public_key = self.recipient.public_key_der().to_vec();
        let nsm = Arc::clone(&self.nsm);
        let _turn = self.nsm_turn.acquire().await.map_err(|_| KeyError::Interrupted)?;
        blocking(move || {
            let request = AttestationRequest {
                public_key: Some(&public_key),
                user_data: user_data.as_deref(),
                nonce: nonce.as_deref(),
            };
            Ok(nsm.attest(&request)?)
        })
        .await
    }

    /// A document for KMS. Its time is compared with the system clock: with a
    /// wrong clock KMS's certificate would be judged at the wrong time.
    async fn attest_for_kms(&self) -> Result<Vec<u8>, KeyError> {
        let document = self.attest(None, None).await?;
        clock::check_against(&document)?;
        Ok(document)
    }

    /// Where the parent's credentials go.
    #[must_use]
    pub fn credentials(&self) -> &CredentialStore {
        &self.credentials
    }

    /// PCRs 0, 1, 2, 3, 4 and 8 as they were at boot: all that a key policy asks for.
    #[must_use]
    pub fn pcrs(&self) -> &BTreeMap<u8, PcrValue> {
        &self.pcrs
    }

    /// Whether the enclave runs in debug mode: PCR0 is then zero, and its
    /// console shows everything (PCR3 and PCR4 stay real even then).
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.pcrs.get(&0).is_none_or(PcrValue::is_zero)
    }

    fn unwrap(&self, for_recipient: &[u8]) -> Result<DataKey, KeyError> {
        let opened = self.recipient.open(for_recipient)?;
        DataKey::from_slice(opened.expose()).ok_or(KeyError::Unwrap)
    }
}

impl From<CmsError> for KeyError {
    fn from(_: CmsError) -> Self {
        Self::Unwrap
    }
}

impl KeyError {
    /// Whether KMS does not take the ciphertext for one of its own, under this
    /// key and encryption context: the fault of whoever sent it.
    #[must_use]
    pub fn is_of_the_ciphertext(&self) -> bool {
        match self {
            Self::Kms(KmsError::Refused(refusal)) => {
                refusal.code == "InvalidCiphertextException"
                    || refusal.code == "IncorrectKeyException"
            }
            Self::Kms(_) | Self::Nsm(_) | Self::Clock(_) | Self::Unwrap | Self::Interrupted => {
                false
            }
        }
    }
}

fn read_pcrs(nsm: &dyn Nsm) -> Result<BTreeMap<u8, PcrValue>, NsmError> {
    let read = |index: &u8| nsm.describe_pcr(*index).map(|pcr| (*index, pcr.value));
    [0, 1, 2, 3, 4, 8].iter().map(read).collect()
}

/// Runs what blocks (the NSM's ioctl, making an RSA key) off the async threads.
async fn blocking<T, F>(work: F) -> Result<T, KeyError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, KeyError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| KeyError::Interrupted)?
}
