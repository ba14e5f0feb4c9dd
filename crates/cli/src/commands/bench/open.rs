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
use super::child::Child;
use super::figures::{Latencies, PERCENTILES, Row, float};
use super::house::{Effort, House};
use super::link::{Link, SMALL, connect};
use super::progress::Steps;
use super::small::{closed, request};
use crate::error::CliError;

/// Each at parts of what it does at most on so many connections.
pub(super) async fn measure(
    house: &House,
    effort: &Effort,
    steps: &Steps,
) -> Result<Vec<Row>, CliError> {
    let ours = curve(&house.service, house, effort, steps).await?;
    let echo = curve(&house.echo, house, effort, steps).await?;
    let mut rows = Vec::new();
    for ((percent, ours), echo) in PERCENTS.iter().zip(ours).zip(echo) {
        let case = format!("{percent} % of the most");
        let name = (ROW, case.as_str());
        rows.push(Row::of_runs(name, ("arrivals", "1/s"), vec![(ours.rate, echo.rate)]));
        for (percentile, permille) in PERCENTILES {
            let both = [&ours, &echo].map(|point| point.latencies.micros(permille));
            rows.push(Row::of_runs(name, (percentile, "µs"), vec![both.into()]));
        }
    }
    Ok(rows)
}

/// Latencies at one rate.
struct Point {
    rate: f64,
    latencies: Latencies,
}

async fn curve(
    child: &Child,
    house: &House,
    effort: &Effort,
    steps: &Steps,
) -> Result<Vec<Point>, CliError> {
    let request = request(house)?;
    let mut links = connect(child, CONNECTIONS, SMALL).await?;
    let most = closed(child, &mut links, &request, effort.time).await?.per_second;
    let mut points = Vec::new();
    for percent in PERCENTS {
        steps.next(&format!("{ROW}, {percent} %"));
        let rate = most * f64::from(percent) / 100.0;
        let latencies = constant(&mut links, &request, rate, effort.time).await?;
        points.push(Point { rate, latencies });
    }
    Ok(points)
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
const CONNECTIONS: usize = 64;
const PERCENTS: [u32; 7] = [10, 25, 50, 75, 90, 100, 110];
