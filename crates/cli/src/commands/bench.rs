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
mod client;
mod figures;
mod house;
mod link;
mod memory;
mod open;
mod plot;
mod progress;
mod report;
mod small;
mod stand;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;
use strongroom::manifest::ByteCount;
use strongroom_client::Address;
use strongroom_wire::frame::MAX_DATA_LEN;

use crate::error::CliError;
use crate::output::Output;
use body::count;
use bulk::Case;
use figures::Row;
use house::{Effort, House, raise_descriptors};
use progress::Steps;
use report::Report;
use small::Load;
use stand::Kind;

/// What `bench` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows to measure, separated by commas
    #[arg(long, value_name = "ROW", value_enum, value_delimiter = ',')]
    only: Vec<Name>,

    /// Of the rows reencrypt and mask, only the cases whose name ends with this, such as CSV
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,

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

    /// Also one request of that size, such as 10GiB, for the peak of resident memory
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse)]
    huge: Option<ByteCount>,

    /// Write latency against arrival rate to this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

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
    /// Requests of 1 KiB on 1, 10, 100 … connections
    Connections,
    /// Memory of an idle connection
    Idle,
    /// Throughput with 1, 2 … worker threads
    Workers,
    /// Latency at constant rates of arrival
    OpenLoop,
    /// The client library
    Client,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    if let (Some(kind), Some(at)) = (args.stand, &args.stand_at) {
        return stand::serve(kind, at).await;
    }
    let names = args.rows();
    if args.plot.is_some() && !names.contains(&Name::OpenLoop) {
        let missing = "--plot shows the row open-loop, which is not measured";
        return Err(CliError::Usage(missing.to_owned()));
    }
    let bench = Bench {
        effort: args.effort()?,
        tcp: args.tcp,
        case: args.case.clone(),
        most: match (args.quick, args.full) {
            (true, _) => 10,
            (_, true) => 10_000,
            _ => 1000,
        },
        steps: Steps::new(),
    };
    let mut rows = Vec::new();
    for name in names {
        rows.extend(bench.measure(name).await?);
    }
    for job in ["reencrypt", "mask-csv"] {
        if let Some(size) = args.huge {
            bench.steps.next(&format!("huge, {job}"));
            rows.extend(memory::huge(&bench.effort, args.tcp, job, count(size.0)).await?);
        }
    }
    let report = bench.report(rows);
    if let Some(path) = &args.plot {
        let svg = plot::svg(&report.rows, report.transport);
        let svg = svg.ok_or(CliError::Internal("the open loop gave no figures"))?;
        std::fs::write(path, svg).map_err(|error| CliError::file("write", path, error))?;
    }
    drop(bench);
    output.answer(&report, &report.text(output))
}

/// One run of the bench.
struct Bench {
    effort: Effort,
    tcp: bool,
    /// How the names of the cases that are measured end.
    case: String,
    /// Most connections of the rows with many.
    most: usize,
    steps: Steps,
}

impl Bench {
    async fn measure(&self, name: Name) -> Result<Vec<Row>, CliError> {
        let row = name.text();
        self.steps.next(row);
        match name {
            Name::Idle => return memory::idle(&self.effort, self.tcp, self.most).await,
            Name::Workers => return self.workers(row).await,
            Name::Reencrypt
            | Name::Mask
            | Name::Latency
            | Name::Rate
            | Name::Connections
            | Name::OpenLoop
            | Name::Client => {}
        }
        let (house, effort) = (House::build(self.tcp, None).await?, &self.effort);
        match name {
            Name::Reencrypt => self.bulk(&house, bulk::REENCRYPT).await,
            Name::Mask => self.bulk(&house, bulk::MASK).await,
            Name::Latency | Name::Rate => self.small(&house, name).await,
            Name::Connections => self.connections(&house, row).await,
            Name::OpenLoop => open::measure(&house, effort, &self.steps).await,
            Name::Client => client::measure(&house, effort).await,
            Name::Idle | Name::Workers => Ok(Vec::new()),
        }
    }

    async fn bulk(&self, house: &House, cases: [Case<'static>; 4]) -> Result<Vec<Row>, CliError> {
        let mut rows = Vec::new();
        for case in cases.into_iter().filter(|case| case.name.ends_with(&self.case)) {
            self.steps.next(&format!("{}, {}", case.row, case.name));
            rows.extend(bulk::measure(house, &self.effort, &case, 1).await?);
        }
        Ok(rows)
    }

    async fn small(&self, house: &House, name: Name) -> Result<Vec<Row>, CliError> {
        let connections = if name == Name::Latency { 1 } else { 64 };
        let mut rows = Vec::new();
        for (case, receipt) in [("1 KiB", true), ("1 KiB, no receipt", false)] {
            let load = Load { row: name.text(), case, connections, receipt };
            rows.extend(match name {
                Name::Latency => small::latency(house, &self.effort, &load).await?,
                _ => small::rate(house, &self.effort, &load).await?,
            });
        }
        Ok(rows)
    }

    async fn connections(&self, house: &House, row: &'static str) -> Result<Vec<Row>, CliError> {
        let mut rows = Vec::new();
        let steps = [1, 10, 100, 1000, 10_000].into_iter().filter(|step| *step <= self.most);
        let mut before = 0;
        for connections in steps.map(|step| step.min(self.effort.connections)) {
            if std::mem::replace(&mut before, connections) < connections {
                let case = format!("{connections} at once");
                self.steps.next(&format!("{row}, {case}"));
                let load = Load { row, case: &case, connections, receipt: true };
                rows.extend(small::rate(house, &self.effort, &load).await?);
            }
        }
        Ok(rows)
    }

    async fn workers(&self, row: &'static str) -> Result<Vec<Row>, CliError> {
        let mut rows = Vec::new();
        for workers in 1..=cpus() {
            let house = House::build(self.tcp, Some(workers)).await?;
            let name = format!("{workers} worker threads");
            self.steps.next(&format!("{row}, {name}"));
            let load = Load { row, case: &name, connections: 64, receipt: true };
            rows.extend(small::rate(&house, &self.effort, &load).await?);
            let case = Case { row, name: &name, ..bulk::LONG_FRAMES };
            rows.extend(bulk::measure(&house, &self.effort, &case, workers).await?);
        }
        Ok(rows)
    }

    fn report(&self, rows: Vec<Row>) -> Report {
        let mut notes: Vec<String> = NOTES.map(str::to_owned).to_vec();
        if self.effort.connections < self.most {
            let allowed = self.effort.connections;
            notes.push(format!("The system allows no more than {allowed} connections here."));
        }
        Report { transport: if self.tcp { "tcp" } else { "unix" }, cpus: cpus(), rows, notes }
    }
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::Reencrypt => "reencrypt",
            Self::Mask => "mask",
            Self::Latency => "latency",
            Self::Rate => "rate",
            Self::Connections => "connections",
            Self::Idle => "idle",
            Self::Workers => "workers",
            Self::OpenLoop => open::ROW,
            Self::Client => "client",
        }
    }
}

impl Args {
    fn rows(&self) -> Vec<Name> {
        let all = Name::value_variants();
        match (self.only.is_empty(), self.huge, self.full || self.quick) {
            (false, _, _) => self.only.clone(),
            // That alone, unless more is asked for.
            (true, Some(_), false) => Vec::new(),
            (true, _, true) => all.to_vec(),
            (true, None, false) => {
                let long = [Name::Workers, Name::Client];
                all.iter().copied().filter(|name| !long.contains(name)).collect()
            }
        }
    }

    fn effort(&self) -> Result<Effort, CliError> {
        let (size, runs, millis) = match (self.quick, self.full) {
            (true, _) => (1 << 20, 1, 50),
            (_, true) => (1 << 30, 5, 3000),
            _ => (128 << 20, 3, 500),
        };
        if !(1..=MAX_DATA_LEN).contains(&self.write.0) {
            return Err(CliError::Usage("--write takes what a DATA frame holds".to_owned()));
        }
        Ok(Effort {
            size: self.size.map_or(size, |size| count(size.0)),
            runs: self.runs.map_or(runs, usize::from),
            time: Duration::from_millis(self.millis.map_or(millis, u64::from)),
            write: self.write.0,
            connections: raise_descriptors(),
        })
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const NOTES: [&str; 2] = [
    "The ratio is the service's figure divided by the echo's, the median of the runs in which they \
     took turns.",
    "The service's process also holds the simulated KMS and NSM; nothing else is in the echo's.",
];
