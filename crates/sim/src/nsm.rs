//! A simulated Nitro Secure Module.
//!
//! Tests and the demo hand it to the service as its [`Nsm`]; the emulator puts
//! it behind `/dev/nsm`. It trusts whoever holds it: PCRs are what its builder
//! was told.

use std::sync::Mutex;

use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{
    AttestationRequest, MAX_FIELD_LEN, Nsm, NsmDescription, NsmError, PcrState,
};

use crate::pki::{Chain, ModuleName};
use crate::{Clock, NitroCa, lock};
use pcrs::{PCR_COUNT, PcrBank};

mod builder;
mod document;
mod pcrs;

pub use builder::SimNsmBuilder;
pub use document::PayloadForm;

/// A simulated Nitro Secure Module with its own root of trust.
pub struct SimNsm {
    ca: NitroCa,
    region: String,
    instance_id: String,
    module_id: String,
    form: PayloadForm,
    clock: Clock,
    pcrs: Mutex<PcrBank>,
    chain: Mutex<Chain>,
}

impl SimNsm {
    /// A builder with plausible defaults: a production enclave in `eu-west-1`
    /// under a role of account 111122223333, with a root of its own.
    #[must_use]
    pub fn builder() -> SimNsmBuilder {
        SimNsmBuilder::default()
    }

    /// The root certificate that its documents verify against, DER.
    #[must_use]
    pub fn trust_root_der(&self) -> Vec<u8> {
        self.ca.root_der().to_vec()
    }

    /// The authority it is under, to build further modules under the same root.
    #[must_use]
    pub fn ca(&self) -> NitroCa {
        self.ca.clone()
    }

    /// The enclave's id, `<instance id>-enc<slot>`.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// A PCR's value as policies write it: 96 lower-case hex characters.
    ///
    /// # Errors
    /// [`NsmError::Refused`] for an index above 31.
    pub fn pcr_hex(&self, index: u8) -> Result<String, NsmError> {
        Ok(hex::encode(lock(&self.pcrs).describe(index)?.value.0))
    }

    /// Extends a PCR: SHA-384(old‖data). Returns the new value.
    ///
    /// # Errors
    /// [`NsmError::Refused`] when the PCR is locked or unknown.
    pub fn extend_pcr(&self, index: u8, data: &[u8]) -> Result<PcrValue, NsmError> {
        lock(&self.pcrs).extend(index, data)
    }

    /// Locks a PCR against extension; from then on documents show it.
    ///
    /// # Errors
    /// [`NsmError::Refused`] when it is locked already or unknown.
    pub fn lock_pcr(&self, index: u8) -> Result<(), NsmError> {
        lock(&self.pcrs).lock(index)
    }

    /// Locks PCRs 0 to `range` (exclusive), locked ones included.
    ///
    /// # Errors
    /// [`NsmError::Refused`] when `range` is above 32.
    pub fn lock_pcrs(&self, range: u16) -> Result<(), NsmError> {
        lock(&self.pcrs).lock_range(range)
    }

    /// What the module's clock says, unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// A document as of `now_ms` (unix milliseconds) instead of the module's
    /// own time: what a module with a wrong clock gives.
    ///
    /// # Errors
    /// [`NsmError::Refused`] when a field or the whole request is too long.
    pub fn attest_at(
        &self,
        request: &AttestationRequest<'_>,
        now_ms: u64,
    ) -> Result<Vec<u8>, NsmError> {
        let fields = [request.public_key, request.user_data, request.nonce];
        if fields.iter().flatten().any(|field| field.len() > MAX_FIELD_LEN) {
            return Err(NsmError::Refused("InvalidArgument"));
        }
        if document::request_len(request)? > MAX_REQUEST_LEN {
            return Err(NsmError::Refused("InputTooLarge"));
        }
        let mut chain = lock(&self.chain);
        if !chain.serves(now_ms / 1000) {
            *chain = Chain::issue(&self.ca, &self.name(), now_ms / 1000)
                .map_err(|_| NsmError::Refused("InternalError"))?;
        }
        let shown = lock(&self.pcrs).shown();
        let content = document::Content {
            module_id: &self.module_id,
            timestamp_ms: now_ms,
            pcrs: &shown,
            request,
        };
        document::sign(&content, &chain, self.form)
    }

    fn name(&self) -> ModuleName<'_> {
        ModuleName {
            region: &self.region,
            instance_id: &self.instance_id,
            module_id: &self.module_id,
        }
    }
}

impl Nsm for SimNsm {
    fn attest(&self, request: &AttestationRequest<'_>) -> Result<Vec<u8>, NsmError> {
        self.attest_at(request, self.now_ms())
    }

    fn describe_pcr(&self, index: u8) -> Result<PcrState, NsmError> {
        lock(&self.pcrs).describe(index)
    }

    fn describe(&self) -> Result<NsmDescription, NsmError> {
        Ok(NsmDescription {
            module_id: self.module_id.clone(),
            max_pcrs: u16::from(PCR_COUNT),
            locked_pcrs: lock(&self.pcrs).locked(),
        })
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NsmError> {
        rand::fill(out);
        Ok(())
    }
}

/// Largest request the device takes, in bytes of CBOR.
const MAX_REQUEST_LEN: usize = 0x1000;
