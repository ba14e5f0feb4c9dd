//! AWS Encryption SDK messages, opened and written as a stream.
//!
//! The service feeds an [`Opener`] what arrives from the parent and a
//! [`Sealer`] what it wants to send back; both hold at most one frame, whatever
//! the length of the message. Nothing that arrives is trusted: the header is
//! parsed within [`Limits`] and must be of a suite that the [`Policy`] allows,
//! its key commitment and tag are checked before the first frame, and plaintext
//! leaves frame by frame, each after its own tag.
//!
//! ```text
//! bytes ─▶ Header::parse ─▶ (KMS: data key) ─▶ Opener::new ─▶ open, open, … ─▶ finish
//! ```
//!
//! What is covered: all of it for reading, which is message formats 1 and 2,
//! the eleven algorithm suites ([`Suite`]), framed content and not, signatures,
//! required encryption context. For writing format 2, framed.
//!
//! ```text
//! message  = header ‖ body [‖ footer]                          integers big-endian
//! header 2 = 02 ‖ suite u16 ‖ message id 32 ‖ context ‖ encrypted data keys
//!            ‖ content type u8 ‖ frame length u32 ‖ commitment 32 ‖ tag 16
//! header 1 = 01 ‖ 80 ‖ suite u16 ‖ message id 16 ‖ context ‖ encrypted data keys
//!            ‖ content type u8 ‖ 00000000 ‖ 0C ‖ frame length u32 ‖ IV 12 ‖ tag 16
//! body     = frame ‖ … ‖ final frame                           content type 2
//!          | IV 12 ‖ length u64 ‖ ciphertext ‖ tag 16          content type 1
//! frame    = number u32 ‖ IV 12 ‖ ciphertext ‖ tag 16
//! final    = FFFFFFFF ‖ number u32 ‖ IV 12 ‖ length u32 ‖ ciphertext ‖ tag 16
//! footer   = length u16 ‖ ECDSA signature (DER)                signed suites only
//! ```
//!
//! IVs in a body must be the ones that the SDKs write, the frame number (1 where
//! content is not framed); the specification decrypts with no other.
//!
//! With a signed suite nothing is final before the footer: the last frame, or
//! all of content that is not framed, is released only with a good signature,
//! and [`Opener::finish`] succeeds only then. What came before it is
//! authenticated by the data key alone; a job that can not take it back refuses
//! signed suites ([`Signatures::Refuse`]).
//!
//! Source: <https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/message-format.html>
//! and the specification, github.com/awslabs/aws-encryption-sdk-specification.

mod context;
mod cursor;
mod frame;
mod header;
mod keys;
mod opener;
mod sealer;
mod signature;
mod suite;

pub use context::{ContextError, EncryptionContext, PUBLIC_KEY, RESERVED_PREFIX};
pub use header::{EncryptedDataKey, Header, MESSAGE_ID_END, RequiredContextError, message_id};
pub use keys::MessageId;
pub use opener::Opener;
pub use sealer::{FrameLen, Sealer};
pub use signature::Signer;
pub use suite::Suite;

/// Which algorithm suites are accepted: the job's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether suites that do not commit to their key are.
    pub commitment: CommitmentPolicy,
    /// Whether suites with a signature are.
    pub signatures: Signatures,
}

/// What a reader asks of a suite's key commitment.
///
/// Without it whoever knows two data keys can make one ciphertext that opens
/// under both, to two plaintexts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CommitmentPolicy {
    /// Only suites that commit to their key: message format 2.
    #[default]
    Require,
    /// Every suite.
    AllowLegacy,
}

/// What a reader does with signed suites.
///
/// Whoever holds the data key of a signed message, but not its signing key, can
/// change all frames but the last, and a reader that acts on frames as they
/// come does not know before the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signatures {
    /// They are accepted, and verified.
    #[default]
    Accept,
    /// They are refused.
    Refuse,
}

/// Bounds on what a message may make its reader hold.
///
/// Each is compared before memory is taken for what it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest header, in bytes, its tag included.
    ///
    /// The format allows a context of 64 KiB and any number of encrypted data
    /// keys of 192 KiB; KMS takes contexts of at most 8 KiB and makes
    /// encrypted data keys of about 200 bytes. 64 KiB leaves room for both.
    pub max_header_len: usize,
    /// Most encrypted data keys in one header.
    ///
    /// Each may cost a call to KMS. Producers write one for each KMS key that
    /// may open the message: one as a rule, a handful for several Regions.
    pub max_encrypted_data_keys: usize,
    /// Longest frame, and longest content that is not framed, in bytes of
    /// plaintext.
    ///
    /// Either has to be held whole before its tag can be checked, so this
    /// bounds memory per message. The SDKs write frames of 4 KiB; producers of
    /// large files choose up to some MiB.
    pub max_frame_len: usize,
}

impl Limits {
    /// What [`Limits::default`] returns, and what [`Sealer`] keeps to.
    pub const DEFAULT: Self = Self {
        max_header_len: 64 * 1024,
        max_encrypted_data_keys: 8,
        max_frame_len: 8 * 1024 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is wrong with a header, found before any key is asked for.
///
/// All of it is the sender's doing, and none of it depends on a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The first byte names no message format that is read here.
    #[error("message format version {0} is not supported")]
    UnsupportedVersion(u8),
    /// The algorithm suite does not commit to its key, and the policy asks for
    /// that: see [`CommitmentPolicy`].
    #[error("algorithm suite {0:#06x} is not key-committing")]
    NotKeyCommitting(u16),
    /// The algorithm suite is signed, and the policy refuses that: see
    /// [`Signatures`].
    #[error("algorithm suite {0:#06x} is signed")]
    Signed(u16),
    /// A suite of message format 1 in format 2, or the other way round.
    #[error("algorithm suite {0:#06x} does not belong to the message format version")]
    SuiteOfOtherVersion(u16),
    /// No such algorithm suite.
    #[error("algorithm suite {0:#06x} is not supported")]
    UnsupportedSuite(u16),
    /// The header is longer than [`Limits::max_header_len`].
    #[error("the header is longer than {0} bytes")]
    HeaderTooLong(usize),
    /// The encryption context is malformed.
    #[error("encryption context: {0}")]
    Context(#[from] ContextError),
    /// A header without an encrypted data key.
    #[error("the header holds no encrypted data key")]
    NoEncryptedDataKeys,
    /// More encrypted data keys than [`Limits::max_encrypted_data_keys`].
    #[error("{0} encrypted data keys are too many")]
    TooManyEncryptedDataKeys(u16),
    /// A key provider id is not UTF-8.
    #[error("a key provider id is not UTF-8")]
    ProviderIdNotUtf8,
    /// A field of message format 1 that has one value only (type, reserved
    /// bytes, IV length) has another.
    #[error("a fixed field of the header has another value")]
    FixedField,
    /// The content type is neither "non-framed" (1) nor "framed" (2).
    #[error("content type {0} is not supported")]
    UnsupportedContentType(u8),
    /// Framed content with a frame length of zero.
    #[error("the frame length is zero")]
    FrameLenZero,
    /// The frame length is above [`Limits::max_frame_len`].
    #[error("frames of {0} bytes are too long")]
    FrameTooLong(u32),
    /// A frame length although the content is not framed.
    #[error("the content is not framed, but the frame length is {0}")]
    FrameLenUnexpected(u32),
    /// Content that is not framed is longer than [`Limits::max_frame_len`].
    #[error("content of {0} bytes in one piece is too long")]
    ContentTooLong(u64),
    /// A signed suite whose context holds no verification key.
    #[error("the suite is signed, but the context holds no verification key")]
    VerificationKeyMissing,
    /// A verification key in the context of a suite that is not signed.
    #[error("the suite is not signed, but the context holds a verification key")]
    VerificationKeyUnexpected,
    /// The verification key is not the base64 of a compressed point.
    #[error("the verification key is malformed")]
    VerificationKeyMalformed,
}

/// The message could not be opened.
///
/// Wrong key, wrong commitment, a changed, missing, repeated or moved byte: one
/// and the same answer, so that it can not serve as an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decryption failed")]
pub struct DecryptFailed;

/// Why a message could not be written; nothing of it is the reader's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The context holds a key that starts with [`RESERVED_PREFIX`], or can not
    /// be encoded.
    #[error("encryption context: {0}")]
    Context(#[from] ContextError),
    /// The data key is not of [`DataKey::LEN`](crate::DataKey::LEN) bytes.
    #[error("the data key has another length than the suite's")]
    DataKeyLen,
    /// No encrypted data key: nobody could open the message.
    #[error("no encrypted data key was given")]
    NoEncryptedDataKeys,
    /// More encrypted data keys than [`Limits::DEFAULT`] lets a reader accept.
    #[error("{0} encrypted data keys are too many")]
    TooManyEncryptedDataKeys(usize),
    /// The header would be longer than [`Limits::DEFAULT`] lets a reader accept.
    #[error("the header would be longer than {0} bytes")]
    HeaderTooLong(usize),
    /// The message would need more than 2³² − 1 frames.
    #[error("the message is too long for its frame length")]
    MessageTooLong,
    /// An earlier call failed; the message must not be completed.
    #[error("writing the message failed earlier")]
    Failed,
    /// The cryptographic library or its random source failed.
    #[error("the cryptographic library failed")]
    Crypto,
}
