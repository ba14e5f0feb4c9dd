//! Every key and every nonce of a message: nothing else makes either.
//!
//! Used by the opener and the sealer. For message format 2 (RFC 5869 names):
//!
//! ```text
//! PRK            = HKDF-Extract(SHA-512, salt = message id, data key)
//! commitment     = HKDF-Expand(PRK, "COMMITKEY", 32)
//! encryption key = HKDF-Expand(PRK, suite id ‖ "DERIVEKEY", 32)
//! header nonce   = 12 zero bytes
//! frame nonce    = frame number, 12 bytes big-endian, from 1
//! ```
//!
//! For message format 1, which is read only:
//!
//! ```text
//! PRK            = HKDF-Extract(SHA-256 or SHA-384, salt = zeros, data key)
//! encryption key = HKDF-Expand(PRK, suite id ‖ message id, AES key length)
//!                  or the data key itself
//! header nonce   = as it stands in the header
//! frame nonce    = as above; 1 for content that is not framed
//! ```
//!
//! Each message that is written has its own random id and so its own encryption
//! key; within it a nonce is a [`FrameNumber`], which can be had once and used
//! once.

mod committing;

use std::num::NonZeroU32;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384};
use aws_lc_rs::{hkdf, rand};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::committing::Prk;
use super::suite::{Derivation, Suite};
use super::{DecryptFailed, SealError};
use crate::{DataKey, stack};

/// Length of the tag after each ciphertext, in bytes.
pub(super) const TAG_LEN: usize = 16;

/// A message's id: random, different for each message.
///
/// Its length is the message format's; `as_ref` gives the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageId {
    /// Of message format 1.
    V1([u8; 16]),
    /// Of message format 2, where it is the salt of the key derivation too.
    V2([u8; 32]),
}

impl AsRef<[u8]> for MessageId {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::V1(id) => id,
            Self::V2(id) => id,
        }
    }
}

impl From<MessageId> for Vec<u8> {
    fn from(id: MessageId) -> Self {
        id.as_ref().to_vec()
    }
}

/// What a header holds to commit to its data key.
pub(super) type Commitment = [u8; 32];

/// What stands in a header, or is understood, as its IV.
pub(super) type HeaderIv = [u8; NONCE_LEN];

/// The header IV of message format 2, which is not stored.
pub(super) const ZERO_IV: HeaderIv = [0; NONCE_LEN];

/// A fresh message id.
pub(super) fn random_message_id() -> Result<MessageId, SealError> {
    let mut id = [0; 32];
    rand::fill(&mut id).map_err(|_| SealError::Crypto)?;
    Ok(MessageId::V2(id))
}

/// The key that header and body of one message are encrypted under.
///
/// For a message that is read in a committing suite, it exists only if the
/// commitment matched.
pub(super) struct MessageKey(LessSafeKey);

impl MessageKey {
    /// The key of a message that is read.
    ///
    /// Fails for a data key of another length than the suite's, and for a
    /// commitment that does not match, or is there or missing against the suite.
    pub(super) fn of_message(
        data_key: &DataKey,
        suite: Suite,
        message_id: &MessageId,
        commitment: Option<&Commitment>,
    ) -> Result<Self, DecryptFailed> {
        let key = data_key.expose();
        if key.len() != suite.data_key_len() {
            return Err(DecryptFailed);
        }
        stack::erased(|| Self::derived(key, suite, message_id, commitment))
    }

    fn derived(
        key: &[u8],
        suite: Suite,
        message_id: &MessageId,
        commitment: Option<&Commitment>,
    ) -> Result<Self, DecryptFailed> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#supported-algorithm-suites-by-name
        let derived = match (suite.derivation(), commitment) {
            (Derivation::Committing, Some(commitment)) => {
                return Self::committed(key, suite, message_id, commitment);
            }
            (Derivation::None, None) => Self::new(suite, key),
            (Derivation::HkdfSha256, None) => {
                Self::derive_v1(&extract(HKDF_SHA256, &[0; 32], key), suite, message_id)
            }
            (Derivation::HkdfSha384, None) => {
                Self::derive_v1(&extract(HKDF_SHA384, &[0; 48], key), suite, message_id)
            }
            (Derivation::Committing, None) | (_, Some(_)) => return Err(DecryptFailed),
        };
        derived.map_err(|_| DecryptFailed)
    }

    /// The key of a message that is written, and what commits to it.
    pub(super) fn committing(
        data_key: &DataKey,
        suite: Suite,
        message_id: &MessageId,
    ) -> Result<(Self, Commitment), SealError> {
        let key = data_key.expose();
        if key.len() != suite.data_key_len() {
            return Err(SealError::DataKeyLen);
        }
        stack::erased(|| {
            let prk = Prk::extract(message_id.as_ref(), key);
            Ok((Self::derive_v2(&prk, suite)?, prk.commitment()?))
        })
        .map_err(|Unspecified| SealError::Crypto)
    }

    /// Checks the tag over a header, or whatever else it covers.
    pub(super) fn verify_header(
        &self,
        covered: &[u8],
        iv: &HeaderIv,
        tag: &[u8],
    ) -> Result<(), DecryptFailed> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.0
            .open_separate_gather(nonce, Aad::from(covered), &[], tag, &mut [])
            .map_err(|_| DecryptFailed)
    }

    /// The tag over a header.
    pub(super) fn tag_header(&self, header: &[u8]) -> Result<[u8; TAG_LEN], SealError> {
        let mut tag = [0; TAG_LEN];
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(ZERO_IV),
                Aad::from(header),
                &[],
                &mut [],
                &[],
                &mut tag,
            )
            .map_err(|_| SealError::Crypto)?;
        Ok(tag)
    }

    /// Opens a frame from `ciphertext` into `plaintext`, of the same length.
    ///
    /// After an error `plaintext` holds nothing that may be used.
    pub(super) fn open_frame(
        &self,
        number: FrameNumber,
        aad: impl AsRef<[u8]>,
        ciphertext: &[u8],
        tag: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), DecryptFailed> {
        self.0
            .open_separate_gather(number.into_nonce(), Aad::from(aad), ciphertext, tag, plaintext)
            .map_err(|_| DecryptFailed)
    }

    /// Seals `plaintext` into `ciphertext`, of the same length, and `tag`.
    pub(super) fn seal_frame(
        &self,
        number: FrameNumber,
        aad: impl AsRef<[u8]>,
        plaintext: &[u8],
        ciphertext: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SealError> {
        let nonce = number.into_nonce();
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], tag)
            .map_err(|_| SealError::Crypto)
    }

    fn committed(
        data_key: &[u8],
        suite: Suite,
        message_id: &MessageId,
        commitment: &Commitment,
    ) -> Result<Self, DecryptFailed> {
        let prk = Prk::extract(message_id.as_ref(), data_key);
        let expected = prk.commitment().map_err(|_| DecryptFailed)?;
        if !bool::from(expected.ct_eq(commitment)) {
            return Err(DecryptFailed);
        }
        Self::derive_v2(&prk, suite).map_err(|_| DecryptFailed)
    }

    fn derive_v1(prk: &hkdf::Prk, suite: Suite, id: &MessageId) -> Result<Self, Unspecified> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#algorithm-suites-encryption-key-derivation-settings
        let mut key = Zeroizing::new([0; DataKey::LEN]);
        let key = key.get_mut(..suite.data_key_len()).ok_or(Unspecified)?;
        let info: [&[u8]; 2] = [&suite.id().to_be_bytes(), id.as_ref()];
        // In place: a key returned by value would leave a copy on the stack.
        prk.expand(&info, KeyLen(key.len()))?.fill(key)?;
        Self::new(suite, key)
    }

    fn derive_v2(prk: &Prk, suite: Suite) -> Result<Self, Unspecified> {
        let mut key = Zeroizing::new([0; DataKey::LEN]);
        prk.encryption_key(suite, &mut key)?;
        Self::new(suite, key.as_ref())
    }

    fn new(suite: Suite, key: &[u8]) -> Result<Self, Unspecified> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(suite.aes().gcm(), key)?)))
    }
}

/// Whether a frame is the last of its message; content that is not framed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Regular,
    Final,
}

/// Gives out the numbers 1 to 2³² − 1, each once, in order.
pub(super) struct FrameCounter {
    next: Option<NonZeroU32>,
}

impl FrameCounter {
    pub(super) const fn new() -> Self {
        Self { next: Some(NonZeroU32::MIN) }
    }

    /// The number that [`FrameCounter::take`] would give for a final frame.
    pub(super) fn peek(&self) -> Option<u32> {
        self.next.map(NonZeroU32::get)
    }

    /// The next number; `None` when all are used. The largest is kept for a
    /// final frame: as a regular frame's it would read as the final mark.
    pub(super) fn take(&mut self, kind: FrameKind) -> Option<FrameNumber> {
        let number = self.next?;
        if kind == FrameKind::Regular && number == NonZeroU32::MAX {
            return None;
        }
        self.next = number.checked_add(1);
        Some(FrameNumber(number.get()))
    }

    #[cfg(test)]
    pub(super) const fn starting_at(next: NonZeroU32) -> Self {
        Self { next: Some(next) }
    }
}

/// The number of one frame, and with it its nonce: neither copied nor cloned,
/// and used up by the one encryption it is good for.
#[derive(Debug)]
pub(super) struct FrameNumber(u32);

impl FrameNumber {
    pub(super) const fn get(&self) -> u32 {
        self.0
    }

    fn into_nonce(self) -> Nonce {
        Nonce::assume_unique_for_key(frame_iv(self.0))
    }
}

/// The 12 bytes that a frame carries as its IV.
pub(super) fn frame_iv(number: u32) -> [u8; NONCE_LEN] {
    let [a, b, c, d] = number.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

fn extract(algorithm: hkdf::Algorithm, salt: &[u8], data_key: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(algorithm, salt).extract(data_key)
}

/// Length of an expanded key, for aws-lc-rs.
struct KeyLen(usize);

impl hkdf::KeyType for KeyLen {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_numbers_neither_wrap_nor_repeat() {
        let mut counter = FrameCounter::new();
        assert_eq!(counter.peek(), Some(1));
        assert_eq!(counter.take(FrameKind::Regular).unwrap().get(), 1);
        assert_eq!(counter.take(FrameKind::Regular).unwrap().get(), 2);

        let mut counter = FrameCounter::starting_at(NonZeroU32::MAX);
        assert!(counter.take(FrameKind::Regular).is_none(), "it would read as the final mark");
        assert_eq!(counter.take(FrameKind::Final).unwrap().get(), u32::MAX);
        assert_eq!(counter.peek(), None);
        assert!(counter.take(FrameKind::Regular).is_none());
        assert!(counter.take(FrameKind::Final).is_none());
    }
}
