//! Where keys come from: one call of the Nitro Secure Module, one of KMS.
//!
//! Each call makes a fresh attestation document over the recipient key pair of
//! this boot, has KMS encrypt the key to it, and unwraps the answer.

use std::panic::catch_unwind;
use std::sync::Arc;

use strongroom_attestation::nsm::{AttestationRequest, Nsm};
use strongroom_envelope::cms::{CmsError, RecipientKey};
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_envelope::{DataKey, SecretBuf};
use tokio::sync::{Semaphore, SetOnce};

use super::credentials::CredentialStore;
use super::kms::{Answer, Kms, KmsError};
use super::road::Road;
use super::{Generated, KeyError};
use crate::clock;
use crate::counters::{Counter, Counters};
use crate::manifest::{KeyArn, Region};

pub(super) struct Source {
    nsm: Arc<dyn Nsm>,
    /// There as soon as its thread has made it.
    recipient: Arc<SetOnce<Result<RecipientKey, CmsError>>>,
    kms: Kms,
    counters: Arc<Counters>,
    /// The module answers one at a time: those who wait for it do so here, in
    /// order, and not each on a thread.
    nsm_turn: Semaphore,
}

impl Source {
    /// Readies the way to KMS, and begins to make the recipient key pair of this
    /// boot: who needs it waits for it.
    ///
    /// # Errors
    /// [`KeyError::Interrupted`] when there is no thread for it.
    pub(super) fn new(
        nsm: Arc<dyn Nsm>,
        region: &Region,
        road: Road,
        credentials: CredentialStore,
        counters: Arc<Counters>,
    ) -> Result<Self, KeyError> {
        let recipient = Arc::new(SetOnce::new());
        let made = Arc::clone(&recipient);
        let making = std::thread::Builder::new().name("recipient-key".into()).spawn(move || {
            // A panic is a failure too: nobody waits for what never comes.
            let key = catch_unwind(RecipientKey::generate).unwrap_or(Err(CmsError::Key));
            let _ = made.set(key);
        });
        making.map_err(|_| KeyError::Interrupted)?;
        let kms = Kms::new(region, road, credentials);
        Ok(Self { nsm, recipient, kms, counters, nsm_turn: Semaphore::new(1) })
    }

    /// The recipient key pair, as soon as it is there.
    ///
    /// # Errors
    /// [`KeyError::Recipient`] when it could not be made: nothing will work then.
    pub(super) async fn recipient(&self) -> Result<&RecipientKey, KeyError> {
        self.recipient.wait().await.as_ref().map_err(|_| KeyError::Recipient)
    }

    /// Has KMS decrypt a data key to this enclave.
    pub(super) async fn decrypt(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &[u8],
    ) -> Result<Box<DataKey>, KeyError> {
        data_key(&self.unwrap(key, context, encrypted).await?)
    }

    /// Has KMS decrypt whatever it wrapped to this enclave.
    pub(super) async fn unwrap(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &[u8],
    ) -> Result<SecretBuf, KeyError> {
        let document = self.attest_for_kms().await?;
        let asking = self.kms.decrypt(key, context, encrypted, document);
        let answer = self.counted(&self.counters.kms_decrypt, asking).await?;
        Ok(self.recipient().await?.open(&answer.for_recipient)?)
    }

    /// Has KMS make a new data key, for this enclave and for later.
    pub(super) async fn generate(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
    ) -> Result<Generated, KeyError> {
        let document = self.attest_for_kms().await?;
        let asking = self.kms.generate(key, context, document);
        let answer = self.counted(&self.counters.kms_generate_data_key, asking).await?;
        let opened = self.recipient().await?.open(&answer.for_recipient)?;
        let encrypted: EncryptedDataKey = key.data_key(answer.ciphertext);
        Ok(Generated { key: data_key(&opened)?, encrypted })
    }

    /// An attestation document over the recipient public key of this boot.
    pub(super) async fn attest(
        &self,
        nonce: Option<&[u8]>,
        user_data: Option<&[u8]>,
    ) -> Result<Vec<u8>, KeyError> {
        let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
        let (nonce, user_data) = (owned(nonce), owned(user_data));
        let public_key = self.recipient().await?.public_key_der().to_vec();
        let nsm = Arc::clone(&self.nsm);
        let _turn = self.nsm_turn.acquire().await.map_err(|_| KeyError::Interrupted)?;
        self.counters.nsm_calls.count();
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

    async fn counted(
        &self,
        counter: &Counter,
        asking: impl Future<Output = Result<Answer, KmsError>>,
    ) -> Result<Answer, KeyError> {
        counter.count();
        let answer = asking.await;
        if answer.is_err() {
            self.counters.kms_failures.count();
        }
        Ok(answer?)
    }
}

/// On the heap from the start: what is moved about is where it is, never the key.
fn data_key(opened: &SecretBuf) -> Result<Box<DataKey>, KeyError> {
    DataKey::from_slice(opened.expose()).map(Box::new).ok_or(KeyError::Unwrap)
}

/// Runs what blocks, such as the module's ioctl, off the async threads.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, KeyError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, KeyError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| KeyError::Interrupted)?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;
    use strongroom_sim::SimNsm;
    use tokio::time::timeout;

    use super::*;
    use crate::transport::Endpoint;

    fn source() -> Source {
        let nsm = Arc::new(SimNsm::builder().build().unwrap());
        let road = Road::new(Endpoint::Tcp("127.0.0.1:9".parse().unwrap()), RootCertStore::empty());
        let region = Region::parse("eu-west-1").unwrap();
        Source::new(nsm, &region, road, CredentialStore::default(), Arc::default()).unwrap()
    }

    #[tokio::test]
    async fn who_needs_the_key_pair_waits_for_it_and_gets_one() {
        let source = source();
        let document = source.attest(None, None).await.unwrap();
        let key = source.recipient().await.unwrap().public_key_der().to_vec();
        assert!(document.windows(key.len()).any(|bytes| bytes == key));
    }

    #[tokio::test]
    async fn a_key_pair_that_cannot_be_made_fails_all_who_wait_for_it() {
        let failed = Arc::new(SetOnce::new());
        let source = Source { recipient: failed.clone(), ..source() };
        let waiting = timeout(Duration::from_millis(10), source.attest(None, None));
        assert!(waiting.await.is_err(), "it did not wait");
        assert!(failed.set(Err(CmsError::Key)).is_ok());
        assert!(matches!(source.attest(None, None).await, Err(KeyError::Recipient)));
        assert!(matches!(source.recipient().await, Err(KeyError::Recipient)));
    }
}
