//! The system clock against the module's: rule 10.
//!
//! The parent owns the machine's clock service, so nothing here asks the parent
//! for the time. The Nitro Secure Module puts its own into every document; where
//! the two are too far apart the boot stops, and later the use of KMS does:
//! certificates and credentials would be judged at the wrong time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmError};
use strongroom_attestation::{Unverified, VerifyError};

/// How far the system clock is from the module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Distance.
    pub by: Duration,
    /// Whether the system clock is ahead.
    pub ahead: bool,
}

/// Why the clock is not to be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClockError {
    /// The module gave no document.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// What it gave is none.
    #[error("the Nitro Secure Module's document cannot be read: {0}")]
    Document(#[from] VerifyError),
    /// The document answers another question.
    #[error("the Nitro Secure Module's document does not carry the nonce that it was given")]
    Nonce,
    /// The two clocks disagree.
    #[error(
        "the enclave's clock is {} s {} the Nitro Secure Module's, and {} s are allowed; restart the enclave",
        .0.by.as_secs(),
        if .0.ahead { "ahead of" } else { "behind" },
        MAX_SKEW.as_secs()
    )]
    Skewed(Skew),
}

/// Checks the system clock against a fresh document of the module's.
///
/// # Errors
/// [`ClockError`]; nothing that depends on the time may be done then.
pub fn check(nsm: &dyn Nsm) -> Result<Skew, ClockError> {
    let mut nonce = [0; NONCE_LEN];
    nsm.random(&mut nonce)?;
    let request = AttestationRequest { nonce: Some(&nonce), ..AttestationRequest::default() };
    let document = nsm.attest(&request)?;
    let content = Unverified::read(&document)?;
    if content.nonce != Some(&nonce[..]) {
        return Err(ClockError::Nonce);
    }
    compare(content.timestamp_ms, SystemTime::now())
}

/// Checks the system clock against a document that the module has just made.
///
/// # Errors
/// [`ClockError::Document`] and [`ClockError::Skewed`].
pub fn check_against(document: &[u8]) -> Result<Skew, ClockError> {
    compare(Unverified::read(document)?.timestamp_ms, SystemTime::now())
}

fn compare(module_ms: u64, now: SystemTime) -> Result<Skew, ClockError> {
    let module = Duration::from_millis(module_ms);
    // Before 1970 is as far off as can be said.
    let system = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let skew = Skew { by: system.abs_diff(module), ahead: system > module };
    if skew.by > MAX_SKEW { Err(ClockError::Skewed(skew)) } else { Ok(skew) }
}

/// Most that the clocks may differ: what KMS allows a signature's time to be off
/// (AWS Signature Version 4), and a verifier a document's.
pub const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// Bytes of the boot check's nonce.
const NONCE_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn five_minutes_either_way_are_the_most() {
        let module_ms = 1_000_000_000;
        for (secs, within) in [
            (1_000_000, true),
            (1_000_300, true),
            (1_000_301, false),
            (999_700, true),
            (999_699, false),
            (0, false),
            (u64::from(u32::MAX), false),
        ] {
            assert_eq!(compare(module_ms, at(secs)).is_ok(), within, "{secs}");
        }
        assert!(compare(u64::MAX, at(1_000_000)).is_err());
        assert!(compare(0, UNIX_EPOCH - Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn the_error_says_which_way_and_how_far() {
        let error = compare(1_000_000_000, at(1_000_600)).unwrap_err().to_string();
        assert!(error.contains("600 s ahead of"), "{error}");
        let error = compare(1_000_000_000, at(999_000)).unwrap_err().to_string();
        assert!(error.contains("1000 s behind"), "{error}");
    }

    #[test]
    fn a_module_with_the_same_time_passes_and_one_an_hour_off_does_not() {
        let now_ms = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::try_from(now.as_millis()).unwrap()
        };
        let nsm = strongroom_sim::SimNsm::builder().build().unwrap();
        assert!(check(&nsm).is_ok());
        for hour in [-3_600_000_i64, 3_600_000] {
            let clock = move || now_ms().saturating_add_signed(hour);
            let nsm = strongroom_sim::SimNsm::builder()
                .clock(std::sync::Arc::new(clock))
                .build()
                .unwrap();
            assert!(matches!(check(&nsm), Err(ClockError::Skewed(_))));
        }
    }
}
