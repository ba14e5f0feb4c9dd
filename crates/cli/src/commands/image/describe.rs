//! `image describe`: what an image is, from the file alone.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use strongroom_eif::{Image, Signature, cpio};

use super::MAX_IMAGE;
use crate::error::CliError;
use crate::files;
use crate::output::{Output, printable, size};

/// What `image describe` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image; `-` is standard input
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let file = files::read_small(&args.image, MAX_IMAGE)?;
    let image = Image::parse(&file)
        .map_err(|error| CliError::Image(format!("{}: {error}", args.image.display())))?;
    let signature = check_signature(&image);
    let metadata: Value =
        image.metadata().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    let ramdisks: Vec<Value> = image.ramdisks().map(ramdisk).collect();
    let value = json!({
        "EifVersion": image.version(),
        "Architecture": image.architecture().as_str(),
        "Measurements": super::measurements(&image.measurements()),
        "IsSigned": image.is_signed(),
        "SignatureCheck": signature,
        "CheckCRC": true,
        "Bytes": file.len(),
        "Kernel": {
            "Bytes": image.kernel().len(),
            "Version": strongroom_eif::kernel::version(image.kernel()),
        },
        "Cmdline": image.cmdline(),
        "Ramdisks": ramdisks,
        "Metadata": metadata,
    });
    output.answer(&value, &text(&image, file.len(), &signature, &metadata))
}

/// The signature's state, for the JSON document; null when there is none.
fn check_signature(image: &Image<'_>) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let state = |valid: bool, problem: Option<String>, signature: Option<&Signature>| {
        json!({
            "Valid": valid,
            "Problem": problem,
            "Subject": signature.map(Signature::subject),
            "NotAfter": signature.map(|signature| signature.validity().1),
        })
    };
    match image.signature() {
        Ok(None) => Value::Null,
        Err(error) => state(false, Some(error.to_string()), None),
        Ok(Some(signature)) => match signature.verify(&image.measurements().pcr0, now) {
            Ok(()) => state(true, None, Some(&signature)),
            Err(error) => state(false, Some(error.to_string()), Some(&signature)),
        },
    }
}

fn ramdisk(archive: &[u8]) -> Value {
    let entries = match cpio::read(archive) {
        Ok(entries) => entries,
        Err(error) => {
            let problem = if archive.starts_with(GZIP) {
                "compressed with gzip: its contents are not listed".to_owned()
            } else {
                error.to_string()
            };
            return json!({ "Bytes": archive.len(), "Problem": problem });
        }
    };
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "Path": entry.name,
                "Mode": format!("{:o}", entry.mode),
                "Bytes": entry.data.len(),
            })
        })
        .collect();
    json!({ "Bytes": archive.len(), "Entries": entries })
}

fn text(image: &Image<'_>, len: usize, signature: &Value, metadata: &Value) -> String {
    let bytes = |len: usize| size(u64::try_from(len).unwrap_or(u64::MAX));
    let mut text = super::measurement_lines(&image.measurements());
    let version = strongroom_eif::kernel::version(image.kernel()).unwrap_or("of unknown version");
    text += &format!(
        "format {} for {}, {}, CRC sound\nkernel   {} ({})\ncmdline  {}\n",
        image.version(),
        image.architecture().as_str(),
        bytes(len),
        bytes(image.kernel().len()),
        printable(version),
        printable(image.cmdline()),
    );
    for (index, archive) in image.ramdisks().enumerate() {
        text += &format!("ramdisk {index}   {}\n", bytes(archive.len()));
        match cpio::read(archive) {
            Ok(entries) => {
                for entry in entries.iter().take(MAX_LISTED) {
                    let (mode, size) = (entry.mode, bytes(entry.data.len()));
                    text += &format!("  {mode:06o} {size:>10}  /{}\n", printable(entry.name));
                }
                if let Some(more) = entries.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
                    text += &format!("  and {more} more (--json lists all)\n");
                }
            }
            Err(_) if archive.starts_with(GZIP) => text += "  compressed with gzip\n",
            Err(error) => text += &format!("  {error}\n"),
        }
    }
    text += &match (signature.is_null(), signature["Problem"].as_str()) {
        (true, _) => "not signed\n".to_owned(),
        (false, None) => {
            format!("signed by {}, sound\n", printable(&signature["Subject"].to_string()))
        }
        (false, Some(problem)) => format!("signed, but {}\n", printable(problem)),
    };
    if let Some(name) = metadata["ImageName"].as_str() {
        let version = metadata["ImageVersion"].as_str().unwrap_or_default();
        text += &format!(
            "calls itself {} {} (metadata is not measured: anyone can write it)\n",
            printable(name),
            printable(version),
        );
    }
    text
}

/// How a gzip file begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Entries of a ramdisk that are shown to people.
const MAX_LISTED: usize = 40;
