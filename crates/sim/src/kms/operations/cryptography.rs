//! Operations that use a key: Encrypt, Decrypt, GenerateDataKey*, GenerateRandom.

use serde::Deserialize;

use super::{Blob, encode, required};
use crate::kms::blob::{self, Context};
use crate::kms::call::{Answer, Call};
use crate::kms::error::KmsError;
use crate::kms::key::Key;
use crate::kms::recipient::{Attested, Recipient};

/// The members these operations share; each reads those it has.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    ciphertext_blob: Option<Blob>,
    encryption_context: Option<Context>,
    encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    key_spec: Option<String>,
    number_of_bytes: Option<u32>,
    recipient: Option<Recipient>,
    custom_key_store_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn encrypt(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input = Input::read(call)?;
    let plaintext = required(input.plaintext, "plaintext")?.0;
    check_len("plaintext", &plaintext, MAX_PLAINTEXT_LEN)?;
    let context = call.context(input.encryption_context)?;
    let key = call.find_key(&required(input.key_id, "keyId")?)?;
    allow(call, &key, &context, None, input.dry_run)?;
    let mut answer = answer_for(&key);
    answer.insert("EncryptionAlgorithm".into(), SYMMETRIC.into());
    answer.insert("CiphertextBlob".into(), encode(&blob::seal(&key, &context, &plaintext)).into());
    Ok(answer)
}

pub(super) fn decrypt(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input = Input::read(call)?;
    let ciphertext = required(input.ciphertext_blob, "ciphertextBlob")?.0;
    check_len("ciphertextBlob", &ciphertext, MAX_CIPHERTEXT_LEN)?;
    let context = call.context(input.encryption_context)?;
    let attested = call.attested(input.recipient.as_ref())?;
    let of_blob = blob::key_id(&ciphertext);
    let key = match (&input.key_id, of_blob) {
        (Some(key_id), _) => call.find_key(key_id)?,
        (None, None) => return Err(KmsError::invalid_ciphertext()),
        (None, Some(id)) => {
            let key = call.keys().by_id(id).cloned();
            key.ok_or_else(KmsError::ciphertext_key_unknown)?
        }
    };
    call.record.key_arn = Some(key.arn.clone());
    let allowed = allow(call, &key, &context, attested.as_ref(), false);
    // Who does not name the key is not told about it.
    allowed.map_err(|error| match (&input.key_id, error.code) {
        (None, "AccessDeniedException") => KmsError::ciphertext_key_unknown(),
        (Some(_) | None, _) => error,
    })?;
    if of_blob.is_some_and(|id| id != key.id) {
        return Err(KmsError::new(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        ));
    }
    let plaintext =
        blob::open(&key, &context, &ciphertext).ok_or_else(KmsError::invalid_ciphertext)?;
    refuse_dry_run(input.dry_run)?;
    let mut answer = answer_for(&key);
    answer.insert("EncryptionAlgorithm".into(), SYMMETRIC.into());
    answer.insert("KeyMaterialId".into(), key.material_id.clone().into());
    call.disclose(&mut answer, &plaintext, attested.as_ref())?;
    Ok(answer)
}

pub(super) fn generate_data_key(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input = Input::read(call)?;
    let recipient = input.recipient.as_ref();
    let attested = call.attested(recipient)?;
    let (mut answer, data_key) = new_data_key(call, input, attested.as_ref())?;
    call.disclose(&mut answer, &data_key, attested.as_ref())?;
    Ok(answer)
}

/// Takes no recipient: there is nothing to encrypt to one.
pub(super) fn generate_data_key_without_plaintext(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input = Input::read(call)?;
    Ok(new_data_key(call, input, None)?.0)
}

/// Has no key, so no key policy: the caller's identity policy alone decides.
pub(super) fn generate_random(call: &mut Call<'_>) -> Result<Answer, KmsError> {
    let input = Input::read(call)?;
    if input.custom_key_store_id.is_some() {
        return Err(KmsError::silent("CustomKeyStoreNotFoundException"));
    }
    let random = random_bytes(required(input.number_of_bytes, "numberOfBytes")?)?;
    let attested = call.attested(input.recipient.as_ref())?;
    call.authorize(None, &call.condition_keys(&Context::new(), attested.as_ref()))?;
    let mut answer = Answer::new();
    call.disclose(&mut answer, &random, attested.as_ref())?;
    Ok(answer)
}

impl Input {
    /// Reads the members and refuses what is not simulated.
    fn read(call: &Call<'_>) -> Result<Self, KmsError> {
        let input: Self = call.parse()?;
        if input.grant_tokens.as_ref().is_some_and(|tokens| !tokens.is_empty()) {
            return Err(KmsError::new("InvalidGrantTokenException", "Grants are not simulated."));
        }
        match input.encryption_algorithm.as_deref() {
            None | Some(SYMMETRIC) => Ok(input),
            Some("RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256" | "SM2PKE") => Err(KmsError::new(
                "InvalidKeyUsageException",
                "The encryption algorithm does not fit a symmetric key.",
            )),
            Some(_) => Err(KmsError::constraint(
                "encryptionAlgorithm",
                "Member must satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE]",
            )),
        }
    }

    fn data_key_len(&self) -> Result<u32, KmsError> {
        match (self.key_spec.as_deref(), self.number_of_bytes) {
            (Some("AES_256"), None) => Ok(32),
            (Some("AES_128"), None) => Ok(16),
            (None, Some(len)) => Ok(len),
            (Some(_), None) => Err(KmsError::constraint(
                "keySpec",
                "Member must satisfy enum value set: [AES_256, AES_128]",
            )),
            (None, None) | (Some(_), Some(_)) => {
                Err(KmsError::validation("Please specify either number of bytes or key spec."))
            }
        }
    }
}

fn new_data_key(
    call: &mut Call<'_>,
    input: Input,
    attested: Option<&Attested>,
) -> Result<(Answer, Vec<u8>), KmsError> {
    let data_key = random_bytes(input.data_key_len()?)?;
    let context = call.context(input.encryption_context)?;
    let key = call.find_key(&required(input.key_id, "keyId")?)?;
    allow(call, &key, &context, attested, input.dry_run)?;
    let mut answer = answer_for(&key);
    answer.insert("CiphertextBlob".into(), encode(&blob::seal(&key, &context, &data_key)).into());
    answer.insert("KeyMaterialId".into(), key.material_id.clone().into());
    Ok((answer, data_key))
}

/// Policies, then the key's state, then whether it was only a question.
fn allow(
    call: &Call<'_>,
    key: &Key,
    context: &Context,
    attested: Option<&Attested>,
    dry_run: bool,
) -> Result<(), KmsError> {
    call.authorize(Some(key), &call.condition_keys(context, attested))?;
    if !key.enabled {
        return Err(KmsError::new("DisabledException", format!("{} is disabled.", key.arn)));
    }
    refuse_dry_run(dry_run)
}

fn refuse_dry_run(dry_run: bool) -> Result<(), KmsError> {
    match dry_run {
        true => Err(KmsError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )),
        false => Ok(()),
    }
}

fn answer_for(key: &Key) -> Answer {
    Answer::from_iter([("KeyId".to_owned(), key.arn.clone().into())])
}

fn random_bytes(len: u32) -> Result<Vec<u8>, KmsError> {
    match usize::try_from(len) {
        Ok(len) if (1..=MAX_RANDOM_LEN).contains(&len) => {
            let mut bytes = vec![0; len];
            rand::fill(bytes.as_mut_slice());
            Ok(bytes)
        }
        _ => Err(KmsError::constraint("numberOfBytes", "Member must be between 1 and 1024")),
    }
}

fn check_len(member: &str, bytes: &[u8], max: usize) -> Result<(), KmsError> {
    if bytes.is_empty() {
        return Err(KmsError::constraint(
            member,
            "Member must have length greater than or equal to 1",
        ));
    }
    if bytes.len() > max {
        return Err(KmsError::constraint(
            member,
            &format!("Member must have length less than or equal to {max}"),
        ));
    }
    Ok(())
}

const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
/// Encrypt's limit for symmetric keys, bytes.
const MAX_PLAINTEXT_LEN: usize = 4096;
/// Decrypt's limit, bytes.
const MAX_CIPHERTEXT_LEN: usize = 6144;
/// GenerateRandom's and GenerateDataKey's limit, bytes.
const MAX_RANDOM_LEN: usize = 1024;
