//! Request bytes to answer bytes, without any I/O.
//!
//! Called by `faults.rs` for every request that a guest queues. Trusts nothing
//! in the request. Types and encoding are AWS's own crate's (externally tagged
//! CBOR), so what a guest's driver sends and reads is judged by neither our
//! encoder nor our decoder.

use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use serde_bytes::ByteBuf;
use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmError};
use strongroom_sim::SimNsm;

/// Answers one request (CBOR) of a guest, as the module's hardware does.
///
/// Anything that is no request gets `{"Error": "InvalidOperation"}`, and more
/// than [`MAX_REQUEST_LEN`] bytes get `InputTooLarge`: there is always an
/// answer, of at most [`RESPONSE_LEN`] bytes.
#[must_use]
pub fn answer(nsm: &SimNsm, request: &[u8]) -> Vec<u8> {
    let response = match decode(request) {
        Ok(request) => respond(nsm, request, nsm.now_ms()),
        Err(code) => Response::Error(code),
    };
    encode(&response)
}

/// Reads a request. The error is what the guest is to be told.
pub(super) fn decode(request: &[u8]) -> Result<Request, ErrorCode> {
    if request.len() > MAX_REQUEST_LEN {
        return Err(ErrorCode::InputTooLarge);
    }
    serde_cbor::from_slice(request).map_err(|_| ErrorCode::InvalidOperation)
}

/// What the module does about a request at `now_ms`.
pub(super) fn respond(nsm: &SimNsm, request: Request, now_ms: u64) -> Response {
    let done = match request {
        Request::DescribePCR { index } => describe_pcr(nsm, index),
        Request::ExtendPCR { index, data } => pcr(index)
            .and_then(|index| nsm.extend_pcr(index, &data))
            .map(|value| Response::ExtendPCR { data: value.0.to_vec() }),
        Request::LockPCR { index } => {
            pcr(index).and_then(|index| nsm.lock_pcr(index)).map(|()| Response::LockPCR)
        }
        Request::LockPCRs { range } => nsm.lock_pcrs(range).map(|()| Response::LockPCRs),
        Request::DescribeNSM => describe(nsm),
        Request::Attestation { user_data, nonce, public_key } => {
            let request = AttestationRequest {
                public_key: public_key.as_ref().map(ByteBuf::as_ref),
                user_data: user_data.as_ref().map(ByteBuf::as_ref),
                nonce: nonce.as_ref().map(ByteBuf::as_ref),
            };
            nsm.attest_at(&request, now_ms).map(|document| Response::Attestation { document })
        }
        Request::GetRandom => random(nsm),
        // AWS's crate may learn requests that this module does not know.
        _ => Err(NsmError::Refused("InvalidOperation")),
    };
    done.unwrap_or_else(|error| Response::Error(code(error)))
}

/// A response as the guest's driver reads it.
pub(super) fn encode(response: &Response) -> Vec<u8> {
    serde_cbor::to_vec(response).unwrap_or_default()
}

fn describe_pcr(nsm: &SimNsm, index: u16) -> Result<Response, NsmError> {
    let state = nsm.describe_pcr(pcr(index)?)?;
    Ok(Response::DescribePCR { lock: state.locked, data: state.value.0.to_vec() })
}

fn describe(nsm: &SimNsm) -> Result<Response, NsmError> {
    let description = nsm.describe()?;
    let (version_major, version_minor, version_patch) = VERSION;
    Ok(Response::DescribeNSM {
        version_major,
        version_minor,
        version_patch,
        module_id: description.module_id,
        max_pcrs: description.max_pcrs,
        locked_pcrs: description.locked_pcrs.into_iter().collect(),
        digest: Digest::SHA384,
    })
}

fn random(nsm: &SimNsm) -> Result<Response, NsmError> {
    let mut random = vec![0; RANDOM_LEN];
    nsm.random(&mut random)?;
    Ok(Response::GetRandom { random })
}

fn pcr(index: u16) -> Result<u8, NsmError> {
    u8::try_from(index).map_err(|_| NsmError::Refused("InvalidIndex"))
}

fn code(error: NsmError) -> ErrorCode {
    let NsmError::Refused(name) = error else { return ErrorCode::InternalError };
    match name {
        "InvalidArgument" => ErrorCode::InvalidArgument,
        "InvalidIndex" => ErrorCode::InvalidIndex,
        "ReadOnlyIndex" => ErrorCode::ReadOnlyIndex,
        "InvalidOperation" => ErrorCode::InvalidOperation,
        "InputTooLarge" => ErrorCode::InputTooLarge,
        _ => ErrorCode::InternalError,
    }
}

/// Largest request that the device takes, in bytes of CBOR (the driver's
/// `NSM_REQUEST_MAX_SIZE`).
pub const MAX_REQUEST_LEN: usize = 0x1000;
/// Bytes of the buffer that the driver queues for an answer (its
/// `NSM_RESPONSE_MAX_SIZE`).
pub const RESPONSE_LEN: usize = 0x3000;

/// Random bytes per answer, as of hardware.
const RANDOM_LEN: usize = 256;
/// What the module says its version is.
const VERSION: (u16, u16, u16) = (1, 0, 0);

#[cfg(test)]
mod tests;
