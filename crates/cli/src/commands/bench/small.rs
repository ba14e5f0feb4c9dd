//! Small requests, one after the other on each connection (a closed loop):
//! latency, and requests per second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_wire::{Outcome, Payload as _, Response};
use tokio::task::JoinSet;

use super::body::{Content, Shape, count, status};
use super::child::Child;
use super::figures::{Latencies, PERCENTILES, Row, float, median};
use super::house::{Effort, House};
use super::link::{Link, SMALL, connect};
use super::stand::Kind;
use crate::error::CliError;

/// What a closed loop gave.
pub(super) struct Loop {
    pub(super) per_second: f64,
    pub(super) latencies: Latencies,
    /// CPU time of the process, in microseconds for each request.
    cpu_micros: f64,
    /// Calls to KMS per second, of the service.
    kms_calls: Option<f64>,
}

/// How small requests come.
pub(super) struct Load<'a> {
    pub(super) row: &'static str,
    pub(super) case: &'a str,
    /// At once.
    pub(super) connections: usize,
    pub(super) receipt: bool,
}

/// A request of 1 KiB: a CSV to mask.
pub(super) fn request(house: &House, receipt: bool) -> Result<Arc<Vec<u8>>, CliError> {
    Ok(Arc::new(house.keys.request("mask-csv", Shape { receipt, ..SHAPE })?))
}

/// Latency.
pub(super) async fn latency(
    house: &House,
    effort: &Effort,
    load: &Load<'_>,
) -> Result<Vec<Row>, CliError> {
    let (runs, name) = (in_turns(house, effort, load).await?, (load.row, load.case));
    let mut rows = Vec::new();
    for (name, permille) in PERCENTILES {
        let runs = runs.iter();
        let runs = runs.map(|(a, b)| (a.latencies.micros(permille), b.latencies.micros(permille)));
        rows.push(Row::of_runs((load.row, load.case), (name, "µs"), runs.collect()));
    }
    rows.push(cost(name, &runs));
    Ok(rows)
}

/// Requests per second.
pub(super) async fn rate(
    house: &House,
    effort: &Effort,
    load: &Load<'_>,
) -> Result<Vec<Row>, CliError> {
    let (runs, name) = (in_turns(house, effort, load).await?, (load.row, load.case));
    let rates = runs.iter().map(|(a, b)| (a.per_second, b.per_second)).collect();
    let mut rows = vec![Row::of_runs(name, ("requests of 1 KiB", "1/s"), rates), cost(name, &runs)];
    let calls = runs.iter().filter_map(|(a, _)| a.kms_calls).collect();
    rows.push(Row::alone(name, ("calls to KMS", "1/s"), median(calls)));
    Ok(rows)
}

/// Calls that the service has made to KMS.
async fn kms_calls(child: &Child) -> Result<Option<u64>, CliError> {
    if child.kind == Kind::Echo {
        return Ok(None);
    }
    let mut link = Link::connect(child, SMALL).await?;
    let response = Response::decode(&link.ask(&status()?).await?);
    let Ok(Response { outcome: Outcome::Status(status), .. }) = response else {
        return Err(CliError::Bench("the service's status cannot be read".to_owned()));
    };
    Ok(Some(KMS.iter().filter_map(|name| status.counters.get(*name)).sum()))
}

fn cost(name: (&'static str, &str), runs: &[(Loop, Loop)]) -> Row {
    let costs = runs.iter().map(|(a, b)| (a.cpu_micros, b.cpu_micros)).collect();
    Row::of_runs(name, ("CPU time of the process", "µs each"), costs)
}

async fn in_turns(
    house: &House,
    effort: &Effort,
    load: &Load<'_>,
) -> Result<Vec<(Loop, Loop)>, CliError> {
    let request = request(house, load.receipt)?;
    let mut service = connect(&house.service, load.connections, SMALL).await?;
    let mut echo = connect(&house.echo, load.connections, SMALL).await?;
    let mut runs = Vec::new();
    for counted in (0..=effort.runs).map(|run| run > 0) {
        let time = if counted { effort.time } else { effort.time / 4 };
        let ours = closed(&house.service, &mut service, &request, time).await?;
        let theirs = closed(&house.echo, &mut echo, &request, time).await?;
        if counted {
            runs.push((ours, theirs));
        }
    }
    Ok(runs)
}

/// Has each connection send its next request when the last one is answered.
pub(super) async fn closed(
    child: &Child,
    links: &mut Vec<Link>,
    request: &Arc<Vec<u8>>,
    time: Duration,
) -> Result<Loop, CliError> {
    let calls = kms_calls(child).await?;
    let (started, cpu) = (Instant::now(), child.cpu());
    let end = started + time;
    let mut tasks = JoinSet::new();
    for mut link in links.drain(..) {
        let request = Arc::clone(request);
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let mut last = Instant::now();
            while latencies.is_empty() || last < end {
                link.exchange(&request).await?;
                let now = Instant::now();
                latencies.push(now - last);
                last = now;
            }
            Ok::<_, CliError>((link, latencies))
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (link, latencies) = done.map_err(|_| CliError::Internal("a task panicked"))??;
        links.push(link);
        all.extend(latencies);
    }
    let (secs, requests) = (started.elapsed().as_secs_f64(), float(count(all.len())));
    let cpu = child.cpu().saturating_sub(cpu).as_secs_f64();
    let calls = calls.zip(kms_calls(child).await?);
    Ok(Loop {
        per_second: requests / secs,
        latencies: Latencies::new(all),
        cpu_micros: cpu * 1e6 / requests,
        kms_calls: calls.map(|(before, after)| float(after.saturating_sub(before)) / secs),
    })
}

/// Of such a request.
pub(super) const SHAPE: Shape =
    Shape { content: Content::Csv, len: 1 << 10, frame: 4 << 10, data: 64 << 10, receipt: true };
/// Counters of calls to KMS.
const KMS: [&str; 2] = ["kms_decrypt", "kms_generate_data_key"];
