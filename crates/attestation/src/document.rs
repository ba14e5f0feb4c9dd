//! The payload of an attestation document: a CBOR map of nine known fields.
//!
//! Called by [`crate::verify()`] on payload bytes that nobody vouches for yet.
//! The rules are those of AWS "Nitro Enclaves attestation process" §2.2 and
//! §3.2.2, as tightened by what Nitro really emits: unknown and repeated keys
//! are refused, `null` stands for an absent field in the three optional ones
//! only, and the outermost map alone may be of indefinite length (hypervisors
//! since 2025).

use std::collections::BTreeMap;

use crate::cbor::{Item, Reader};
use crate::error::VerifyError;
use crate::nsm::MAX_FIELD_LEN;
use crate::pcr::PcrValue;

/// A well-formed payload, borrowed from the received bytes. Believe nothing of
/// it before the signature is verified.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) module_id: &'a str,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: BTreeMap<u8, PcrValue>,
    /// The leaf certificate, DER.
    pub(crate) certificate: &'a [u8],
    /// The certificates above it, DER, the root first. Never empty.
    pub(crate) cabundle: Vec<&'a [u8]>,
    pub(crate) public_key: Option<&'a [u8]>,
    pub(crate) user_data: Option<&'a [u8]>,
    pub(crate) nonce: Option<&'a [u8]>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, VerifyError> {
        let mut reader = Reader::new(payload);
        let mut fields = Fields::default();
        let head = reader.item()?;
        if let Item::Map(pairs) = head {
            for _ in 0..pairs {
                let key = reader.item()?;
                fields.read(key, &mut reader)?;
            }
        } else if head == Item::MapUntilBreak {
            loop {
                let key = reader.item()?;
                if key == Item::Break {
                    break;
                }
                fields.read(key, &mut reader)?;
            }
        } else {
            return Err(VerifyError::CoseStructure("the payload is not a map"));
        }
        reader.finish()?;
        fields.complete()
    }
}

/// What was read so far. A second value for a field is an error, so at most
/// nine pairs are ever read.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<()>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<u8, PcrValue>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Fields<'a> {
    /// Reads the value of `key`.
    fn read(&mut self, key: Item<'a>, reader: &mut Reader<'a>) -> Result<(), VerifyError> {
        let Item::Text(key) = key else { return Err(VerifyError::FieldUnknown) };
        match key {
            "module_id" => set(&mut self.module_id, "module_id", module_id(reader)?),
            "digest" => set(&mut self.digest, "digest", digest(reader)?),
            "timestamp" => set(&mut self.timestamp, "timestamp", timestamp(reader)?),
            "pcrs" => set(&mut self.pcrs, "pcrs", pcrs(reader)?),
            "certificate" => {
                set(&mut self.certificate, "certificate", certificate("certificate", reader)?)
            }
            "cabundle" => set(&mut self.cabundle, "cabundle", cabundle(reader)?),
            "public_key" => {
                set(&mut self.public_key, "public_key", optional("public_key", 1, reader)?)
            }
            "user_data" => set(&mut self.user_data, "user_data", optional("user_data", 0, reader)?),
            "nonce" => set(&mut self.nonce, "nonce", optional("nonce", 0, reader)?),
            _ => Err(VerifyError::FieldUnknown),
        }
    }

    fn complete(self) -> Result<Document<'a>, VerifyError> {
        self.digest.ok_or(VerifyError::FieldMissing("digest"))?;
        Ok(Document {
            module_id: self.module_id.ok_or(VerifyError::FieldMissing("module_id"))?,
            timestamp_ms: self.timestamp.ok_or(VerifyError::FieldMissing("timestamp"))?,
            pcrs: self.pcrs.ok_or(VerifyError::FieldMissing("pcrs"))?,
            certificate: self.certificate.ok_or(VerifyError::FieldMissing("certificate"))?,
            cabundle: self.cabundle.ok_or(VerifyError::FieldMissing("cabundle"))?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        })
    }
}

fn set<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), VerifyError> {
    if slot.is_some() {
        return Err(VerifyError::FieldDuplicate(field));
    }
    *slot = Some(value);
    Ok(())
}

/// `i-<hex>-enc<hex>`. The EC2 instance's own NitroTPM documents, signed under
/// the same root, have `-tpm` there.
fn module_id<'a>(reader: &mut Reader<'a>) -> Result<&'a str, VerifyError> {
    let Item::Text(text) = reader.item()? else {
        return Err(invalid("module_id", "is not a text"));
    };
    if text.is_empty() || text.len() > MAX_MODULE_ID_LEN {
        return Err(invalid("module_id", "is not of 1 to 128 bytes"));
    }
    let is_hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.strip_prefix("i-").and_then(|rest| rest.split_once("-enc")) {
        Some((instance, enclave)) if is_hex(instance) && is_hex(enclave) => Ok(text),
        _ => Err(VerifyError::NotAnEnclave),
    }
}

fn digest(reader: &mut Reader<'_>) -> Result<(), VerifyError> {
    if reader.item()? == Item::Text("SHA384") {
        Ok(())
    } else {
        Err(invalid("digest", "is not the text SHA384"))
    }
}

/// Milliseconds since the epoch.
fn timestamp(reader: &mut Reader<'_>) -> Result<u64, VerifyError> {
    let millis = reader.item()?.unsigned().filter(|&millis| millis > 0);
    millis.ok_or(invalid("timestamp", "is not a positive integer"))
}

fn pcrs(reader: &mut Reader<'_>) -> Result<BTreeMap<u8, PcrValue>, VerifyError> {
    let Item::Map(count @ 1..=PCR_COUNT) = reader.item()? else {
        return Err(VerifyError::PcrsInvalid("they are not a map of 1 to 32 entries"));
    };
    let mut pcrs = BTreeMap::new();
    for _ in 0..count {
        let index = reader.item()?.unsigned().and_then(|index| u8::try_from(index).ok());
        let Some(index) = index.filter(|&index| usize::from(index) < PCR_COUNT) else {
            return Err(VerifyError::PcrsInvalid("an index is not an integer of 0 to 31"));
        };
        let Some(Ok(value)) = reader.item()?.bytes().map(TryFrom::try_from) else {
            return Err(VerifyError::PcrsInvalid("a value is not a byte string of 48 bytes"));
        };
        if pcrs.insert(index, PcrValue(value)).is_some() {
            return Err(VerifyError::PcrsInvalid("an index is there twice"));
        }
    }
    Ok(pcrs)
}

fn cabundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, VerifyError> {
    let Item::Array(count @ 1..=MAX_CABUNDLE) = reader.item()? else {
        return Err(invalid("cabundle", "is not an array of 1 to 8 certificates"));
    };
    (0..count).map(|_| certificate("cabundle", reader)).collect()
}

fn certificate<'a>(field: &'static str, reader: &mut Reader<'a>) -> Result<&'a [u8], VerifyError> {
    let der = reader.item()?.bytes().filter(|der| (1..=MAX_CERTIFICATE_LEN).contains(&der.len()));
    der.ok_or(invalid(field, "has a certificate that is not a byte string of 1 to 1024 bytes"))
}

fn optional<'a>(
    field: &'static str,
    min: usize,
    reader: &mut Reader<'a>,
) -> Result<Option<&'a [u8]>, VerifyError> {
    let item = reader.item()?;
    if item == Item::Null {
        return Ok(None);
    }
    match item.bytes() {
        Some(bytes) if (min..=MAX_FIELD_LEN).contains(&bytes.len()) => Ok(Some(bytes)),
        _ => Err(invalid(field, "is not a byte string of a permitted length (up to 1024 bytes)")),
    }
}

const fn invalid(field: &'static str, problem: &'static str) -> VerifyError {
    VerifyError::FieldInvalid { field, problem }
}

/// Real ones have 39 bytes; the limit keeps the text loggable.
const MAX_MODULE_ID_LEN: usize = 128;
/// PCRs of a Nitro Secure Module.
const PCR_COUNT: usize = 32;
/// Certificates above the leaf: Nitro has 4 (root, region, zone, instance).
const MAX_CABUNDLE: usize = 8;
/// AWS "Nitro Enclaves attestation process" §2.2, in bytes.
const MAX_CERTIFICATE_LEN: usize = 1024;
