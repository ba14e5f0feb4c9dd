//! What can be wrong with a key policy, and what to write instead.

use serde::Serialize;

/// A hole, or something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable name of the rule.
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    /// The statement: its Sid, or its place.
    pub(crate) statement: String,
    /// What a hostile parent does with it.
    pub(crate) attack: &'static str,
    /// What to write instead.
    pub(crate) instead: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Worth knowing.
    Note,
    /// Weaker than it looks.
    Warning,
    /// A hole.
    Error,
}

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule: how bad it is, what is done with it, what to write instead.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) attack: &'static str,
    pub(super) instead: &'static str,
}

impl Rule {
    pub(super) fn broken_by(&self, statement: &str) -> Finding {
        Finding {
            rule: self.name,
            severity: self.severity,
            statement: statement.to_owned(),
            attack: self.attack,
            instead: self.instead,
        }
    }
}

macro_rules! rules {
    ($($constant:ident, $name:literal, $severity:ident, $attack:literal, $instead:literal;)*) => {
        $(pub(super) const $constant: Rule = Rule {
            name: $name, severity: Severity::$severity, attack: $attack, instead: $instead,
        };)*
    };
}

rules! {
    ANYONE, "anyone", Error,
        "Whoever has an AWS account may use the key, as far as the conditions let them.",
        "Name the role of the parent instance as the Principal.";
    ACCOUNT_ROOT, "account-root", Error,
        "Anyone whom an IAM policy of the account lets use KMS decrypts without an enclave.",
        "Give the account's root administration only, or add a Deny of kms:Decrypt to everyone with StringNotEqualsIgnoreCase on kms:RecipientAttestation:ImageSha384.";
    NO_ATTESTATION, "no-attestation", Error,
        "The parent calls Decrypt with its own credentials, without any enclave, and has the data key.",
        "Add the condition StringEqualsIgnoreCase on kms:RecipientAttestation:ImageSha384 (PCR0) with the image's value.";
    ANY_IMAGE, "any-image", Error,
        "The parent starts an enclave with an image of its own, which hands out what KMS decrypts to it.",
        "Add the condition StringEqualsIgnoreCase on kms:RecipientAttestation:ImageSha384 (PCR0) with the image's value.";
    PARENT_ONLY, "parent-only", Error,
        "PCR3 and PCR4 name the parent's role and instance: any image on that parent may decrypt, even in debug mode.",
        "Add a condition on PCR0 beside them.";
    NO_SUBSTITUTE, "no-attestation", Error,
        "The parent itself meets conditions on account, role, network or service: it calls Decrypt without any enclave, and has the data key.",
        "Add the condition StringEqualsIgnoreCase on kms:RecipientAttestation:ImageSha384 (PCR0) with the image's value beside them.";
    NO_MANIFEST, "part-of-image", Error,
        "PCR1 covers kernel, command line and first ramdisk: the parent keeps the program and replaces the manifest (or whatever else is in later ramdisks).",
        "Add a condition on PCR0, which covers the whole image.";
    NO_PROGRAM, "part-of-image", Error,
        "PCR2 covers the ramdisks after the first: the parent keeps the manifest and replaces kernel and program.",
        "Add a condition on PCR0, which covers the whole image.";
    MIXED, "mixed-images", Error,
        "With several values of PCR1 and of PCR2, the parent builds an image of one's program and another's manifest.",
        "Add a condition on PCR0, or write one statement for each image.";
    SIGNER_ONLY, "signer-only", Warning,
        "Every image that was ever signed with the certificate may decrypt, old ones with known faults too.",
        "Add a condition on PCR0, unless whoever holds the signing key is to decide alone.";
    DEBUG, "debug-mode", Error,
        "PCRs of zeros are those of debug mode: any image may decrypt there, and the parent reads its console.",
        "Remove the value of zeros.";
    BAD_VALUE, "bad-value", Error,
        "The value is no PCR (96 hex digits), so the condition never holds or was meant otherwise.",
        "Write the value as `strongroomctl image describe` prints it.";
    OPERATOR, "operator", Error,
        "The operator is none that compares a PCR, so the condition does not do what it says.",
        "Use StringEqualsIgnoreCase.";
    NITRO_TPM, "nitro-tpm", Error,
        "NitroTPM attests to an EC2 instance, which then has the data key outside of any enclave.",
        "Use kms:RecipientAttestation:ImageSha384 (PCR0), the enclave's.";
    WILDCARD, "wildcard", Error,
        "A pattern fits other images than the one that was meant.",
        "Write whole values, with StringEqualsIgnoreCase.";
    IF_EXISTS, "if-exists", Error,
        "Without an attestation document there is nothing to compare, and the condition holds.",
        "Use the operator without IfExists.";
    NEGATED, "negated", Error,
        "A negated condition of an Allow holds where there is no attestation document at all.",
        "Name the images that may, with StringEqualsIgnoreCase.";
    SET_OPERATOR, "set-operator", Error,
        "ForAllValues holds where there is no attestation document at all.",
        "Use StringEqualsIgnoreCase alone.";
    CASE, "upper-case", Warning,
        "StringEquals compares upper case too, and KMS has PCRs in lower case: the condition never holds.",
        "Use StringEqualsIgnoreCase.";
    UNKNOWN_KEY, "unknown-key", Error,
        "KMS has no such condition key, so the condition does not do what it says.",
        "Use kms:RecipientAttestation:ImageSha384 or kms:RecipientAttestation:PCR0 to PCR31.";
    RE_ENCRYPT, "re-encrypt", Error,
        "ReEncrypt knows no attestation: the parent moves data keys to a KMS key of its own and decrypts there.",
        "Leave kms:ReEncryptFrom and kms:ReEncrypt* out; kms:ReEncryptTo alone does no harm.";
    GRANTS, "grants", Error,
        "A grant lets its grantee decrypt, and no grant can ask for attestation.",
        "Leave kms:CreateGrant out.";
    KEY_POLICY, "key-policy", Error,
        "Whoever may decrypt in the enclave may also change this policy, or make a replica of the key with another, and then decrypt without it.",
        "Let another principal than the parent's role administer the key.";
    ROOT_ADMINISTERS, "account-root-administers", Note,
        "Whomever an IAM policy of the account lets change key policies can open this key: the parent's role too, if its own policy has kms:PutKeyPolicy.",
        "Name one administrator as the Principal, or see that no IAM policy of the parent's role has kms:PutKeyPolicy.";
    GENERATE_PARENT, "generate-by-parent", Warning,
        "The parent gets new data keys in the clear, and makes messages that look like the enclave's results or a producer's.",
        "Give the parent's role kms:GenerateDataKey with the condition that its kms:Decrypt has.";
    CONTEXT, "encryption-context", Note,
        "The enclave can be handed any data key that was ever encrypted under this KMS key; only its manifest says for which purpose.",
        "Add StringEquals on kms:EncryptionContext:<name> with the value that the manifest pins.";
    ANYONE_ATTESTED, "anyone-attested", Warning,
        "Whoever starts the image, in any AWS account, may have KMS decrypt to it.",
        "Name the role of the parent instance as the Principal.";
    GENERATE, "generate-without-attestation", Note,
        "Whoever gets new data keys in the clear can make input that looks like a producer's; nothing that exists can be read so.",
        "Let only producers have kms:GenerateDataKey without an attestation condition.";
    NOT_PRINCIPAL, "not-principal", Error,
        "Everyone who is not named is meant, in every account.",
        "Name who may, as Principal.";
}
