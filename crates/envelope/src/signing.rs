//! Signatures with a private key that KMS unwrapped.
//!
//! The operation sign calls it, once for a message that streams past or once
//! for a digest. It trusts that the caller may sign: what a signature says is
//! the job's matter.
//!
//! | algorithm | key | signature |
//! | --- | --- | --- |
//! | ECDSA P-256, SHA-256 | PKCS#8 or SEC 1 (RFC 5915), DER | DER, Ecdsa-Sig-Value (RFC 3279) |
//! | ECDSA secp256k1, SHA-256 | the same | the same; `s` is not made the lower of the two |
//! | Ed25519 (RFC 8032) | PKCS#8 v1 or v2, DER, or the seed, 32 bytes | 64 bytes |
//! | RSA-PSS, SHA-256 | PKCS#8, DER, 2048 to 4096 bits | as long as the modulus; MGF1 with SHA-256, salt 32 bytes |

use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest, SHA256};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PSS_SHA256,
};

use crate::secret::SecretBuf;
use crate::stack;

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The key is not a private key of the algorithm, or not of a size it takes:
    /// the fault of who wrapped it. Never says more: the key is secret.
    #[error("not a private key of this signature algorithm")]
    Key,
    /// Ed25519 signs messages. A signature of a digest would be one of another
    /// message, which verifiers of the first do not accept.
    #[error("Ed25519 signs messages, not digests")]
    Digest,
    /// The message exceeds the limit that holding it whole has.
    #[error("the message is too long for an algorithm that needs it whole")]
    MessageTooLong,
    /// The cryptographic library failed: nobody's fault outside.
    #[error("signing failed")]
    Fault,
}

impl From<KeyRejected> for SigningError {
    fn from(_: KeyRejected) -> Self {
        Self::Key
    }
}

impl From<Unspecified> for SigningError {
    fn from(_: Unspecified) -> Self {
        Self::Fault
    }
}

/// A way of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA (FIPS 186-5) on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on secp256k1 (SEC 2) with SHA-256.
    EcdsaSecp256k1Sha256,
    /// Ed25519 (RFC 8032), without prehashing.
    Ed25519,
    /// RSASSA-PSS (RFC 8017) with SHA-256.
    RsaPssSha256,
}

/// A private key, for one algorithm.
///
/// Its memory is the cryptographic library's, which erases it when freed.
pub struct SigningKey(Pair);

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

impl SigningKey {
    /// Most bytes of a private key's encoding: what KMS's Encrypt takes. That of
    /// an RSA key of 4096 bits has about 2400.
    pub const MAX_KEY_LEN: usize = 4096;

    /// Reads `private_key`, in an encoding that the module's table names. For
    /// Ed25519, any 32 bytes are a seed: a public key put in by mistake is taken,
    /// and then shows in [`SigningKey::public_key_der`] as another one.
    ///
    /// The caller still owns `private_key` and must see to its erasure.
    ///
    /// # Errors
    /// [`SigningError::Key`].
    pub fn new(algorithm: SignatureAlgorithm, private_key: &[u8]) -> Result<Self, SigningError> {
        let seed =
            algorithm == SignatureAlgorithm::Ed25519 && private_key.len() == ED25519_SEED_LEN;
        if private_key.len() > Self::MAX_KEY_LEN || !(seed || is_one_sequence(private_key)) {
            return Err(SigningError::Key);
        }
        Ok(Self(match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => Pair::Ecdsa(EcdsaKeyPair::from_private_key_der(
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                private_key,
            )?),
            SignatureAlgorithm::EcdsaSecp256k1Sha256 => Pair::Ecdsa(
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256K1_SHA256_ASN1_SIGNING, private_key)?,
            ),
            // PKCS#8 has more bytes than a seed, so length tells them apart.
            SignatureAlgorithm::Ed25519 if seed => {
                Pair::Ed25519(Ed25519KeyPair::from_seed_unchecked(private_key)?)
            }
            SignatureAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(private_key)?),
            SignatureAlgorithm::RsaPssSha256 => Pair::Rsa(rsa(private_key)?),
        }))
    }

    /// The public key: SubjectPublicKeyInfo (RFC 5280), DER. Not secret.
    ///
    /// # Errors
    /// [`SigningError::Fault`].
    pub fn public_key_der(&self) -> Result<Vec<u8>, SigningError> {
        let der = match &self.0 {
            Pair::Ecdsa(pair) => pair.public_key().as_der()?,
            Pair::Ed25519(pair) => pair.public_key().as_der()?,
            Pair::Rsa(pair) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// Signs the message of which `digest` is the SHA-256.
    ///
    /// The caller vouches for the digest: nobody can say what was signed by it
    /// but who has the message.
    ///
    /// # Errors
    /// [`SigningError::Digest`] for Ed25519; [`SigningError::Fault`].
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SigningError> {
        self.sign_hash(&Digest::import_less_safe(digest, &SHA256)?)
    }

    /// Starts signing a message that comes in parts.
    ///
    /// Ed25519 needs the message whole, so it is held in memory, up to
    /// `whole_limit` bytes; the other algorithms take messages of any length and
    /// hold nothing.
    #[must_use]
    pub fn sign_message(self: &Arc<Self>, whole_limit: usize) -> MessageSigner {
        let message = match &self.0 {
            Pair::Ed25519(_) => Message::Whole { held: SecretBuf::new(), limit: whole_limit },
            Pair::Ecdsa(_) | Pair::Rsa(_) => Message::Hashed(digest::Context::new(&SHA256)),
        };
        MessageSigner { key: Arc::clone(self), message }
    }

    fn sign_hash(&self, digest: &Digest) -> Result<Vec<u8>, SigningError> {
        match &self.0 {
            Pair::Ecdsa(pair) => Ok(pair.sign_digest(digest)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PSS_SHA256, digest, &mut signature)?;
                Ok(signature)
            }
            Pair::Ed25519(_) => Err(SigningError::Digest),
        }
    }

    fn sign_whole(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Pair::Ecdsa(_) | Pair::Rsa(_) => self.sign_hash(&digest::digest(&SHA256, message)),
        }
    }
}

/// A message on its way to being signed.
pub struct MessageSigner {
    key: Arc<SigningKey>,
    message: Message,
}

enum Message {
    Hashed(digest::Context),
    Whole {
        held: SecretBuf,
        limit: usize,
    },
    /// What came of it was more than could be held.
    TooLong,
}

impl MessageSigner {
    /// Bytes of memory that it holds of the message.
    #[must_use]
    pub const fn memory(&self) -> usize {
        match &self.message {
            Message::Whole { held, .. } => held.capacity(),
            Message::Hashed(_) | Message::TooLong => 0,
        }
    }

    /// Takes the next part of the message.
    ///
    /// # Errors
    /// [`SigningError::MessageTooLong`] when the message must be held whole and
    /// exceeds its limit. It is dropped then: its start is never signed for it.
    pub fn update(&mut self, part: &[u8]) -> Result<(), SigningError> {
        match &mut self.message {
            Message::Hashed(hash) => hash.update(part),
            Message::Whole { held, limit } => {
                if part.len() > limit.saturating_sub(held.len()) {
                    self.message = Message::TooLong;
                    return Err(SigningError::MessageTooLong);
                }
                held.extend_from_slice(part);
            }
            Message::TooLong => return Err(SigningError::MessageTooLong),
        }
        Ok(())
    }

    /// Signs the message.
    ///
    /// # Errors
    /// [`SigningError::MessageTooLong`] after an update said so;
    /// [`SigningError::Fault`].
    pub fn finish(self) -> Result<Vec<u8>, SigningError> {
        match self.message {
            Message::Hashed(hash) => self.key.sign_hash(&hash.finish()),
            // The library hashes the message from the stack.
            Message::Whole { held, .. } => stack::erased(|| self.key.sign_whole(held.expose())),
            Message::TooLong => Err(SigningError::MessageTooLong),
        }
    }
}

/// Whether `key` is one DER SEQUENCE with nothing behind it, where the library
/// does not look.
fn is_one_sequence(key: &[u8]) -> bool {
    let (len, contents) = match key {
        [0x30, 0x82, high, low, contents @ ..] => (u16::from_be_bytes([*high, *low]), contents),
        [0x30, 0x81, len, contents @ ..] => (u16::from(*len), contents),
        [0x30, len @ ..=0x7f, contents @ ..] => (u16::from(*len), contents),
        _ => return false,
    };
    usize::from(len) == contents.len()
}

fn rsa(private_key: &[u8]) -> Result<rsa::KeyPair, SigningError> {
    let pair = rsa::KeyPair::from_pkcs8(private_key)?;
    if RSA_MODULUS_LEN.contains(&pair.public_modulus_len()) {
        Ok(pair)
    } else {
        Err(SigningError::Key)
    }
}

const ED25519_SEED_LEN: usize = 32;

/// Bytes of an RSA modulus: 2048 to 4096 bits. Longer ones would cost the
/// service more time than anybody needs.
const RSA_MODULUS_LEN: std::ops::RangeInclusive<usize> = 256..=512;
