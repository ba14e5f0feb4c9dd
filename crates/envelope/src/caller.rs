//! Callers: who signs requests, and that a signed request counts once.
//!
//! A job can demand that its caller is somebody. The caller signs what it asks
//! for, for one enclave and one moment; the service checks the signature and
//! then, with [`Replay`], that it has not seen the request before.
//!
//! ```text
//! message = "strongroom caller v1\0" ‖ length u16 ‖ enclave id ‖ request id 16
//!           ‖ SHA-256(run) ‖ nonce 16 ‖ time u64                    big-endian
//! ```

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, ParsedPublicKey,
};

/// Length of a caller's nonce, in bytes.
pub const NONCE_LEN: usize = 16;

/// Longest signature, in bytes: ECDSA P-256 in DER.
pub const MAX_SIGNATURE_LEN: usize = 72;

/// What a caller signs: `run` is the CBOR that says what is asked for, exactly
/// as it is sent.
#[must_use]
pub fn message(
    enclave_id: &str,
    request_id: &[u8; 16],
    run: &[u8],
    nonce: &[u8; NONCE_LEN],
    time_ms: u64,
) -> Vec<u8> {
    // An enclave's id has about 40 bytes; a longer one than fits is cut, and
    // then no other enclave's can be told from it: none has one.
    let id = enclave_id.as_bytes();
    let id = id.get(..usize::from(u16::MAX)).unwrap_or(id);
    let len = u16::try_from(id.len()).unwrap_or(u16::MAX);
    [
        DOMAIN,
        &len.to_be_bytes(),
        id,
        request_id,
        digest(&SHA256, run).as_ref(),
        nonce,
        &time_ms.to_be_bytes(),
    ]
    .concat()
}

/// The public key of a caller.
pub struct CallerKey(ParsedPublicKey);

/// Why a caller's key or signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// The bytes are no key of its kind.
    #[error("not a caller's key")]
    Key,
    /// The signature is not the caller's, or not over this message.
    #[error("the signature is not right")]
    Signature,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

impl CallerKey {
    /// An Ed25519 public key (RFC 8032).
    ///
    /// # Errors
    /// [`CallerError::Key`].
    pub fn ed25519(key: &[u8; 32]) -> Result<Self, CallerError> {
        Ok(Self(ParsedPublicKey::new(&ED25519, key).map_err(|_| CallerError::Key)?))
    }

    /// An ECDSA P-256 public key: an uncompressed point (SEC 1 §2.3.3). Its
    /// signatures are over SHA-256, in DER.
    ///
    /// # Errors
    /// [`CallerError::Key`] when it is not on the curve.
    pub fn p256(point: &[u8; 65]) -> Result<Self, CallerError> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        Ok(Self(key.map_err(|_| CallerError::Key)?))
    }

    /// Checks a signature over [`message`].
    ///
    /// # Errors
    /// [`CallerError::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CallerError> {
        self.0.verify_sig(message, signature).map_err(|_| CallerError::Signature)
    }
}

/// The private key of a caller. Never in the enclave.
pub enum CallerSecret {
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// ECDSA P-256.
    P256(EcdsaKeyPair),
}

impl CallerSecret {
    /// Reads a private key: PKCS#8, DER (RFC 5958).
    ///
    /// # Errors
    /// [`CallerError::Key`] when it is neither Ed25519's nor P-256's.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CallerError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Ok(Self::Ed25519(pair));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der);
        pair.map(Self::P256).map_err(|_| CallerError::Key)
    }

    /// Makes an Ed25519 key: PKCS#8, DER. Erasing it is the caller's to do.
    ///
    /// # Errors
    /// [`CallerError::Crypto`].
    pub fn generate_pkcs8() -> Result<Vec<u8>, CallerError> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        Ok(der.map_err(|_| CallerError::Crypto)?.as_ref().to_vec())
    }

    /// The public key as a manifest has it: 32 bytes of Ed25519's, a point of 65
    /// of P-256's.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Self::P256(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs [`message`].
    ///
    /// # Errors
    /// [`CallerError::Crypto`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CallerError> {
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature.map_err(|_| CallerError::Crypto)?.as_ref().to_vec())
            }
        }
    }
}

/// Remembers the signed requests of each caller for as long as they would be
/// accepted.
///
/// Asked only once the signature has been verified: nobody fills a caller's room
/// but that caller.
pub struct Replay {
    window_ms: u64,
    room: usize,
    callers: BTreeMap<String, Seen>,
}

#[derive(Default)]
struct Seen {
    nonces: BTreeSet<[u8; NONCE_LEN]>,
    by_time: BTreeSet<(u64, [u8; NONCE_LEN])>,
}

/// Why a signed request does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Signed too long ago.
    #[error("the request was signed too long ago; sign a new one")]
    TooOld,
    /// Signed in what the enclave takes for the future.
    #[error("the request is signed for a time that has not come; set the caller's clock")]
    FromTheFuture,
    /// Its nonce has been used.
    #[error("the request has been made before; sign a new one")]
    Repeated,
    /// More requests than are remembered.
    #[error("the caller has made more requests than are remembered; try again shortly")]
    Full,
}

impl Replay {
    /// How far a request's time may be from the enclave's, either way, in
    /// milliseconds: five minutes.
    pub const WINDOW_MS: u64 = 5 * 60 * 1000;

    /// Most requests remembered of one caller: about 100 a second over the whole
    /// window, in some MiB.
    pub const ROOM: usize = 60_000;

    /// Remembers at most `room` requests of each caller, each accepted within
    /// `window_ms` of its time.
    #[must_use]
    pub const fn new(window_ms: u64, room: usize) -> Self {
        Self { window_ms, room, callers: BTreeMap::new() }
    }

    /// Accepts a request whose signature has been verified, once.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn accept(
        &mut self,
        caller: &str,
        nonce: &[u8; NONCE_LEN],
        time_ms: u64,
        now_ms: u64,
    ) -> Result<(), ReplayError> {
        if time_ms < now_ms.saturating_sub(self.window_ms) {
            return Err(ReplayError::TooOld);
        }
        if time_ms > now_ms.saturating_add(self.window_ms) {
            return Err(ReplayError::FromTheFuture);
        }
        if !self.callers.contains_key(caller) {
            self.callers.insert(caller.to_owned(), Seen::default());
        }
        let Some(seen) = self.callers.get_mut(caller) else { return Err(ReplayError::Full) };
        seen.forget_before(now_ms.saturating_sub(self.window_ms));
        if seen.nonces.contains(nonce) {
            return Err(ReplayError::Repeated);
        }
        if seen.nonces.len() >= self.room {
            return Err(ReplayError::Full);
        }
        seen.nonces.insert(*nonce);
        seen.by_time.insert((time_ms, *nonce));
        Ok(())
    }
}

impl Default for Replay {
    fn default() -> Self {
        Self::new(Self::WINDOW_MS, Self::ROOM)
    }
}

impl Seen {
    /// Forgets what would be too old anyway.
    fn forget_before(&mut self, time_ms: u64) {
        while let Some((time, nonce)) = self.by_time.first().copied().filter(|(t, _)| *t < time_ms)
        {
            self.by_time.remove(&(time, nonce));
            self.nonces.remove(&nonce);
        }
    }
}

const DOMAIN: &[u8] = b"strongroom caller v1\0";
