//! `encrypt`: makes an AWS Encryption SDK message, as a producer does.
//!
//! Credentials come from the environment, under the names of AWS's own tools.

use std::path::PathBuf;

use serde_json::json;
use strongroom::manifest::KeyArn;
use strongroom_envelope::esdk::EncryptionContext;

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

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let credentials = environment::credentials()?;
    let context = EncryptionContext::new(args.context)?;
    let region = args.region.as_deref().unwrap_or(args.kms_key.region());
    let kms = KmsEndpoint::find(region, args.endpoint_url, args.ca_file.as_deref()).await?;
    let (input, total, mut sink) = files::open_both(&args.files).await?;
    let producer = Producer::new(region, kms, credentials);
    let (data_key, encrypted) = producer.data_key(&args.kms_key, &context).await?;
    let meter = Meter::new(total);
    let (read, written) =
        producer::encrypt((&data_key, encrypted), &context, input, sink.writer(), &meter).await?;
    drop(meter);
    sink.commit().await?;
    let value = json!({
        "kms_key": args.kms_key.as_str(), "bytes_in": read, "bytes_out": written,
        "context": context.iter().collect::<std::collections::BTreeMap<_, _>>(),
    });
    let text = format!("encrypted {} to {} under {}", size(read), size(written), args.kms_key);
    output.note(files::is_standard(&args.files.output), &value, &text)
}
