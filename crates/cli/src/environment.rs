//! The one place that reads the environment: AWS credentials under the names
//! that AWS's own tools use, and whether colours are unwanted.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::date_time::{DateTime, Format};
use strongroom_client::Credentials;

use crate::error::CliError;

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and
/// `AWS_CREDENTIAL_EXPIRATION`.
pub(crate) fn credentials() -> Result<Credentials, CliError> {
    let needed = |name| variable(name).ok_or(CliError::CredentialsMissing(name));
    let expires_at = match variable("AWS_CREDENTIAL_EXPIRATION") {
        Some(text) => Some(unix_seconds(&text).ok_or_else(|| {
            CliError::CredentialsMalformed("AWS_CREDENTIAL_EXPIRATION is no ISO 8601 time".into())
        })?),
        None => None,
    };
    refuse_expired(expires_at)?;
    Ok(Credentials {
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        session_token: variable("AWS_SESSION_TOKEN"),
        expires_at,
    })
}

/// Refuses credentials of which it is known that nobody takes them any more.
pub(crate) fn refuse_expired(expires_at: Option<u64>) -> Result<(), CliError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match expires_at {
        Some(time) if time <= now => {
            Err(CliError::CredentialsExpired(iso_8601(time).unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

/// Whether the user wants no colours (<https://no-color.org>).
pub(crate) fn no_colour() -> bool {
    variable("NO_COLOR").is_some()
}

/// Seconds since the epoch, from ISO 8601 as AWS writes it.
pub(crate) fn unix_seconds(text: &str) -> Option<u64> {
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    u64::try_from(time.secs()).ok()
}

/// ISO 8601 as AWS writes it, from seconds since the epoch.
pub(crate) fn iso_8601(unix_seconds: u64) -> Option<String> {
    let time: SystemTime = UNIX_EPOCH.checked_add(Duration::from_secs(unix_seconds))?;
    DateTime::from(time).fmt(Format::DateTime).ok()
}

/// The QEMU to emulate with: `STRONGROOM_QEMU`.
pub(crate) fn qemu() -> Option<PathBuf> {
    variable("STRONGROOM_QEMU").map(PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
