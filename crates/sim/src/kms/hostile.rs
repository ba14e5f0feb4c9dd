//! A KMS that lies, for attack tests: what someone could answer who got to
//! stand in KMS's place. Off unless a test turns it on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::cms::{self, CmsForm};
use super::operations::encode;
use super::recipient::recipient_key;
use crate::lock;

/// How answers to requests with a `Recipient` are falsified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hostility {
    /// `Plaintext` beside `CiphertextForRecipient`.
    PlaintextBeside,
    /// `Plaintext` instead of `CiphertextForRecipient`.
    PlaintextInstead,
    /// Neither of the two.
    NothingForRecipient,
    /// Another KMS key's ARN as `KeyId`.
    OtherKeyId(String),
    /// The first answer ever given to that operation, again.
    ReplayFirst,
    /// `CiphertextForRecipient` encrypted to another key
    /// (SubjectPublicKeyInfo, DER).
    OtherRecipient(Vec<u8>),
    /// The recipient's true key, but content that the liar chose: the public key
    /// is in the document for all to see, and CMS here has no authentication.
    ChosenPlaintext(Vec<u8>),
    /// These bytes as `CiphertextForRecipient`.
    RawCiphertext(Vec<u8>),
}

/// A handle on a KMS's lies; clones share them.
#[derive(Clone, Default)]
pub struct Hostile(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    mode: Option<Hostility>,
    first: BTreeMap<String, Map<String, Value>>,
}

/// What an honest answer is made of.
pub(super) struct Honest<'a> {
    pub(super) operation: &'a str,
    pub(super) plaintext: &'a [u8],
    pub(super) recipient: &'a cms::RecipientKey,
    pub(super) form: CmsForm,
}

impl Hostile {
    /// Lies like this from now on; `None`: honest again.
    pub fn set(&self, mode: Option<Hostility>) {
        lock(&self.0).mode = mode;
    }

    /// Falsifies an answer, if told to.
    pub(super) fn falsify(&self, honest: &Honest<'_>, answer: &mut Map<String, Value>) {
        let mut state = lock(&self.0);
        let first = state.first.entry(honest.operation.into()).or_insert_with(|| answer.clone());
        let first = first.clone();
        let mut set = |name: &str, value: String| answer.insert(name.into(), value.into());
        let sealed = |key: &cms::RecipientKey, plaintext: &[u8]| {
            encode(&cms::seal(key, plaintext, honest.form).unwrap_or_default())
        };
        match &state.mode {
            None => {}
            Some(Hostility::PlaintextBeside) => {
                set("Plaintext", encode(honest.plaintext));
            }
            Some(Hostility::PlaintextInstead) => {
                set("Plaintext", encode(honest.plaintext));
                answer.remove(FOR_RECIPIENT);
            }
            Some(Hostility::NothingForRecipient) => {
                answer.remove(FOR_RECIPIENT);
            }
            Some(Hostility::OtherKeyId(arn)) => {
                set("KeyId", arn.clone());
            }
            Some(Hostility::ReplayFirst) => *answer = first,
            Some(Hostility::OtherRecipient(spki)) => {
                let other = recipient_key(spki);
                let sealed = other.map(|key| sealed(&key, honest.plaintext)).unwrap_or_default();
                set(FOR_RECIPIENT, sealed);
            }
            Some(Hostility::ChosenPlaintext(plaintext)) => {
                set(FOR_RECIPIENT, sealed(honest.recipient, plaintext));
            }
            Some(Hostility::RawCiphertext(bytes)) => {
                set(FOR_RECIPIENT, encode(bytes));
            }
        }
    }
}

const FOR_RECIPIENT: &str = "CiphertextForRecipient";
