//! Jobs: from the name a caller sends to a complete, bound use of an operation.
//!
//! Knows the manifest and no I/O. A [`BoundJob`] exists only when the manifest
//! has the job, the arguments are exactly those it declares, and the result may
//! go where the caller wants it; what follows in a request demands one.

use std::collections::{BTreeMap, BTreeSet};

use serde_bytes::ByteBuf;
use strongroom_envelope::esdk::{ContextError, EncryptionContext, FrameLen};
use strongroom_envelope::padding::{CONTEXT_KEY, CONTEXT_VALUE};
use strongroom_envelope::seal::RecipientPublicKey;
use strongroom_wire::Run;

use crate::manifest::fields::{BadRecords, Shape, UnknownFields};
use crate::manifest::operations::OperationSpec;
use crate::manifest::{
    ArgSpec, Ciphertext, Input, Job, JobName, KeyArn, KeyBounds, KmsOutput, Limits, Manifest,
    OutputSpec, Recipients, Source, Template,
};
use crate::shape::{Layout, MissingFields};

/// A job with a caller's arguments in place.
pub struct BoundJob<'m> {
    job: &'m Job,
    args: BTreeMap<String, String>,
    caller: Option<String>,
    input_digest: Option<[u8; 32]>,
    receipt: bool,
    output: BoundOutput<'m>,
}

/// Why a caller's request names no job it may run. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// No such job.
    #[error("the manifest has no job {0:?}")]
    Unknown(String),
    /// The job is for callers that the manifest names, and this is none of them.
    #[error("the job runs for callers that the manifest names; sign the request as one of them")]
    CallerNotListed,
    /// A declared argument is not given.
    #[error("the job needs the argument {0:?}")]
    MissingArg(String),
    /// An argument is given that the job does not declare.
    #[error("the job does not declare the argument {0:?}")]
    UndeclaredArg(String),
    /// An argument's value is not of the job's pattern and length.
    #[error(
        "the argument {0:?} must be 1 to {1} bytes without control characters, and match the job's pattern if it has one"
    )]
    BadArg(String, usize),
    /// An argument that fields are compared with is not what the job compares.
    #[error(
        "the argument {0:?} is not an index of the job's length in hex, or not an encrypted value in base64"
    )]
    BadComparand(String),
    /// The job seals and no public key is given.
    #[error("the job seals its result: seal_to must be an X25519 public key of 32 bytes")]
    MissingRecipient,
    /// The job does not seal and a public key or nonce is given.
    #[error("the job does not seal its result: leave seal_to and nonce out")]
    UnwantedRecipient,
    /// The public key is not among those the manifest lists.
    #[error("the manifest does not list this public key as a recipient of the job")]
    RecipientNotListed,
    /// The input's digest is needed and not given, or not one.
    #[error(
        "the job takes input that is not encrypted as a whole from callers that sign for it: input_sha256 must be the SHA-256 of it, 32 bytes"
    )]
    MissingDigest,
    /// The arguments make an encryption context unfit.
    #[error("the encryption context: {0}")]
    Context(#[from] ContextError),
}

/// What protects a result, with the caller's arguments in place.
pub enum BoundOutput<'m> {
    /// Nothing: it may leave in the clear.
    None,
    /// A KMS key.
    Kms(BoundKms<'m>),
    /// A KMS key, for the fields of a layout, with the context of each.
    Fields(Layout, Vec<EncryptionContext>, BoundKms<'m>),
    /// A public key.
    Seal {
        /// The recipient.
        to: RecipientPublicKey,
        /// The data owner's nonce.
        nonce: Option<Vec<u8>>,
        /// The length is rounded up to a multiple of so many bytes.
        pad_to: Option<usize>,
    },
}

/// A KMS key that protects a result.
pub struct BoundKms<'m> {
    /// The key.
    pub key: &'m KeyArn,
    /// The encryption context.
    pub context: EncryptionContext,
    /// Plaintext bytes per frame.
    pub frame: FrameLen,
    /// Whether the message is signed.
    pub signed: bool,
    /// The length is rounded up to a multiple of so many bytes.
    pub pad_to: Option<usize>,
    /// How often a data key may be that of another result.
    pub reuse: Option<KeyBounds>,
}

impl<'m> BoundJob<'m> {
    /// Looks the job up and binds the arguments. `caller` is who signed the
    /// request, if somebody did.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn bind(
        manifest: &'m Manifest,
        run: Run,
        caller: Option<String>,
    ) -> Result<Self, JobError> {
        let Some(job) = manifest.jobs.get(run.job.as_str()) else {
            return Err(JobError::Unknown(run.job));
        };
        let listed = caller.as_ref().is_some_and(|caller| job.callers.contains(caller));
        if !job.callers.is_empty() && !listed {
            return Err(JobError::CallerNotListed);
        }
        check_args(&job.args, &run.args)?;
        let input_digest = check_digest(job, &run)?;
        let output = BoundOutput::bind(job, &manifest.limits, &run)?;
        let receipt = !run.no_receipt;
        Ok(Self { job, args: run.args, caller, input_digest, receipt, output })
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &JobName {
        &self.job.name
    }

    /// Whether the caller takes a receipt.
    #[must_use]
    pub const fn receipt(&self) -> bool {
        self.receipt
    }

    /// The caller's arguments.
    #[must_use]
    pub fn args(&self) -> &BTreeMap<String, String> {
        &self.args
    }

    /// Who signed the request, if somebody did.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.caller.as_deref()
    }

    /// SHA-256 that the first input must have, where the caller says it.
    #[must_use]
    pub fn input_digest(&self) -> Option<&[u8; 32]> {
        self.input_digest.as_ref()
    }

    /// The inputs that follow one another.
    #[must_use]
    pub fn inputs(&self) -> &'m [Input] {
        &self.job.inputs
    }

    /// The context that a ciphertext must have, with the arguments in place.
    ///
    /// # Errors
    /// [`ContextError`] when they make it too long.
    pub fn context(&self, ciphertext: &'m Ciphertext) -> Result<BoundContext<'m>, ContextError> {
        Ok(BoundContext {
            ciphertext,
            pinned: EncryptionContext::new(fill(&ciphertext.context, &self.args))?,
            required: EncryptionContext::new(fill(&ciphertext.required_context, &self.args))?,
        })
    }

    /// The KMS keys that it uses, each once, in order.
    #[must_use]
    pub fn keys(&self, manifest: &Manifest) -> Vec<String> {
        let secret = self.job.operation.secret().and_then(|name| manifest.secrets.get(name));
        let inputs = self.job.ciphertexts().map(|ciphertext| &ciphertext.key);
        let others = self.job.output_key().into_iter().chain(secret.map(|secret| &secret.key));
        let keys: BTreeSet<&KeyArn> = inputs.chain(others).collect();
        keys.into_iter().map(ToString::to_string).collect()
    }

    /// What the job does.
    #[must_use]
    pub fn operation(&self) -> &'m OperationSpec {
        &self.job.operation
    }

    /// What protects the result.
    #[must_use]
    pub fn output(&self) -> &BoundOutput<'m> {
        &self.output
    }
}

/// What a ciphertext must be, with the caller's arguments in place.
pub struct BoundContext<'m> {
    /// Its format and key.
    pub ciphertext: &'m Ciphertext,
    /// What its encryption context must hold, with these values.
    pub pinned: EncryptionContext,
    /// What it need not hold and is bound to all the same.
    pub required: EncryptionContext,
}

fn fill(
    context: &BTreeMap<String, Template>,
    args: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    context.iter().map(|(name, value)| (name.clone(), value.fill(args))).collect()
}

impl<'m> BoundOutput<'m> {
    fn bind(job: &'m Job, limits: &Limits, run: &Run) -> Result<Self, JobError> {
        let recipient_given = run.seal_to.is_some() || run.nonce.is_some();
        match &job.output {
            OutputSpec::None | OutputSpec::Kms(_) | OutputSpec::Fields(..) if recipient_given => {
                Err(JobError::UnwantedRecipient)
            }
            OutputSpec::None => Ok(Self::None),
            OutputSpec::Kms(kms) => Ok(Self::Kms(BoundKms::bind(kms, run)?)),
            OutputSpec::Fields(fields, kms) => {
                let layout = Layout {
                    shape: job.inputs.first().map_or(Shape::Bytes, |input| input.shape),
                    fields: fields.keys().cloned().collect(),
                    unknown: UnknownFields::Keep,
                    missing: MissingFields::Allow,
                    bad_records: BadRecords::Refuse,
                    max_record: limits.max_record.0,
                };
                let kms = BoundKms::bind(kms, run)?;
                let context = |own: &BTreeMap<String, Template>| {
                    let common = kms.context.iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
                    EncryptionContext::new(common.chain(fill(own, &run.args)))
                };
                let contexts = fields.values().map(context).collect::<Result<_, _>>()?;
                Ok(Self::Fields(layout, contexts, kms))
            }
            OutputSpec::Seal { to, pad_to } => Self::seal(to, *pad_to, run),
        }
    }

    fn seal(recipients: &Recipients, pad_to: Option<usize>, run: &Run) -> Result<Self, JobError> {
        let key = run.seal_to.as_ref().map(|key| <[u8; 32]>::try_from(key.as_slice()));
        let Some(Ok(key)) = key else { return Err(JobError::MissingRecipient) };
        match recipients {
            Recipients::Listed(listed) if !listed.contains(&key) => {
                Err(JobError::RecipientNotListed)
            }
            Recipients::Listed(_) | Recipients::Any => Ok(Self::Seal {
                to: RecipientPublicKey::from_bytes(&key).map_err(|_| JobError::MissingRecipient)?,
                nonce: run.nonce.clone().map(ByteBuf::into_vec),
                pad_to,
            }),
        }
    }
}

impl<'m> BoundKms<'m> {
    fn bind(kms: &'m KmsOutput, run: &Run) -> Result<Self, JobError> {
        let mut context = fill(&kms.context, &run.args);
        if kms.pad_to.is_some() {
            context.insert(CONTEXT_KEY.to_owned(), CONTEXT_VALUE.to_owned());
        }
        Ok(Self {
            key: &kms.key,
            context: EncryptionContext::new(context)?,
            frame: kms.frame,
            signed: kms.signed,
            pad_to: kms.pad_to,
            reuse: kms.reuse,
        })
    }
}

fn check_args(
    declared: &BTreeMap<String, ArgSpec>,
    given: &BTreeMap<String, String>,
) -> Result<(), JobError> {
    if let Some(missing) = declared.keys().find(|name| !given.contains_key(*name)) {
        return Err(JobError::MissingArg(missing.clone()));
    }
    for (name, value) in given {
        match declared.get(name) {
            None => return Err(JobError::UndeclaredArg(name.clone())),
            Some(spec) if !spec.fits(value) => {
                return Err(JobError::BadArg(name.clone(), spec.max_len));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Where the input, or part of it, comes in the clear, whoever signs the request
/// has to sign for the input as well.
fn check_digest(job: &Job, run: &Run) -> Result<Option<[u8; 32]>, JobError> {
    let composed = job.inputs.iter().any(|input| !matches!(input.source, Source::Whole(_)));
    match &run.input_sha256 {
        None if composed && !job.callers.is_empty() => Err(JobError::MissingDigest),
        None => Ok(None),
        Some(digest) => digest.as_slice().try_into().map(Some).map_err(|_| JobError::MissingDigest),
    }
}

#[cfg(test)]
mod tests;
