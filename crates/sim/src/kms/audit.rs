//! The audit log: what AWS CloudTrail would show of this KMS.

use std::collections::{BTreeMap, VecDeque};

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was answered, unix milliseconds.
    pub time_ms: u64,
    /// e.g. `Decrypt`.
    pub operation: String,
    /// The KMS key, once known.
    pub key_arn: Option<String>,
    /// The caller's ARN, once authenticated.
    pub principal: Option<String>,
    /// In the clear, as CloudTrail has it.
    pub encryption_context: BTreeMap<String, String>,
    /// `None`: success. Else the error's code, e.g. `AccessDeniedException`.
    pub error: Option<String>,
    /// PCR0 of a verified attestation document, hex.
    pub attested_image: Option<String>,
    /// Module id of a verified attestation document.
    pub attested_module: Option<String>,
}

/// The last [`MAX_RECORDS`] requests.
#[derive(Default)]
pub(super) struct AuditLog(VecDeque<AuditRecord>);

impl AuditLog {
    pub(super) fn push(&mut self, record: AuditRecord) {
        if self.0.len() == MAX_RECORDS {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    pub(super) fn records(&self) -> Vec<AuditRecord> {
        self.0.iter().cloned().collect()
    }
}

/// Requests that are remembered; older ones are forgotten.
pub const MAX_RECORDS: usize = 4096;
