//! `encrypt`: makes an encrypted message, as a producer does.
//!
//! Credentials come from the environment, under the names of AWS's own tools.

use std::path::PathBuf;

use serde_json::json;
use strongroom::manifest::KeyArn;
use strongroom_envelope::esdk::{EncryptionContext, Signer};

use crate::args::{FileArgs, pair};
use crate::environment;
use crate::error::CliError;
use crate::files;
use crate::output::{Output, size};
use crate::producer::{self, KmsEndpoint, Producer};
use crate::progress::Meter;

/// What `encrypt` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// KMS key to encrypt under: its full ARN, as in the manifest
    #[arg(long, value_name = "ARN", value_parser = KeyArn::parse)]
    kms_key: KeyArn,

    /// Encryption context: what the data may be used for, and by whom
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,

    #[command(flatten)]
    files: FileArgs,

    /// Format of the message, as the job's input has it
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "esdk")]
    format: Format,

    /// Sign the message with a key of its own (suite 0578), for a job that demands it
    #[arg(long)]
    signed: bool,

    /// KMS endpoint, `https://host[:port]`; AWS's own when not given
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_KMS")]
    endpoint_url: Option<String>,

    /// Authorities (PEM) for the endpoint's certificate; Amazon's when not given
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE")]
    ca_file: Option<PathBuf>,

    /// Region of the endpoint; the key's when not given
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
}

/// Formats of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// AWS Encryption SDK message: any length, in constant memory
    Esdk,
    /// Data key, nonce and AES-256-GCM ciphertext: at most 16 MiB
    PlainEnvelope,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    if args.signed && args.format != Format::Esdk {
        return Err(CliError::Usage("only the format esdk is --signed".to_owned()));
    }
    let credentials = environment::credentials()?;
    let context = EncryptionContext::new(args.context)?;
    let region = args.region.as_deref().unwrap_or(args.kms_key.region());
    let kms = KmsEndpoint::find(region, args.endpoint_url, args.ca_file.as_deref()).await?;
    let (input, total, mut sink) = files::open_both(&args.files).await?;
    let producer = Producer::new(region, kms, credentials);
    let signer = args.signed.then(|| Signer::new(&context)).transpose()?;
    // Its public key is part of what KMS binds the data key to.
    let bound = signer.as_ref().map_or(&context, Signer::encryption_context);
    let (data_key, encrypted) = producer.data_key(&args.kms_key, bound).await?;
    let (key, meter) = ((&data_key, encrypted), Meter::new(total));
    let (read, written) = match (args.format, signer) {
        (Format::PlainEnvelope, _) => {
            producer::encrypt_plain(key, &context, input, sink.writer(), &meter).await?
        }
        (Format::Esdk, None) => {
            producer::encrypt(key, &context, input, sink.writer(), &meter).await?
        }
        (Format::Esdk, Some(signer)) => {
            producer::encrypt_signed(key, signer, input, sink.writer(), &meter).await?
        }
    };
    drop(meter);
    sink.commit().await?;
    let value = json!({
        "kms_key": args.kms_key.as_str(), "bytes_in": read, "bytes_out": written,
        "context": context.iter().collect::<std::collections::BTreeMap<_, _>>(),
    });
    let text = format!("encrypted {} to {} under {}", size(read), size(written), args.kms_key);
    output.note(files::is_standard(&args.files.output), &value, &text)
}
