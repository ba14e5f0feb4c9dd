//! Memory of the service's process: for each idle connection, and at its peak
//! during one huge request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::body::{Content, Keys, Shape, count};
use super::child::Child;
use super::figures::{Row, float};
use super::house::{Effort, House};
use super::link::{LARGE, Link, SMALL, connect};
use super::small::request;
use crate::error::CliError;

/// Resident memory for each of so many idle connections, in processes that have
/// done nothing else.
pub(super) async fn idle(
    effort: &Effort,
    tcp: bool,
    connections: usize,
) -> Result<Vec<Row>, CliError> {
    let house = House::build(tcp, None).await?;
    let connections = connections.min(effort.connections);
    let request = request(&house, true)?;
    let ours = grown(&house.service, connections, &request).await?;
    let echo = grown(&house.echo, connections, &request).await?;
    let case = format!("{connections} idle connections");
    let row = |of, runs| Row::of_runs(("idle", &case), (of, "bytes each"), vec![runs]);
    Ok(vec![
        row("memory, nothing asked yet", (ours[0], echo[0])),
        row("memory, one request made", (ours[1], echo[1])),
    ])
}

/// Bytes for each connection: once it is there, and once it has had a request.
async fn grown(child: &Child, connections: usize, request: &[u8]) -> Result<[f64; 2], CliError> {
    // What a process keeps from then on, however many connections there are.
    let mut warm = Link::connect(child, SMALL).await?;
    for _ in 0..WARM {
        warm.exchange(request).await?;
    }
    let before = child.resident();
    let mut links = connect(child, connections, SMALL).await?;
    tokio::time::sleep(SETTLE).await;
    let there = child.resident();
    for link in &mut links {
        link.exchange(request).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let asked = child.resident();
    Ok([there, asked].map(|now| float(now.saturating_sub(before)) / float(count(links.len()))))
}

/// One request of `len` bytes, made while it is sent.
pub(super) async fn huge(
    effort: &Effort,
    tcp: bool,
    job: &'static str,
    len: u64,
) -> Result<Vec<Row>, CliError> {
    let house = House::build(tcp, None).await?;
    let shape =
        Shape { content: Content::Csv, len, frame: 64 << 10, data: effort.write, receipt: true };
    let (pieces, made) = mpsc::channel(QUEUED);
    let keys = Arc::clone(&house.keys);
    let making = tokio::task::spawn_blocking(move || make(&keys, job, shape, &pieces));
    let link = Link::connect(&house.service, LARGE).await?;
    house.service.forget_peak();
    let (started, before) = (Instant::now(), house.service.resident());
    link.stream_made(made).await?;
    let secs = started.elapsed().as_secs_f64();
    making.await.map_err(|_| CliError::Internal("a thread panicked"))??;
    let case = format!("{job} of {}", crate::output::size(len));
    let row = |of, unit, value| Row::alone(("huge", &case), (of, unit), value);
    Ok(vec![
        row("peak resident memory", "bytes", float(house.service.peak())),
        row("resident memory before", "bytes", float(before)),
        row("throughput, made meanwhile", "GB/s", float(len) / 1e9 / secs),
    ])
}

fn make(
    keys: &Keys,
    job: &str,
    shape: Shape,
    pieces: &mpsc::Sender<Vec<u8>>,
) -> Result<(), CliError> {
    let (mut sent, piece) = (Vec::new(), shape.data);
    let give = |sent: &mut Vec<u8>| {
        // Whoever receives no more says why itself.
        let _ = pieces.blocking_send(std::mem::take(sent));
        Ok(())
    };
    keys.produce(job, shape, &mut sent, |sent| match sent.len() < piece {
        true => Ok(()),
        false => give(sent),
    })?;
    give(&mut sent)
}

/// Pieces of a huge request that wait to be sent.
const QUEUED: usize = 8;
/// Requests before memory is looked at.
const WARM: usize = 200;
/// For the last connections to be accepted.
const SETTLE: Duration = Duration::from_millis(300);
