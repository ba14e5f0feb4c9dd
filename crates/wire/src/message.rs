//! What steering frames say: requests, responses and trailers, as CBOR maps.
//!
//! An unknown key, a key twice, or bytes after the map are errors; other ways to
//! encode the same map (indefinite lengths, an array of its values) are read too.
//! A later version of the protocol changes the preface, not the maps.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::ByteBuf;

use crate::frame::MAX_CONTROL_LEN;

/// Most arguments in a request.
pub const MAX_ARGS: usize = 64;

/// Most bytes of a job's name, an argument's name, or a caller's name.
pub const MAX_TEXT_LEN: usize = 1024;

/// Most bytes of an argument's value: room for a token or a list of fields.
pub const MAX_ARG_LEN: usize = 4096;

/// Most bytes of a verifier's nonce; what the NSM takes (1024) less room for ours.
pub const MAX_NONCE_LEN: usize = 512;

/// Most bytes of a session token; AWS's are about 1 KiB and have no stated limit.
pub const MAX_TOKEN_LEN: usize = 16 << 10;

/// Bytes of a SHA-256 digest.
pub const DIGEST_LEN: usize = 32;

/// Bytes of a signed request's nonce.
pub const CALLER_NONCE_LEN: usize = 16;

/// Most bytes of a caller's signature; an Ed25519 signature has 64.
pub const MAX_SIGNATURE_LEN: usize = 256;

/// Most bytes of a receipt; one that names 64 long arguments has a few KiB.
pub const MAX_RECEIPT_LEN: usize = 16 << 10;

/// Bytes of a P-256 public key as an uncompressed point (SEC 1, 2.3.3).
pub const RECEIPT_KEY_LEN: usize = 65;

/// Most counters in a status; there are a dozen.
pub const MAX_COUNTERS: usize = 64;

/// Most bytes of a counter's name.
pub const MAX_COUNTER_NAME_LEN: usize = 64;

/// A request's id: 16 bytes that the client draws at random and never reuses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let id = <[u8; 16]>::try_from(bytes.as_slice());
        id.map(Self).map_err(|_| D::Error::invalid_length(bytes.len(), &"16 bytes"))
    }
}

/// Payload of a `REQUEST` frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The client's id for this request; comes back in the response.
    pub id: RequestId,
    /// Milliseconds from arrival until the service gives up; the manifest caps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What is asked.
    pub call: Call,
}

/// What a client can ask. There is nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Run a job of the manifest over the body that follows, or the two bodies
    /// for a job with two inputs.
    Run(Run),
    /// The same, asked for by a caller that the job lists.
    Signed(Signed),
    /// Give an attestation document. No body.
    Attest(Attest),
    /// Take over AWS credentials. No body.
    Credentials(Credentials),
    /// Say how the service is. No body.
    Status {},
}

/// Arguments of [`Call::Run`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the job in the manifest.
    pub job: String,
    /// The arguments that the job declares, no more and no fewer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub args: BTreeMap<String, String>,
    /// X25519 public key (32 bytes) to seal the result to; for jobs that seal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_to: Option<ByteBuf>,
    /// The data owner's nonce for the attestation of a sealed result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<ByteBuf>,
    /// SHA-256 of the first body's bytes (32 bytes). The service compares it
    /// before it ends the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_sha256: Option<ByteBuf>,
    /// The caller needs no receipt: nothing is hashed or signed for one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_receipt: bool,
}

/// Arguments of [`Call::Signed`]: a run, and who asks for it.
///
/// What the signature covers is in `docs/protocol.md`, under "Signed requests".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// A [`Run`] as CBOR, byte for byte what was signed.
    pub run: ByteBuf,
    /// The caller's name in the manifest.
    pub caller: String,
    /// Random, never used before by this caller; [`CALLER_NONCE_LEN`] bytes.
    pub nonce: ByteBuf,
    /// When it was signed, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    /// The caller's, at most [`MAX_SIGNATURE_LEN`] bytes.
    pub signature: ByteBuf,
}

impl Signed {
    /// Reads the run. Says nothing about the signature.
    ///
    /// # Errors
    /// [`MessageError`], as for a run that is not signed.
    pub fn run(&self) -> Result<Run, MessageError> {
        Run::decode(&self.run)
    }
}

/// Arguments of [`Call::Attest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attest {
    /// The verifier's nonce, at most [`MAX_NONCE_LEN`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<ByteBuf>,
}

/// AWS credentials, as the parent's instance role gives them. They authorise;
/// they protect nothing from the parent, who has them anyway.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    /// When they expire, in seconds since 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Payload of a `RESPONSE` frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The request's id.
    pub id: RequestId,
    /// What the call gave.
    pub outcome: Outcome,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The job runs; its result follows as the body.
    Run {
        /// Form of the body.
        protect: Protect,
    },
    /// An attestation document.
    Attest {
        /// COSE_Sign1 bytes.
        document: ByteBuf,
    },
    /// The credentials are in use.
    Credentials {},
    /// How the service is.
    Status(Status),
}

/// Form in which a result leaves the enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protect {
    /// In the clear.
    None,
    /// An AWS Encryption SDK message.
    Kms,
    /// A sealed stream.
    Seal,
}

/// Payload of [`Outcome::Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Version of the service.
    pub version: String,
    /// The enclave's id as its NSM has it.
    pub module_id: String,
    /// Whether the enclave runs in debug mode.
    pub debug: bool,
    /// Whether credentials are present and not expired.
    pub credentials: bool,
    /// Names of the jobs.
    pub jobs: Vec<String>,
    /// SHA-256 of the manifest's text (32 bytes).
    pub manifest: ByteBuf,
    /// Public key that receipts are signed with, [`RECEIPT_KEY_LEN`] bytes. Only
    /// a hint: what proves the key is the attestation document.
    pub receipt_key: ByteBuf,
    /// What the service has counted since it came up, by name: at most
    /// [`MAX_COUNTERS`], of names of at most [`MAX_COUNTER_NAME_LEN`] bytes. A
    /// service before there were counters gives none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub counters: BTreeMap<String, u64>,
}

/// Payload of an `END` frame: what must have arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// Bytes in the `DATA` frames of this body. The receiver compares.
    pub bytes: u64,
    /// Records processed; from the service, for operations on records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Malformed records that were left out of the result; from the service, for
    /// jobs that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// The receipt for the run (COSE_Sign1), at most [`MAX_RECEIPT_LEN`] bytes;
    /// from the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ByteBuf>,
}

/// Why the payload of a steering frame cannot be read. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not the CBOR map that the frame calls for.
    #[error("the payload is not the CBOR map that this frame calls for")]
    Cbor,
    /// A count or length inside is over its limit.
    #[error("{0} is longer than the protocol allows")]
    TooLong(&'static str),
    /// A key, digest, nonce or signature does not have its length.
    #[error("{0} does not have the length that the protocol gives it")]
    Length(&'static str),
    /// A credential is empty or has characters that none of AWS's has.
    #[error("a credential is empty, or not visible ASCII")]
    Credential,
}

/// A payload of a steering frame.
pub trait Payload: Serialize + DeserializeOwned {
    /// Checks the limits that CBOR alone does not.
    ///
    /// # Errors
    /// [`MessageError::TooLong`], [`MessageError::Length`] or
    /// [`MessageError::Credential`].
    fn check(&self) -> Result<(), MessageError> {
        Ok(())
    }

    /// Reads the payload; refuses unknown or repeated keys and trailing bytes.
    ///
    /// # Errors
    /// [`MessageError`].
    fn decode(cbor: &[u8]) -> Result<Self, MessageError> {
        let payload: Self = serde_cbor::from_slice(cbor).map_err(|_| MessageError::Cbor)?;
        payload.check()?;
        Ok(payload)
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`MessageError`] when a reader would refuse it.
    fn encode(&self) -> Result<Vec<u8>, MessageError> {
        self.check()?;
        let cbor = serde_cbor::to_vec(self).map_err(|_| MessageError::Cbor)?;
        if cbor.len() > MAX_CONTROL_LEN {
            return Err(MessageError::TooLong("the payload of a steering frame"));
        }
        Ok(cbor)
    }
}

impl Payload for Request {
    fn check(&self) -> Result<(), MessageError> {
        match &self.call {
            Call::Run(run) => run.check(),
            Call::Signed(signed) => signed.check(),
            Call::Attest(attest) => check_nonce(attest.nonce.as_ref()),
            Call::Credentials(credentials) => credentials.check(),
            Call::Status {} => Ok(()),
        }
    }
}

impl Payload for Response {
    fn check(&self) -> Result<(), MessageError> {
        match &self.outcome {
            Outcome::Status(status) => status.check(),
            Outcome::Run { .. } | Outcome::Attest { .. } | Outcome::Credentials {} => Ok(()),
        }
    }
}

impl Payload for Trailer {
    fn check(&self) -> Result<(), MessageError> {
        match self.receipt.as_ref().map(|receipt| receipt.len()) {
            Some(0) => Err(MessageError::Length("the receipt")),
            Some(length) if length > MAX_RECEIPT_LEN => Err(MessageError::TooLong("the receipt")),
            _ => Ok(()),
        }
    }
}

impl Payload for crate::ErrorBody {}

/// Alone only within [`Signed`].
impl Payload for Run {
    fn check(&self) -> Result<(), MessageError> {
        if self.args.len() > MAX_ARGS {
            return Err(MessageError::TooLong("the list of arguments"));
        }
        if self.job.len() > MAX_TEXT_LEN || self.args.keys().any(|name| name.len() > MAX_TEXT_LEN) {
            return Err(MessageError::TooLong("a job's or an argument's name"));
        }
        if self.args.values().any(|value| value.len() > MAX_ARG_LEN) {
            return Err(MessageError::TooLong("an argument"));
        }
        if self.seal_to.as_ref().is_some_and(|key| key.len() > MAX_NONCE_LEN) {
            return Err(MessageError::TooLong("seal_to"));
        }
        if self.input_sha256.as_ref().is_some_and(|digest| digest.len() != DIGEST_LEN) {
            return Err(MessageError::Length("input_sha256"));
        }
        check_nonce(self.nonce.as_ref())
    }
}

impl Signed {
    fn check(&self) -> Result<(), MessageError> {
        if self.caller.len() > MAX_TEXT_LEN {
            return Err(MessageError::TooLong("the caller's name"));
        }
        if self.nonce.len() != CALLER_NONCE_LEN {
            return Err(MessageError::Length("the caller's nonce"));
        }
        match self.signature.len() {
            0 => Err(MessageError::Length("the signature")),
            1..=MAX_SIGNATURE_LEN => Ok(()),
            _ => Err(MessageError::TooLong("the signature")),
        }
    }
}

impl Status {
    fn check(&self) -> Result<(), MessageError> {
        if self.manifest.len() != DIGEST_LEN {
            return Err(MessageError::Length("the manifest's digest"));
        }
        if self.receipt_key.len() != RECEIPT_KEY_LEN {
            return Err(MessageError::Length("the receipt key"));
        }
        let too_long = |name: &String| name.len() > MAX_COUNTER_NAME_LEN;
        if self.counters.len() > MAX_COUNTERS || self.counters.keys().any(too_long) {
            return Err(MessageError::TooLong("the list of counters"));
        }
        Ok(())
    }
}

impl Credentials {
    fn check(&self) -> Result<(), MessageError> {
        let token = self.session_token.as_ref().map_or(0, String::len);
        if self.access_key_id.len() > MAX_TEXT_LEN
            || self.secret_access_key.len() > MAX_TEXT_LEN
            || token > MAX_TOKEN_LEN
        {
            return Err(MessageError::TooLong("a credential"));
        }
        // They become HTTP headers.
        let texts = [Some(&self.access_key_id), Some(&self.secret_access_key)];
        let mut texts = texts.into_iter().chain([self.session_token.as_ref()]).flatten();
        if texts.any(|text| text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(MessageError::Credential);
        }
        Ok(())
    }
}

fn check_nonce(nonce: Option<&ByteBuf>) -> Result<(), MessageError> {
    match nonce {
        Some(nonce) if nonce.len() > MAX_NONCE_LEN => Err(MessageError::TooLong("the nonce")),
        _ => Ok(()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads a map and refuses a key that comes twice, which serde's own would
/// let pass with the last value.
pub(crate) fn unique_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Unique<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Unique<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map without repeated keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry()? {
                if map.insert(key, value).is_some() {
                    return Err(A::Error::custom("a key comes twice"));
                }
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
