//! Small requests at a constant rate, whether or not earlier ones have been
//! answered (an open loop): what callers who do not know of one another wait.
//!
//! A latency counts from when the request was meant to be sent, so that a stall
//! is paid for by all who would have come in its time, and not by one.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::body::count;
use super::figures::{Latencies, PERCENTILES, Row, float};
use super::house::{Effort, House};
use super::link::{Link, SMALL, connect};
use super::progress::Steps;
use super::small::{closed, request};
use crate::error::CliError;

/// Both at the same rates: parts of what the service does at most on so many
/// connections.
pub(super) async fn measure(
    house: &House,
    effort: &Effort,
    steps: &Steps,
) -> Result<Vec<Row>, CliError> {
    let (request, time) = (request(house, true)?, effort.time * LONGER);
    let mut ours = connect(&house.service, CONNECTIONS, SMALL).await?;
    let mut echo = connect(&house.echo, CONNECTIONS, SMALL).await?;
    let most = closed(&house.service, &mut ours, &request, time).await?.per_second;
    let mut rows = Vec::new();
    for percent in PERCENTS {
        let case = format!("{percent} % of the most");
        steps.next(&format!("{ROW}, {case}"));
        let (name, rate) = ((ROW, case.as_str()), most * f64::from(percent) / 100.0);
        let ours = constant(&mut ours, &request, rate, time).await?;
        let echo = constant(&mut echo, &request, rate, time).await?;
        rows.push(Row::of_runs(name, (ARRIVALS, "1/s"), vec![(rate, rate)]));
        for (percentile, permille) in PERCENTILES {
            let both = (ours.micros(permille), echo.micros(permille));
            rows.push(Row::of_runs(name, (percentile, "µs"), vec![both]));
        }
    }
    Ok(rows)
}

/// Requests at `rate` for so long, on each connection in turn.
async fn constant(
    links: &mut Vec<Link>,
    request: &Arc<Vec<u8>>,
    rate: f64,
    time: Duration,
) -> Result<Latencies, CliError> {
    let (mut queues, mut tasks) = (Vec::new(), JoinSet::new());
    for link in links.drain(..) {
        let (queue, due) = unbounded_channel();
        queues.push(queue);
        tasks.spawn(send_due(link, due, Arc::clone(request)));
    }
    let pace = tokio::task::spawn_blocking(move || pace(&queues, rate, time));
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (link, latencies) = done.map_err(|_| CliError::Internal("a task panicked"))??;
        links.push(link);
        all.extend(latencies);
    }
    pace.await.map_err(|_| CliError::Internal("a thread panicked"))?;
    Ok(Latencies::new(all))
}

/// Sends what is due, when the connection is free.
async fn send_due(
    mut link: Link,
    mut due: UnboundedReceiver<Instant>,
    request: Arc<Vec<u8>>,
) -> Result<(Link, Vec<Duration>), CliError> {
    let mut latencies = Vec::new();
    while let Some(meant) = due.recv().await {
        link.exchange(&request).await?;
        latencies.push(meant.elapsed());
    }
    Ok((link, latencies))
}

/// Says when a request is due, on a thread of its own: tokio's timer counts in
/// milliseconds.
fn pace(queues: &[UnboundedSender<Instant>], rate: f64, time: Duration) {
    // Where that cannot be set, requests are sent up to 50 µs late.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let start = Instant::now();
    for (number, queue) in queues.iter().cycle().enumerate() {
        let after = Duration::from_secs_f64(float(count(number)) / rate);
        if after >= time {
            return;
        }
        let meant = start + after;
        loop {
            let wait = meant.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            std::thread::park_timeout(wait);
        }
        // A connection that failed has said so itself.
        let _ = queue.send(meant);
    }
}

/// The row's name.
pub(super) const ROW: &str = "open-loop";
/// What says at which rate the other rows of a case are.
pub(super) const ARRIVALS: &str = "arrivals";
const CONNECTIONS: usize = 64;
/// Than a closed loop: few requests make no percentiles.
const LONGER: u32 = 2;
const PERCENTS: [u32; 7] = [10, 25, 50, 75, 90, 100, 110];
