//! Why a document is refused.

use std::time::Duration;

use crate::pcr::PcrValue;

/// Why an attestation document is not believed, or not accepted.
///
/// Each variant has a stable code ([`VerifyError::code`]) for scripts and
/// metrics. In the order of the checks:
///
/// | code | the document … |
/// | --- | --- |
/// | `cbor` | is no CBOR, or CBOR that no attestation document uses |
/// | `cose-structure` | is no COSE_Sign1 as Nitro emits it |
/// | `cose-algorithm` | names another algorithm than ES384, or any other header |
/// | `field-missing` | lacks a mandatory field |
/// | `field-duplicate` | has a field twice |
/// | `field-unknown` | has a field that attestation documents do not have |
/// | `field-invalid` | has a field of the wrong type, length or value |
/// | `pcrs-invalid` | has PCRs of the wrong number, index or length |
/// | `not-an-enclave` | comes from something else under Amazon's root (NitroTPM) |
/// | `root-mismatch` | leads to another root than the one trusted |
/// | `certificate-invalid` | has a certificate that is malformed or unfit for its place |
/// | `chain-invalid` | has certificates that did not issue one another |
/// | `module-id-mismatch` | names another module than its certificate does |
/// | `cose-signature` | was not signed by its certificate's key |
/// | `certificate-not-yet-valid` | has a certificate from after the given time |
/// | `certificate-expired` | has a certificate from before the given time |
/// | `timestamp-outside-certificate` | was made outside its certificate's validity |
/// | `timestamp-future` | was made after the given time |
/// | `too-old` | is older than the policy allows |
/// | `debug-mode` | comes from an enclave in debug mode |
/// | `image-unpinned` | cannot be judged: the policy names no PCR of the image |
/// | `pcr-mismatch` | has a PCR that the policy does not list |
/// | `nonce-mismatch` | has another nonce, or none |
/// | `user-data-mismatch` | has other user data, or none |
/// | `public-key-mismatch` | has another public key, or none |
///
/// Everything up to `cose-signature` means forged, damaged or not for this
/// root; everything after it is about a genuine document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not the CBOR of an attestation document.
    #[error("the attestation document cannot be read: {0}")]
    Cbor(#[from] CborError),
    /// Not a COSE_Sign1 of the shape that Nitro emits.
    #[error("the attestation document is no COSE_Sign1 as Nitro makes them: {0}")]
    CoseStructure(&'static str),
    /// The protected header is not exactly ES384.
    #[error("the attestation document's protected header is not exactly ES384 (ECDSA P-384)")]
    CoseAlgorithm,
    /// A mandatory field is absent.
    #[error("the attestation document lacks the field {0}")]
    FieldMissing(&'static str),
    /// A field is there twice.
    #[error("the attestation document has the field {0} twice")]
    FieldDuplicate(&'static str),
    /// A field that attestation documents do not have.
    #[error("the attestation document has a field that is no part of one")]
    FieldUnknown,
    /// A field of the wrong type, length or value.
    #[error("the attestation document's {field} {problem}")]
    FieldInvalid {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it; continues a sentence.
        problem: &'static str,
    },
    /// PCRs of the wrong number, index, type or length.
    #[error("the attestation document's PCRs are invalid: {0}")]
    PcrsInvalid(&'static str),
    /// The module is no enclave's.
    #[error(
        "the attestation document is not an enclave's: its module id is not of the form \
         i-<hex>-enc<hex> (a NitroTPM document of an EC2 instance is not accepted)"
    )]
    NotAnEnclave,
    /// The first certificate of the chain is not the trusted root.
    #[error(
        "the attestation document leads to the root {found}, and the trusted root is {trusted}; \
         a document of a simulated enclave verifies under the simulator's root only"
    )]
    RootMismatch {
        /// SHA-256 of the document's root certificate (DER), hex.
        found: String,
        /// SHA-256 of the trusted root certificate (DER), hex.
        trusted: String,
    },
    /// A certificate is malformed or unfit for its place in the chain.
    #[error("certificate {certificate} of the chain (0 is the root) {problem}")]
    CertificateInvalid {
        /// Place in the chain, the root being 0 and the leaf the last.
        certificate: usize,
        /// What is wrong with it; continues a sentence.
        problem: &'static str,
    },
    /// A certificate was not issued by the one before it.
    #[error("certificate {certificate} of the chain (0 is the root) {problem}")]
    ChainInvalid {
        /// Place in the chain, the root being 0 and the leaf the last.
        certificate: usize,
        /// What is wrong with it; continues a sentence.
        problem: &'static str,
    },
    /// The leaf certificate was issued to another module.
    #[error("the attestation document's module_id is not the one its certificate was issued to")]
    ModuleIdMismatch,
    /// The signature does not verify.
    #[error("the attestation document's signature does not verify: it was altered or forged")]
    CoseSignature,
    /// A certificate is not valid yet at the given time.
    #[error(
        "certificate {certificate} of the chain is valid from {not_before} and it is {now} (Unix \
         seconds); is this machine's clock right?"
    )]
    CertificateNotYetValid {
        /// Place in the chain, the root being 0 and the leaf the last.
        certificate: usize,
        /// Start of its validity, Unix seconds.
        not_before: u64,
        /// Time verified at, Unix seconds.
        now: u64,
    },
    /// A certificate is no longer valid at the given time.
    #[error(
        "certificate {certificate} of the chain was valid until {not_after} and it is {now} (Unix \
         seconds); ask the enclave for a new document"
    )]
    CertificateExpired {
        /// Place in the chain, the root being 0 and the leaf the last.
        certificate: usize,
        /// End of its validity, Unix seconds.
        not_after: u64,
        /// Time verified at, Unix seconds.
        now: u64,
    },
    /// The document was made outside its leaf certificate's validity.
    #[error("the attestation document was made outside the validity of its own certificate")]
    TimestampOutsideCertificate,
    /// The document was made further in the future than clocks differ.
    #[error(
        "the attestation document was made {ahead:?} after now; is this machine's clock right?"
    )]
    TimestampFuture {
        /// How far ahead of the given time it was made.
        ahead: Duration,
    },
    /// The document is older than the policy allows.
    #[error(
        "the attestation document is {age:?} old and at most {max_age:?} is allowed; ask the \
         enclave for a new one"
    )]
    TooOld {
        /// Its age at the given time.
        age: Duration,
        /// The policy's limit.
        max_age: Duration,
    },
    /// The enclave runs in debug mode.
    #[error(
        "the enclave runs in debug mode (PCR0 is zero), where the parent can read its console and \
         nothing vouches for its image; start it without --debug-mode"
    )]
    DebugMode,
    /// The policy would accept any image.
    #[error(
        "the policy names no PCR that measures the image (0, 1, 2 or 8), so any enclave would \
         pass: name PCR0, or say explicitly that any image will do"
    )]
    ImageUnpinned,
    /// A PCR is none of the policy's values.
    #[error("PCR{index} is {}, expected {}", show_found(*.found), show_expected(.expected))]
    PcrMismatch {
        /// Which PCR.
        index: u8,
        /// The policy's values, any of which would do.
        expected: Vec<PcrValue>,
        /// The document's value, if it has this PCR.
        found: Option<PcrValue>,
    },
    /// The nonce is not the expected one.
    #[error("the attestation document does not carry the nonce that was asked for: a replay?")]
    NonceMismatch,
    /// The user data is not the expected.
    #[error("the attestation document does not carry the expected user data")]
    UserDataMismatch,
    /// The public key is not the expected one.
    #[error("the attestation document does not carry the expected public key")]
    PublicKeyMismatch,
}

impl VerifyError {
    /// The stable code of this kind of refusal, as in the table above.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cbor(_) => "cbor",
            Self::CoseStructure(_) => "cose-structure",
            Self::CoseAlgorithm => "cose-algorithm",
            Self::FieldMissing(_) => "field-missing",
            Self::FieldDuplicate(_) => "field-duplicate",
            Self::FieldUnknown => "field-unknown",
            Self::FieldInvalid { .. } => "field-invalid",
            Self::PcrsInvalid(_) => "pcrs-invalid",
            Self::NotAnEnclave => "not-an-enclave",
            Self::RootMismatch { .. } => "root-mismatch",
            Self::CertificateInvalid { .. } => "certificate-invalid",
            Self::ChainInvalid { .. } => "chain-invalid",
            Self::ModuleIdMismatch => "module-id-mismatch",
            Self::CoseSignature => "cose-signature",
            Self::CertificateNotYetValid { .. } => "certificate-not-yet-valid",
            Self::CertificateExpired { .. } => "certificate-expired",
            Self::TimestampOutsideCertificate => "timestamp-outside-certificate",
            Self::TimestampFuture { .. } => "timestamp-future",
            Self::TooOld { .. } => "too-old",
            Self::DebugMode => "debug-mode",
            Self::ImageUnpinned => "image-unpinned",
            Self::PcrMismatch { .. } => "pcr-mismatch",
            Self::NonceMismatch => "nonce-mismatch",
            Self::UserDataMismatch => "user-data-mismatch",
            Self::PublicKeyMismatch => "public-key-mismatch",
        }
    }
}

/// What is wrong with a document's CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// It ends inside an item.
    #[error("it is cut short")]
    Truncated,
    /// Bytes follow the last item.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// A container claims more items than there are bytes.
    #[error("it claims more items than it has bytes")]
    CountTooLarge,
    /// A text string is not UTF-8.
    #[error("a text in it is not UTF-8")]
    InvalidText,
    /// A tag, float, boolean, chunked string, indefinite array or reserved head.
    #[error("it uses CBOR that no attestation document uses")]
    Unsupported,
}

fn show_found(found: Option<PcrValue>) -> String {
    found.map_or_else(|| "absent (not locked)".to_owned(), |value| value.to_string())
}

fn show_expected(expected: &[PcrValue]) -> String {
    let values: Vec<String> = expected.iter().map(ToString::to_string).collect();
    if values.is_empty() { "nothing the policy lists".to_owned() } else { values.join(" or ") }
}
