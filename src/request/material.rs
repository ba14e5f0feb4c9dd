//! What an operation needs beside the plaintext: keys of its own, and values to
//! compare with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::IndexError;
use strongroom_envelope::signing::SigningKey;
use strongroom_envelope::token::TokenKey;

use crate::error::RequestError;
use crate::input;
use crate::job::{BoundJob, JobError};
use crate::keys::Handle;
use crate::manifest::Template;
use crate::manifest::fields::IndexRule;
use crate::manifest::operations::{MatchForm, MatchSpec, OperationSpec};
use crate::operation::{Comparand, Material, OperationError, index};
use crate::server::Service;
use crate::shape::FieldError;

/// The material of a job's operation.
pub(super) async fn of(service: &Service, job: &BoundJob<'_>) -> Result<Material, RequestError> {
    match job.operation() {
        OperationSpec::Fields(spec) => match &spec.secret {
            Some(name) => {
                let key = token_key(service, job, name).await?;
                Ok(Material::Token(key, tenant(job, spec.tenant.as_ref())))
            }
            None => Ok(Material::None),
        },
        OperationSpec::Match(spec) => Ok(Material::Comparand(comparand(service, job, spec).await?)),
        OperationSpec::Sign(spec) => {
            let secret = secret(service, job, &spec.secret).await?;
            let key = SigningKey::new(spec.algorithm.into(), secret.expose());
            Ok(Material::Signing(key.map_err(|_| OperationError::Secret)?))
        }
        OperationSpec::Reencrypt
        | OperationSpec::Open
        | OperationSpec::Aggregate(_)
        | OperationSpec::JoinCount(_) => Ok(Material::None),
    }
}

async fn comparand(
    service: &Service,
    job: &BoundJob<'_>,
    spec: &MatchSpec,
) -> Result<Comparand, RequestError> {
    let given = job.args().get(&spec.arg).map(String::as_str).unwrap_or_default();
    let bad = || JobError::BadComparand(spec.arg.clone());
    match &spec.form {
        MatchForm::Indexed { secret, rule, tenant: whose } => {
            let hex = given.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            if !hex || given.len() != rule.bytes.saturating_mul(2) {
                return Err(bad().into());
            }
            let key = token_key(service, job, secret).await?;
            Ok(indexed(&key, rule, &tenant(job, whose.as_ref()), given.to_owned())?)
        }
        MatchForm::Encrypted => {
            let message = STANDARD.decode(given).map_err(|_| bad())?;
            let limits = &service.manifest().limits;
            let Some(first) = job.inputs().first() else { return Err(bad().into()) };
            let value = input::open_value(service.keys(), limits, job, first, &message).await?;
            Ok(Comparand::Value(value))
        }
    }
}

fn indexed(
    key: &TokenKey,
    rule: &IndexRule,
    tenant: &str,
    given: String,
) -> Result<Comparand, OperationError> {
    let index = index::blind_index(key, rule, tenant).map_err(|_| OperationError::Secret)?;
    Ok(Comparand::Index(Box::new(move |value| {
        let value = str::from_utf8(value).map_err(|_| FieldError::NotUtf8)?;
        match index.matches(value, given.as_bytes()) {
            Ok(equal) => Ok(equal),
            // Nothing has no index.
            Err(IndexError::Empty) => Ok(false),
            Err(_) => Err(FieldError::TooLong),
        }
    })))
}

fn tenant(job: &BoundJob<'_>, template: Option<&Template>) -> String {
    template.map(|template| template.fill(job.args())).unwrap_or_default()
}

async fn token_key(
    service: &Service,
    job: &BoundJob<'_>,
    name: &str,
) -> Result<TokenKey, RequestError> {
    let secret = secret(service, job, name).await?;
    Ok(TokenKey::new(secret.expose()).map_err(|_| OperationError::Secret)?)
}

async fn secret(
    service: &Service,
    job: &BoundJob<'_>,
    name: &str,
) -> Result<Handle<SecretBuf>, RequestError> {
    let spec = service.manifest().secrets.get(name).ok_or(OperationError::Secret)?;
    let secret = service.keys().secret(job.name(), spec).await;
    secret.map_err(|error| RequestError::Secret(name.to_owned(), error))
}
