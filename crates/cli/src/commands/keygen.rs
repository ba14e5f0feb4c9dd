//! `keygen`: a key pair to have results sealed to, or to sign requests with.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use strongroom_client::{CallerSecret, RecipientPublicKey, RecipientSecretKey};
use strongroom_envelope::SecretBuf;

use crate::error::CliError;
use crate::files;
use crate::output::Output;

/// What `keygen` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File for the secret key; the public key goes beside it, with `.pub` appended
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Make an Ed25519 key that signs requests as a caller of the manifest (see `call --sign-with`)
    #[arg(long)]
    caller: bool,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    if files::is_standard(&args.output) {
        return Err(CliError::Usage("--output takes the name of a file: two are made".to_owned()));
    }
    if args.caller {
        return caller(args, output);
    }
    let (secret, public) = RecipientSecretKey::generate()
        .map_err(|_| CliError::Internal("the system gives no random bytes"))?;
    let public_path = write_pair(&args.output, &secret)?;
    let public = hex::encode(public.as_bytes());
    let text = format!(
        "secret key   {} (keep it: nothing else opens what is sealed to it)\n\
         public key   {}\n\
         for the manifest:  to = [\"{public}\"]",
        args.output.display(),
        public_path.display(),
    );
    let value = json!({
        "secret_key_file": args.output, "public_key_file": public_path, "public_key": public,
    });
    output.answer(&value, &text)
}

fn caller(args: &Args, output: &Output) -> Result<(), CliError> {
    let (public, public_path) = write_caller(&args.output)?;
    let text = format!(
        "secret key   {} (keep it: who has it is this caller)\n\
         public key   {}\n\
         for the manifest, Ed25519:  {public}",
        args.output.display(),
        public_path.display(),
    );
    let value = json!({
        "secret_key_file": args.output, "public_key_file": public_path, "public_key": public,
        "algorithm": "ed25519",
    });
    output.answer(&value, &text)
}

/// Makes a caller's key pair and writes both files; gives the public key in hex,
/// and the path of its file.
pub(crate) fn write_caller(path: &Path) -> Result<(String, PathBuf), CliError> {
    let failed = |_| CliError::Internal("no key can be made");
    let secret = CallerSecret::generate_ed25519().map_err(failed)?;
    let public = hex::encode(secret.public_key().map_err(failed)?.as_bytes());
    let public_path = public_path(path);
    let pem = caller_pem(&secret.to_pkcs8().map_err(failed)?)?;
    files::write_new(path, 0o600, pem.expose())?;
    files::write_new(&public_path, 0o644, format!("{public}\n").as_bytes())?;
    Ok((public, public_path))
}

/// PKCS#8 in PEM (RFC 7468), as OpenSSL writes it.
fn caller_pem(pkcs8: &SecretBuf) -> Result<SecretBuf, CliError> {
    let wrong = |_| CliError::Internal("a key does not fit its file");
    let mut pem = SecretBuf::new();
    pem.extend_from_slice(b"-----BEGIN PRIVATE KEY-----\n");
    // Of an Ed25519 key these are 48 bytes: one line of 64.
    let line = pem.grow(pkcs8.expose().len().div_ceil(3).saturating_mul(4));
    STANDARD.encode_slice(pkcs8.expose(), line).map_err(wrong)?;
    pem.extend_from_slice(b"\n-----END PRIVATE KEY-----\n");
    Ok(pem)
}

/// Reads a caller's secret key: PKCS#8 in PEM, Ed25519 or P-256.
pub(crate) fn read_caller(path: &Path) -> Result<CallerSecret, CliError> {
    let wrong = || CliError::KeyFile {
        path: path.to_owned(),
        expected: "a caller's secret key (of `strongroomctl keygen --caller`, or PKCS#8 in PEM)",
    };
    let text = SecretBuf::from_vec(files::read_small(path, MAX_FILE)?);
    let key = PrivatePkcs8KeyDer::from_pem_slice(text.expose()).map_err(|_| wrong())?;
    let pkcs8 = key.secret_pkcs8_der();
    CallerSecret::ed25519(pkcs8).or_else(|_| CallerSecret::p256(pkcs8)).map_err(|_| wrong())
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Writes both files, and gives the path of the public one.
pub(crate) fn write_pair(path: &Path, secret: &RecipientSecretKey) -> Result<PathBuf, CliError> {
    let public_path = public_path(path);
    let mut text = SecretBuf::new();
    text.extend_from_slice(SECRET_PREFIX.as_bytes());
    let digits = text.grow(64);
    hex::encode_to_slice(secret.expose(), digits)
        .map_err(|_| CliError::Internal("a secret key is not 32 bytes"))?;
    text.push(b'\n');
    files::write_new(path, 0o600, text.expose())?;
    let public = format!("{}\n", hex::encode(secret.public_key().as_bytes()));
    files::write_new(&public_path, 0o644, public.as_bytes())?;
    Ok(public_path)
}

/// Reads a secret key that `keygen` wrote.
pub(crate) fn read_secret(path: &Path) -> Result<RecipientSecretKey, CliError> {
    let wrong = || CliError::KeyFile {
        path: path.to_owned(),
        expected: "a secret key of `strongroomctl keygen`",
    };
    let text = SecretBuf::from_vec(files::read_small(path, MAX_FILE)?);
    let digits = text.expose().trim_ascii().strip_prefix(SECRET_PREFIX.as_bytes());
    let mut secret = SecretBuf::new();
    hex::decode_to_slice(digits.ok_or_else(wrong)?, secret.grow(RecipientSecretKey::LEN))
        .map_err(|_| wrong())?;
    RecipientSecretKey::from_bytes(secret.expose()).map_err(|_| wrong())
}

/// Reads a public key that `keygen` wrote: 64 hex digits.
pub(crate) fn read_public(path: &Path) -> Result<RecipientPublicKey, CliError> {
    let wrong = || CliError::KeyFile {
        path: path.to_owned(),
        expected: "a public key of `strongroomctl keygen` (64 hex digits)",
    };
    let text = files::read_small(path, MAX_FILE)?;
    let bytes = hex::decode(text.trim_ascii()).map_err(|_| wrong())?;
    RecipientPublicKey::from_bytes(&bytes).map_err(|_| wrong())
}

/// Keeps a secret key from being taken for a public one.
const SECRET_PREFIX: &str = "STRONGROOM-SECRET-KEY-1:";
const MAX_FILE: u64 = 4096;
