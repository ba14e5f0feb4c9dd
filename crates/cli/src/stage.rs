//! A simulated Nitro with the service in it, all in this process. For `dev` and
//! `demo`: nothing of it can be trusted by anyone but whoever runs it.
//!
//! The order is that of a real deployment: KMS keys are made, the manifest names
//! them, the image with the manifest gives PCR0, and the key policies name PCR0.

pub(crate) mod policy;
mod secrets;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use strongroom::keys::road::Road;
use strongroom::manifest::{CallerSpec, KeyArn, Manifest, OutputSpec, Recipients};
use strongroom::server::{self, Service};
use strongroom::transport::{Endpoint, Listener};
use strongroom_attestation::{PcrValue, Policy, TrustRoot};
use strongroom_client::{Credentials, RecipientPublicKey, Verifier};
use strongroom_sim::kms::SimCredentials;
use strongroom_sim::{SimKms, SimNsm};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::error::CliError;
use crate::producer::KmsEndpoint;
use policy::Uses;

/// A simulated Nitro, ready for the service.
pub(crate) struct Stage {
    pub(crate) nsm: Arc<SimNsm>,
    pub(crate) kms: SimKms,
    /// The manifest as the service gets it, with this KMS's keys in it.
    pub(crate) manifest_text: String,
    /// What the manifest does with each KMS key.
    pub(crate) keys: BTreeMap<KeyArn, Uses>,
    pub(crate) region: String,
    pub(crate) producer: SimCredentials,
    pub(crate) parent: SimCredentials,
    pub(crate) reader: SimCredentials,
}

impl Stage {
    /// Sets it up for the manifest `text`: its KMS keys are made anew here and
    /// put in the place of those it names, and so are its wrapped keys, and
    /// `owner` for the recipients that it lists, and each of `callers` (name, public
    /// key in hex) for the caller of that name.
    pub(crate) async fn set(
        source: &Path,
        text: &str,
        owner: &RecipientPublicKey,
        callers: &BTreeMap<String, String>,
        kms_port: u16,
    ) -> Result<Self, CliError> {
        let manifest = parse(source, text)?;
        let region = manifest.kms.region.as_str().to_owned();
        let kms = SimKms::builder(&region).start(local(kms_port)).await?;
        let (mut manifest_text, mut keys) = (text.to_owned(), BTreeMap::new());
        for (named, uses) in uses(&manifest).into_iter().rev() {
            let account = named.as_str().split(':').nth(4).unwrap_or_default();
            let arn = kms.create_key_in(account, None)?;
            manifest_text = manifest_text.replace(named.as_str(), &arn);
            let arn = KeyArn::parse(&arn)
                .map_err(|_| CliError::Internal("the simulated KMS made no key ARN"))?;
            keys.insert(arn, uses);
        }
        let owner = hex::encode(owner.as_bytes());
        for listed in listed_recipients(&manifest) {
            manifest_text = replace_hex(&manifest_text, listed, &owner);
        }
        for (name, key) in callers {
            let named = manifest.callers.get(name).map_or(&[][..], public_key);
            manifest_text = replace_hex(&manifest_text, named, key);
        }
        let simulated = parse(source, &manifest_text)?;
        for (name, secret) in &simulated.secrets {
            let wrapped = secrets::wrapped(&kms, &simulated, name, secret)?;
            manifest_text = secrets::put(&manifest_text, name, secret, &wrapped);
        }
        let nsm = SimNsm::builder().region(&region).image(manifest_text.as_bytes()).build()?;
        let nsm = Arc::new(nsm);
        kms.trust_nsm_root(&nsm.trust_root_der()).map_err(strongroom_sim::SimError::from)?;
        let [producer, parent, reader] = [policy::PRODUCER, policy::PARENT, policy::READER]
            .map(|role| SimCredentials::temporary(role, LATE_MS));
        for credentials in [&producer, &parent, &reader] {
            kms.add_credentials(credentials.clone())?;
        }
        let stage = Self { nsm, kms, manifest_text, keys, region, producer, parent, reader };
        stage.set_policies(&stage.pcr0()?)?;
        Ok(stage)
    }

    /// Has every key policy demand this PCR0.
    pub(crate) fn set_policies(&self, pcr0: &PcrValue) -> Result<(), CliError> {
        for (key, uses) in &self.keys {
            self.kms.put_key_policy(key.as_str(), &policy::key_policy(*uses, pcr0))?;
        }
        Ok(())
    }

    /// Starts the service behind `socket`, with `road` as its parent's proxy to KMS.
    pub(crate) async fn serve(&self, socket: &Path, proxy: SocketAddr) -> Result<Served, CliError> {
        let manifest = self.manifest()?;
        let road = Road::new(Endpoint::Tcp(proxy), self.kms_roots()?);
        let service = Service::boot(manifest, self.nsm.clone(), road).await?;
        let listener = UnixListener::bind(socket)
            .map_err(|source| CliError::file("listen on", socket, source))?;
        let listener = Listener::Unix(listener);
        Ok(Served(tokio::spawn(server::serve(service, listener, std::future::pending()))))
    }

    /// The manifest as the service has it.
    pub(crate) fn manifest(&self) -> Result<Manifest, CliError> {
        parse(Path::new("enclave.eif.toml"), &self.manifest_text)
    }

    pub(crate) fn pcr0(&self) -> Result<PcrValue, CliError> {
        let pcr0 = self.nsm.pcr_hex(0).ok().and_then(|text| text.parse().ok());
        pcr0.ok_or(CliError::Internal("the simulated NSM has no PCR0"))
    }

    /// What a data owner demands: this image, under the simulated root.
    pub(crate) fn verifier(&self) -> Result<Verifier, CliError> {
        let root = TrustRoot::from_der(&self.nsm.trust_root_der())
            .map_err(|_| CliError::Internal("the simulated root is no root"))?;
        Ok(Verifier { root, policy: Policy::for_pcrs([(0, self.pcr0()?)]) })
    }

    /// KMS, as a producer's SDK is configured for it.
    pub(crate) fn kms_endpoint(&self) -> Result<KmsEndpoint, CliError> {
        let (url, address) = (Some(self.kms.endpoint_url()), self.kms.addr());
        Ok(KmsEndpoint { url, address, roots: self.kms_roots()? })
    }

    fn kms_roots(&self) -> Result<RootCertStore, CliError> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from(self.kms.ca_der().to_vec());
        roots
            .add(authority)
            .map_err(|_| CliError::Internal("the simulated KMS's authority is none"))?;
        Ok(roots)
    }
}

/// A service that runs until this is dropped.
pub(crate) struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Simulated credentials in the form that services and SDKs take.
pub(crate) fn wire_credentials(credentials: &SimCredentials) -> Credentials {
    Credentials {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        session_token: credentials.session_token.clone(),
        expires_at: credentials.expires_at_ms.map(|millis| millis / 1000),
    }
}

/// A port of this machine alone.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Parses the manifest that was read from `source`.
pub(crate) fn parse(source: &Path, text: &str) -> Result<Manifest, CliError> {
    Manifest::parse(text)
        .map_err(|error| CliError::Manifest { path: source.to_owned(), source: Box::new(error) })
}

/// The KMS keys that a manifest names, and what its jobs do with each.
fn uses(manifest: &Manifest) -> BTreeMap<KeyArn, Uses> {
    let mut all: BTreeMap<KeyArn, Uses> = BTreeMap::new();
    for job in manifest.jobs.values() {
        for ciphertext in job.ciphertexts() {
            all.entry(ciphertext.key.clone()).or_default().input = true;
        }
        if let Some(key) = job.output_key() {
            all.entry(key.clone()).or_default().output = true;
        }
    }
    for secret in manifest.secrets.values() {
        all.entry(secret.key.clone()).or_default().input = true;
    }
    all
}

fn listed_recipients(manifest: &Manifest) -> impl Iterator<Item = &[u8; 32]> {
    manifest.jobs.values().flat_map(|job| match &job.output {
        OutputSpec::Seal { to: Recipients::Listed(keys), .. } => keys.as_slice(),
        OutputSpec::Seal { to: Recipients::Any, .. }
        | OutputSpec::None
        | OutputSpec::Kms(_)
        | OutputSpec::Fields(..) => &[],
    })
}

const fn public_key(caller: &CallerSpec) -> &[u8] {
    match caller {
        CallerSpec::Ed25519(key) => key,
        CallerSpec::P256(key) => key,
    }
}

/// The text with `new` wherever it has the hex digits of `old`, of either case.
fn replace_hex(text: &str, old: &[u8], new: &str) -> String {
    let old = hex::encode(old);
    if old.is_empty() {
        return text.to_owned();
    }
    // Digits are ASCII: what is found in small letters stands there in the text too.
    let lower = text.to_ascii_lowercase();
    let (mut replaced, mut end) = (String::new(), 0);
    for (start, found) in lower.match_indices(&old) {
        replaced.push_str(text.get(end..start).unwrap_or_default());
        replaced.push_str(new);
        end = start.saturating_add(found.len());
    }
    replaced + text.get(end..).unwrap_or_default()
}

/// The manifest that is used when none is given: the project's example.
pub(crate) const EXAMPLE_MANIFEST: &str = include_str!("../../../enclave.eif.toml");

/// 2100-01-01: simulated credentials end with their simulator.
const LATE_MS: u64 = 4_102_444_800_000;
