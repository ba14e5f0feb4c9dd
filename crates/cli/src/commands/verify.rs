//! `verify`: judges an attestation document that is in a file.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_attestation::{MAX_DOCUMENT_LEN, Mode, Report, VerifiedDocument, VerifyError};

use crate::demands::{Inspect, NonceArg};
use crate::environment;
use crate::error::CliError;
use crate::files;
use crate::output::Output;

/// What `verify` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The raw document; `-` is standard input
    #[arg(long, value_name = "FILE")]
    document: PathBuf,

    #[command(flatten)]
    nonce: NonceArg,

    #[command(flatten)]
    inspect: Inspect,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let root = args.inspect.root()?;
    let document = read(&args.document)?;
    let policy = args.inspect.policy(args.nonce.bytes());
    let verified = strongroom_attestation::verify(&document, &root, args.inspect.time(), &policy)?;
    show(&verified, args.inspect.names_image(), output)
}

/// Shows a document that was verified, and whether its image was.
pub(crate) fn show(
    document: &VerifiedDocument,
    image_checked: bool,
    output: &Output,
) -> Result<(), CliError> {
    let shown = Shown { report: document.into(), image_checked };
    output.answer(&shown, &text(&shown, document.mode(), output))
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    report: Report,
    image_checked: bool,
}

/// A file that is too long is no document, whatever it holds.
fn read(path: &std::path::Path) -> Result<Vec<u8>, CliError> {
    let max = u64::try_from(MAX_DOCUMENT_LEN).unwrap_or(u64::MAX);
    match files::read_small(path, max) {
        Err(CliError::FileTooLarge { .. }) => {
            Err(VerifyError::CoseStructure("it is too long").into())
        }
        read => read,
    }
}

fn text(Shown { report, image_checked }: &Shown, mode: Mode, output: &Output) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let verdict = match image_checked {
        true => output.good("genuine"),
        false => output.bad("genuine, image NOT checked (no --pcr0)"),
    };
    line("verdict", &verdict);
    line("mode", report.mode);
    line("module", &report.module_id);
    let made = environment::iso_8601(report.timestamp_ms / 1000);
    line("made", &made.unwrap_or_else(|| format!("{} ms", report.timestamp_ms)));
    let zero = "0".repeat(96);
    for (index, value) in &report.pcrs {
        if *value != zero {
            line(&format!("PCR{index}"), value);
        }
    }
    for (name, value) in [
        ("nonce", &report.nonce),
        ("user data", &report.user_data),
        ("public key", &report.public_key),
    ] {
        line(name, value.as_deref().unwrap_or("none"));
    }
    line("root", &report.root_sha256);
    if mode == Mode::Debug {
        let warning = "warning: a debug enclave hides nothing from its parent; \
                       --production refuses it";
        let _ = writeln!(text, "{}", output.bad(warning));
    }
    text
}
