//! Why a command failed: what went wrong, under a stable code, and what to do
//! next.
//!
//! Codes are for scripts and do not change: those of attestation documents are
//! [`VerifyError::code`], those of the service are the protocol's.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use strongroom::manifest::ManifestError;
use strongroom::server::BootError;
use strongroom_attestation::{RootError, VerifyError};
use strongroom_client::{AddressError, Error as ClientError, ErrorBody};
use strongroom_envelope::esdk::{ContextError, SealError};
use strongroom_envelope::plain::SealError as PlainError;
use strongroom_sim::SimError;

use crate::hint;
use crate::output::printable;
use crate::producer::KmsFailure;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is longer than {max} bytes", path.display())]
    FileTooLarge { path: PathBuf, max: u64 },
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
    #[error(transparent)]
    Document(#[from] VerifyError),
    #[error("{} is no trust root: {source}", path.display())]
    Root { path: PathBuf, source: RootError },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("nothing was written: {0}")]
    Unwritten(#[source] ClientError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("there are no AWS credentials: {0} is not set")]
    CredentialsMissing(&'static str),
    #[error("the AWS credentials are malformed: {0}")]
    CredentialsMalformed(String),
    #[error("the AWS credentials expired at {0}")]
    CredentialsExpired(String),
    #[error("{} is not {expected}", path.display())]
    KeyFile { path: PathBuf, expected: &'static str },
    #[error("{} is no encrypted message", path.display())]
    NoMessage { path: PathBuf },
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Kms(#[from] Box<KmsFailure>),
    #[error("the encryption context cannot be used: {0}")]
    Context(#[from] ContextError),
    #[error("the message cannot be written: {0}")]
    Seal(#[from] SealError),
    #[error("the message cannot be written: {0}")]
    SealPlain(#[from] PlainError),
    #[error("{} holds no certificate authority in PEM", path.display())]
    Authority { path: PathBuf },
    #[error("the host {host} cannot be resolved")]
    Resolve { host: String, source: io::Error },
    #[error("the manifest {} is refused: {source}", path.display())]
    Manifest { path: PathBuf, source: Box<ManifestError> },
    #[error("the simulated Nitro does not start")]
    Sim(#[from] SimError),
    #[error("the service does not start")]
    Boot(#[from] BootError),
    #[error("{} holds files that dev did not make", path.display())]
    FolderTaken { path: PathBuf },
    #[error("another dev runs in {}", path.display())]
    FolderInUse { path: PathBuf },
    #[error("{0}")]
    Image(String),
    #[error("{0}")]
    Emulator(String),
    #[error("{0}")]
    Bench(String),
    #[error("{0}")]
    Policy(String),
    #[error("the key policy has holes: {0} found")]
    PolicyHoles(usize),
    #[error("interrupted: the command did not come to its end")]
    Interrupted,
    #[error("{0}")]
    Internal(&'static str),
    #[error("{failed} of {all} checks failed")]
    Demo { failed: usize, all: usize },
}

impl CliError {
    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }

    /// The stable code of this kind of failure.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::FileTooLarge { .. } | Self::Stdout(_) => "file",
            Self::Document(error) => error.code(),
            Self::Root { .. } => "trust-root",
            Self::Client(error) | Self::Unwritten(error) => client_code(error),
            Self::Address(_) | Self::Usage(_) => "usage",
            Self::CredentialsMissing(_) => "credentials-missing",
            Self::CredentialsMalformed(_) => "credentials-malformed",
            Self::CredentialsExpired(_) => "credentials-expired",
            Self::KeyFile { .. } => "key-file",
            Self::NoMessage { .. } => "no-message",
            Self::Kms(failure) => failure.code(),
            Self::Context(_) => "context",
            Self::Seal(_) | Self::SealPlain(_) => "seal",
            Self::Authority { .. } => "ca-file",
            Self::Resolve { .. } => "resolve",
            Self::Manifest { .. } => "manifest",
            Self::Sim(_) => "simulator",
            Self::Boot(_) => "boot",
            Self::FolderTaken { .. } | Self::FolderInUse { .. } => "folder",
            Self::Image(_) => "image",
            Self::Emulator(_) => "emulator",
            Self::Bench(_) => "bench",
            Self::Policy(_) => "policy",
            Self::PolicyHoles(_) => "policy-holes",
            Self::Interrupted => "interrupted",
            Self::Internal(_) => "internal",
            Self::Demo { .. } => "demo-failed",
        }
    }

    /// 2 when the command was used wrongly, 130 (as shells say of Ctrl-C) when it
    /// was interrupted, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.code() {
            "usage" | "image-unpinned" => 2,
            "interrupted" => 130,
            _ => 1,
        }
    }

    /// The failure and what caused it, as one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Client(error) => client_message(error),
            Self::Unwritten(error) => format!("nothing was written: {}", client_message(error)),
            other => with_causes(other),
        }
    }

    /// The failure as a member `error`.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "error": self.details() })
    }

    /// Code, message, hint, and what the service said beside its message.
    pub(crate) fn details(&self) -> Value {
        let mut members = Map::new();
        members.insert("code".to_owned(), self.code().into());
        members.insert("message".to_owned(), self.message().into());
        if let Some(hint) = hint::of(self) {
            members.insert("hint".to_owned(), hint.into());
        }
        members.extend(self.service().into_iter().flat_map(refusal));
        Value::Object(members)
    }

    /// For standard error; ends with a line end.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("error[{}]: {}\n", self.code(), self.message());
        // Writing to a String cannot fail.
        for (index, pcr) in self.service().iter().flat_map(|body| shown_pcrs(body)) {
            let _ = writeln!(text, "  PCR{index} {}", hex::encode(pcr));
        }
        if let Some(hint) = hint::of(self) {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// What the service said, if it was the service that refused.
    pub(crate) fn service(&self) -> Option<&ErrorBody> {
        match self {
            Self::Client(error) | Self::Unwritten(error) => error.service(),
            _ => None,
        }
    }
}

fn client_code(error: &ClientError) -> &'static str {
    match error.cause() {
        ClientError::Connect { .. } => "connect",
        ClientError::GivenUp | ClientError::Connection(_) | ClientError::Cut => "connection",
        ClientError::Request(_) => "request",
        ClientError::Protocol(_) => "protocol",
        ClientError::Service(body) => body.code.as_str(),
        ClientError::Attestation(error) => error.code(),
        ClientError::Sealed(_) => "sealed-refused",
        ClientError::Receipt(_) => "receipt-refused",
        ClientError::Padding(_) => "padding",
        ClientError::EnclaveUnknown => "enclave-unknown",
        ClientError::Signing(_) => "signing",
        ClientError::Input(_) | ClientError::Output(_) => "file",
        ClientError::Deadline => "deadline",
        ClientError::Random => "internal",
        ClientError::Partial { .. } => "partial",
    }
}

/// As the client says it, without the code, which stands in front already, and
/// without saying twice what KMS said. Of a document, as `verify` says it.
fn client_message(error: &ClientError) -> String {
    let body = match error.cause() {
        ClientError::Service(body) => body,
        ClientError::Attestation(error) => return error.to_string(),
        _ => return with_causes(error),
    };
    let mut message = printable(body.message.trim_end_matches([':', ' ']));
    // Writing to a String cannot fail.
    if let Some(record) = body.record.filter(|record| !names_record(&message, *record)) {
        let _ = write!(message, " (record {record})");
    }
    if let Some(id) = body.kms.as_ref().and_then(|kms| kms.request_id.as_ref()) {
        let _ = write!(message, " (KMS request {})", printable(id));
    }
    message
}

fn names_record(message: &str, record: u64) -> bool {
    message.starts_with(&format!("record {record}:"))
}

/// An error and what caused it, each said once.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.ends_with(&text) {
            let _ = write!(message, ": {text}");
        }
        source = cause.source();
    }
    message
}

/// The enclave's PCRs, where they explain the refusal: a key policy that asks
/// for others.
fn shown_pcrs(body: &ErrorBody) -> impl Iterator<Item = (&u8, &[u8])> {
    let explains = body.kms.as_ref().is_some_and(|kms| kms.code == ACCESS_DENIED);
    let pcrs = body.pcrs.iter().filter(move |_| explains);
    pcrs.map(|(index, pcr)| (index, pcr.as_slice())).filter(|(_, pcr)| pcr.iter().any(|b| *b != 0))
}

/// What a refusal says beyond its text.
fn refusal(body: &ErrorBody) -> impl Iterator<Item = (String, Value)> {
    let kms = body.kms.as_ref().map(|kms| {
        let value = json!({
            "operation": kms.operation,
            "code": kms.code,
            "message": kms.message,
            "request_id": kms.request_id,
        });
        ("kms".to_owned(), value)
    });
    let pcrs = (!body.pcrs.is_empty()).then(|| {
        let pcrs =
            body.pcrs.iter().map(|(index, pcr)| (index.to_string(), hex::encode(pcr).into()));
        ("pcrs".to_owned(), Value::Object(pcrs.collect()))
    });
    let record = body.record.map(|record| ("record".to_owned(), record.into()));
    let retryable = ("retryable".to_owned(), body.code.is_retryable().into());
    [kms, pcrs, record, Some(retryable)].into_iter().flatten()
}

/// KMS's code for what a policy does not allow.
const ACCESS_DENIED: &str = "AccessDeniedException";
