//! The manifest: everything that decides what the enclave does.
//!
//! Parsed once at boot from text that is baked into the image and so measured
//! by its PCRs. What is not written there does not exist: unknown keys, unknown
//! operations and combinations that would let plaintext out are refused here,
//! before anything listens.

mod check;
pub mod class;
pub mod fields;
pub mod operations;
mod raw;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strongroom_envelope::esdk::{self, FrameLen};
use strongroom_envelope::plain;
pub use types::{ArgSpec, ByteCount, JobName, KeyArn, Pattern, Region, Template};

use fields::{BadRecords, FieldPath, Shape};
use operations::{OperationSpec, SecretName};

/// A manifest that has passed every check.
#[derive(Debug)]
pub struct Manifest {
    /// Memory that the enclave is started with, in MiB. For who builds and starts
    /// the image; the service takes what it gets.
    pub memory_mib: u32,
    /// Whether jobs run when the enclave is in debug mode.
    pub allow_debug: bool,
    /// Port of the vsock listener.
    pub vsock_port: u32,
    /// Bounds.
    pub limits: Limits,
    /// What of keys is kept.
    pub cache: CacheSpec,
    /// Where KMS is.
    pub kms: Kms,
    /// Wrapped keys by name.
    pub secrets: BTreeMap<SecretName, SecretSpec>,
    /// Who can sign requests, by name.
    pub callers: BTreeMap<String, CallerSpec>,
    /// The jobs by name.
    pub jobs: BTreeMap<JobName, Job>,
    /// SHA-256 of its text.
    pub digest: [u8; 32],
}

/// Bounds on what a parent can make the service spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once; one more is told `busy`.
    pub max_connections: usize,
    /// Memory that the buffers of all requests together may have.
    pub max_in_flight_bytes: ByteCount,
    /// Longest a request may take, and the most a caller may ask for.
    pub request_deadline: Duration,
    /// Longest a connection may stay without a byte in either direction.
    pub idle_timeout: Duration,
    /// Longest header of an Encryption SDK message, in bytes.
    pub max_header: ByteCount,
    /// Longest frame of an Encryption SDK message, in bytes of plaintext.
    pub max_frame: ByteCount,
    /// Most encrypted data keys in a message.
    pub max_encrypted_data_keys: usize,
    /// Longest record (a CSV row, a JSON document), in bytes.
    pub max_record: ByteCount,
    /// Most distinct data keys in a request over encrypted fields; each costs a
    /// call to KMS.
    pub max_data_keys: usize,
    /// Most groups of an aggregation.
    pub max_groups: usize,
    /// Most calls to KMS at once.
    pub max_kms_calls: usize,
    /// Most calls to KMS at once for one job.
    pub max_kms_calls_per_job: usize,
}

/// How much a key may be used before it is asked for anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBounds {
    /// Longest time since KMS gave it.
    pub max_age: Duration,
    /// Most uses: requests, each counted as it begins.
    pub max_uses: u64,
    /// Bytes encrypted under it after which it begins no other use. One that is
    /// under way ends.
    pub max_bytes: u64,
}

/// What of keys that KMS has decrypted is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// Most keys; none: each request asks KMS.
    pub max_keys: usize,
    /// How much each is used.
    pub bounds: KeyBounds,
}

impl Limits {
    /// The bounds on a plain envelope.
    #[must_use]
    pub const fn envelope(&self) -> plain::Limits {
        plain::Limits { max_len: self.max_frame.0, ..plain::Limits::DEFAULT }
    }

    /// The bounds on an Encryption SDK message.
    #[must_use]
    pub const fn message(&self) -> esdk::Limits {
        esdk::Limits {
            max_header_len: self.max_header.0,
            max_encrypted_data_keys: self.max_encrypted_data_keys,
            max_frame_len: self.max_frame.0,
        }
    }
}

/// Where KMS is, and the way there.
#[derive(Clone, Debug)]
pub struct Kms {
    /// Region whose endpoint is called.
    pub region: Region,
    /// Context id of the machine that forwards to KMS; 3 is the parent.
    pub proxy_cid: u32,
    /// Vsock port of the forwarder.
    pub proxy_port: u32,
}

/// A key that KMS has wrapped, for operations that need one of their own.
#[derive(Debug)]
pub struct SecretSpec {
    /// The KMS key that wraps it.
    pub key: KeyArn,
    /// Its encryption context.
    pub context: BTreeMap<String, String>,
    /// What KMS gave: a `CiphertextBlob`.
    pub wrapped: Vec<u8>,
}

/// Somebody who can sign requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerSpec {
    /// By an Ed25519 public key.
    Ed25519([u8; 32]),
    /// By an ECDSA P-256 public key: an uncompressed point (SEC 1 §2.3.3).
    P256([u8; 65]),
}

/// A named, complete use of an operation.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// Arguments that a caller must give.
    pub args: BTreeMap<String, ArgSpec>,
    /// Who may run it, by name; nobody listed: whoever can connect.
    pub callers: BTreeSet<String>,
    /// What comes in: one input, or two for a join.
    pub inputs: Vec<Input>,
    /// What is done.
    pub operation: OperationSpec,
    /// The form in which the result may leave.
    pub output: OutputSpec,
}

impl Job {
    /// What its inputs' ciphertexts must be.
    pub fn ciphertexts(&self) -> impl Iterator<Item = &Ciphertext> {
        self.inputs.iter().flat_map(|input| {
            let (whole, fields) = match &input.source {
                Source::Whole(ciphertext) => (Some(ciphertext), None),
                Source::Fields(fields) => (None, Some(fields.values())),
                Source::Clear => (None, None),
            };
            whole.into_iter().chain(fields.into_iter().flatten())
        })
    }

    /// The KMS key of its result, where it has one.
    #[must_use]
    pub const fn output_key(&self) -> Option<&KeyArn> {
        match &self.output {
            OutputSpec::Kms(kms) | OutputSpec::Fields(_, kms) => Some(&kms.key),
            OutputSpec::None | OutputSpec::Seal { .. } => None,
        }
    }
}

/// What a job takes in.
#[derive(Debug)]
pub struct Input {
    /// What of it is encrypted.
    pub source: Source,
    /// How its plaintext is cut into records.
    pub shape: Shape,
    /// What becomes of malformed records.
    pub bad_records: BadRecords,
}

/// What of an input is encrypted.
#[derive(Debug)]
pub enum Source {
    /// All of it: the body is one ciphertext.
    Whole(Ciphertext),
    /// These fields of its records, each a ciphertext of its own in base64.
    Fields(BTreeMap<FieldPath, Ciphertext>),
    /// Nothing.
    Clear,
}

/// What a ciphertext must be.
#[derive(Debug)]
pub struct Ciphertext {
    /// Its format.
    pub format: Format,
    /// The only KMS key whose data keys are opened.
    pub key: KeyArn,
    /// Encryption context that it must carry; a plain envelope's whole context.
    pub context: BTreeMap<String, Template>,
    /// Context that an Encryption SDK message need not carry and is bound to
    /// all the same (the SDK's required encryption context).
    pub required_context: BTreeMap<String, Template>,
}

/// Format of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An AWS Encryption SDK message.
    AwsEncryptionSdk {
        /// Whether suites that do not commit to their key are opened.
        allow_legacy: bool,
        /// Whether suites with a signature are refused.
        refuse_signed: bool,
    },
    /// A plain envelope.
    PlainEnvelope,
}

/// The form in which a job's result may leave the enclave.
#[derive(Debug)]
pub enum OutputSpec {
    /// In the clear.
    None,
    /// As an Encryption SDK message.
    Kms(KmsOutput),
    /// In the clear but for these fields, each an Encryption SDK message in
    /// base64, with a context of its own beside the common one.
    Fields(BTreeMap<FieldPath, BTreeMap<String, Template>>, KmsOutput),
    /// Sealed to a key that the caller names.
    Seal {
        /// Who may be named.
        to: Recipients,
        /// The length is rounded up to a multiple of so many bytes.
        pad_to: Option<usize>,
    },
}

/// How a result is encrypted under a KMS key.
#[derive(Debug)]
pub struct KmsOutput {
    /// KMS key that protects it.
    pub key: KeyArn,
    /// Its encryption context.
    pub context: BTreeMap<String, Template>,
    /// Plaintext bytes per frame.
    pub frame: FrameLen,
    /// Whether it is signed (suite 0x0578) or not (0x0478).
    pub signed: bool,
    /// The length is rounded up to a multiple of so many bytes.
    pub pad_to: Option<usize>,
    /// How often a data key may be that of another result; else each has its own.
    pub reuse: Option<KeyBounds>,
}

/// Who may be named as the recipient of a sealed result.
#[derive(Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Anyone: the caller decides who reads the result.
    Any,
    /// These X25519 public keys only.
    Listed(Vec<[u8; 32]>),
}

/// Why a manifest is refused. Its author's fault.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the TOML that a manifest is.
    #[error("{0}")]
    Toml(Box<toml::de::Error>),
    /// A value that cannot stand where it does.
    #[error("{place}: {problem}")]
    Value {
        /// Which key.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl Manifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] for anything that is not a complete, consistent manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let raw: raw::Manifest =
            toml::from_str(text).map_err(|error| ManifestError::Toml(Box::new(error)))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        check::manifest(raw, digest.as_ref().try_into().unwrap_or_default())
    }
}

impl ManifestError {
    fn value(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { place: place.into(), problem: problem.into() }
    }

    fn within(self, outer: &str) -> Self {
        match self {
            Self::Value { place, problem } => Self::value(format!("{outer}: {place}"), problem),
            Self::Toml(error) => Self::Toml(error),
        }
    }
}

#[cfg(test)]
mod tests;
