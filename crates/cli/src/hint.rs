//! What to do next, for each kind of failure.

use strongroom_client::{Error as ClientError, ErrorCode};

use crate::error::CliError;

/// What to do about `error`, unless its text says so already.
pub(crate) fn of(error: &CliError) -> Option<&'static str> {
    match error {
        CliError::File { .. } => Some("check the path, its permissions and the space left"),
        CliError::FileTooLarge { .. } => Some("this is another kind of file"),
        CliError::Stdout(_) | CliError::Address(_) | CliError::Usage(_) => None,
        CliError::Document(error) => of_document(error.code()),
        CliError::Root { .. } => {
            Some("give the root certificate in PEM or DER, or leave --trust-root out for Amazon's")
        }
        CliError::Client(error) => of_client(error.cause()),
        CliError::CredentialsMissing(_) => Some(
            "export AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, for instance \
             with `aws configure export-credentials --format env`",
        ),
        CliError::CredentialsMalformed(_) => Some(
            "give what `aws configure export-credentials` or the instance metadata service prints",
        ),
        CliError::KeyFile { .. } => Some("`strongroomctl keygen` makes both files of a key pair"),
        CliError::Kms(failure) => Some(of_kms(failure.code())),
        CliError::Context(_) => Some("give --context NAME=VALUE once for each name"),
        CliError::Seal(_) => Some("shorten the encryption context, or try again"),
        CliError::Authority { .. } => Some("give a PEM file with the endpoint's authority"),
        CliError::Resolve { .. } => Some("check --endpoint-url and the network"),
        CliError::Manifest { .. } => Some("correct the manifest; enclave.eif.toml is an example"),
        CliError::Sim(_) => Some("another process may hold the address; try again"),
        CliError::Boot(_) => Some("start it again; the cause stands above"),
        CliError::Internal(_) => Some("this is a fault of strongroomctl; please report it"),
        CliError::Demo { .. } => Some("the checks marked FAILED say what was not as promised"),
    }
}

fn of_document(code: &str) -> Option<&'static str> {
    Some(match code {
        "root-mismatch" => {
            "name the root with --trust-root if the enclave is a simulated one; else do not trust it"
        }
        "pcr-mismatch" => {
            "another image (or parent) runs than the one named; compare with `nitro-cli describe-eif`"
        }
        "nonce-mismatch" => {
            "ask the enclave again with your nonce; this document is not its answer"
        }
        "certificate-expired" | "too-old" => {
            "documents live about three hours: get a new one, or give --at for an old one"
        }
        "certificate-not-yet-valid" | "timestamp-future" => "check this machine's clock, and --at",
        "debug-mode" => "start the enclave without --debug-mode",
        "image-unpinned" => "name the image with --pcr0, or say --any-image",
        "cbor" | "cose-structure" => {
            "give the raw document, as the NSM makes it: neither base64 nor hex"
        }
        _ => return None,
    })
}

fn of_client(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Service(body) => {
            let by_kms = body.kms.as_ref().and_then(|kms| of_kms_refusal(&kms.code));
            Some(by_kms.unwrap_or_else(|| of_code(body.code)))
        }
        ClientError::Attestation(error) => of_document(error.code()),
        // Their texts say what to do.
        ClientError::Connect { .. }
        | ClientError::GivenUp
        | ClientError::Request(_)
        | ClientError::Protocol(_)
        | ClientError::Sealed(_)
        | ClientError::Connection(_)
        | ClientError::Cut
        | ClientError::Input(_)
        | ClientError::Output(_)
        | ClientError::Deadline
        | ClientError::Random
        | ClientError::Partial { .. } => None,
    }
}

const fn of_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadRequest => "use a client of the same version as the service",
        ErrorCode::UnknownJob => "`strongroomctl status` lists the jobs of the manifest",
        ErrorCode::BadArgument => {
            "give every argument that the job declares with --arg NAME=VALUE, and no other"
        }
        ErrorCode::Denied => "the manifest forbids it; only a new image can allow it",
        ErrorCode::TooLarge => "split the input, or raise the limit in the manifest",
        ErrorCode::Busy => "try again shortly",
        ErrorCode::DeadlineExceeded => "try again with a longer --deadline, or less input",
        ErrorCode::BadMessage => {
            "give an AWS Encryption SDK message (format 2, key-committing suite), as \
             `strongroomctl encrypt` makes it"
        }
        ErrorCode::WrongKey => "encrypt the input under the KMS key that the job names",
        ErrorCode::ContextMismatch => {
            "encrypt with the encryption context that the job pins, and call with the arguments \
             it was encrypted for"
        }
        ErrorCode::KeyDenied => {
            "compare the enclave's PCRs with the conditions of the KMS key's policy, and the \
             credentials' role with its principals; the request id finds the refusal in CloudTrail"
        }
        ErrorCode::KeyUnavailable => {
            "see that vsock-proxy runs on the parent and leads to KMS itself, then try again"
        }
        ErrorCode::CredentialsMissing | ErrorCode::CredentialsExpired => {
            "hand in credentials with `strongroomctl credentials`"
        }
        ErrorCode::DecryptFailed => "get the input again: it was changed, cut or mixed up",
        ErrorCode::BadRecord => "correct that record at the producer, and encrypt anew",
        ErrorCode::AttestationFailed => "see the enclave's console; its NSM does not answer",
        ErrorCode::Internal => "see the service's log; this is its fault",
    }
}

/// What to do when KMS refused the enclave, where its code says more than ours.
fn of_kms_refusal(code: &str) -> Option<&'static str> {
    match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => Some(
            "the wrapped key does not belong to this message, key and encryption context: get the \
             input again from its producer",
        ),
        "UnrecognizedClientException" | "InvalidSignatureException" | "InvalidClientTokenId" => {
            Some(
                "hand in valid credentials with `strongroomctl credentials`, and check the enclave's clock",
            )
        }
        "DisabledException" | "KMSInvalidStateException" => Some("enable the KMS key"),
        "NotFoundException" => {
            Some("check the key ARNs in the manifest: there is no such key in this Region")
        }
        _ => None,
    }
}

fn of_kms(code: &str) -> &'static str {
    match code {
        "kms-unreachable" => "check the network, --endpoint-url and --ca-file",
        "kms-answer" => "something else than KMS answers there: check --endpoint-url",
        _ => "check the credentials, their policy and the key's policy; CloudTrail has the refusal",
    }
}
