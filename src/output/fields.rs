//! Fields of records, each encrypted on its own and put back in its place.
//!
//! All are under one new data key: every message has an id of its own, and so
//! an encryption key of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext, FrameLen, Sealer};
use strongroom_envelope::{DataKey, SecretBuf};

use super::{OutputError, padder};
use crate::shape::{Edit, FieldError, Kind, Layout, Records, Value, Visitor};

/// Encrypts the fields of a layout.
pub struct FieldSealer {
    records: Records,
    sealer: Fields,
    /// Records that have not ended.
    pending: SecretBuf,
    written: SecretBuf,
}

struct Fields {
    key: DataKey,
    encrypted: [EncryptedDataKey; 1],
    context: EncryptionContext,
    frame: FrameLen,
    pad_to: Option<usize>,
}

impl FieldSealer {
    /// Encrypts the fields of `layout` under `key`.
    #[must_use]
    pub fn new(
        layout: Layout,
        key: DataKey,
        encrypted: EncryptedDataKey,
        context: EncryptionContext,
        frame: FrameLen,
        pad_to: Option<usize>,
    ) -> Self {
        Self {
            records: Records::new(layout),
            sealer: Fields { key, encrypted: [encrypted], context, frame, pad_to },
            pending: SecretBuf::new(),
            written: SecretBuf::new(),
        }
    }

    /// Takes more of the records and appends those that are whole to `out`.
    pub(super) fn seal(
        &mut self,
        result: &SecretBuf,
        out: &mut Vec<u8>,
    ) -> Result<(), OutputError> {
        self.pending.extend_from_slice(result.expose());
        self.records(false, out)
    }

    pub(super) fn memory(&self) -> usize {
        self.pending.capacity().saturating_add(self.written.capacity())
    }

    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), OutputError> {
        self.records(true, out)
    }

    fn records(&mut self, at_end: bool, out: &mut Vec<u8>) -> Result<(), OutputError> {
        let (records, written) = (&mut self.records, &mut self.written);
        let used =
            records.process(self.pending.expose(), at_end, &mut self.sealer, Some(written))?;
        self.pending.consume(used);
        // All that was secret in it is encrypted now.
        out.extend_from_slice(self.written.expose());
        self.written.clear();
        Ok(())
    }
}

impl Visitor for Fields {
    fn field(
        &mut self,
        _field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        match value.kind {
            // What was empty before stays so: there was nothing to open.
            Kind::Null => return Ok(Edit::Keep),
            Kind::Text if value.text.is_empty() => return Ok(Edit::Keep),
            Kind::Text => {}
            Kind::Number | Kind::Bool | Kind::Nested => return Err(FieldError::NotACiphertext),
        }
        let mut message = Vec::new();
        self.message(value.text, &mut message).map_err(|_| FieldError::NotEncrypted)?;
        new.extend_from_slice(STANDARD.encode(&message).as_bytes());
        Ok(Edit::Text)
    }
}

impl Fields {
    fn message(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), OutputError> {
        let mut sealer = Sealer::new(&self.key, &self.context, &self.encrypted, self.frame, out)?;
        sealer.seal(text, out)?;
        if let Some(mut padder) = padder(self.pad_to)? {
            padder.count(u64::try_from(text.len()).unwrap_or(u64::MAX));
            let (mut padding, mut piece) = (padder.finish(), SecretBuf::new());
            while padding.emit(&mut piece) > 0 {
                sealer.seal(piece.expose(), out)?;
                piece.clear();
            }
        }
        Ok(sealer.finish(out)?)
    }
}
