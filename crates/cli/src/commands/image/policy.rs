//! `image policy`: the KMS key policy for images.

use std::collections::BTreeMap;
use std::path::PathBuf;

use strongroom_eif::Image;

use super::MAX_IMAGE;
use crate::args::pair;
use crate::error::CliError;
use crate::files;
use crate::output::Output;
use crate::policy::compose::{self, Roles};

/// What `image policy` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// An image that may decrypt; several during an upgrade
    #[arg(long = "eif", value_name = "IMAGE")]
    images: Vec<PathBuf>,

    /// PCR0 of an image that may decrypt, without its file
    #[arg(long = "pcr0", value_name = "HEX")]
    pcr0s: Vec<String>,

    /// The IAM role of the parent instance, whose credentials the enclave uses
    #[arg(long, value_name = "ARN")]
    role: String,

    /// Who administers the key; the role's account, if not given
    #[arg(long, value_name = "ARN")]
    admin: Option<String>,

    /// Who encrypts for the enclave
    #[arg(long = "producer", value_name = "ARN")]
    producers: Vec<String>,

    /// Who has KMS make the keys of the manifest's [[secret]]s, and sees none of them
    #[arg(long = "secret-maker", value_name = "ARN")]
    secret_makers: Vec<String>,

    /// Encryption context without which the enclave cannot use the key
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    context: Vec<(String, String)>,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<(), CliError> {
    let mut images = Vec::new();
    for path in &args.images {
        let file = files::read_small(path, MAX_IMAGE)?;
        let image = Image::parse(&file)
            .map_err(|error| CliError::Image(format!("{}: {error}", path.display())))?;
        let measured = image.measurements();
        // PCR1 and PCR2 say nothing that PCR0 does not; PCR8 who signed.
        let pcrs = measured.by_index().filter(|(pcr, _)| matches!(pcr, 0 | 8));
        images.push(pcrs.map(|(pcr, value)| (pcr, hex::encode(value))).collect());
    }
    for pcr0 in &args.pcr0s {
        let sound = pcr0.len() == 96 && pcr0.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !sound || pcr0.bytes().all(|byte| byte == b'0') {
            return Err(CliError::Usage(
                "--pcr0 takes the 96 hex digits that `image build` prints; zeros are debug mode's"
                    .to_owned(),
            ));
        }
        images.push(BTreeMap::from([(0, pcr0.to_ascii_lowercase())]));
    }
    if images.is_empty() {
        return Err(CliError::Usage("name an image, with --eif or --pcr0".to_owned()));
    }
    let (partition, account) = account(&args.role)?;
    let root = format!("arn:{partition}:iam::{account}:root");
    let administrator = args.admin.unwrap_or(root);
    let same = |other: &String| other.eq_ignore_ascii_case(&args.role);
    if same(&administrator) || administrator.contains(":assumed-role/") {
        return Err(CliError::Usage(
            "--admin takes another role's ARN than --role: the parent could change the policy"
                .to_owned(),
        ));
    }
    if args.producers.iter().any(same) {
        return Err(CliError::Usage(
            "--producer and --role are the same: the parent could make producers' input".to_owned(),
        ));
    }
    let context = context(args.context)?;
    let (producers, secret_makers) = (args.producers, args.secret_makers);
    let roles = Roles { parent: args.role, administrator, producers, secret_makers, context };
    let policy = compose::policy(&images, &roles);
    let text = serde_json::to_string_pretty(&policy).unwrap_or_default();
    output.answer(&policy, &text)
}

/// The context, each name once. `${` would be a variable in a policy.
fn context(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, CliError> {
    let mut context = BTreeMap::new();
    for (name, value) in pairs {
        if value.contains("${") {
            return Err(CliError::Usage(format!("--context {name}: `${{` is a policy variable")));
        }
        if context.insert(name.clone(), value).is_some() {
            return Err(CliError::Usage(format!("--context {name} is given twice")));
        }
    }
    Ok(context)
}

/// The partition and the account of a role's ARN.
fn account(role: &str) -> Result<(&str, &str), CliError> {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, name]
            if account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && (name.starts_with("role/") || name.starts_with("user/"))
                && !name.contains(['*', '?']) =>
        {
            Ok((partition, account))
        }
        _ => Err(CliError::Usage(format!(
            "--role takes the ARN of an IAM role, such as arn:aws:iam::111122223333:role/parent; got {role}"
        ))),
    }
}

const EXAMPLE: &str = "Example, while version 2 replaces version 1:
  strongroomctl image policy --eif v1.eif --eif v2.eif --role arn:aws:iam::111122223333:role/parent \\
    --producer arn:aws:iam::111122223333:role/producer > key-policy.json";
