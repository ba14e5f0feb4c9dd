//! Calls without a body: status, credentials, attestation.

use serde_bytes::ByteBuf;
use strongroom_attestation::VerifiedDocument;
use strongroom_wire::{Attest, Call, Credentials, Outcome, Status};
use tokio::io::Empty;

use super::{Client, request};
use crate::error::{Error, ProtocolError};
use crate::progress::Counters;
use crate::sink::Reply;
use crate::verifier::{NONCE_LEN, Verifier, now, random};

impl Client {
    /// Asks how the service is. Not authenticated: for operators.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn status(&mut self) -> Result<Status, Error> {
        match self.ask(Call::Status {}).await? {
            Some(Outcome::Status(status)) => Ok(status),
            _ => Err(ProtocolError::OtherCall.into()),
        }
    }

    /// Hands in AWS credentials, for the service to call KMS with.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn put_credentials(&mut self, credentials: Credentials) -> Result<(), Error> {
        self.ask(Call::Credentials(credentials)).await.map(drop)
    }

    /// Lets the enclave prove itself: draws a nonce, asks for an attestation
    /// document, and verifies it. From then on this client demands a receipt of
    /// this enclave for every run, if the enclave gives receipts, and signs for it
    /// ([`crate::Caller`]). After a restart of the enclave, attest again.
    ///
    /// # Errors
    /// [`Error::Attestation`] when the document does not prove what `verifier`
    /// demands; otherwise [`Error`].
    pub async fn attest(&mut self, verifier: &Verifier) -> Result<VerifiedDocument, Error> {
        let nonce = random::<NONCE_LEN>()?;
        let document = self.attest_unverified(&nonce).await?;
        let document = verifier.verify(&document, &nonce, now())?;
        self.believe(&document);
        Ok(document)
    }

    /// Asks for an attestation document that carries `nonce` and does **not**
    /// verify it: for tools, and for relaying it to whoever chose the nonce.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn attest_unverified(&mut self, nonce: &[u8]) -> Result<Vec<u8>, Error> {
        let attest = Attest { nonce: Some(ByteBuf::from(nonce)) };
        match self.ask(Call::Attest(attest)).await? {
            Some(Outcome::Attest { document }) => Ok(document.into_vec()),
            _ => Err(ProtocolError::OtherCall.into()),
        }
    }

    /// A call without a body.
    async fn ask(&mut self, call: Call) -> Result<Option<Outcome>, Error> {
        let request = request(call, self.deadline())?;
        let mut reply = Reply::default();
        let no_bodies: &mut [Empty] = &mut [];
        self.call(&request, no_bodies, &mut reply, &Counters::new(None)).await?;
        Ok(reply.outcome)
    }
}
