//! A header that is written, always of message format 2 and framed.
//!
//! Used by the sealer. Keeps to the limits that a reader has by default.

use super::{EncryptedDataKey, FRAMED, VERSION_2};
use crate::esdk::context::EncryptionContext;
use crate::esdk::keys::{Commitment, MessageId, TAG_LEN};
use crate::esdk::{Limits, SealError, Suite};

/// A header that is written: [`encode`](NewHeader::encode) gives all but its tag.
pub(in crate::esdk) struct NewHeader<'a> {
    pub(in crate::esdk) suite: Suite,
    pub(in crate::esdk) message_id: &'a MessageId,
    pub(in crate::esdk) context: &'a EncryptionContext,
    pub(in crate::esdk) encrypted_data_keys: &'a [EncryptedDataKey],
    pub(in crate::esdk) frame_len: u32,
    pub(in crate::esdk) commitment: &'a Commitment,
}

impl NewHeader<'_> {
    /// Refuses what a reader with [`Limits::DEFAULT`] would refuse.
    pub(in crate::esdk) fn encode(&self) -> Result<Vec<u8>, SealError> {
        let mut bytes = vec![VERSION_2];
        bytes.extend_from_slice(&self.suite.id().to_be_bytes());
        bytes.extend_from_slice(self.message_id.as_ref());
        put_field(&mut bytes, &self.context.encode()?)?;
        self.put_keys(&mut bytes)?;
        bytes.push(FRAMED);
        bytes.extend_from_slice(&self.frame_len.to_be_bytes());
        bytes.extend_from_slice(self.commitment);
        if bytes.len().saturating_add(TAG_LEN) > Limits::DEFAULT.max_header_len {
            return Err(TOO_LONG);
        }
        Ok(bytes)
    }

    fn put_keys(&self, bytes: &mut Vec<u8>) -> Result<(), SealError> {
        let count = self.encrypted_data_keys.len();
        if count == 0 {
            return Err(SealError::NoEncryptedDataKeys);
        }
        let too_many = SealError::TooManyEncryptedDataKeys(count);
        if count > Limits::DEFAULT.max_encrypted_data_keys {
            return Err(too_many);
        }
        bytes.extend_from_slice(&u16::try_from(count).map_err(|_| too_many)?.to_be_bytes());
        for key in self.encrypted_data_keys {
            put_field(bytes, key.provider_id.as_bytes())?;
            put_field(bytes, &key.provider_info)?;
            put_field(bytes, &key.ciphertext)?;
        }
        Ok(())
    }
}

fn put_field(bytes: &mut Vec<u8>, field: &[u8]) -> Result<(), SealError> {
    let len = u16::try_from(field.len()).map_err(|_| TOO_LONG)?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(field);
    Ok(())
}

const TOO_LONG: SealError = SealError::HeaderTooLong(Limits::DEFAULT.max_header_len);
