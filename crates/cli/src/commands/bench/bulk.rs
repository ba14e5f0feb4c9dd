//! Large requests on one connection: bytes per second, and CPU time for them.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::body::{Content, Shape, count};
use super::child::Child;
use super::figures::{Row, float};
use super::house::{Effort, House};
use super::link::{LARGE, connect};
use crate::error::CliError;

/// One kind of large request.
pub(super) struct Case<'a> {
    pub(super) row: &'static str,
    pub(super) name: &'a str,
    pub(super) job: &'static str,
    pub(super) content: Content,
    /// Bytes in a frame of the message.
    pub(super) frame: usize,
    pub(super) receipt: bool,
}

/// Re-encryption, of long and of short frames.
pub(super) const REENCRYPT: [Case<'static>; 4] = [
    LONG_FRAMES,
    Case { name: "frames of 64 KiB, no receipt", receipt: false, ..LONG_FRAMES },
    Case { name: "frames of 4 KiB", frame: 4 << 10, ..LONG_FRAMES },
    Case { name: "frames of 4 KiB, no receipt", frame: 4 << 10, receipt: false, ..LONG_FRAMES },
];

/// Masking, of each shape.
pub(super) const MASK: [Case<'static>; 4] = [
    CSV,
    Case { name: "CSV, no receipt", receipt: false, ..CSV },
    NDJSON,
    Case { name: "NDJSON, no receipt", receipt: false, ..NDJSON },
];

const NDJSON: Case<'static> =
    Case { name: "NDJSON", job: "mask-ndjson", content: Content::Ndjson, ..CSV };

/// What large requests are mostly like.
pub(super) const LONG_FRAMES: Case<'static> = Case {
    row: "reencrypt",
    name: "frames of 64 KiB",
    job: "reencrypt",
    content: Content::Csv,
    frame: 64 << 10,
    receipt: true,
};

const CSV: Case<'static> = Case { row: "mask", name: "CSV", job: "mask-csv", ..LONG_FRAMES };

impl Case<'_> {
    /// How its message is made.
    pub(super) fn shape(&self, effort: &Effort) -> Shape {
        Shape {
            content: self.content,
            len: effort.size,
            frame: self.frame,
            data: effort.write,
            receipt: self.receipt,
        }
    }
}

/// What a run took.
pub(super) struct Took {
    pub(super) secs: f64,
    cpu_secs: f64,
}

/// The service and the echo with the same bytes, in turns, on `streams`
/// connections at once.
pub(super) async fn measure(
    house: &House,
    effort: &Effort,
    case: &Case<'_>,
    streams: usize,
) -> Result<Vec<Row>, CliError> {
    let shape = case.shape(effort);
    let request = Arc::new(house.keys.request(case.job, shape)?);
    let gigabytes = float(count(request.len())) * float(count(streams)) / 1e9;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    // The first one warms caches and is not counted.
    for counted in (0..=effort.runs).map(|run| run > 0) {
        let ours = run(&house.service, &request, effort.write, streams).await?;
        let echo = run(&house.echo, &request, effort.write, streams).await?;
        if counted {
            rates.push((gigabytes / ours.secs, gigabytes / echo.secs));
            costs.push((ours.cpu_secs / gigabytes, echo.cpu_secs / gigabytes));
        }
    }
    let name = (case.row, case.name);
    Ok(vec![
        Row::of_runs(name, ("throughput", "GB/s"), rates),
        Row::of_runs(name, ("CPU time of the process", "s/GB"), costs),
    ])
}

/// One turn, in writes of `piece` bytes.
pub(super) async fn run(
    child: &Child,
    request: &Arc<Vec<u8>>,
    piece: usize,
    streams: usize,
) -> Result<Took, CliError> {
    let links = connect(child, streams, LARGE).await?;
    let (started, cpu, mut tasks) = (Instant::now(), child.cpu(), JoinSet::new());
    for link in links {
        tasks.spawn(link.stream(Arc::clone(request), piece));
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|_| CliError::Internal("a task panicked"))??;
    }
    let secs = started.elapsed().as_secs_f64();
    Ok(Took { secs, cpu_secs: child.cpu().saturating_sub(cpu).as_secs_f64() })
}
