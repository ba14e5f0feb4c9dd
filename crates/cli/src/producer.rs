//! A producer: data keys from AWS KMS, messages as the AWS Encryption SDK writes
//! them. Also the reader of a re-encrypted message, for the demo.
//!
//! Runs where the plaintext is anyway; nothing here goes near an enclave.

use std::net::SocketAddr;
use std::path::Path;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Config, Credentials as SdkCredentials, Region};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use strongroom::keys::road::Road;
use strongroom::keys::roots;
use strongroom::manifest::KeyArn;
use strongroom::transport::Endpoint;
use strongroom_client::Credentials;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext, FrameLen, Sealer, Signer};
use strongroom_envelope::plain;
use strongroom_envelope::{DataKey, SecretBuf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::error::{CliError, with_causes};
use crate::files;
use crate::progress::Meter;

/// Where KMS is, and whose certificates are believed to be its own.
pub(crate) struct KmsEndpoint {
    /// `https://host[:port]`; AWS's own for the Region when `None`.
    pub(crate) url: Option<String>,
    pub(crate) address: SocketAddr,
    pub(crate) roots: RootCertStore,
}

/// Why KMS gave no data key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KmsFailure {
    #[error(
        "KMS refused {operation}: {code}: {message} (request {})",
        request_id.as_deref().unwrap_or("without id")
    )]
    Refused { operation: &'static str, code: String, message: String, request_id: Option<String> },
    #[error("KMS cannot be reached: {0}")]
    Unreachable(String),
    #[error("KMS's answer holds no 256-bit data key")]
    Answer,
}

impl KmsFailure {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "kms-refused",
            Self::Unreachable(_) => "kms-unreachable",
            Self::Answer => "kms-answer",
        }
    }
}

/// KMS, with somebody's credentials.
pub(crate) struct Producer {
    client: Client,
}

impl Producer {
    pub(crate) fn new(region: &str, kms: KmsEndpoint, credentials: Credentials) -> Self {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SdkCredentials::new(
                credentials.access_key_id.clone(),
                credentials.secret_access_key.clone(),
                credentials.session_token.clone(),
                None,
                "strongroomctl",
            ))
            .http_client(Road::new(Endpoint::Tcp(kms.address), kms.roots));
        config.set_endpoint_url(kms.url);
        Self { client: Client::from_conf(config.build()) }
    }

    /// A new data key under `key`, in the clear and encrypted.
    pub(crate) async fn data_key(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
    ) -> Result<(DataKey, EncryptedDataKey), CliError> {
        let call = self
            .client
            .generate_data_key()
            .key_id(key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(sdk_context(context)));
        let answer = call.send().await.map_err(|error| failure("GenerateDataKey", &error))?;
        let data_key = clear(answer.plaintext)?;
        let encrypted = answer.ciphertext_blob.ok_or(KmsFailure::Answer).map_err(Box::new)?;
        Ok((data_key, key.data_key(encrypted.into_inner())))
    }

    /// The data key behind `encrypted`, for a reader whom the key policy lets.
    pub(crate) async fn decrypt(
        &self,
        key: &KeyArn,
        context: &EncryptionContext,
        encrypted: &EncryptedDataKey,
    ) -> Result<DataKey, CliError> {
        let call = self
            .client
            .decrypt()
            .key_id(key.as_str())
            .ciphertext_blob(Blob::new(encrypted.ciphertext.clone()))
            .set_encryption_context(Some(sdk_context(context)));
        let answer = call.send().await.map_err(|error| failure("Decrypt", &error))?;
        clear(answer.plaintext)
    }
}

/// Encrypts `input` to `output`, in constant memory; gives the bytes in and out.
pub(crate) async fn encrypt(
    (data_key, encrypted): (&DataKey, EncryptedDataKey),
    context: &EncryptionContext,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> Result<(u64, u64), CliError> {
    let mut message = Vec::new();
    let sealer = Sealer::new(data_key, context, &[encrypted], FrameLen::DEFAULT, &mut message)?;
    seal_all(sealer, message, input, output, meter).await
}

/// As [`encrypt`], and signs the message (algorithm suite 0578): a reader that
/// demands it knows that one producer made the whole of it. The data key must be
/// for the signer's encryption context.
pub(crate) async fn encrypt_signed(
    (data_key, encrypted): (&DataKey, EncryptedDataKey),
    signer: Signer,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> Result<(u64, u64), CliError> {
    let mut message = Vec::new();
    let sealer = Sealer::signed(data_key, signer, &[encrypted], FrameLen::DEFAULT, &mut message)?;
    seal_all(sealer, message, input, output, meter).await
}

/// Encrypts all of `input` as a plain envelope, which is held in memory whole.
pub(crate) async fn encrypt_plain(
    (data_key, encrypted): (&DataKey, EncryptedDataKey),
    context: &EncryptionContext,
    input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> Result<(u64, u64), CliError> {
    let max = plain::Limits::DEFAULT.max_len;
    let mut input = input.take(count(max).saturating_add(1));
    let mut plaintext = SecretBuf::new();
    let mut piece = SecretBuf::new();
    piece.grow(PIECE);
    loop {
        let len = input.read(piece.expose_mut()).await.map_err(unreadable)?;
        if len == 0 {
            break;
        }
        plaintext.extend_from_slice(piece.expose().get(..len).unwrap_or_default());
        meter.at(count(plaintext.len()));
    }
    if plaintext.len() > max {
        let path = Path::new("the input").to_owned();
        return Err(CliError::FileTooLarge { path, max: count(max) });
    }
    let mut message = Vec::new();
    plain::seal(data_key, &encrypted.ciphertext, context, plaintext.expose(), &mut message)?;
    output.write_all(&message).await.map_err(unwritable)?;
    output.flush().await.map_err(unwritable)?;
    Ok((count(plaintext.len()), count(message.len())))
}

/// Feeds `input` to `sealer`, whose header is in `message`.
async fn seal_all(
    mut sealer: Sealer,
    mut message: Vec<u8>,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> Result<(u64, u64), CliError> {
    let (mut read, mut written) = (0_u64, 0_u64);
    let mut piece = SecretBuf::new();
    piece.grow(PIECE);
    loop {
        let len = input.read(piece.expose_mut()).await.map_err(unreadable)?;
        if len == 0 {
            break;
        }
        sealer.seal(piece.expose().get(..len).unwrap_or_default(), &mut message)?;
        output.write_all(&message).await.map_err(unwritable)?;
        read = read.saturating_add(count(len));
        written = written.saturating_add(count(message.len()));
        message.clear();
        meter.at(read);
    }
    sealer.finish(&mut message)?;
    output.write_all(&message).await.map_err(unwritable)?;
    output.flush().await.map_err(unwritable)?;
    Ok((read, written.saturating_add(count(message.len()))))
}

impl KmsEndpoint {
    /// From options: AWS's endpoint of `region` and Amazon's roots, unless others
    /// are given.
    pub(crate) async fn find(
        region: &str,
        url: Option<String>,
        ca_file: Option<&Path>,
    ) -> Result<Self, CliError> {
        let (host, port) = match &url {
            Some(url) => host_of(url)?,
            None => (aws_host(region), HTTPS),
        };
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let unresolved = |source| CliError::Resolve { host: host.clone(), source };
        let address = found.map_err(unresolved)?.next().ok_or_else(|| {
            unresolved(std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address"))
        })?;
        let roots = match ca_file {
            Some(path) => authorities(path)?,
            None => {
                roots::amazon().map_err(|_| CliError::Internal("Amazon's roots do not load"))?
            }
        };
        Ok(Self { url, address, roots })
    }
}

fn unreadable(source: std::io::Error) -> CliError {
    CliError::file("read", Path::new("the input"), source)
}

fn unwritable(source: std::io::Error) -> CliError {
    CliError::file("write", Path::new("the output"), source)
}

fn aws_host(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("kms.{region}.amazonaws.com{suffix}")
}

fn host_of(url: &str) -> Result<(String, u16), CliError> {
    let wrong = || CliError::Usage(format!("{url:?} is not an https:// URL"));
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host.to_owned(), uri.port_u16().unwrap_or(HTTPS)))
        }
        _ => Err(wrong()),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, CliError> {
    let wrong = || CliError::Authority { path: path.to_owned() };
    let pem = files::read_small(path, MAX_CA_FILE)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

fn clear(plaintext: Option<Blob>) -> Result<DataKey, CliError> {
    let bytes = SecretBuf::from_vec(plaintext.map(Blob::into_inner).unwrap_or_default());
    Ok(DataKey::from_slice(bytes.expose()).ok_or(KmsFailure::Answer).map_err(Box::new)?)
}

fn failure<E>(operation: &'static str, error: &SdkError<E>) -> Box<KmsFailure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    SdkError<E>: RequestId,
{
    Box::new(match error.as_service_error() {
        None => KmsFailure::Unreachable(with_causes(error)),
        Some(service) => KmsFailure::Refused {
            operation,
            code: service.code().unwrap_or("an error without a code").to_owned(),
            message: service.message().unwrap_or("no text").to_owned(),
            request_id: error.request_id().map(str::to_owned),
        },
    })
}

fn sdk_context(context: &EncryptionContext) -> SdkContext {
    context.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The SDK's own map of a context; nothing depends on its order.
#[expect(clippy::disallowed_types, reason = "the SDK takes no other map")]
type SdkContext = std::collections::HashMap<String, String>;

/// Plaintext read at a time, in bytes.
const PIECE: usize = 64 << 10;
const HTTPS: u16 = 443;
/// Longest bundle of authorities, in bytes; a whole system's has 250 KiB.
const MAX_CA_FILE: u64 = 4 << 20;
