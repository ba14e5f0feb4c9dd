//! The client library in the place of the bench's own lean client: what a caller
//! in Rust gets.

use std::time::{Duration, Instant};

use strongroom_client::{Client, Job};

use super::body::count;
use super::bulk::{self, Case};
use super::figures::{Latencies, PERCENTILES, Row, float};
use super::house::{Effort, House};
use super::link::{Link, SMALL};
use super::small;
use crate::error::CliError;

/// A large request, and small ones on one connection.
pub(super) async fn measure(house: &House, effort: &Effort) -> Result<Vec<Row>, CliError> {
    let mut rows = large(house, effort, &bulk::LONG_FRAMES).await?;
    rows.extend(latency(house, effort).await?);
    Ok(rows)
}

async fn large(house: &House, effort: &Effort, case: &Case<'_>) -> Result<Vec<Row>, CliError> {
    let shape = case.shape(effort);
    let request = std::sync::Arc::new(house.keys.request(case.job, shape)?);
    let message = house.keys.message(shape)?;
    let gigabytes = float(count(message.len())) / 1e9;
    let mut rates = Vec::new();
    for counted in (0..=effort.runs).map(|run| run > 0) {
        let mut client = Client::connect(&house.service.address).await?;
        let (job, started) = (Job::new(case.job).deadline(LONG), Instant::now());
        client.run(&job, message.as_slice(), tokio::io::sink()).await?;
        let ours = started.elapsed().as_secs_f64();
        let echo = bulk::run(&house.echo, &request, effort.write, 1).await?;
        if counted {
            rates.push((gigabytes / ours, gigabytes / echo.secs));
        }
    }
    Ok(vec![Row::of_runs(("client", case.name), ("throughput", "GB/s"), rates)])
}

async fn latency(house: &House, effort: &Effort) -> Result<Vec<Row>, CliError> {
    let request = small::request(house, true)?;
    let message = house.keys.message(small::SHAPE)?;
    let mut client = Client::connect(&house.service.address).await?;
    let mut echo = vec![Link::connect(&house.echo, SMALL).await?];
    let mut runs = Vec::new();
    for _ in 0..effort.runs {
        let (mut latencies, started) = (Vec::new(), Instant::now());
        while latencies.is_empty() || started.elapsed() < effort.time {
            let sent = Instant::now();
            let job = Job::new("mask-csv");
            client.run(&job, message.as_slice(), tokio::io::sink()).await?;
            latencies.push(sent.elapsed());
        }
        let theirs = small::closed(&house.echo, &mut echo, &request, effort.time).await?;
        runs.push((Latencies::new(latencies), theirs.latencies));
    }
    let rows = PERCENTILES.iter().map(|(name, permille)| {
        let runs = runs.iter().map(|(a, b)| (a.micros(*permille), b.micros(*permille)));
        Row::of_runs(("client", "1 KiB, 1 connection"), (name, "µs"), runs.collect())
    });
    Ok(rows.collect())
}

/// Longer than any large request takes.
const LONG: Duration = Duration::from_secs(3600);
