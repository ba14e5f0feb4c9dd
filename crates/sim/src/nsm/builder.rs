//! How a test or the demo describes the module it wants.

use std::collections::BTreeMap;
use std::sync::Mutex;

use strongroom_attestation::PcrValue;

use super::pcrs::{PcrBank, first_extend, measure};
use super::{PayloadForm, SimNsm};
use crate::pki::{Chain, ModuleName};
use crate::{Clock, NitroCa, SimError, system_clock};

/// Builds a [`SimNsm`].
pub struct SimNsmBuilder {
    ca: Option<NitroCa>,
    region: String,
    instance_id: String,
    slot: u64,
    role_arn: Option<String>,
    image: Vec<u8>,
    signing_certificate: Option<Vec<u8>>,
    pcrs: BTreeMap<u8, [u8; 48]>,
    debug: bool,
    form: PayloadForm,
    clock: Clock,
}

impl Default for SimNsmBuilder {
    fn default() -> Self {
        Self {
            ca: None,
            region: "eu-west-1".into(),
            instance_id: "i-0123456789abcdef0".into(),
            slot: 0x0190_0000_0000_0001,
            role_arn: Some("arn:aws:iam::111122223333:role/strongroom-parent".into()),
            image: b"strongroom simulated image".to_vec(),
            signing_certificate: None,
            pcrs: BTreeMap::new(),
            debug: false,
            form: PayloadForm::default(),
            clock: system_clock(),
        }
    }
}

impl SimNsmBuilder {
    /// The root to be under; a new one when not called.
    #[must_use]
    pub fn ca(mut self, ca: &NitroCa) -> Self {
        self.ca = Some(ca.clone());
        self
    }

    /// The AWS Region in the certificates' names.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = region.into();
        self
    }

    /// The parent's instance id (`i-` and 17 hex digits), which is PCR4 too.
    #[must_use]
    pub fn instance_id(mut self, instance_id: &str) -> Self {
        self.instance_id = instance_id.into();
        self
    }

    /// The enclave's number on its parent: the 16 hex digits after `-enc`.
    #[must_use]
    pub fn slot(mut self, slot: u64) -> Self {
        self.slot = slot;
        self
    }

    /// The parent's IAM role, which is PCR3. `None`: the parent has no role,
    /// PCR3 is zero.
    #[must_use]
    pub fn role_arn(mut self, role_arn: Option<&str>) -> Self {
        self.role_arn = role_arn.map(Into::into);
        self
    }

    /// Stands for the image: PCR0, 1 and 2 are measured from these bytes.
    #[must_use]
    pub fn image(mut self, image: &[u8]) -> Self {
        self.image = image.to_vec();
        self
    }

    /// The image's signing certificate (DER), which is PCR8; zero without one.
    #[must_use]
    pub fn signing_certificate(mut self, der: &[u8]) -> Self {
        self.signing_certificate = Some(der.to_vec());
        self
    }

    /// Sets a PCR of 0..=15 outright, whatever it would be measured from;
    /// [`SimNsmBuilder::debug`] still zeroes it.
    #[must_use]
    pub fn pcr(mut self, index: u8, value: PcrValue) -> Self {
        self.pcrs.insert(index, value.0);
        self
    }

    /// An enclave in debug mode: PCR0, 1, 2 and 8 are zero, PCR3 and PCR4 are
    /// the real values all the same, as on hardware.
    #[must_use]
    pub fn debug(mut self) -> Self {
        self.debug = true;
        self
    }

    /// How documents write their payload map.
    #[must_use]
    pub fn payload_form(mut self, form: PayloadForm) -> Self {
        self.form = form;
        self
    }

    /// The module's clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the module, its root (unless given) and its certificates.
    ///
    /// # Errors
    /// [`SimError::Certificate`] when a name does not fit a certificate.
    pub fn build(self) -> Result<SimNsm, SimError> {
        let ca = self.ca.clone().map_or_else(NitroCa::new, Ok)?;
        let module_id = format!("{}-enc{:016x}", self.instance_id, self.slot);
        let name = ModuleName {
            region: &self.region,
            instance_id: &self.instance_id,
            module_id: &module_id,
        };
        let chain = Chain::issue(&ca, &name, (self.clock)() / 1000)?;
        Ok(SimNsm {
            pcrs: Mutex::new(PcrBank::at_start(self.start_values())),
            chain: Mutex::new(chain),
            ca,
            module_id,
            region: self.region,
            instance_id: self.instance_id,
            form: self.form,
            clock: self.clock,
        })
    }

    fn start_values(&self) -> [[u8; 48]; 16] {
        std::array::from_fn(|index| {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            if self.debug && matches!(index, 0..=2 | 8) {
                return [0; 48];
            }
            self.pcrs.get(&index).copied().unwrap_or_else(|| self.measured(index))
        })
    }

    fn measured(&self, index: u8) -> [u8; 48] {
        let text = |text: &Option<String>| text.as_ref().map(|text| first_extend(text.as_bytes()));
        let part = |part: &[u8]| Some(measure(&[&self.image, part].concat()));
        let value = match index {
            0 => part(b""),
            1 => part(b"/kernel"),
            2 => part(b"/application"),
            3 => text(&self.role_arn),
            4 => Some(first_extend(self.instance_id.as_bytes())),
            8 => self.signing_certificate.as_deref().map(measure),
            _ => None,
        };
        value.unwrap_or([0; 48])
    }
}
