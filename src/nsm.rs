//! The driver of `/dev/nsm`, through AWS's own crate: the second seam's real side.
//!
//! Only `main` makes one. The device answers one request at a time; its calls
//! block, so callers run them off the async threads.

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};
use serde_bytes::ByteBuf;
use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmDescription, NsmError, PcrState};

/// An open `/dev/nsm`.
#[derive(Debug)]
pub struct Device {
    fd: i32,
}

impl Device {
    /// Opens `/dev/nsm`.
    ///
    /// # Errors
    /// [`NsmError::Unavailable`] when there is no such device: not an enclave.
    pub fn open() -> Result<Self, NsmError> {
        let fd = nsm_init();
        if fd < 0 { Err(NsmError::Unavailable) } else { Ok(Self { fd }) }
    }

    fn ask(&self, request: Request) -> Result<Response, NsmError> {
        match nsm_process_request(self.fd, request) {
            Response::Error(code) => Err(NsmError::Refused(reason(&code))),
            response => Ok(response),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        nsm_exit(self.fd);
    }
}

impl Nsm for Device {
    fn attest(&self, request: &AttestationRequest<'_>) -> Result<Vec<u8>, NsmError> {
        let owned = |field: Option<&[u8]>| field.map(|bytes| ByteBuf::from(bytes.to_vec()));
        let response = self.ask(Request::Attestation {
            user_data: owned(request.user_data),
            nonce: owned(request.nonce),
            public_key: owned(request.public_key),
        })?;
        let Response::Attestation { document } = response else {
            return Err(NsmError::UnexpectedAnswer);
        };
        Ok(document)
    }

    fn describe_pcr(&self, index: u8) -> Result<PcrState, NsmError> {
        let response = self.ask(Request::DescribePCR { index: u16::from(index) })?;
        let Response::DescribePCR { lock, data } = response else {
            return Err(NsmError::UnexpectedAnswer);
        };
        let value = data.try_into().map_err(|_| NsmError::UnexpectedAnswer)?;
        Ok(PcrState { value: PcrValue(value), locked: lock })
    }

    fn describe(&self) -> Result<NsmDescription, NsmError> {
        let response = self.ask(Request::DescribeNSM)?;
        let Response::DescribeNSM { module_id, max_pcrs, locked_pcrs, .. } = response else {
            return Err(NsmError::UnexpectedAnswer);
        };
        let locked_pcrs = locked_pcrs.into_iter().collect();
        Ok(NsmDescription { module_id, max_pcrs, locked_pcrs })
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NsmError> {
        let mut left = out;
        while !left.is_empty() {
            let Response::GetRandom { random } = self.ask(Request::GetRandom)? else {
                return Err(NsmError::UnexpectedAnswer);
            };
            let taken = random.len().min(left.len());
            let (now, later) = left.split_at_mut(taken);
            // An empty answer would have us ask for ever.
            match random.get(..taken) {
                Some(bytes) if taken > 0 => now.copy_from_slice(bytes),
                _ => return Err(NsmError::UnexpectedAnswer),
            }
            left = later;
        }
        Ok(())
    }
}

const fn reason(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::Success => "success reported as an error",
        ErrorCode::InvalidArgument => "invalid argument",
        ErrorCode::InvalidIndex => "invalid PCR index",
        ErrorCode::InvalidResponse => "invalid response",
        ErrorCode::ReadOnlyIndex => "the PCR is locked",
        ErrorCode::InvalidOperation => "invalid operation",
        ErrorCode::BufferTooSmall => "buffer too small",
        ErrorCode::InputTooLarge => "input too large",
        ErrorCode::InternalError => "internal error",
    }
}
