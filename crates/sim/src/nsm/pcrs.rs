//! The module's bank of 32 PCRs.

use sha2::{Digest, Sha384};
use strongroom_attestation::PcrValue;
use strongroom_attestation::nsm::{NsmError, PcrState};

/// PCRs a Nitro module has.
pub(super) const PCR_COUNT: u8 = 32;
/// The hypervisor locks PCR0..15 before the enclave runs.
pub(super) const LOCKED_AT_START: u8 = 16;

/// 32 values of 48 bytes, each open or locked.
pub(super) struct PcrBank(Vec<PcrState>);

impl PcrBank {
    /// A bank as an enclave finds it: the given values locked, the rest zero.
    pub(super) fn at_start(values: [[u8; 48]; 16]) -> Self {
        let locked = values.map(|value| PcrState { value: PcrValue(value), locked: true });
        let open = PcrState { value: PcrValue([0; 48]), locked: false };
        let mut bank = locked.to_vec();
        bank.resize(usize::from(PCR_COUNT), open);
        Self(bank)
    }

    pub(super) fn describe(&self, index: u8) -> Result<PcrState, NsmError> {
        self.0.get(usize::from(index)).copied().ok_or(INVALID_INDEX)
    }

    pub(super) fn extend(&mut self, index: u8, data: &[u8]) -> Result<PcrValue, NsmError> {
        let pcr = self.open(index)?;
        let digest = Sha384::new_with_prefix(pcr.value.0).chain_update(data).finalize();
        pcr.value = PcrValue(digest.into());
        Ok(pcr.value)
    }

    pub(super) fn lock(&mut self, index: u8) -> Result<(), NsmError> {
        self.open(index)?.locked = true;
        Ok(())
    }

    pub(super) fn lock_range(&mut self, range: u16) -> Result<(), NsmError> {
        if range > u16::from(PCR_COUNT) {
            return Err(INVALID_INDEX);
        }
        for pcr in self.0.iter_mut().take(usize::from(range)) {
            pcr.locked = true;
        }
        Ok(())
    }

    pub(super) fn locked(&self) -> Vec<u16> {
        (0u16..).zip(&self.0).filter(|(_, pcr)| pcr.locked).map(|(index, _)| index).collect()
    }

    /// What a document shows: PCR0..15, and later ones once locked.
    pub(super) fn shown(&self) -> Vec<(u8, PcrValue)> {
        (0u8..)
            .zip(&self.0)
            .filter(|(index, pcr)| *index < LOCKED_AT_START || pcr.locked)
            .map(|(index, pcr)| (index, pcr.value))
            .collect()
    }

    fn open(&mut self, index: u8) -> Result<&mut PcrState, NsmError> {
        let pcr = self.0.get_mut(usize::from(index)).ok_or(INVALID_INDEX)?;
        if pcr.locked { Err(NsmError::Refused("ReadOnlyIndex")) } else { Ok(pcr) }
    }
}

/// SHA384(0^48 ‖ data): how every PCR starts out.
pub(super) fn first_extend(data: &[u8]) -> [u8; 48] {
    Sha384::new_with_prefix([0; 48]).chain_update(data).finalize().into()
}

/// PCR0, 1, 2 and 8 hash the content before they extend.
pub(super) fn measure(content: &[u8]) -> [u8; 48] {
    first_extend(&Sha384::digest(content))
}

const INVALID_INDEX: NsmError = NsmError::Refused("InvalidIndex");
