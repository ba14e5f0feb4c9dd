//! What a thread worked, rather than how long the clock on the wall went on: on
//! a machine with other things to do the two differ.
//!
//! Used by the benches of the leaves, through `#[path]`.

use std::cell::RefCell;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion, Throughput};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time that the thread had a core, for criterion.
pub struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Criterion, counting thread time.
pub fn criterion() -> Criterion<ThreadTime> {
    let criterion = Criterion::default().with_measurement(ThreadTime).without_plots();
    let criterion = criterion.warm_up_time(Duration::from_millis(300)).sample_size(15);
    criterion.measurement_time(Duration::from_secs(2)).configure_from_args()
}

/// Something of ours and the reference for it. Each call does its work once and
/// says how long that took, without what it needed to prepare: see [`timed`].
pub struct Pair<'a> {
    pub name: &'a str,
    /// What both put through, in bytes; zero for what has no rate.
    pub bytes: usize,
    pub ours: &'a mut dyn FnMut() -> Duration,
    pub reference: &'a mut dyn FnMut() -> Duration,
}

/// Has criterion report both, and the median of the ratios of their times, taken
/// in turn: 1 is as fast as the reference, 0.5 half as fast.
pub fn compare(group: &mut BenchmarkGroup<'_, ThreadTime>, pair: Pair<'_>) {
    let Pair { name, bytes, ours, reference } = pair;
    if bytes > 0 {
        group.throughput(Throughput::Bytes(bytes as u64));
    }
    let ratios = RefCell::new(Vec::new());
    group.bench_function(format!("{name}/ours"), |bencher| {
        bencher.iter_custom(|rounds| {
            let of_reference: Duration = (0..rounds).map(|_| reference()).sum();
            let of_ours: Duration = (0..rounds).map(|_| ours()).sum();
            ratios.borrow_mut().push(of_reference.as_secs_f64() / of_ours.as_secs_f64());
            of_ours
        });
    });
    group.bench_function(format!("{name}/reference"), |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| reference()).sum());
    });
    let mut ratios = ratios.into_inner();
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        println!("{name}: {median:.2} of the reference (median of {})\n", ratios.len());
    }
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = now();
    work();
    now() - start
}

fn now() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec as u64, tv_nsec as u32)
}
