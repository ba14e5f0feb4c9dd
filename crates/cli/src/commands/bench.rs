//! `bench`: the whole service against a raw echo on the same kind of socket, in
//! one run, as ratios.
//!
//! The service (with the simulated NSM and KMS) and the echo run each in a
//! process of its own, so that their memory and CPU time are theirs alone; the
//! load comes from this one, encrypted and framed before the clock runs. The two
//! take turns, and the ratio is the median of the turns' own ratios: what
//! else the machine does meets both.

mod body;
mod bulk;
mod child;
mod figures;
mod house;
mod link;
mod report;
mod small;
mod stand;

use std::time::Duration;

use strongroom::manifest::ByteCount;
use strongroom_client::Address;

use crate::error::CliError;
use crate::output::Output;
use figures::Row;
use house::{Effort, House, raise_descriptors};
use report::Report;
use stand::Kind;

/// What `bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows to measure, separated by commas
    #[arg(long, value_name = "ROW", value_enum, value_delimiter = ',')]
    only: Vec<Name>,

    /// Plaintext of a large request, such as 1GiB; held in memory
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse)]
    size: Option<ByteCount>,

    /// How often the service and the echo take turns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,

    /// How long one measurement of small requests takes, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    millis: Option<u32>,

    /// Bytes of a large request in one DATA frame and one write
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse, default_value = "64KiB")]
    write: ByteCount,

    /// Over TCP on this machine, instead of Unix sockets
    #[arg(long)]
    tcp: bool,

    /// All rows, at length
    #[arg(long, conflicts_with = "quick")]
    full: bool,

    /// All rows, so short that the figures mean little: whether it works
    #[arg(long)]
    quick: bool,

    /// Be what is measured, and say where
    #[arg(long, value_name = "KIND", hide = true, requires = "stand_at")]
    stand: Option<Kind>,

    #[arg(long, value_name = "ADDRESS", hide = true)]
    stand_at: Option<Address>,
}

/// Names of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// A large message to another KMS key
    Reencrypt,
    /// A large message masked, of CSV and of NDJSON
    Mask,
    /// Requests of 1 KiB on one connection
    Latency,
    /// Requests of 1 KiB on 64 connections
    Rate,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    if let (Some(kind), Some(at)) = (args.stand, &args.stand_at) {
        return stand::serve(kind, at).await;
    }
    let effort = args.effort();
    let house = House::build(args.tcp, None).await?;
    let mut rows = Vec::new();
    for name in args.rows() {
        rows.extend(measure(&house, &effort, name).await?);
    }
    let report = Report {
        transport: if args.tcp { "tcp" } else { "unix" },
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        rows,
        notes: NOTES.map(str::to_owned).to_vec(),
    };
    output.answer(&report, &report.text(output))
}

async fn measure(house: &House, effort: &Effort, name: Name) -> Result<Vec<Row>, CliError> {
    let cases = match name {
        Name::Reencrypt => bulk::REENCRYPT,
        Name::Mask => bulk::MASK,
        Name::Latency => return small::latency(house, effort).await,
        Name::Rate => return small::rate(house, effort, "rate", 64).await,
    };
    let mut rows = Vec::new();
    for case in &cases {
        rows.extend(bulk::measure(house, effort, case).await?);
    }
    Ok(rows)
}

impl Args {
    fn rows(&self) -> Vec<Name> {
        match self.only.is_empty() {
            true => vec![Name::Reencrypt, Name::Mask, Name::Latency, Name::Rate],
            false => self.only.clone(),
        }
    }

    fn effort(&self) -> Effort {
        let (size, runs, millis) = match (self.quick, self.full) {
            (true, _) => (1 << 20, 1, 50),
            (_, true) => (1 << 30, 5, 3000),
            _ => (256 << 20, 3, 1000),
        };
        Effort {
            size: self.size.map_or(size, |size| body::count(size.0)),
            runs: self.runs.map_or(runs, usize::from),
            time: Duration::from_millis(self.millis.map_or(millis, u64::from)),
            write: self.write.0,
            connections: raise_descriptors(),
        }
    }
}

const NOTES: [&str; 2] = [
    "The ratio is the service's figure divided by the echo's, the median of the runs in which they \
     took turns.",
    "The service's process also holds the simulated KMS and NSM; nothing else is in the echo's.",
];
