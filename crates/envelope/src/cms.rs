//! `CiphertextForRecipient`: what KMS answers an attested enclave with.
//!
//! KMS encrypts its answer to the RSA public key of the attestation document,
//! as a CMS `EnvelopedData` (RFC 5652 section 6) in BER. [`RecipientKey`] is the
//! key pair; [`RecipientKey::open`] turns the answer into plaintext. The
//! service's road to KMS calls both; nothing else does.
//!
//! **What this does not prove.** The content is AES-CBC without a MAC and the
//! public key is known to the parent, so anyone can make a message that opens.
//! That KMS made it is proven by the TLS session it came through, never here.
//!
//! The messages come from outside: the reader accepts one profile only, the one
//! KMS writes, and bounds size, nesting and work before it touches a key.
//!
//! ```text
//! ContentInfo        SEQUENCE { OID envelopedData, [0] EnvelopedData }
//! EnvelopedData      SEQUENCE { INTEGER 2, SET { KeyTransRecipientInfo }, EncryptedContentInfo }
//! KeyTransRecipient  SEQUENCE { INTEGER 2, [0] SHA-256 of the recipient's SPKI (32 bytes),
//!   Info                        RSAES-OAEP (SHA-256, MGF1 with SHA-256, no label),
//!                               OCTET STRING encrypted key (256 bytes) }
//! EncryptedContent   SEQUENCE { OID data, AES-256-CBC (16-byte IV),
//!   Info                        [0] ciphertext: primitive, or OCTET STRINGs to concatenate }
//! ```
//!
//! Any constructed value may have an indefinite length; KMS uses it freely.

mod ber;
mod enveloped;
mod recipient;

pub use enveloped::{Enveloped, MAX_MESSAGE_LEN, parse};
pub use recipient::RecipientKey;

/// Why there is no recipient key, or no plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// A key pair could not be generated or read.
    #[error("no usable RSA-2048 recipient key")]
    Key,
    /// The message did not open. Shape, recipient, key and padding are one
    /// answer on purpose: telling them apart would be a padding oracle.
    #[error("the message does not open for this recipient")]
    Unopenable,
}
