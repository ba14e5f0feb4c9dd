//! What a verifier expects of a genuine document.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::Document;
use crate::error::VerifyError;
use crate::pcr::PcrValue;
use crate::time::UnixTime;
use crate::verify::Mode;

/// What a verifier expects. Everything that is named must hold.
///
/// The default accepts nothing: it names no image. A document stays genuine for
/// about three hours, so a verifier that must know that the enclave is there
/// *now* sends a fresh nonce and names it here.
///
/// PCR4 alone lets any image on that EC2 instance pass, PCR3 any image under
/// that role, PCR8 any image signed with that certificate; PCR0 is the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// For each PCR named, the values any of which will do. At least one of
    /// PCR 0, 1, 2 and 8 must be named, unless `any_image` says otherwise.
    pub pcrs: BTreeMap<u8, Vec<PcrValue>>,
    /// Accept whatever image runs, if `pcrs` names none: for inspecting a
    /// document, never for deciding where data goes.
    pub any_image: bool,
    /// Whether an enclave in debug mode will do.
    pub debug: DebugMode,
    /// The nonce the document must carry.
    pub nonce: Option<Vec<u8>>,
    /// The user data the document must carry.
    pub user_data: Option<Vec<u8>>,
    /// The public key the document must carry.
    pub public_key: Option<Vec<u8>>,
    /// The greatest age of the document.
    pub max_age: Option<Duration>,
}

/// What to do about an enclave in debug mode, whose console the parent reads
/// and whose PCRs vouch for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DebugMode {
    /// Refuse it.
    #[default]
    Refuse,
    /// Accept it: for development only. Its PCR0 is zero, so a policy that
    /// names the real PCR0 still refuses it.
    Allow,
}

impl Policy {
    /// A policy for enclaves whose PCRs have the given values.
    #[must_use]
    pub fn for_pcrs(pcrs: impl IntoIterator<Item = (u8, PcrValue)>) -> Self {
        let pcrs = pcrs.into_iter().fold(BTreeMap::new(), |mut all, (index, value)| {
            all.entry(index).or_insert_with(Vec::new).push(value);
            all
        });
        Self { pcrs, ..Self::default() }
    }

    /// A policy that accepts any production enclave: for inspecting a document,
    /// never for deciding where data goes.
    #[must_use]
    pub fn any_image() -> Self {
        Self { any_image: true, ..Self::default() }
    }

    /// Judges a document whose signature was verified.
    pub(crate) fn check(
        &self,
        document: &Document<'_>,
        now: UnixTime,
    ) -> Result<Mode, VerifyError> {
        self.check_age(document, now)?;
        let mode = mode(document);
        if mode == Mode::Debug && self.debug == DebugMode::Refuse {
            return Err(VerifyError::DebugMode);
        }
        self.check_pcrs(document)?;
        if !holds(self.nonce.as_deref(), document.nonce) {
            return Err(VerifyError::NonceMismatch);
        }
        if !holds(self.user_data.as_deref(), document.user_data) {
            return Err(VerifyError::UserDataMismatch);
        }
        if !holds(self.public_key.as_deref(), document.public_key) {
            return Err(VerifyError::PublicKeyMismatch);
        }
        Ok(mode)
    }

    fn check_age(&self, document: &Document<'_>, now: UnixTime) -> Result<(), VerifyError> {
        let age = now.saturating_since(UnixTime::from_millis(document.timestamp_ms));
        match self.max_age {
            Some(max_age) if age > max_age => Err(VerifyError::TooOld { age, max_age }),
            _ => Ok(()),
        }
    }

    fn check_pcrs(&self, document: &Document<'_>) -> Result<(), VerifyError> {
        if !self.any_image && !IMAGE_PCRS.iter().any(|index| self.pcrs.contains_key(index)) {
            return Err(VerifyError::ImageUnpinned);
        }
        for (&index, expected) in &self.pcrs {
            let found = document.pcrs.get(&index).copied();
            if !found.is_some_and(|value| expected.contains(&value)) {
                return Err(VerifyError::PcrMismatch { index, expected: expected.clone(), found });
            }
        }
        Ok(())
    }
}

/// Debug mode zeroes PCR0 (and leaves PCR3 and PCR4 real). A module that does
/// not report PCR0 proves no image either.
fn mode(document: &Document<'_>) -> Mode {
    match document.pcrs.get(&0) {
        Some(value) if !value.is_zero() => Mode::Production,
        _ => Mode::Debug,
    }
}

/// Plain comparison: whoever sees the document knows both sides of it.
fn holds(expected: Option<&[u8]>, found: Option<&[u8]>) -> bool {
    expected.is_none() || expected == found
}

/// Image, kernel, application, signing certificate.
const IMAGE_PCRS: [u8; 4] = [0, 1, 2, 8];
