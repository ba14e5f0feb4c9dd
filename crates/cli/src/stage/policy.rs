//! Key policies of the stage, as a customer would write them for real.

use serde_json::{Value, json};
use strongroom_attestation::PcrValue;

/// Encrypts data; never decrypts.
pub(crate) const PRODUCER: &str = "arn:aws:iam::111122223333:role/crm-producer";
/// The parent instance: its credentials are all that the service has.
pub(crate) const PARENT: &str = "arn:aws:iam::111122223333:role/strongroom-parent";
/// Reads what jobs write under a KMS key.
pub(crate) const READER: &str = "arn:aws:iam::111122223333:role/archive-reader";

/// What the jobs of a manifest do with a KMS key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// Inputs are encrypted under it.
    pub(crate) input: bool,
    /// Results leave under it.
    pub(crate) output: bool,
}

/// A key's policy. The parent's role may do nothing with it, except through an
/// enclave with this PCR0.
pub(crate) fn key_policy(uses: Uses, pcr0: &PcrValue) -> String {
    let mut statements = Vec::new();
    if uses.input {
        let actions = json!(["kms:GenerateDataKey", "kms:Encrypt", "kms:DescribeKey"]);
        statements.push(statement("ProducerEncrypts", PRODUCER, &actions, None));
        let actions = json!("kms:Decrypt");
        statements.push(statement("EnclaveDecrypts", PARENT, &actions, Some(pcr0)));
    }
    if uses.output {
        let actions = json!("kms:GenerateDataKey");
        statements.push(statement("EnclaveEncrypts", PARENT, &actions, Some(pcr0)));
        let actions = json!(["kms:Decrypt", "kms:DescribeKey"]);
        statements.push(statement("ReaderDecrypts", READER, &actions, None));
    }
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn statement(sid: &str, role: &str, actions: &Value, image: Option<&PcrValue>) -> Value {
    let mut statement = json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": { "AWS": role },
        "Action": actions,
        "Resource": "*",
    });
    if let (Some(pcr0), Some(members)) = (image, statement.as_object_mut()) {
        let condition = json!({
            "StringEqualsIgnoreCase": {
                "kms:RecipientAttestation:ImageSha384": pcr0.to_string(),
            }
        });
        members.insert("Condition".to_owned(), condition);
    }
    statement
}
