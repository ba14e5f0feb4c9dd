//! `credentials`: hands AWS credentials to a running service.
//!
//! They come from the environment or from a file, never from the command line,
//! which every process on the machine can read.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use strongroom_client::Credentials;
use strongroom_envelope::SecretBuf;

use crate::args::ServiceArgs;
use crate::environment;
use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::service;

/// What `credentials` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    service: ServiceArgs,

    /// JSON with AccessKeyId, SecretAccessKey, SessionToken (or Token) and Expiration, as `aws
    /// configure export-credentials` and the instance metadata service print it; `-` is standard
    /// input. Without it, the environment (`AWS_ACCESS_KEY_ID` …)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let credentials = match &args.file {
        Some(path) => from_file(path)?,
        None => environment::credentials()?,
    };
    let expires_at = credentials.expires_at;
    service::connect(&args.service.address).await?.put_credentials(credentials).await?;
    let expiry = match expires_at.and_then(environment::iso_8601) {
        Some(time) => format!("they expire at {time}"),
        None => "with no known expiry".to_owned(),
    };
    let value = json!({ "handed_in": true, "expires_at": expires_at });
    output.answer(&value, &format!("credentials handed in; {expiry}"))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "AccessKeyId")]
    access_key_id: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret_access_key: Option<String>,
    #[serde(rename = "SessionToken", alias = "Token")]
    session_token: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Option<String>,
}

fn from_file(path: &Path) -> Result<Credentials, CliError> {
    let bytes = SecretBuf::from_vec(files::read_small(path, MAX_FILE)?);
    if bytes.expose().trim_ascii().is_empty() {
        return Err(CliError::CredentialsMalformed("the file is empty".to_owned()));
    }
    let file: File = serde_json::from_slice(bytes.expose()).map_err(|error| {
        // Of serde's text only the place: the rest may quote the file.
        let (line, column) = (error.line(), error.column());
        CliError::CredentialsMalformed(format!("the JSON does not fit at {line}:{column}"))
    })?;
    let expires_at = match &file.expiration {
        Some(text) => Some(environment::unix_seconds(text).ok_or_else(|| {
            CliError::CredentialsMalformed("Expiration is no ISO 8601 time".to_owned())
        })?),
        None => None,
    };
    environment::refuse_expired(expires_at)?;
    let needed = |name: &str, value: Option<String>| {
        value.ok_or_else(|| CliError::CredentialsMalformed(format!("{name} is missing")))
    };
    Ok(Credentials {
        access_key_id: needed("AccessKeyId", file.access_key_id)?,
        secret_access_key: needed("SecretAccessKey", file.secret_access_key)?,
        session_token: file.session_token,
        expires_at,
    })
}

/// Longest file of credentials, in bytes; real ones have below 4 KiB.
const MAX_FILE: u64 = 64 << 10;
