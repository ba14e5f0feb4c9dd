//! What a user demands of an attestation document, from options to a policy.
//!
//! Two strengths. `verify` and `attest` inspect: what is not named is not
//! demanded. Whoever opens a sealed result decides by it what to believe, so
//! there the image must be named and debug mode is refused, unless the user says
//! otherwise in so many words.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use strongroom_attestation::{DebugMode, PcrValue, Policy, TrustRoot, UnixTime, VerifyError};
use strongroom_client::Verifier;

use crate::args::{HexBytes, hex_bytes};
use crate::command_line::CommandLine;
use crate::error::CliError;
use crate::files;

/// For inspecting a document.
#[derive(Clone, Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    trust: Trust,

    /// Verify as of this time instead of now
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<u64>,

    /// Demand a document no older than this
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,

    /// Refuse an enclave in debug mode
    #[arg(long)]
    production: bool,
}

impl Inspect {
    pub(crate) fn root(&self) -> Result<TrustRoot, CliError> {
        self.trust.root()
    }

    pub(crate) fn time(&self) -> UnixTime {
        self.at.map_or_else(now, UnixTime::from_secs)
    }

    /// Whether a document that passes tells which image runs.
    pub(crate) fn names_image(&self) -> bool {
        self.trust.names_image()
    }

    /// The same demands as options, except for the time.
    pub(crate) fn add_to(&self, mut line: CommandLine) -> CommandLine {
        if let Some(path) = &self.trust.trust_root {
            line = line.option("--trust-root", &path.display().to_string());
        }
        for (index, value) in &self.trust.pcrs.0 {
            line = line.option(&format!("--pcr{index}"), &value.to_string());
        }
        if self.production { line.flag("--production") } else { line }
    }

    pub(crate) fn policy(&self, nonce: Option<Vec<u8>>) -> Policy {
        Policy {
            any_image: true,
            debug: if self.production { DebugMode::Refuse } else { DebugMode::Allow },
            nonce,
            max_age: self.max_age.map(Duration::from_secs),
            ..Policy::for_pcrs(self.trust.pcrs.0.clone())
        }
    }
}

/// For deciding whom to believe.
#[derive(Clone, Debug, Args)]
pub(crate) struct Believe {
    #[command(flatten)]
    trust: Trust,

    /// Believe whatever image runs: for development
    #[arg(long)]
    any_image: bool,

    /// Believe an enclave in debug mode too: for development
    #[arg(long)]
    allow_debug: bool,
}

impl Believe {
    /// Whether the user has said which enclave to believe.
    pub(crate) fn is_given(&self) -> bool {
        self.any_image || self.trust.names_image()
    }

    /// What to believe; refused when it would be any image, and nobody said so.
    pub(crate) fn verifier(&self) -> Result<Verifier, CliError> {
        if !self.any_image && !self.trust.names_image() {
            return Err(VerifyError::ImageUnpinned.into());
        }
        let policy = Policy {
            any_image: self.any_image,
            debug: if self.allow_debug { DebugMode::Allow } else { DebugMode::Refuse },
            ..Policy::for_pcrs(self.trust.pcrs.0.clone())
        };
        Ok(Verifier { root: self.trust.root()?, policy })
    }
}

/// The root and the PCRs.
#[derive(Clone, Debug, Args)]
struct Trust {
    /// Certificate that documents must lead to, PEM or DER; Amazon's when not given
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,

    #[command(flatten)]
    pcrs: Pcrs,
}

impl Trust {
    fn names_image(&self) -> bool {
        self.pcrs.0.iter().any(|(index, _)| IMAGE_PCRS.contains(index))
    }

    fn root(&self) -> Result<TrustRoot, CliError> {
        let Some(path) = &self.trust_root else { return Ok(TrustRoot::aws_nitro()) };
        let bytes = files::read_small(path, MAX_ROOT_LEN)?;
        TrustRoot::from_der_or_pem(&bytes)
            .map_err(|source| CliError::Root { path: path.clone(), source })
    }
}

/// `--pcr0 HEX` to `--pcr31 HEX`, each as often as wanted: any of them will do.
#[derive(Clone, Debug, Default)]
struct Pcrs(Vec<(u8, PcrValue)>);

impl Args for Pcrs {
    fn augment_args(command: Command) -> Command {
        (0_u8..).zip(PCR_OPTIONS).fold(command, |command, (index, name)| {
            command.arg(
                Arg::new(name)
                    .long(name)
                    .value_name("HEX")
                    .value_parser(str::parse::<PcrValue>)
                    .action(ArgAction::Append)
                    .help(pcr_help(index).unwrap_or_default())
                    .hide(pcr_help(index).is_none()),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Pcrs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = (0_u8..).zip(PCR_OPTIONS).flat_map(|(index, name)| {
            let given = matches.get_many::<PcrValue>(name).unwrap_or_default();
            given.map(move |value| (index, *value))
        });
        Ok(Self(values.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A nonce to demand.
#[derive(Clone, Debug, Args)]
pub(crate) struct NonceArg {
    /// Nonce that the document must carry
    #[arg(long, value_name = "HEX", value_parser = hex_bytes)]
    nonce: Option<HexBytes>,
}

impl NonceArg {
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        self.nonce.clone().map(|nonce| nonce.0)
    }
}

/// The time of this machine's clock.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

const fn pcr_help(index: u8) -> Option<&'static str> {
    match index {
        0 => Some("Demand this PCR0 (the image); repeat it for alternatives, as for each PCR"),
        1 => Some("Demand this PCR1 (kernel and boot)"),
        2 => Some("Demand this PCR2 (application)"),
        3 => Some("Demand this PCR3 (the parent's IAM role)"),
        4 => Some("Demand this PCR4 (the parent's instance id)"),
        8 => Some("Demand this PCR8 (the image's signing certificate)"),
        _ => None,
    }
}

const PCR_OPTIONS: [&str; 32] = [
    "pcr0", "pcr1", "pcr2", "pcr3", "pcr4", "pcr5", "pcr6", "pcr7", "pcr8", "pcr9", "pcr10",
    "pcr11", "pcr12", "pcr13", "pcr14", "pcr15", "pcr16", "pcr17", "pcr18", "pcr19", "pcr20",
    "pcr21", "pcr22", "pcr23", "pcr24", "pcr25", "pcr26", "pcr27", "pcr28", "pcr29", "pcr30",
    "pcr31",
];

/// The PCRs that measure the image or its signer.
const IMAGE_PCRS: [u8; 4] = [0, 1, 2, 8];

/// Longest file of a root certificate, in bytes; real ones have below 1 KiB.
const MAX_ROOT_LEN: u64 = 64 << 10;
