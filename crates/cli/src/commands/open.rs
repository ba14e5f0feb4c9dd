//! `open`: opens a stored sealed result, if it is to be believed.

use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom_attestation::UnixTime;
use strongroom_client::{Expected, INPUT_NAME_END, RequestId, input_name, open_sealed};
use strongroom_envelope::name::UNNAMED;

use crate::args::{FileArgs, HexBytes, arguments, hex_bytes, pair};
use crate::commands::keygen;
use crate::demands::{Believe, NonceArg, now};
use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::progress::Metered;

/// What `open` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Secret key that the result was sealed to (from `strongroomctl keygen`)
    #[arg(long, value_name = "FILE")]
    seal_key: PathBuf,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    believe: Believe,

    #[command(flatten)]
    nonce: NonceArg,

    /// Demand the result of this job
    #[arg(long, value_name = "NAME")]
    job: Option<String>,

    /// Demand that the job ran with exactly these arguments
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,

    /// Demand the answer to this request (32 hex digits)
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    request: Option<HexBytes>,

    /// Demand that the result was made from this file: of an encrypted message the beginning is
    /// read, for its id; any other stands for its SHA-256, which the request has to have named
    #[arg(long, value_name = "FILE")]
    of: Option<PathBuf>,

    /// Verify as of this time instead of now: when you received the result
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<u64>,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let secret = keygen::read_secret(&args.seal_key)?;
    let verifier = args.believe.verifier()?;
    let arguments = arguments(args.args)?;
    let expected = Expected {
        request: args.request.map(request_id).transpose()?,
        job: args.job,
        args: (!arguments.is_empty()).then_some(arguments),
        input: args.of.as_deref().map(input_id).transpose()?,
        nonce: args.nonce.bytes(),
    };
    let time = args.at.map_or_else(now, UnixTime::from_secs);
    let (input, total, mut sink) = files::open_both(&args.files).await?;
    let input = Metered::new(input, total);
    let opened = open_sealed(input, sink.writer(), &secret, &verifier, &expected, time).await;
    let opened = opened.map_err(|error| sink.failed(error))?;
    sink.commit().await?;
    let (job, mode) = (opened.job.as_str(), opened.document.mode().as_str());
    let value = json!({
        "request": opened.request.to_string(),
        "job": job,
        "args": opened.args,
        "input": hex::encode(&opened.input),
        "nonce": opened.nonce.as_ref().map(hex::encode),
        "module_id": opened.document.module_id(),
        "mode": mode,
        "pcr0": opened.document.pcr(0).map(ToString::to_string),
    });
    let text = format!(
        "opened       result of {job:?} with {:?}\nmade by      {} ({mode})",
        opened.args,
        opened.document.module_id(),
    );
    output.note(files::is_standard(&args.files.output), &value, &text)
}

/// What a result calls the input in a file: by its name, or else by its SHA-256.
fn input_id(path: &Path) -> Result<Vec<u8>, CliError> {
    let len = u64::try_from(INPUT_NAME_END).unwrap_or(u64::MAX);
    let start = files::read_start(path, len)?;
    // A result in the place of its input, easily mixed up.
    let sealed = start.starts_with(&strongroom_envelope::seal::MAGIC);
    let name = input_name(&start).filter(|_| !sealed);
    let name = name.ok_or_else(|| CliError::NoMessage { path: path.to_owned() })?;
    if name != UNNAMED {
        return Ok(name);
    }
    if files::is_standard(path) {
        return Err(CliError::Usage("--of takes the name of a file: it is read twice".to_owned()));
    }
    files::sha256(path).map(Vec::from)
}

fn request_id(bytes: HexBytes) -> Result<RequestId, CliError> {
    let id = bytes.0.try_into().map(RequestId);
    id.map_err(|_| CliError::Usage("--request takes 32 hex digits".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_called_by_its_message_id_or_else_by_the_sha256_of_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        let named = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            input_id(&path)
        };
        assert_eq!(named(&[&[2, 4, 0x78][..], &[7; 32], b"rest"].concat()).unwrap(), [7; 32]);
        for clear in [&b"id,pan\n1,2\n"[..], &[b'{'; 200_000]] {
            assert_eq!(named(clear).unwrap(), files::sha256(&path).unwrap());
        }
        for none in [&b""[..], &[2, 4, 0x78], &strongroom_envelope::seal::MAGIC] {
            assert!(matches!(named(none), Err(CliError::NoMessage { .. })), "{none:?}");
        }
    }
}
