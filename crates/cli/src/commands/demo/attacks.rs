//! Attacks of a hostile parent, really carried out, and the errors they end in.

use std::time::Instant;

use serde_json::Value;
use strongroom::transport::Endpoint;
use strongroom_attestation::PcrValue;
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::EncryptedDataKey;
use strongroom_sim::SimKms;

use super::story::{Attack, Story, millis};
use super::world::{World, job};
use crate::error::CliError;
use crate::stage::local;

/// Carries them out, and gives the data keys of the messages that were made for
/// it: those must not have leaked either.
pub(super) async fn all(world: &World, story: &mut Story) -> Result<Vec<DataKey>, CliError> {
    let mut attacker = Attacker { world, story, data_keys: Vec::new() };
    attacker.other_tenants_message().await?;
    attacker.other_tenants_wrapped_key().await?;
    attacker.parent_answering_for_kms().await?;
    attacker.wrong_pcr_in_the_key_policy().await?;
    Ok(attacker.data_keys)
}

struct Attacker<'a> {
    world: &'a World,
    story: &'a mut Story,
    data_keys: Vec<DataKey>,
}

impl Attacker<'_> {
    /// A message of another tenant, presented as this one's.
    async fn other_tenants_message(&mut self) -> Result<(), CliError> {
        let (theirs, _) = self.message("globex").await?;
        let before = self.decrypts();
        let code = self.run("another tenant's message, presented as acme's", &theirs).await;
        let refused = code == Some("context_mismatch") && self.decrypts() == before;
        self.story.check("another tenant's message was refused before KMS was asked", refused);
        Ok(())
    }

    /// The wrapped key of another tenant's message, put into a message of this one.
    async fn other_tenants_wrapped_key(&mut self) -> Result<(), CliError> {
        let (ours, our_key) = self.message("acme").await?;
        let (_, their_key) = self.message("globex").await?;
        let spliced = splice(&ours, &our_key.ciphertext, &their_key.ciphertext)
            .ok_or(CliError::Internal("the wrapped keys cannot be swapped"))?;
        let title = "another tenant's wrapped key, spliced into acme's message";
        let code = self.run(title, &spliced).await;
        let check = "another tenant's wrapped key was refused by KMS (encryption context)";
        let by_context = self.kms_code() == Some("InvalidCiphertextException");
        self.story.check(check, code == Some("key_denied") && by_context);
        Ok(())
    }

    /// The parent's proxy leads to a KMS of the parent's own, with TLS and all.
    async fn parent_answering_for_kms(&mut self) -> Result<(), CliError> {
        let (message, _) = self.message("acme").await?;
        let stage = &self.world.stage;
        let impostor = SimKms::builder(&stage.region).start(local(0)).await?;
        self.world.proxy.redirect(Endpoint::Tcp(impostor.addr()));
        let title = "the parent answers in KMS's place, with a certificate of its own";
        let code = self.run(title, &message).await;
        self.world.proxy.redirect(Endpoint::Tcp(stage.kms.addr()));
        let refused = code == Some("key_unavailable") && impostor.audit_log().is_empty();
        let check = "the parent's own KMS was refused by TLS and got not one request";
        self.story.check(check, refused);
        Ok(())
    }

    /// The key policy is for another image than the one that runs.
    async fn wrong_pcr_in_the_key_policy(&mut self) -> Result<(), CliError> {
        let (message, _) = self.message("acme").await?;
        let stage = &self.world.stage;
        stage.set_policies(&PcrValue([0xbd; 48]))?;
        let code = self.run("the KMS key policy names another image's PCR0", &message).await;
        stage.set_policies(&stage.pcr0()?)?;
        let error = self.story.attacks.last().and_then(|attack| attack.error.as_ref());
        let says = |pointer| error.and_then(|e| e.pointer(pointer)).is_some_and(Value::is_string);
        let explained = says("/kms/request_id") && says("/pcrs/0");
        let check = "KMS refused the wrong image; the error has its request id and the real PCRs";
        self.story.check(check, code == Some("key_denied") && explained);
        Ok(())
    }

    /// How often KMS was asked to decrypt.
    fn decrypts(&self) -> u64 {
        self.world.stage.kms.faults().count("Decrypt")
    }

    /// KMS's own code in the last refusal.
    fn kms_code(&self) -> Option<&str> {
        self.story.attacks.last()?.error.as_ref()?.pointer("/kms/code")?.as_str()
    }

    async fn message(&mut self, tenant: &str) -> Result<(Vec<u8>, EncryptedDataKey), CliError> {
        let message = self.world.produce(tenant, CSV.as_bytes()).await?;
        self.data_keys.push(message.data_key);
        Ok((message.bytes, message.encrypted))
    }

    /// Calls `mask-customers` for acme, and notes how that ends.
    async fn run(&mut self, attack: &'static str, message: &[u8]) -> Option<&'static str> {
        let started = Instant::now();
        let ended = call(self.world, message).await;
        let millis = millis(started);
        let (code, text, error) = match ended {
            Ok(()) => (None, "the attack went through".to_owned(), None),
            Err(error) => (Some(error.code()), error.to_text(), Some(error.details())),
        };
        self.story.attacks.push(Attack { attack, code, text, error, millis });
        code
    }
}

async fn call(world: &World, message: &[u8]) -> Result<(), CliError> {
    let mut client = world.connect().await?;
    client.run(&job("mask-customers", "acme"), message, &mut Vec::new()).await?;
    Ok(())
}

/// `message` with `to` in the place of `from`, which is as long.
fn splice(message: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let at = message.windows(from.len()).position(|window| window == from)?;
    let mut spliced = message.to_vec();
    let place = spliced.get_mut(at..)?.get_mut(..to.len())?;
    place.copy_from_slice(to);
    (from.len() == to.len()).then_some(spliced)
}

/// What of [`CSV`] must not leave.
pub(super) const CANARIES: [&str; 3] = ["Ada Lovelace", "ada@example.org", "4000001234567899"];

/// A file of one row.
const CSV: &str =
    "id,name,email,pan,city,balance\n1,Ada Lovelace,ada@example.org,4000001234567899,London,1.00\n";
