//! Fields of records, each encrypted on its own and put back in its place.
//!
//! Fields of one encryption context have one data key: every message has an id of
//! its own, and so an encryption key of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext, FrameLen, SealError, Sealer};

use super::{OutputError, padder};
use crate::keys::{Generated, Handle};
use crate::shape::{Edit, FieldError, Kind, Layout, Records, Value, Visitor};

/// Encrypts the fields of a layout.
pub struct FieldSealer {
    records: Records,
    sealer: Fields,
    /// Records that have not ended.
    pending: SecretBuf,
    written: SecretBuf,
}

/// What fields of one encryption context are encrypted with.
pub struct FieldKey {
    /// The data key.
    pub key: Handle<Generated>,
    /// The data key, encrypted under the KMS key.
    pub encrypted: [EncryptedDataKey; 1],
    /// Encryption context.
    pub context: EncryptionContext,
}

/// The data keys of a layout's fields: one for each context.
pub struct FieldKeys {
    /// The data keys.
    pub keys: Vec<FieldKey>,
    /// Which of them each field has, in the layout's order.
    pub of_field: Vec<usize>,
}

struct Fields {
    keys: FieldKeys,
    frame: FrameLen,
    pad_to: Option<usize>,
}

impl FieldSealer {
    /// Encrypts the fields of `layout` under `keys`.
    #[must_use]
    pub fn new(layout: Layout, keys: FieldKeys, frame: FrameLen, pad_to: Option<usize>) -> Self {
        Self {
            records: Records::new(layout),
            sealer: Fields { keys, frame, pad_to },
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
        field: usize,
        value: Value<'_>,
        new: &mut SecretBuf,
    ) -> Result<Edit, FieldError> {
        match value.kind {
            // What was empty before stays so: there was nothing to open.
            Kind::Null => return Ok(Edit::Keep),
            // Unless its length is to be hidden: it may have been opened.
            Kind::Text if value.text.is_empty() && self.pad_to.is_none() => return Ok(Edit::Keep),
            Kind::Text => {}
            Kind::Number | Kind::Bool | Kind::Nested => return Err(FieldError::NotACiphertext),
        }
        let mut message = Vec::new();
        self.message(field, value.text, &mut message).map_err(|_| FieldError::NotEncrypted)?;
        new.extend_from_slice(STANDARD.encode(&message).as_bytes());
        Ok(Edit::Text)
    }
}

impl Fields {
    fn message(&self, field: usize, text: &[u8], out: &mut Vec<u8>) -> Result<(), OutputError> {
        let FieldKeys { keys, of_field } = &self.keys;
        let key = of_field.get(field).and_then(|index| keys.get(*index));
        let FieldKey { key, encrypted, context } = key.ok_or(SealError::NoEncryptedDataKeys)?;
        key.add(text.len());
        let mut sealer = Sealer::new(&key.key, context, encrypted, self.frame, out)?;
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
