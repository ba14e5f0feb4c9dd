//! Keys that are kept and reused: how much, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::manifest::raw::{RawCache, RawReuse};
use crate::manifest::{ByteCount, CacheSpec, Job, JobName, KeyBounds, ManifestError, OutputSpec};

impl RawCache {
    pub(super) fn check(self) -> Result<CacheSpec, ManifestError> {
        let Self { max_keys, max_age_secs, max_uses, max_bytes } = self;
        if max_keys > MAX_KEYS {
            let problem = format!("must be 0 (keep none) to {MAX_KEYS}");
            return Err(ManifestError::value("cache.max_keys", problem));
        }
        if max_uses == 0 {
            let problem = "must be at least 1; max_keys = 0 keeps no key";
            return Err(ManifestError::value("cache.max_uses", problem));
        }
        let bounds = KeyBounds {
            max_age: age("cache.max_age_secs", max_age_secs)?,
            max_uses,
            max_bytes: bytes("cache.max_bytes", max_bytes)?,
        };
        Ok(CacheSpec { max_keys, bounds })
    }
}

impl RawReuse {
    pub(super) fn check(self, signed: bool) -> Result<KeyBounds, ManifestError> {
        if signed {
            return Err(ManifestError::value(
                "output.reuse",
                "a signed result has an encryption context of its own, and so always a data key of its own; leave one of the two out",
            ));
        }
        if !(1..=MAX_RESULTS).contains(&self.max_results) {
            let problem = format!("must be 1 to {MAX_RESULTS}");
            return Err(ManifestError::value("output.reuse.max_results", problem));
        }
        Ok(KeyBounds {
            max_age: age("output.reuse.max_age_secs", self.max_age_secs)?,
            max_uses: self.max_results,
            max_bytes: bytes("output.reuse.max_bytes", self.max_bytes)?,
        })
    }
}

/// Refuses to reuse data keys where none are kept.
pub(super) fn check_reuse(
    cache: &CacheSpec,
    jobs: &BTreeMap<JobName, Job>,
) -> Result<(), ManifestError> {
    let reuses = |job: &&Job| match &job.output {
        OutputSpec::Kms(kms) | OutputSpec::Fields(_, kms) => kms.reuse.is_some(),
        OutputSpec::None | OutputSpec::Seal { .. } => false,
    };
    match jobs.values().find(reuses) {
        Some(job) if cache.max_keys == 0 => Err(ManifestError::value(
            format!("job {:?}: output.reuse", job.name.as_str()),
            "cache.max_keys = 0 keeps no key that could be reused; leave one of the two out",
        )),
        Some(_) | None => Ok(()),
    }
}

fn age(place: &str, secs: u64) -> Result<Duration, ManifestError> {
    match secs {
        1..=MAX_AGE_SECS => Ok(Duration::from_secs(secs)),
        _ => Err(ManifestError::value(place, format!("must be 1 to {MAX_AGE_SECS} seconds"))),
    }
}

fn bytes(place: &str, count: ByteCount) -> Result<u64, ManifestError> {
    match u64::try_from(count.0) {
        Ok(bytes @ 1..) => Ok(bytes),
        _ => Err(ManifestError::value(place, "must be at least 1 byte")),
    }
}

/// Most keys kept; each takes a few hundred bytes.
const MAX_KEYS: usize = 100_000;

/// Longest that a key is kept: a day, as no request may take longer either.
const MAX_AGE_SECS: u64 = 86_400;

/// Most results under one data key: what the AWS Encryption SDK's caching
/// allows at most.
const MAX_RESULTS: u64 = 1 << 32;
