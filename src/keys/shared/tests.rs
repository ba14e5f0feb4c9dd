use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use strongroom_attestation::nsm::NsmError;
use tokio::time::{sleep, timeout};

use super::*;
use crate::manifest::{KeyArn, Manifest};

const BOUNDS: KeyBounds =
    KeyBounds { max_age: Duration::from_secs(60), max_uses: u64::MAX, max_bytes: u64::MAX };

/// Keys that are numbers, with two jobs that may ask, and the calls that were made.
struct Bench {
    shared: Arc<Shared<usize>>,
    counters: Arc<Counters>,
    calls: Arc<AtomicUsize>,
}

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn id(number: usize) -> Id {
    let arn = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/k").unwrap();
    Id::new(&job("one"), &arn, b"", &number.to_be_bytes())
}

impl Bench {
    fn new(max_keys: usize) -> Self {
        let counters = Arc::new(Counters::default());
        let gate = Arc::new(Gate::new(&manifest()));
        let shared = Shared::new(max_keys, gate, counters.clone());
        Self { shared, counters, calls: Arc::default() }
    }

    /// Asks for a key; KMS takes a second.
    async fn get(&self, number: usize, bounds: KeyBounds) -> Answer<usize> {
        let ask = || {
            let calls = self.calls.clone();
            async move {
                calls.fetch_add(1, SeqCst);
                sleep(Duration::from_secs(1)).await;
                Ok(number)
            }
        };
        self.shared.get(id(number), &job("one"), bounds, ask).await
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

pub(super) fn manifest() -> Manifest {
    let job = |name: &str| {
        format!(
            r#"
[[job]]
name = "{name}"
operation = "open"
input = {{ key = "arn:aws:kms:eu-west-1:111122223333:key/{name}", context = {{ purpose = "{name}" }} }}
output = {{ protect = "seal", to = "any" }}
"#
        )
    };
    let head = r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512
[listen]
vsock_port = 5005
[limits]
max_kms_calls = 3
max_kms_calls_per_job = 2
[kms]
region = "eu-west-1"
"#;
    Manifest::parse(&[head, &job("one"), &job("two"), &job("three")].concat()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_make_one_call_and_the_next_makes_none() {
    let bench = Arc::new(Bench::new(10));
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { *bench.get(7, BOUNDS).await.unwrap() })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 7);
    }
    assert_eq!(bench.calls(), 1);
    assert_eq!((bench.counters.cache_misses.get(), bench.counters.cache_waits.get()), (1, 999));
    assert_eq!(*bench.get(7, BOUNDS).await.unwrap(), 7);
    assert_eq!((bench.calls(), bench.counters.cache_hits.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_given_up_at_its_age_without_anybody_asking() {
    let bench = Bench::new(10);
    bench.get(1, BOUNDS).await.unwrap();
    // Time that only stands still for a moment lets the sweep run.
    sleep(BOUNDS.max_age - Duration::from_millis(10)).await;
    assert_eq!(bench.shared.len(), 1);
    sleep(Duration::from_millis(20)).await;
    assert_eq!((bench.shared.len(), bench.counters.cache_evictions.get()), (0, 1));
    // A younger key that must go earlier is not overlooked.
    bench.get(2, BOUNDS).await.unwrap();
    bench.get(3, KeyBounds { max_age: Duration::from_secs(5), ..BOUNDS }).await.unwrap();
    sleep(Duration::from_millis(5010)).await;
    assert_eq!(bench.shared.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_sweep_ends_with_what_it_sweeps() {
    let bench = Bench::new(10);
    bench.get(1, BOUNDS).await.unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    drop(bench);
    sleep(Duration::from_secs(1)).await;
    let after = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(after, before - 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_harms_no_waiter() {
    let bench = Arc::new(Bench::new(10));
    let leader = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.get(1, BOUNDS).await.map(|key| *key) })
    };
    sleep(Duration::from_millis(100)).await;
    let waiter = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.get(1, BOUNDS).await.map(|key| *key) })
    };
    sleep(Duration::from_millis(100)).await;
    leader.abort();
    assert_eq!(waiter.await.unwrap().unwrap(), 1);
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_waits_no_longer_than_its_own_deadline_and_others_go_on() {
    let bench = Arc::new(Bench::new(10));
    let slow = {
        let bench = bench.clone();
        tokio::spawn(async move { bench.get(1, BOUNDS).await.map(|key| *key) })
    };
    sleep(Duration::from_millis(100)).await;
    assert!(timeout(Duration::from_millis(50), bench.get(1, BOUNDS)).await.is_err());
    assert_eq!(slow.await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_ends_and_is_kept_though_nobody_waits() {
    let bench = Bench::new(10);
    assert!(timeout(Duration::from_millis(50), bench.get(1, BOUNDS)).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((bench.calls(), bench.shared.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_not_begun_is_given_up_when_nobody_waits() {
    let bench = Bench::new(10);
    let passes =
        (bench.shared.gate.enter(&job("one")).await, bench.shared.gate.enter(&job("one")).await);
    assert!(timeout(Duration::from_millis(50), bench.get(1, BOUNDS)).await.is_err());
    tokio::task::yield_now().await;
    drop(passes);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((bench.calls(), bench.shared.len()), (0, 0));
    // And can be made again.
    assert_eq!(*bench.get(1, BOUNDS).await.unwrap(), 1);
    assert!(bench.shared.state().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_error_goes_to_all_who_wait_and_is_not_kept() {
    let bench = Arc::new(Bench::new(10));
    let calls = Arc::new(AtomicUsize::new(0));
    let ask = {
        let (bench, calls) = (bench.clone(), calls.clone());
        move || {
            let (bench, calls) = (bench.clone(), calls.clone());
            async move {
                let ask = || {
                    let calls = calls.clone();
                    async move {
                        calls.fetch_add(1, SeqCst);
                        sleep(Duration::from_secs(1)).await;
                        Err(KeyError::Nsm(NsmError::Unavailable))
                    }
                };
                bench.shared.get(id(1), &job("one"), BOUNDS, ask).await.map(|key| *key)
            }
        }
    };
    let asking: Vec<_> = (0..10).map(|_| tokio::spawn(ask())).collect();
    for answer in asking {
        assert!(matches!(answer.await.unwrap(), Err(KeyError::Nsm(NsmError::Unavailable))));
    }
    assert_eq!((calls.load(SeqCst), bench.shared.len()), (1, 0));
    assert_eq!(*bench.get(1, BOUNDS).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_ends_its_waiters_and_not_the_next() {
    let bench = Bench::new(10);
    let ask = || async { panic!("a test's own") };
    let answer = bench.shared.get(id(1), &job("one"), BOUNDS, ask).await;
    assert!(matches!(answer, Err(KeyError::Interrupted)));
    assert_eq!(*bench.get(1, BOUNDS).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_who_wait_no_more_get_a_key_than_it_has_uses() {
    let bench = Arc::new(Bench::new(10));
    let bounds = KeyBounds { max_uses: 3, ..BOUNDS };
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.get(1, bounds).await.map(|key| *key) })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap().unwrap(), 1);
    }
    assert_eq!(bench.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_asks_for_ever_new_keys_makes_no_other_wait_for_more_than_its_share() {
    let bench = Arc::new(Bench::new(1000));
    let flood: Vec<_> = (0..100)
        .map(|number| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.get(number, BOUNDS).await.map(|key| *key) })
        })
        .collect();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.calls(), 2, "a job has two calls at once");
    // Three may be under way in all: one more of another job, and the third's
    // when the first of these has ended.
    let started = Instant::now();
    let ask = || async {
        sleep(Duration::from_secs(1)).await;
        Ok(0)
    };
    let other = |name: &'static str, number| {
        let bench = bench.clone();
        async move { bench.shared.get(id(number), &job(name), BOUNDS, ask).await.map(|key| *key) }
    };
    let (two, three) = tokio::join!(other("two", 1001), other("three", 1002));
    assert!(two.is_ok() && three.is_ok());
    assert!(started.elapsed() < Duration::from_millis(2100), "{:?}", started.elapsed());
    for answer in flood {
        answer.await.unwrap().unwrap();
    }
    assert!(started.elapsed() >= Duration::from_secs(49));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_had_its_last_use_is_not_kept() {
    let bench = Bench::new(10);
    for uses in [1, 2] {
        for _ in 0..uses {
            bench
                .get(uses, KeyBounds { max_uses: u64::try_from(uses).unwrap(), ..BOUNDS })
                .await
                .unwrap();
        }
        assert_eq!(bench.shared.len(), 0, "{uses}");
    }
    assert_eq!(bench.calls(), 2);
}
