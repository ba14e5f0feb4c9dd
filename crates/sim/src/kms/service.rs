//! From a whole request to an answer: fault, signature, operation, audit.
//!
//! Called by `server.rs`, which owns the connection. No I/O here.

use std::sync::Mutex;

use serde_json::Value;
use strongroom_attestation::TrustRoot;

use super::audit::{AuditLog, AuditRecord};
use super::call::{Answer, Call};
use super::cms::CmsForm;
use super::credentials::Registry;
use super::error::KmsError;
use super::faults::{Fault, Faults};
use super::hostile::Hostile;
use super::key::{KeyStore, random_uuid, uuid_text};
use super::request::Request;
use super::sigv4::{Scope, authenticate};
use crate::{Clock, lock};

/// Everything a simulated KMS knows.
pub(super) struct Service {
    pub(super) region: String,
    pub(super) clock: Clock,
    pub(super) keys: Mutex<KeyStore>,
    pub(super) credentials: Mutex<Registry>,
    pub(super) roots: Mutex<Vec<TrustRoot>>,
    pub(super) cms_form: Mutex<CmsForm>,
    pub(super) audit: Mutex<AuditLog>,
    pub(super) faults: Faults,
    pub(super) hostile: Hostile,
}

/// An HTTP answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) request_id: String,
    pub(super) body: Vec<u8>,
}

impl Service {
    /// The fault this request meets, and its place in the counters.
    pub(super) fn fault(&self, request: &Request) -> Option<Fault> {
        self.faults.take(name_of(request))
    }

    /// Answers a request; `error` is an injected one.
    pub(super) fn answer(&self, request: &Request, error: Option<KmsError>) -> Response {
        let mut record =
            AuditRecord { operation: name_of(request).into(), ..AuditRecord::default() };
        let result = match error {
            Some(error) => Err(error),
            None => self.run(request, &mut record),
        };
        record.time_ms = (self.clock)();
        record.error = result.as_ref().err().map(|error| error.code.to_owned());
        tracing::debug!(
            operation = record.operation,
            error = record.error,
            "simulated KMS answered"
        );
        lock(&self.audit).push(record);
        let request_id = uuid_text(random_uuid());
        match result {
            // What PutKeyPolicy answers with has no members, and no body.
            Ok(answer) if answer.is_empty() => {
                Response { status: 200, request_id, body: Vec::new() }
            }
            Ok(answer) => Response {
                status: 200,
                request_id,
                body: Value::Object(answer).to_string().into_bytes(),
            },
            Err(error) => Response {
                status: error.status,
                request_id,
                body: error.body().to_string().into_bytes(),
            },
        }
    }

    fn run(&self, request: &Request, record: &mut AuditRecord) -> Result<Answer, KmsError> {
        let is_call = request.method == "POST" && request.path == "/" && request.query.is_empty();
        let Some(operation) = request.operation().filter(|_| is_call) else {
            return Err(KmsError::silent("UnknownOperationException"));
        };
        let content_type = request.header("content-type").unwrap_or_default();
        if content_type.split(';').next() != Some(CONTENT_TYPE) {
            return Err(KmsError::silent("SerializationException"));
        }
        let scope = Scope { region: &self.region, now_ms: (self.clock)() };
        let caller = authenticate(request, &lock(&self.credentials), &scope)?;
        record.principal = Some(caller.principal.arn().into());
        (operation.run)(&mut Call { service: self, caller: &caller, body: &request.body, record })
    }
}

/// Names nobody simulates are all one, so that counters stay bounded.
fn name_of(request: &Request) -> &'static str {
    request.operation().map_or("unknown", |operation| operation.name)
}

/// AWS JSON 1.1.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
