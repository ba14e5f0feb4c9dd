//! Attestation documents: the payload map (ciborium) in a COSE_Sign1 (coset).

use ciborium::Value;
use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, iana};
use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{AttestationRequest, NsmError};

use crate::pki::Chain;

/// How the payload map is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadForm {
    /// Indefinite-length map (`BF … FF`), as hypervisors since August 2025.
    #[default]
    Indefinite,
    /// Definite map of nine (`A9`), as hypervisors before.
    Definite,
}

/// What a document says.
pub(super) struct Content<'a> {
    pub(super) module_id: &'a str,
    pub(super) timestamp_ms: u64,
    pub(super) pcrs: &'a [(u8, PcrValue)],
    pub(super) request: &'a AttestationRequest<'a>,
}

/// The signed document: an untagged COSE_Sign1 under the chain's leaf.
pub(super) fn sign(
    content: &Content<'_>,
    chain: &Chain,
    form: PayloadForm,
) -> Result<Vec<u8>, NsmError> {
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(iana::Algorithm::ES384).build())
        .payload(payload(content, chain, form)?)
        .create_signature(&[], |to_be_signed| chain.key.sign_cose(to_be_signed))
        .build()
        .to_vec()
        .map_err(|_| INTERNAL)
}

/// Bytes the driver would send for this request: the device's limit is on them.
pub(super) fn request_len(request: &AttestationRequest<'_>) -> Result<usize, NsmError> {
    let field = |name: &str, value| (Value::Text(name.into()), optional(value));
    let fields = Value::Map(vec![
        field("user_data", request.user_data),
        field("nonce", request.nonce),
        field("public_key", request.public_key),
    ]);
    Ok(encode(&Value::Map(vec![(Value::Text("Attestation".into()), fields)]))?.len())
}

fn payload(content: &Content<'_>, chain: &Chain, form: PayloadForm) -> Result<Vec<u8>, NsmError> {
    let entries = entries(content, chain);
    let mut out = match form {
        PayloadForm::Indefinite => vec![0xbf],
        PayloadForm::Definite => vec![0xa0 | u8::try_from(entries.len()).unwrap_or(0)],
    };
    for (name, value) in entries {
        out.extend(encode(&Value::Text(name.into()))?);
        out.extend(encode(&value)?);
    }
    if form == PayloadForm::Indefinite {
        out.push(0xff);
    }
    Ok(out)
}

/// The nine entries in hardware's order.
fn entries(content: &Content<'_>, chain: &Chain) -> [(&'static str, Value); 9] {
    let pcrs = content
        .pcrs
        .iter()
        .map(|(index, value)| (Value::Integer((*index).into()), Value::Bytes(value.0.to_vec())));
    let cabundle = chain.cabundle.iter().cloned().map(Value::Bytes);
    [
        ("module_id", Value::Text(content.module_id.into())),
        ("digest", Value::Text("SHA384".into())),
        ("timestamp", Value::Integer(content.timestamp_ms.into())),
        ("pcrs", Value::Map(pcrs.collect())),
        ("certificate", Value::Bytes(chain.certificate.clone())),
        ("cabundle", Value::Array(cabundle.collect())),
        ("public_key", optional(content.request.public_key)),
        ("user_data", optional(content.request.user_data)),
        ("nonce", optional(content.request.nonce)),
    ]
}

fn optional(field: Option<&[u8]>) -> Value {
    field.map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec()))
}

fn encode(value: &Value) -> Result<Vec<u8>, NsmError> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|_| INTERNAL)?;
    Ok(out)
}

const INTERNAL: NsmError = NsmError::Refused("InternalError");
