//! Verifies AWS Signature Version 4 (IAM User Guide, "Signature Version 4").
//!
//! Called by `service.rs` before anything else is read from a request. Header
//! authorization only; KMS has no presigned requests here.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::amz_date;
use super::credentials::{Caller, Credential, Registry};
use super::error::KmsError;
use super::request::Request;

/// Where and when a request is verified.
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) now_ms: u64,
}

/// Whose request this is.
///
/// # Errors
/// The common AWS errors, with their texts: missing or incomplete
/// authorization, unknown or expired credentials, wrong scope, clock or
/// signature.
pub(crate) fn authenticate(
    request: &Request,
    registry: &Registry,
    scope: &Scope<'_>,
) -> Result<Caller, KmsError> {
    let header = request.header("authorization").ok_or_else(|| {
        KmsError::new("MissingAuthenticationTokenException", "Missing Authentication Token")
    })?;
    let authorization = Authorization::parse(&header)?;
    let date = request.header("x-amz-date").ok_or_else(|| {
        incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        )
    })?;
    let signed_at = amz_date::parse(&date).ok_or_else(|| {
        incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date}'."))
    })?;
    let credential = registry.get(&authorization.access_key_id).ok_or_else(unrecognized)?;
    check_token(request, credential, scope.now_ms)?;
    authorization.check_scope(scope.region, &date)?;
    check_clock(signed_at, scope.now_ms / 1000)?;
    authorization.check_signed_headers(request)?;
    authorization.check_signature(request, credential, &date)?;
    Ok(credential.caller.clone())
}

/// The parts of an `Authorization` header.
struct Authorization {
    access_key_id: String,
    date: String,
    region: String,
    service: String,
    terminator: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(header: &str) -> Result<Self, KmsError> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| {
            incomplete(format!("Unsupported AWS 'algorithm': '{}'.", first_word(header)))
        })?;
        let mut found = [None, None, None];
        for field in fields.split(',').map(str::trim) {
            let (name, value) = field.split_once('=').ok_or_else(|| {
                incomplete(format!(
                    "'{field}' not a valid key=value pair (missing equal-sign) in Authorization header: '{header}'."
                ))
            })?;
            let names = ["Credential", "SignedHeaders", "Signature"];
            for (slot, wanted) in found.iter_mut().zip(names) {
                if name == wanted {
                    *slot = Some(value);
                }
            }
        }
        let [Some(credential), Some(headers), Some(signature)] = found else {
            return Err(incomplete(
                "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            ));
        };
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, terminator] = *parts.as_slice() else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'."
            )));
        };
        Ok(Self {
            access_key_id: access_key_id.into(),
            date: date.into(),
            region: region.into(),
            service: service.into(),
            terminator: terminator.into(),
            signed_headers: headers.split(';').map(String::from).collect(),
            signature: signature.into(),
        })
    }

    fn check_scope(&self, region: &str, date: &str) -> Result<(), KmsError> {
        let wrong = if self.region != region {
            format!("Credential should be scoped to a valid region, not '{}'. ", self.region)
        } else if self.service != "kms" {
            "Credential should be scoped to correct service: 'kms'. ".into()
        } else if self.terminator != "aws4_request" {
            format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'. ",
                self.terminator
            )
        } else if date.get(..8) != Some(&self.date) {
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP".into()
        } else {
            return Ok(());
        };
        Err(invalid_signature(wrong))
    }

    /// `host`, and of the `x-amz-` headers those that steer KMS, must be signed.
    fn check_signed_headers(&self, request: &Request) -> Result<(), KmsError> {
        let signed = |name: &str| self.signed_headers.iter().any(|header| header == name);
        if !signed("host") {
            return Err(invalid_signature(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        let unsigned =
            MUST_BE_SIGNED.iter().find(|name| request.header(name).is_some() && !signed(name));
        match unsigned {
            Some(name) => Err(invalid_signature(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            ))),
            None => Ok(()),
        }
    }

    fn check_signature(
        &self,
        request: &Request,
        credential: &Credential,
        date: &str,
    ) -> Result<(), KmsError> {
        let canonical = self.canonical_request(request)?;
        let scope = format!("{}/{}/{}/{}", self.date, self.region, self.service, self.terminator);
        let digest = hex::encode(Sha256::digest(canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", credential.secret).into_bytes();
        for part in [&self.date, &self.region, &self.service, &self.terminator] {
            key = keyed(&key).chain_update(part).finalize().into_bytes().to_vec();
        }
        let given = hex::decode(&self.signature).unwrap_or_default();
        keyed(&key).chain_update(to_sign).verify_slice(&given).map_err(|_| {
            invalid_signature(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.",
            )
        })
    }

    fn canonical_request(&self, request: &Request) -> Result<String, KmsError> {
        let payload = hex::encode(Sha256::digest(&request.body));
        if request.header("x-amz-content-sha256").is_some_and(|claimed| claimed != payload) {
            return Err(invalid_signature(
                "The value of the x-amz-content-sha256 header does not match the calculated hash.",
            ));
        }
        let mut names = self.signed_headers.clone();
        names.sort();
        let mut headers = String::new();
        for name in &names {
            let value = request.header(name).unwrap_or_default();
            let words: Vec<&str> = value.split_whitespace().collect();
            headers.push_str(&format!("{name}:{}\n", words.join(" ")));
        }
        let (method, path, query) = (&request.method, &request.path, &request.query);
        let names = names.join(";");
        Ok(format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}"))
    }
}

fn check_token(request: &Request, credential: &Credential, now_ms: u64) -> Result<(), KmsError> {
    if request.header("x-amz-security-token") != credential.session_token {
        return Err(unrecognized());
    }
    if credential.expires_at_ms.is_some_and(|end| now_ms >= end) {
        return Err(KmsError::new(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ));
    }
    Ok(())
}

fn check_clock(signed_at: u64, now: u64) -> Result<(), KmsError> {
    let show = amz_date::format;
    let (earliest, latest) = (now.saturating_sub(CLOCK_WINDOW_SECS), now + CLOCK_WINDOW_SECS);
    if signed_at < earliest {
        return Err(invalid_signature(format!(
            "Signature expired: {} is now earlier than {} ({} - 5 min.)",
            show(signed_at),
            show(earliest),
            show(now)
        )));
    }
    if signed_at > latest {
        return Err(invalid_signature(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.)",
            show(signed_at),
            show(latest),
            show(now)
        )));
    }
    Ok(())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn first_word(header: &str) -> &str {
    header.split(' ').next().unwrap_or_default()
}

fn unrecognized() -> KmsError {
    KmsError::new(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
}

fn incomplete(message: impl Into<String>) -> KmsError {
    KmsError::new("IncompleteSignatureException", message)
}

fn invalid_signature(message: impl Into<String>) -> KmsError {
    KmsError::new("InvalidSignatureException", message)
}

/// How far a request's timestamp may be from the service's clock.
const CLOCK_WINDOW_SECS: u64 = 300;

const MUST_BE_SIGNED: &[&str] =
    &["x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"];
