//! The demo's machines and parties.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom::manifest::{self, KeyArn};
use strongroom::transport::Endpoint;
use strongroom_client::{Address, Client, Job, Options, RecipientSecretKey};
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_sim::kms::SimCredentials;
use tempfile::TempDir;

use super::relay::Relay;
use super::story::Story;
use crate::error::CliError;
use crate::producer::{self, Producer};
use crate::progress::Meter;
use crate::stage::{EXAMPLE_MANIFEST, Served, Stage, wire_credentials};

/// Simulated Nitro, the service, and the parent's two relays.
pub(super) struct World {
    pub(super) stage: Stage,
    /// Between the parent's application and the service.
    pub(super) front: Relay,
    /// Between the service and KMS.
    pub(super) proxy: Relay,
    /// Of the data owner.
    pub(super) owner: RecipientSecretKey,
    address: Address,
    customers_key: KeyArn,
    archive_key: KeyArn,
    _served: Served,
    _folder: TempDir,
}

/// A message, and the producer's view of it.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) data_key: DataKey,
    pub(super) encrypted: EncryptedDataKey,
}

impl World {
    pub(super) async fn start(story: &mut Story) -> Result<Self, CliError> {
        let started = Instant::now();
        let (owner, public) = RecipientSecretKey::generate()
            .map_err(|_| CliError::Internal("the system gives no random bytes"))?;
        let source = Path::new("enclave.eif.toml");
        let stage = Stage::set(source, EXAMPLE_MANIFEST, &public, &BTreeMap::new(), 0).await?;
        let folder = tempfile::tempdir()
            .map_err(|error| CliError::file("create", Path::new("a temporary folder"), error))?;
        let (inside, outside) =
            (folder.path().join("service.sock"), folder.path().join("app.sock"));
        let relayed = |error| CliError::file("listen on", folder.path(), error);
        let to_kms = Endpoint::Tcp(stage.kms.addr());
        let (proxy, proxy_address) = Relay::tcp(to_kms).await.map_err(relayed)?;
        let served = stage.serve(&inside, proxy_address).await?;
        let front = Relay::unix(&outside, Endpoint::Unix(inside)).map_err(relayed)?;
        let (customers_key, archive_key) = example_keys(&stage)?;
        let world = Self {
            stage,
            front,
            proxy,
            owner,
            address: Address::Unix(outside),
            customers_key,
            archive_key,
            _served: served,
            _folder: folder,
        };
        let credentials = wire_credentials(&world.stage.parent);
        world.connect().await?.put_credentials(credentials).await?;
        story.step("operator", "start Nitro, KMS and the service", (None, None), started);
        Ok(world)
    }

    /// A client that goes through the parent, as everybody's does.
    pub(super) async fn connect(&self) -> Result<Client, CliError> {
        let options = Options { deadline: Duration::from_secs(600), ..Options::default() };
        Ok(Client::connect_with(&self.address, options).await?)
    }

    /// Encrypts for a tenant, as a producer does.
    pub(super) async fn produce(&self, tenant: &str, csv: &[u8]) -> Result<Message, CliError> {
        let context = context("support", tenant)?;
        let kms = self.kms_as(&self.stage.producer)?;
        let (data_key, encrypted) = kms.data_key(&self.customers_key, &context).await?;
        let mut bytes = Vec::new();
        let (meter, key) = (Meter::new(None), (&data_key, encrypted.clone()));
        producer::encrypt(key, &context, csv, &mut bytes, &meter).await?;
        Ok(Message { bytes, data_key, encrypted })
    }

    /// The data key of a message in the archive, for a reader of the archive.
    pub(super) async fn archive_data_key(
        &self,
        tenant: &str,
        encrypted: &EncryptedDataKey,
    ) -> Result<DataKey, CliError> {
        let kms = self.kms_as(&self.stage.reader)?;
        kms.decrypt(&self.archive_key, &context("archive", tenant)?, encrypted).await
    }

    fn kms_as(&self, who: &SimCredentials) -> Result<Producer, CliError> {
        let endpoint = self.stage.kms_endpoint()?;
        Ok(Producer::new(&self.stage.region, endpoint, wire_credentials(who)))
    }
}

/// A job for a tenant.
pub(super) fn job(name: &str, tenant: &str) -> Job {
    Job { args: BTreeMap::from([("tenant".into(), tenant.into())]), ..Job::new(name) }
}

fn context(purpose: &str, tenant: &str) -> Result<EncryptionContext, CliError> {
    Ok(EncryptionContext::new([("purpose", purpose), ("tenant", tenant)])?)
}

/// The key of the inputs and the key of the archive.
fn example_keys(stage: &Stage) -> Result<(KeyArn, KeyArn), CliError> {
    let manifest = stage.manifest()?;
    let rotate = manifest.jobs.get("rotate");
    let input = rotate.and_then(|job| job.ciphertexts().next());
    match (input, rotate.and_then(manifest::Job::output_key)) {
        (Some(input), Some(key)) => Ok((input.key.clone(), key.clone())),
        _ => Err(CliError::Internal("the example manifest has no job that re-encrypts")),
    }
}
