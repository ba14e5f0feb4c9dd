//! The gate to KMS: how many calls are under way, in all and for each job.
//!
//! A job first waits among its own, then, with no more than its share, among all:
//! who asks for ever new data keys in one job makes nobody wait in another. Both
//! queues are in order of arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::KeyError;
use crate::manifest::{JobName, Manifest};

pub(super) struct Gate {
    all: Arc<Semaphore>,
    jobs: BTreeMap<JobName, Arc<Semaphore>>,
}

/// A call that is under way, until it is dropped.
pub(super) struct Pass {
    _job: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let limits = &manifest.limits;
        let lane =
            |job: &JobName| (job.clone(), Arc::new(Semaphore::new(limits.max_kms_calls_per_job)));
        Self {
            all: Arc::new(Semaphore::new(limits.max_kms_calls)),
            jobs: manifest.jobs.keys().map(lane).collect(),
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, job: &JobName) -> Result<Pass, KeyError> {
        let lane = self.jobs.get(job).ok_or(KeyError::Interrupted)?;
        let place = |gate: &Arc<Semaphore>| Arc::clone(gate).acquire_owned();
        let lane = place(lane).await.map_err(|_| KeyError::Interrupted)?;
        let all = place(&self.all).await.map_err(|_| KeyError::Interrupted)?;
        Ok(Pass { _job: lane, _all: all })
    }
}
