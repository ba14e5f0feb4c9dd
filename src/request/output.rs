//! The output of a request: the keys that protect its result.

use strongroom_envelope::esdk::{EncryptionContext, Signer};
use strongroom_envelope::seal::{Binding, Setup};
use strongroom_wire::RequestId;

use crate::error::RequestError;
use crate::job::{BoundJob, BoundKms, BoundOutput};
use crate::output::{FieldKey, FieldKeys, FieldSealer, NewKey, Output, OutputError};
use crate::server::Service;

/// Opens the output of a job; what comes before the result goes to `out`. `input`
/// is the name of what it is made from.
pub(super) async fn open(
    service: &Service,
    id: RequestId,
    job: &BoundJob<'_>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Output, RequestError> {
    match job.output() {
        BoundOutput::None => Ok(Output::clear()),
        BoundOutput::Kms(kms) => kms_output(service, job, kms, out).await,
        BoundOutput::Fields(layout, contexts, kms) => {
            let keys = field_keys(service, job, contexts, kms).await?;
            Ok(Output::fields(FieldSealer::new(layout.clone(), keys, kms.frame, kms.pad_to)))
        }
        BoundOutput::Seal { to, nonce, pad_to } => {
            let nonce = nonce.as_deref();
            let (job, args) = (job.name().as_str(), job.args());
            let padded = pad_to.is_some();
            let binding = Binding { request_id: id.0, job, args, input, nonce, padded };
            let setup = Setup::new(to, &binding).map_err(OutputError::from)?;
            let document = service.keys().attest(nonce, Some(&setup.user_data())).await?;
            Ok(Output::seal(setup, &document, *pad_to, out)?)
        }
    }
}

async fn kms_output(
    service: &Service,
    job: &BoundJob<'_>,
    kms: &BoundKms<'_>,
    out: &mut Vec<u8>,
) -> Result<Output, RequestError> {
    let signer = match kms.signed {
        // Made first: KMS is given its verification key with the context.
        true => Some(Signer::new(&kms.context).map_err(OutputError::from)?),
        false => None,
    };
    let context = signer.as_ref().map_or(&kms.context, Signer::encryption_context);
    let generated = service.keys().generate(job.name(), kms.key, context, kms.reuse).await?;
    let new = NewKey {
        key: &generated.key,
        encrypted: generated.encrypted.clone(),
        meter: generated.meter(),
        context: &kms.context,
        signer,
        frame: kms.frame,
    };
    Ok(Output::kms(new, kms.pad_to, out)?)
}

/// A data key for each of the contexts that differ.
async fn field_keys(
    service: &Service,
    job: &BoundJob<'_>,
    contexts: &[EncryptionContext],
    kms: &BoundKms<'_>,
) -> Result<FieldKeys, RequestError> {
    let (mut keys, mut of_field) = (Vec::<FieldKey>::new(), Vec::new());
    for context in contexts {
        let known = keys.iter().position(|key| key.context == *context);
        of_field.push(known.unwrap_or(keys.len()));
        if known.is_none() {
            let key = service.keys().generate(job.name(), kms.key, context, kms.reuse).await?;
            keys.push(FieldKey {
                encrypted: [key.encrypted.clone()],
                key,
                context: context.clone(),
            });
        }
    }
    Ok(FieldKeys { keys, of_field })
}
