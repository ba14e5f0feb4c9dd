//! Data keys: from an encrypted data key to one that opens, and nothing else.
//!
//! A key that was asked for a moment ago is kept, and one that is on its way is
//! waited for (`shared`); else KMS is asked (`source`), through the gate that
//! bounds how much of that goes on at once (`gate`). Knows no plaintext. What
//! comes back from KMS is trusted because TLS ended here with Amazon's roots, and
//! checked all the same: the key it names must be the key that was asked for, and
//! it must not carry a plaintext.

mod cache;
pub mod credentials;
mod gate;
mod kms;
pub mod road;
pub mod roots;
mod shared;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{Nsm, NsmError};
use strongroom_envelope::cms::CmsError;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_envelope::{DataKey, SecretBuf};
use tokio::time::Instant;

pub use cache::{Handle, Meter};
use cache::{Id, UNBOUNDED};
use credentials::CredentialStore;
use gate::Gate;
pub use kms::{KmsError, Refusal};
use road::Road;
use shared::Shared;
use source::{Source, blocking};

use crate::clock::ClockError;
use crate::counters::Counters;
use crate::manifest::{JobName, KeyArn, KeyBounds, Manifest, SecretSpec};

/// The way to data keys.
pub struct Keys {
    source: Arc<Source>,
    gate: Arc<Gate>,
    kept: Option<Kept>,
    credentials: CredentialStore,
    pcrs: BTreeMap<u8, PcrValue>,
}

/// Keys that are kept, by what they are for: a flood of one kind leaves the
/// others alone.
struct Kept {
    bounds: KeyBounds,
    data_keys: Arc<Shared<Box<DataKey>>>,
    secrets: Arc<Shared<SecretBuf>>,
    generated: Arc<Shared<Generated>>,
}

/// A data key that KMS has made.
pub struct Generated {
    /// The data key.
    pub key: Box<DataKey>,
    /// The data key, encrypted under the KMS key.
    pub encrypted: EncryptedDataKey,
}

/// Why there is no data key.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// The key pair that KMS's answers are encrypted to could not be made.
    #[error("the recipient key pair could not be made")]
    Recipient,
    /// The call was cut off inside the service.
    #[error("the service stopped before the key arrived")]
    Interrupted,
}

impl Keys {
    /// Reads the PCRs, readies the way to KMS, and begins to make the recipient
    /// key pair of this boot.
    ///
    /// # Errors
    /// [`NsmError`] when the module does not answer.
    pub async fn new(
        manifest: &Manifest,
        nsm: Arc<dyn Nsm>,
        road: Road,
        counters: Arc<Counters>,
    ) -> Result<Self, KeyError> {
        let credentials = CredentialStore::default();
        let (region, module) = (&manifest.kms.region, Arc::clone(&nsm));
        let source = Source::new(nsm, region, road, credentials.clone(), Arc::clone(&counters))?;
        let pcrs = blocking(move || Ok(read_pcrs(&*module)?)).await?;
        let gate = Arc::new(Gate::new(manifest));
        let kept = (manifest.cache.max_keys > 0).then(|| Kept::new(manifest, &gate, &counters));
        Ok(Self { source: Arc::new(source), gate, kept, credentials, pcrs })
    }

    /// Fails when the recipient key pair could not be made; until then, and when
    /// it could, never ends.
    pub async fn failure(&self) -> KeyError {
        match self.source.recipient().await {
            Ok(_) => std::future::pending().await,
            Err(error) => error,
        }
    }

    /// A data key of `job`, decrypted by KMS to this enclave.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn decrypt(
        &self,
        job: &JobName,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &[u8],
    ) -> Result<Handle<Box<DataKey>>, KeyError> {
        self.decrypt_encoded(job, key, &encode(context)?, encrypted).await
    }

    /// As [`Self::decrypt`], with the encryption context as a message has it. It is
    /// parsed when KMS is asked, and no sooner.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn decrypt_encoded(
        &self,
        job: &JobName,
        key: &KeyArn,
        context: &[u8],
        encrypted: &[u8],
    ) -> Result<Handle<Box<DataKey>>, KeyError> {
        let ask = || {
            let source = Arc::clone(&self.source);
            let (key, context, encrypted) = (key.clone(), context.to_vec(), encrypted.to_vec());
            async move { Box::pin(source.decrypt(&key, &decode(&context)?, &encrypted)).await }
        };
        match &self.kept {
            Some(Kept { data_keys, bounds, .. }) => {
                data_keys.get(Id::new(job, key, context, encrypted), job, *bounds, ask).await
            }
            None => self.unkept(job, ask).await,
        }
    }

    /// As [`Self::decrypt`], where KMS need not be asked.
    #[must_use]
    pub fn kept(
        &self,
        job: &JobName,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &[u8],
    ) -> Option<Handle<Box<DataKey>>> {
        let kept = self.kept.as_ref()?;
        kept.data_keys.kept(&Id::new(job, key, &encode(context).ok()?, encrypted))
    }

    /// A key of the manifest's own, for `job`, unwrapped by KMS to this enclave.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn secret(
        &self,
        job: &JobName,
        secret: &SecretSpec,
    ) -> Result<Handle<SecretBuf>, KeyError> {
        let SecretSpec { key, context, wrapped } = secret;
        let context = EncryptionContext::new(context.clone()).map_err(|_| KeyError::Unwrap)?;
        let context = encode(&context)?;
        let ask = || {
            let source = Arc::clone(&self.source);
            let (key, context, wrapped) = (key.clone(), context.clone(), wrapped.clone());
            async move { Box::pin(source.unwrap(&key, &decode(&context)?, &wrapped)).await }
        };
        match &self.kept {
            Some(Kept { secrets, bounds, .. }) => {
                secrets.get(Id::new(job, key, &context, wrapped), job, *bounds, ask).await
            }
            None => self.unkept(job, ask).await,
        }
    }

    /// A data key that KMS makes, for this enclave and for later: a new one, or
    /// where `job` says how often it may be, one that it had before.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn generate(
        &self,
        job: &JobName,
        key: &KeyArn,
        context: &EncryptionContext,
        reuse: Option<KeyBounds>,
    ) -> Result<Handle<Generated>, KeyError> {
        let context = encode(context)?;
        let ask = || {
            let (source, key, context) = (Arc::clone(&self.source), key.clone(), context.clone());
            async move { Box::pin(source.generate(&key, &decode(&context)?)).await }
        };
        match (&self.kept, reuse) {
            (Some(Kept { generated, .. }), Some(bounds)) => {
                generated.get(Id::new(job, key, &context, &[]), job, bounds, ask).await
            }
            (None, _) | (_, None) => self.unkept(job, ask).await,
        }
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
        self.source.attest(nonce, user_data).await
    }

    /// Where the parent's credentials go.
    #[must_use]
    pub fn credentials(&self) -> &CredentialStore {
        &self.credentials
    }

    /// Keys that are kept, of all kinds.
    #[must_use]
    pub fn held(&self) -> usize {
        let held = |kept: &Kept| {
            let data_keys = kept.data_keys.len().saturating_add(kept.generated.len());
            data_keys.saturating_add(kept.secrets.len())
        };
        self.kept.as_ref().map_or(0, held)
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

    /// A key for this one request; the call ends with it.
    async fn unkept<T, F: Future<Output = Result<T, KeyError>>>(
        &self,
        job: &JobName,
        ask: impl Fn() -> F,
    ) -> Result<Handle<T>, KeyError> {
        let _pass = self.gate.enter(job).await?;
        Ok(Handle::new(ask().await?, UNBOUNDED, Instant::now()))
    }
}

impl Kept {
    fn new(manifest: &Manifest, gate: &Arc<Gate>, counters: &Arc<Counters>) -> Self {
        fn shared<T: Send + Sync + 'static>(
            max_keys: usize,
            (gate, counters): (&Arc<Gate>, &Arc<Counters>),
        ) -> Arc<Shared<T>> {
            Shared::new(max_keys, Arc::clone(gate), Arc::clone(counters))
        }
        let (max_keys, with) = (manifest.cache.max_keys, (gate, counters));
        Self {
            bounds: manifest.cache.bounds,
            data_keys: shared(max_keys, with),
            secrets: shared(max_keys, with),
            generated: shared(max_keys, with),
        }
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
            Self::Kms(_)
            | Self::Nsm(_)
            | Self::Clock(_)
            | Self::Unwrap
            | Self::Recipient
            | Self::Interrupted => false,
        }
    }
}

/// A context as a message has it: shorter by far than parsed, and the same for the
/// same entries.
fn encode(context: &EncryptionContext) -> Result<Vec<u8>, KeyError> {
    context.encode().map_err(|_| KeyError::Unwrap)
}

fn decode(context: &[u8]) -> Result<EncryptionContext, KeyError> {
    EncryptionContext::decode(context).map_err(|_| KeyError::Unwrap)
}

fn read_pcrs(nsm: &dyn Nsm) -> Result<BTreeMap<u8, PcrValue>, NsmError> {
    let read = |index: &u8| nsm.describe_pcr(*index).map(|pcr| (*index, pcr.value));
    [0, 1, 2, 3, 4, 8].iter().map(read).collect()
}
