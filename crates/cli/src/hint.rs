//! What to do next, for each kind of failure.

use std::io::ErrorKind;

use strongroom_client::{
    Error as ClientError, ErrorBody, ErrorCode, ReceiptError, ReceiptRefused, SealedError,
};
use strongroom_envelope::seal::OpenError;

use crate::error::CliError;
use crate::producer::KmsFailure;

/// What to do about `error`, unless its text says so already.
pub(crate) fn of(error: &CliError) -> Option<&'static str> {
    match error {
        CliError::File { source, .. } => Some(of_file(source.kind())),
        CliError::FileTooLarge { .. } => Some("this is another kind of file"),
        CliError::Stdout(_)
        | CliError::Address(_)
        | CliError::Usage(_)
        | CliError::Image(_)
        | CliError::Emulator(_)
        | CliError::Bench(_)
        | CliError::Policy(_)
        | CliError::PolicyHoles(_)
        | CliError::Interrupted => None,
        CliError::Document(error) => of_document(error.code()),
        CliError::Root { .. } => {
            Some("give the root certificate in PEM or DER, or leave --trust-root out for Amazon's")
        }
        CliError::Client(error) | CliError::Unwritten(error) => of_client(error.cause()),
        CliError::CredentialsMissing(_) => Some(
            "export AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, for instance \
             with `aws configure export-credentials --format env`",
        ),
        CliError::CredentialsMalformed(_) => Some(
            "give what `aws configure export-credentials` or the instance metadata service prints",
        ),
        CliError::CredentialsExpired(_) => Some("get new ones where these came from"),
        CliError::KeyFile { .. } => Some("`strongroomctl keygen` makes both files of a key pair"),
        CliError::NoMessage { .. } => Some(of_code(ErrorCode::BadMessage)),
        CliError::Kms(failure) => Some(of_kms(failure)),
        CliError::Context(_) => Some("give --context NAME=VALUE once for each name"),
        CliError::Seal(_) | CliError::SealPlain(_) => {
            Some("shorten the encryption context, or try again")
        }
        CliError::Authority { .. } => Some("give a PEM file with the endpoint's authority"),
        CliError::Resolve { .. } => Some("check --endpoint-url and the network"),
        CliError::Manifest { .. } => Some("correct the manifest; enclave.eif.toml is an example"),
        CliError::Sim(_) => Some("another process may hold the address; try again"),
        CliError::Boot(_) => Some("start it again; the cause stands above"),
        CliError::FolderTaken { .. } => Some("name a new or empty folder with --dir"),
        CliError::FolderInUse { .. } => Some("end it, or name another folder with --dir"),
        CliError::Internal(_) => Some("this is a fault of strongroomctl; please report it"),
        CliError::Demo { .. } => Some("the checks marked FAILED say what was not as promised"),
    }
}

fn of_file(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::AlreadyExists {
        // Only keys are made that way.
        return "an existing key is never overwritten; choose another name";
    }
    match kind {
        ErrorKind::NotFound => "there is no such file or folder: check the path",
        ErrorKind::PermissionDenied => "check who may read and write there",
        ErrorKind::StorageFull => "free some space, or choose another place",
        _ => "check the path, its permissions and the space left",
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
        "user-data-mismatch" => {
            "is --seal-key the key it was sealed to? otherwise the enclave did not make it"
        }
        "cbor" | "cose-structure" => {
            "give the raw document, as the NSM makes it: neither base64 nor hex"
        }
        _ => return None,
    })
}

fn of_client(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Service(body) => Some(of_refusal(body)),
        ClientError::Attestation(error) => of_document(error.code()),
        ClientError::Connect { source, .. } => of_connect(source.kind()),
        ClientError::Connection(_) | ClientError::Cut => {
            Some("is this a strongroom service, and the same version?")
        }
        ClientError::Sealed(error) => of_sealed(error),
        ClientError::Receipt(error) => of_receipt(error),
        // Their texts say what to do.
        ClientError::GivenUp
        | ClientError::Request(_)
        | ClientError::Protocol(_)
        | ClientError::Input(_)
        | ClientError::Output(_)
        | ClientError::Deadline
        | ClientError::Random
        | ClientError::EnclaveUnknown
        | ClientError::Padding(_)
        | ClientError::Signing(_)
        | ClientError::Partial { .. } => None,
    }
}

fn of_connect(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Some("is the service running there?"),
        ErrorKind::PermissionDenied => Some("the socket belongs to another user"),
        _ => None,
    }
}

const fn of_sealed(error: &SealedError) -> Option<&'static str> {
    match error {
        SealedError::Format(_) | SealedError::Truncated => {
            Some("is this the file that call --seal-to wrote?")
        }
        SealedError::Open(OpenError::OtherRequest) => {
            Some("compare --job, --arg, --request and --nonce with the call that made the result")
        }
        SealedError::Open(OpenError::OtherInput) => Some(
            "compare --of with the call that made the result: of an encrypted message its id was \
             compared, of any other file its SHA-256 with the one that the request named",
        ),
        SealedError::Open(_) | SealedError::NoInput | SealedError::Padding(_) => None,
    }
}

const fn of_receipt(error: &ReceiptRefused) -> Option<&'static str> {
    match error {
        ReceiptRefused::NoKey => Some(
            "take the document from `strongroomctl attest --output`: that inside a sealed result \
             names no receipt key",
        ),
        ReceiptRefused::Receipt(ReceiptError::Signature) => Some(
            "was the enclave restarted between the receipt and the document? take both from one \
             boot; else the receipt is forged",
        ),
        ReceiptRefused::Receipt(_) => Some("is this the file that call --receipt wrote?"),
        ReceiptRefused::Missing => {
            Some("the parent may have taken it away: believe no result of it")
        }
        ReceiptRefused::Other(_) => Some(
            "compare with the call that made the result; a result file must be as it left the \
             enclave, and a sealed one not opened",
        ),
    }
}

fn of_refusal(body: &ErrorBody) -> &'static str {
    if let Some(hint) = body.kms.as_ref().and_then(|kms| of_kms_refusal(&kms.code)) {
        return hint;
    }
    // The service knows no options: here are those that its words mean.
    match body.code {
        ErrorCode::BadArgument if body.message.contains("seal_to must be") => {
            "give --seal-key FILE to open the result here, or --seal-to FILE to store it sealed"
        }
        ErrorCode::BadArgument if body.message.contains("leave seal_to") => {
            "leave --seal-key, --seal-to and --nonce out"
        }
        ErrorCode::BadRequest if body.message.contains("idle") => {
            "does the job take two inputs (join-count)? give --input twice; else see whether the \
             input still comes"
        }
        ErrorCode::BadArgument if body.message.contains("input_sha256") => {
            "give the input as a file with --input: what is signed for is read twice"
        }
        code => of_code(code),
    }
}

const fn of_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadRequest => "use a client of the same version as the service",
        ErrorCode::UnknownJob => "`strongroomctl status` lists the jobs of the manifest",
        ErrorCode::BadArgument => {
            "give every argument that the job declares with --arg NAME=VALUE, and no other"
        }
        ErrorCode::BadCaller => {
            "sign the request with the key of a caller that the job lists (--sign-with), on a \
             machine whose clock is right"
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
        ErrorCode::InputMismatch => "send the input that the request names, whole and unchanged",
        ErrorCode::KeyDenied => {
            "compare the role of the credentials that were handed in with the principals of the \
             KMS key's policy, then the enclave's PCRs with its conditions; the request id finds \
             the refusal in CloudTrail"
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

fn of_kms(failure: &KmsFailure) -> &'static str {
    let code = match failure {
        KmsFailure::Unreachable(_) => return "check the network, --endpoint-url and --ca-file",
        KmsFailure::Answer => {
            return "something else than KMS answers there: check --endpoint-url";
        }
        KmsFailure::Refused { code, .. } => code.as_str(),
    };
    match code {
        "NotFoundException" => "there is no such key there: check --kms-key and --region",
        "UnrecognizedClientException" | "InvalidSignatureException" | "InvalidClientTokenId" => {
            "check the credentials in the environment, and this machine's clock"
        }
        "ExpiredTokenException" | "ExpiredToken" => "get new credentials into the environment",
        "DisabledException" | "KMSInvalidStateException" => "enable the KMS key",
        _ => "check the role's policy and the key's policy; CloudTrail has the refusal",
    }
}
