//! Bounds: each within what the service can keep.

use std::time::Duration;

use crate::manifest::raw::RawLimits;
use crate::manifest::{ByteCount, Limits, ManifestError};

impl RawLimits {
    pub(super) fn check(self) -> Result<Limits, ManifestError> {
        let secs = |key: &str, secs: u64| match secs {
            1..=86_400 => Ok(Duration::from_secs(secs)),
            _ => Err(ManifestError::value(format!("limits.{key}"), "must be 1 to 86400 seconds")),
        };
        let bytes = |key: &str, count: ByteCount, max: usize| match count.0 {
            n if (1..=max).contains(&n) => Ok(count),
            _ => Err(ManifestError::value(
                format!("limits.{key}"),
                format!("must be 1 to {max} bytes"),
            )),
        };
        let number = |key: &str, n: usize, max: usize| match n {
            n if (1..=max).contains(&n) => Ok(n),
            _ => Err(ManifestError::value(format!("limits.{key}"), format!("must be 1 to {max}"))),
        };
        let limits = Limits {
            max_in_flight_bytes: self.max_in_flight_bytes,
            max_connections: number("max_connections", self.max_connections, 1 << 20)?,
            request_deadline: secs("request_deadline_secs", self.request_deadline_secs)?,
            idle_timeout: secs("idle_timeout_secs", self.idle_timeout_secs)?,
            max_header: bytes("max_header", self.max_header, 1 << 20)?,
            max_frame: bytes("max_frame", self.max_frame, 64 << 20)?,
            max_encrypted_data_keys: number(
                "max_encrypted_data_keys",
                self.max_encrypted_data_keys,
                1000,
            )?,
            max_record: bytes("max_record", self.max_record, 64 << 20)?,
            max_data_keys: number("max_data_keys", self.max_data_keys, 100_000)?,
            max_groups: number("max_groups", self.max_groups, 1_000_000)?,
            max_kms_calls: number("max_kms_calls", self.max_kms_calls, MAX_KMS_CALLS)?,
            max_kms_calls_per_job: number(
                "max_kms_calls_per_job",
                self.max_kms_calls_per_job,
                MAX_KMS_CALLS,
            )?,
        };
        // The longest frame, as ciphertext and plaintext and in buffers that
        // grow by doubling, has to fit: else a job would be busy for ever.
        let least = limits
            .max_frame
            .0
            .saturating_mul(6)
            .saturating_add(limits.max_record.0.saturating_mul(4));
        if limits.max_in_flight_bytes.0 < least {
            let problem =
                format!("must be at least {least} bytes for this max_frame and max_record");
            return Err(ManifestError::value("limits.max_in_flight_bytes", problem));
        }
        Ok(limits)
    }
}

/// Most calls to KMS at once: each may have a connection of its own.
const MAX_KMS_CALLS: usize = 64;
