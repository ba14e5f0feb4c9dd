//! Reads the one `EnvelopedData` profile that KMS writes; see [`super`] for it.
//!
//! Called by [`super::RecipientKey::open`], and by tests and fuzzers directly.
//! Trusts nothing: the bytes come from outside. No key is touched here.

use super::CmsError;
use super::ber::{self, Malformed, Reader};

/// Most bytes of a message. KMS documents 6144 for `CiphertextForRecipient`;
/// this leaves room without leaving work to an attacker.
pub const MAX_MESSAGE_LEN: usize = 16 * 1024;

/// A message of the right shape. Nothing about it is authenticated.
pub struct Enveloped<'a> {
    pub(super) recipient: &'a [u8; 32],
    pub(super) encrypted_key: &'a [u8; 256],
    pub(super) iv: &'a [u8; 16],
    /// All chunks in order: at least one block, and whole blocks only.
    pub(super) ciphertext: Vec<u8>,
}

impl Enveloped<'_> {
    /// SHA-256 of the `SubjectPublicKeyInfo` the message says it is encrypted to.
    #[must_use]
    pub const fn recipient(&self) -> &[u8; 32] {
        self.recipient
    }
}

/// Reads the structure of a message, at most [`MAX_MESSAGE_LEN`] bytes.
///
/// # Errors
/// [`CmsError::Unopenable`] for everything that is not exactly the profile.
pub fn parse(message: &[u8]) -> Result<Enveloped<'_>, CmsError> {
    if message.len() > MAX_MESSAGE_LEN {
        return Err(CmsError::Unopenable);
    }
    ber::read_all(message, content_info).map_err(|Malformed| CmsError::Unopenable)
}

fn content_info<'a>(message: &mut Reader<'a>) -> Result<Enveloped<'a>, Malformed> {
    message.within(ber::SEQUENCE, |info| {
        info.expect(ber::OID, ENVELOPED_DATA)?;
        info.within(ber::CONTEXT_0_CONSTRUCTED, |explicit| {
            explicit.within(ber::SEQUENCE, enveloped_data)
        })
    })
}

fn enveloped_data<'a>(data: &mut Reader<'a>) -> Result<Enveloped<'a>, Malformed> {
    data.expect(ber::INTEGER, VERSION)?;
    let (recipient, encrypted_key) =
        data.within(ber::SET, |one| one.within(ber::SEQUENCE, recipient_info))?;
    let (iv, ciphertext) = data.within(ber::SEQUENCE, encrypted_content)?;
    Ok(Enveloped { recipient, encrypted_key, iv, ciphertext })
}

fn recipient_info<'a>(info: &mut Reader<'a>) -> Result<(&'a [u8; 32], &'a [u8; 256]), Malformed> {
    info.expect(ber::INTEGER, VERSION)?;
    let recipient = info.array(ber::CONTEXT_0)?;
    info.within(ber::SEQUENCE, |algorithm| {
        algorithm.expect(ber::OID, RSAES_OAEP)?;
        algorithm.within(ber::SEQUENCE, oaep_parameters)
    })?;
    Ok((recipient, info.array(ber::OCTET_STRING)?))
}

/// RFC 8017 appendix A.2.1, with both defaults (SHA-1) replaced and no label,
/// which may be said outright.
fn oaep_parameters(parameters: &mut Reader<'_>) -> Result<(), Malformed> {
    parameters
        .within(ber::CONTEXT_0_CONSTRUCTED, |hash| hash.within(ber::SEQUENCE, sha256_identifier))?;
    parameters.within(ber::CONTEXT_1_CONSTRUCTED, |mask| {
        mask.within(ber::SEQUENCE, |algorithm| {
            algorithm.expect(ber::OID, MGF1)?;
            algorithm.within(ber::SEQUENCE, sha256_identifier)
        })
    })?;
    if parameters.is_empty() {
        return Ok(());
    }
    parameters.within(ber::CONTEXT_2_CONSTRUCTED, |label| {
        label.within(ber::SEQUENCE, |algorithm| {
            algorithm.expect(ber::OID, P_SPECIFIED)?;
            algorithm.expect(ber::OCTET_STRING, &[])
        })
    })
}

/// RFC 5754 section 2: parameters may be NULL or absent.
fn sha256_identifier(algorithm: &mut Reader<'_>) -> Result<(), Malformed> {
    algorithm.expect(ber::OID, SHA_256)?;
    if algorithm.is_empty() { Ok(()) } else { algorithm.expect(ber::NULL, &[]) }
}

fn encrypted_content<'a>(info: &mut Reader<'a>) -> Result<(&'a [u8; 16], Vec<u8>), Malformed> {
    info.expect(ber::OID, DATA)?;
    let iv = info.within(ber::SEQUENCE, |algorithm| {
        algorithm.expect(ber::OID, AES_256_CBC)?;
        algorithm.array(ber::OCTET_STRING)
    })?;
    let mut ciphertext = Vec::new();
    if info.peek() == Some(ber::CONTEXT_0) {
        ciphertext.extend_from_slice(info.contents(ber::CONTEXT_0)?);
    } else {
        info.within(ber::CONTEXT_0_CONSTRUCTED, |chunks| {
            concatenate(chunks, &mut ciphertext, ber::MAX_DEPTH)
        })?;
    }
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(AES_BLOCK_LEN) {
        return Err(Malformed);
    }
    Ok((iv, ciphertext))
}

/// Appends a constructed string's chunks, which may be constructed themselves
/// (X.690 section 8.7.3).
fn concatenate(chunks: &mut Reader<'_>, to: &mut Vec<u8>, depth: usize) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    while let Some(identifier) = chunks.peek() {
        if identifier == ber::OCTET_STRING_CONSTRUCTED {
            chunks.within(identifier, |inner| concatenate(inner, to, depth))?;
        } else {
            to.extend_from_slice(chunks.contents(ber::OCTET_STRING)?);
        }
    }
    Ok(())
}

const AES_BLOCK_LEN: usize = 16;

/// Version of `EnvelopedData` and of `KeyTransRecipientInfo` when the recipient
/// is named by its key identifier (RFC 5652 sections 6.1 and 6.2.1).
const VERSION: &[u8] = &[2];

/// 1.2.840.113549.1.7.3
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.1.7
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
/// 1.2.840.113549.1.1.8
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// 1.2.840.113549.1.1.9
const P_SPECIFIED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x09];
/// 2.16.840.1.101.3.4.2.1
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 2.16.840.1.101.3.4.1.42
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
