//! The manifest: everything that decides what the enclave does.
//!
//! Parsed once at boot from text that is baked into the image and so measured
//! by its PCRs. What is not written there does not exist: unknown keys, unknown
//! operations and combinations that would let plaintext out are refused here,
//! before anything listens.

mod check;
pub mod fields;
pub mod operations;
mod raw;
mod types;

use std::collections::BTreeMap;
use std::time::Duration;

use strongroom_envelope::esdk::{self, FrameLen};
pub use types::{ByteCount, JobName, KeyArn, MaskRule, Region, Template, UnknownColumns};

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
    /// Where KMS is.
    pub kms: Kms,
    /// The jobs by name.
    pub jobs: BTreeMap<JobName, Job>,
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
    /// Longest record (a CSV row), in bytes.
    pub max_record: ByteCount,
}

impl Limits {
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

/// A named, complete use of an operation.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// Arguments that a caller must give.
    pub args: Vec<String>,
    /// What comes in.
    pub input: Input,
    /// What is done.
    pub operation: OperationSpec,
    /// The form in which the result may leave.
    pub output: OutputSpec,
}

/// What a job takes in.
#[derive(Debug)]
pub struct Input {
    /// The only KMS key whose data keys are opened.
    pub key: KeyArn,
    /// Encryption context that the message must carry.
    pub context: BTreeMap<String, Template>,
}

/// What a job does.
#[derive(Debug)]
pub enum OperationSpec {
    /// Mask the columns of a CSV file.
    Mask {
        /// Rule per column.
        fields: BTreeMap<String, MaskRule>,
        /// What becomes of columns without a rule.
        unknown: UnknownColumns,
    },
    /// Encrypt anew, unchanged.
    Reencrypt,
}

/// The form in which a job's result may leave the enclave.
#[derive(Debug)]
pub enum OutputSpec {
    /// In the clear.
    None,
    /// As an Encryption SDK message.
    Kms {
        /// KMS key that protects it.
        key: KeyArn,
        /// Its encryption context.
        context: BTreeMap<String, Template>,
        /// Plaintext bytes per frame.
        frame: FrameLen,
    },
    /// Sealed to a key that the caller names.
    Seal(Recipients),
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
        raw.try_into()
    }
}

impl ManifestError {
    fn value(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { place: place.into(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;
