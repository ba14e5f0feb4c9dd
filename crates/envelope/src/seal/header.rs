//! The header that opens a sealed stream; see [`super`] for its layout.
//!
//! Written by [`super::Setup::start`], read by whoever opens a stream. What is
//! read comes from outside: a header says what a stream claims to be, and only
//! [`super::Opener::new`] and the chunks that follow prove it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};

use super::binding::{self, Binding};
use super::hpke::Enc;
use super::keys::RecipientPublicKey;
use super::{FormatError, MAGIC, MAX_HEADER_LEN, SealError, USER_DATA_LEN};

/// A sealed stream's header.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamHeader {
    request_id: ByteArray<16>,
    job: String,
    args: BTreeMap<String, String>,
    input: ByteBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    padded: bool,
    enc: ByteArray<32>,
    attestation: ByteBuf,
}

impl StreamHeader {
    /// Reads the header at the start of `input` and says how many bytes it took;
    /// `None` when more bytes are needed.
    ///
    /// Only the one encoding that the sealer writes is accepted.
    ///
    /// # Errors
    /// [`FormatError`] as soon as the bytes can no longer become a header.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, FormatError> {
        let magic = input.get(..MAGIC.len()).unwrap_or(input);
        if !MAGIC.starts_with(magic) {
            return Err(FormatError::Magic);
        }
        let Some((&length, rest)) =
            input.get(MAGIC.len()..).and_then(<[u8]>::split_first_chunk::<LENGTH_LEN>)
        else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_HEADER_LEN {
            return Err(FormatError::HeaderTooLong);
        }
        let Some(map) = rest.get(..length) else { return Ok(None) };
        let header: Self = serde_cbor::from_slice(map).map_err(|_| FormatError::Header)?;
        if !binding::is_input_id(&header.input) {
            return Err(FormatError::Header);
        }
        // One encoding per header: refuses duplicate, reordered and numbered
        // keys, long integers and indefinite lengths in one stroke.
        if header.to_cbor() != Some(map.to_vec()) {
            return Err(FormatError::Header);
        }
        Ok(Some((header, PREFIX_LEN.saturating_add(length))))
    }

    pub(super) fn new(binding: &Binding<'_>, enc: Enc) -> Self {
        Self {
            request_id: ByteArray::new(binding.request_id),
            job: binding.job.to_owned(),
            args: binding.args.clone(),
            input: ByteBuf::from(binding.input),
            nonce: binding.nonce.map(ByteBuf::from),
            padded: binding.padded,
            enc: ByteArray::new(enc),
            attestation: ByteBuf::new(),
        }
    }

    /// Appends the header, with this attestation document in it, to `out`.
    pub(super) fn write(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        self.attestation = ByteBuf::from(document);
        let map = self.to_cbor().ok_or(SealError::Fault)?;
        if map.len() > MAX_HEADER_LEN {
            return Err(SealError::HeaderTooLong);
        }
        let length = u32::try_from(map.len()).map_err(|_| SealError::HeaderTooLong)?;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&map);
        Ok(())
    }

    fn to_cbor(&self) -> Option<Vec<u8>> {
        serde_cbor::to_vec(self).ok()
    }

    /// The request that the stream claims to answer, and from which input.
    #[must_use]
    pub fn binding(&self) -> Binding<'_> {
        Binding {
            request_id: self.request_id(),
            job: self.job(),
            args: self.args(),
            input: self.input(),
            nonce: self.nonce(),
            padded: self.is_padded(),
        }
    }

    /// The client's id for the request.
    #[must_use]
    pub fn request_id(&self) -> [u8; 16] {
        *self.request_id
    }

    /// Name of the job.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The job's arguments.
    #[must_use]
    pub const fn args(&self) -> &BTreeMap<String, String> {
        &self.args
    }

    /// Id of the input that was opened, 1 to [`super::MAX_INPUT_ID_LEN`] bytes.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// The client's nonce, when it sent one.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_ref().map(|nonce| nonce.as_slice())
    }

    /// Whether the plaintext ends in padding, which whoever opens the stream
    /// takes off ([`crate::padding`]).
    #[must_use]
    pub const fn is_padded(&self) -> bool {
        self.padded
    }

    /// HPKE's encapsulated key.
    #[must_use]
    pub fn enc(&self) -> &[u8; 32] {
        &self.enc
    }

    /// The attestation document, as the NSM gave it. Not verified.
    #[must_use]
    pub fn attestation(&self) -> &[u8] {
        &self.attestation
    }

    /// The `user_data` that [`Self::attestation`] must carry for the enclave to
    /// have made this stream for this recipient.
    #[must_use]
    pub fn expected_user_data(&self, recipient: &RecipientPublicKey) -> [u8; USER_DATA_LEN] {
        binding::user_data(self.enc(), recipient, &self.binding().info())
    }
}

const LENGTH_LEN: usize = 4;
const PREFIX_LEN: usize = MAGIC.len() + LENGTH_LEN;
