//! A whole house for a test: simulated Nitro, the service on a Unix socket, a
//! producer who encrypts, and a parent who calls.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_kms::config::{BehaviorVersion, Credentials as SdkCredentials, Region};
use aws_sdk_kms::primitives::Blob;
use rustls::RootCertStore;
use strongroom::keys::road::Road;
use strongroom::manifest::Manifest;
use strongroom::server::{Service, serve};
use strongroom::transport::{Endpoint, Listener};
use strongroom_client::attestation::{PcrValue, Policy, TrustRoot};
use strongroom_client::{Address, Client, Credentials, Error, ErrorBody, Job, Summary, Verifier};
use strongroom_envelope::esdk::{
    self, EncryptedDataKey, EncryptionContext, FrameLen, Header, Limits, Opener, Sealer,
};
use strongroom_envelope::{DataKey, SecretBuf};
use strongroom_sim::kms::SimCredentials;
use strongroom_sim::{SimKms, SimNitro, SimNsm, SimNsmBuilder};

pub const REGION: &str = "eu-west-1";
pub const ACCOUNT: &str = "111122223333";
pub const PARENT: &str = "arn:aws:iam::111122223333:role/parent";
pub const PRODUCER: &str = "arn:aws:iam::111122223333:role/producer";

/// The encryption context of tenant `acme`.
pub const ACME: [(&str, &str); 2] = [("purpose", "support"), ("tenant", "acme")];

pub const CUSTOMERS: &str = "name,pan,email,city\n\
    Ada Lovelace,4111111111111111,ada@canary.example,London\n\
    Alan Turing,5500005555555559,alan@canary.example,\"Wilmslow, Cheshire\"\n";

pub const MASKED: &str = "name,pan,city\nA.L.,****1111,London\n\
    A.T.,****5559,\"Wilmslow, Cheshire\"\n";

pub struct House {
    pub nitro: SimNitro,
    pub address: Address,
    /// The image that the key policies name.
    pub pcr0: String,
    /// KMS key of the customers' data; only the attested enclave may decrypt.
    pub customers: String,
    /// KMS key for re-encrypted data.
    pub archive: String,
    pub parent: SimCredentials,
    pub producer: SimCredentials,
    _kept: Box<dyn std::any::Any>,
}

/// What there is before there is a service: simulated Nitro, KMS keys that
/// nobody may use yet, and the manifest that names them.
pub struct Foundation {
    pub nitro: SimNitro,
    pub customers: String,
    pub archive: String,
    pub manifest: String,
}

/// What a test wants otherwise than usual.
pub struct Plan {
    pub nsm: SimNsmBuilder,
    pub manifest: fn(String) -> String,
    /// Where the service is led instead of to the simulated KMS.
    pub kms: Option<std::net::SocketAddr>,
    /// Names in the simulated KMS's certificate.
    pub names: Option<&'static [&'static str]>,
    pub credentials: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nsm: SimNsm::builder(),
            manifest: |text| text,
            kms: None,
            names: None,
            credentials: true,
        }
    }
}

impl House {
    pub async fn new() -> Self {
        Self::built(Plan::default()).await
    }

    pub async fn built(plan: Plan) -> Self {
        let (kms, credentials) = (plan.kms, plan.credentials);
        Self::upon(Foundation::laid(plan).await, kms, credentials).await
    }

    /// The house on a foundation, with a service of its own.
    pub async fn upon(
        found: Foundation,
        kms: Option<std::net::SocketAddr>,
        credentials: bool,
    ) -> Self {
        let manifest = Manifest::parse(&found.manifest).unwrap();
        let road = Road::new(
            Endpoint::Tcp(kms.unwrap_or(found.nitro.kms.addr())),
            roots(&found.nitro.kms),
        );
        let service = Service::boot(manifest, found.nitro.nsm.clone(), road).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("service.sock");
        let listener = Listener::Unix(tokio::net::UnixListener::bind(&socket).unwrap());
        tokio::spawn(serve(service.clone(), listener, std::future::pending()));
        let pcr0 = found.nitro.nsm.pcr_hex(0).unwrap();
        let house = Self::around(found, Address::Unix(socket), pcr0, Box::new(dir));
        if credentials {
            house.hand_in(&house.parent).await;
        }
        house
    }

    /// The house around a service at `address` whose image has `pcr0`: from now
    /// on KMS lets it decrypt. `kept` is dropped with the house.
    pub fn around(
        found: Foundation,
        address: Address,
        pcr0: String,
        kept: Box<dyn std::any::Any>,
    ) -> Self {
        let Foundation { nitro, customers, archive, .. } = found;
        let policy = key_policy(&pcr0);
        for key in [&customers, &archive] {
            nitro.kms.put_key_policy(key, &policy).unwrap();
        }
        let (parent, producer) =
            (SimCredentials::long_term(PARENT), SimCredentials::long_term(PRODUCER));
        nitro.kms.add_credentials(parent.clone()).unwrap();
        nitro.kms.add_credentials(producer.clone()).unwrap();
        Self { nitro, address, pcr0, customers, archive, parent, producer, _kept: kept }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    pub async fn hand_in(&self, credentials: &SimCredentials) {
        self.client().await.put_credentials(on_the_wire(credentials)).await.unwrap();
    }

    pub fn verifier(&self) -> Verifier {
        let pcr0 = self.pcr0.parse::<PcrValue>().unwrap();
        let policy = Policy { pcrs: BTreeMap::from([(0, vec![pcr0])]), ..Policy::default() };
        Verifier { root: TrustRoot::from_der(&self.nitro.nsm.trust_root_der()).unwrap(), policy }
    }

    /// A KMS client of anyone who holds `credentials`, straight to the endpoint.
    pub fn kms(&self, credentials: &SimCredentials) -> aws_sdk_kms::Client {
        sdk(&self.nitro, credentials)
    }

    /// A data key as a producer gets it from KMS.
    pub async fn data_key(
        &self,
        key: &str,
        context: &[(&str, &str)],
    ) -> (DataKey, EncryptedDataKey) {
        let mut call = self.kms(&self.producer).generate_data_key().key_id(key).number_of_bytes(32);
        for (name, value) in context {
            call = call.encryption_context(*name, *value);
        }
        let answer = call.send().await.unwrap();
        let encrypted = EncryptedDataKey {
            provider_id: "aws-kms".into(),
            provider_info: key.as_bytes().to_vec(),
            ciphertext: answer.ciphertext_blob.unwrap().into_inner(),
        };
        (DataKey::from_slice(answer.plaintext.unwrap().as_ref()).unwrap(), encrypted)
    }

    /// A message as a producer makes it.
    pub async fn encrypt(
        &self,
        key: &str,
        context: &[(&str, &str)],
        plaintext: &[u8],
        frame: usize,
    ) -> Vec<u8> {
        let (data_key, encrypted) = self.data_key(key, context).await;
        seal(&data_key, &[encrypted], context, plaintext, frame)
    }

    /// The customers of tenant `acme`, encrypted.
    pub async fn acme(&self) -> Vec<u8> {
        self.encrypt(&self.customers, &ACME, CUSTOMERS.as_bytes(), 64).await
    }

    /// Decrypts without an enclave, as far as KMS lets these credentials.
    pub async fn decrypt_data_key(
        &self,
        credentials: &SimCredentials,
        encrypted: &EncryptedDataKey,
        context: &EncryptionContext,
    ) -> Option<DataKey> {
        let mut call = self
            .kms(credentials)
            .decrypt()
            .ciphertext_blob(Blob::new(encrypted.ciphertext.clone()));
        for (name, value) in context.iter() {
            call = call.encryption_context(name, value);
        }
        let answer = call.send().await.ok()?;
        DataKey::from_slice(answer.plaintext?.as_ref())
    }

    pub async fn run(&self, job: &Job, input: &[u8]) -> Result<(Vec<u8>, Summary), Error> {
        let mut output = Vec::new();
        let summary = self.client().await.run(job, input, &mut output).await?;
        Ok((output, summary))
    }

    /// Masks `input` for tenant `acme`.
    pub async fn mask(&self, input: &[u8]) -> Result<String, Error> {
        let (output, _) = self.run(&mask("acme"), input).await?;
        Ok(String::from_utf8(output).unwrap())
    }

    /// The refusal that `input` meets; proves that the service goes on after it.
    #[track_caller]
    pub fn refusal(&self, job: &Job, input: &[u8]) -> impl Future<Output = ErrorBody> {
        let place = std::panic::Location::caller();
        async move {
            let Err(error) = self.run(job, input).await else { panic!("{place}: was not refused") };
            let body = error.service().unwrap_or_else(|| panic!("{place}: {error:?}")).clone();
            self.client().await.status().await.unwrap();
            body
        }
    }
}

impl Foundation {
    pub async fn laid(plan: Plan) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut kms = SimKms::builder(REGION).account(ACCOUNT);
        if let Some(names) = plan.names {
            kms = kms.server_names(names);
        }
        let nitro = SimNitro::start(plan.nsm, kms, any).await.unwrap();
        let customers = nitro.kms.create_key(None).unwrap();
        let archive = nitro.kms.create_key(None).unwrap();
        let manifest = (plan.manifest)(manifest(&customers, &archive));
        Self { nitro, customers, archive, manifest }
    }
}

/// For [`Plan::manifest`]: KMS is asked at each request.
pub fn unkept(manifest: String) -> String {
    manifest + "\n[cache]\nmax_keys = 0\n"
}

pub fn sdk(nitro: &SimNitro, credentials: &SimCredentials) -> aws_sdk_kms::Client {
    let provider = SdkCredentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "test",
    );
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(provider)
        .http_client(Road::new(Endpoint::Tcp(nitro.kms.addr()), roots(&nitro.kms)))
        .build();
    aws_sdk_kms::Client::from_conf(config)
}

pub fn mask(tenant: &str) -> Job {
    Job::new("mask").arg("tenant", tenant)
}

pub fn seal(
    key: &DataKey,
    encrypted: &[EncryptedDataKey],
    context: &[(&str, &str)],
    plaintext: &[u8],
    frame: usize,
) -> Vec<u8> {
    let mut message = Vec::new();
    let context = EncryptionContext::new(context.iter().copied()).unwrap();
    let frame = FrameLen::new(frame).unwrap();
    let mut sealer = Sealer::new(key, &context, encrypted, frame, &mut message).unwrap();
    sealer.seal(plaintext, &mut message).unwrap();
    sealer.finish(&mut message).unwrap();
    message
}

/// Opens a message whole.
pub fn open(message: &[u8], key: &DataKey) -> Vec<u8> {
    let (header, at) =
        Header::parse(message, &Limits::default(), &esdk::Policy::default()).unwrap().unwrap();
    let mut opener = Opener::new(header, key).unwrap();
    let mut plaintext = SecretBuf::new();
    let mut rest = &message[at..];
    while !rest.is_empty() {
        let opened = opener.open(rest, &mut plaintext, 1 << 20).unwrap();
        assert!(opened > 0, "the message ends within a frame");
        rest = &rest[opened..];
    }
    opener.finish().unwrap();
    plaintext.expose().to_vec()
}

pub fn on_the_wire(credentials: &SimCredentials) -> Credentials {
    Credentials {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        session_token: credentials.session_token.clone(),
        expires_at: credentials.expires_at_ms.map(|ms| ms / 1000),
    }
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

pub fn roots(kms: &SimKms) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(kms.ca_der().to_vec().into()).unwrap();
    roots
}

/// Producers encrypt; the parent's role decrypts through the attested image only.
pub fn key_policy(pcr0: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": PRODUCER}, "Resource": "*",
             "Action": ["kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:Encrypt"]},
            {"Effect": "Allow", "Principal": {"AWS": PARENT}, "Resource": "*",
             "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
             "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": pcr0}}},
            {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/admin")},
             "Resource": "*", "Action": ["kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:Describe*"]},
        ]
    })
    .to_string()
}

pub fn manifest(customers: &str, archive: &str) -> String {
    format!(
        r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512
[listen]
vsock_port = 5005
[limits]
request_deadline_secs = 20
max_frame = "1MiB"
max_record = "4KiB"
[kms]
region = "{REGION}"

[[job]]
name = "mask"
operation = "mask"
args = ["tenant"]
input = {{ format = "csv", key = "{customers}", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
fields = {{ name = "initials", pan = "last4", city = "keep" }}
output = {{ protect = "none" }}

[[job]]
name = "rotate"
operation = "reencrypt"
args = ["tenant"]
input = {{ key = "{customers}", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
output = {{ protect = "kms", key = "{archive}", context = {{ purpose = "archive", tenant = "{{tenant}}" }}, frame = "4KiB" }}

[[job]]
name = "export"
operation = "reencrypt"
args = ["tenant"]
input = {{ key = "{customers}", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
output = {{ protect = "seal", to = "any" }}
"#
    )
}
