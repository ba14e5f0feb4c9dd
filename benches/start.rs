//! From the start of a process to its first answer, on a plain host.
//!
//! `cargo bench --bench start` composes the service as the enclave does, over a
//! simulated module and a Unix socket, so many times, and prints the medians of
//! the whole and of its pieces. Only an attestation needs the recipient key pair:
//! the first answer of the other calls is the start without the wait for it, as
//! far as `Service::boot` does not wait. What only an enclave has (mounts, the heartbeat,
//! the kernel's pool) is not in it; `tests/enclave/run --ignored --nocapture
//! measures_the_start` has that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "../tests/service/house.rs"]
mod house;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use house::{Foundation, Plan};
use strongroom::clock;
use strongroom::keys::road::Road;
use strongroom::keys::roots::amazon;
use strongroom::manifest::Manifest;
use strongroom::receipts::Receipts;
use strongroom::server::{Service, serve};
use strongroom::transport::{Endpoint, Listener};
use strongroom_attestation::nsm::Nsm;
use strongroom_client::{Address, Client};
use strongroom_envelope::cms::RecipientKey;
use tokio::net::UnixListener;
use tokio::runtime::Builder;

const STARTS: usize = 20;

fn main() {
    if std::env::args().any(|arg| arg == ONLY_START) {
        return;
    }
    let around = Builder::new_multi_thread().enable_all().build().unwrap();
    let found = around.block_on(Foundation::laid(Plan { credentials: false, ..Plan::default() }));
    let pieces = pieces(&found);
    let mut whole = [const { Vec::new() }; 3];
    for _ in 0..STARTS {
        for (all, took) in whole.iter_mut().zip(start(&found)) {
            all.push(took);
        }
    }
    println!("median (longest) of {STARTS} starts");
    for (name, all) in ["listening", "status answered", "attestation answered"].iter().zip(whole) {
        report(name, all);
    }
    println!("pieces of it, each alone, by this thread's processor time");
    for (name, all) in pieces {
        report(name, all);
    }
}

/// A start: until it listens, has answered `status`, has answered `attest`.
fn start(found: &Foundation) -> [Duration; 3] {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("service.sock");
    let begun = Instant::now();
    let manifest = Manifest::parse(&found.manifest).unwrap();
    let roots = amazon().unwrap();
    let _ = clock::check(&*found.nitro.nsm).unwrap();
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let times = runtime.block_on(async {
        let road = Road::new(Endpoint::Tcp(found.nitro.kms.addr()), roots);
        let service = Service::boot(manifest, found.nitro.nsm.clone(), road).await.unwrap();
        let listener = Listener::Unix(UnixListener::bind(&socket).unwrap());
        let listening = begun.elapsed();
        tokio::spawn(serve(service, listener, std::future::pending()));
        let mut client = Client::connect(&Address::Unix(socket)).await.unwrap();
        let _ = client.status().await.unwrap();
        let status = begun.elapsed();
        let _ = client.attest_unverified(&[7; 32]).await.unwrap();
        [listening, status, begun.elapsed()]
    });
    runtime.shutdown_background();
    times
}

fn pieces(found: &Foundation) -> Vec<(&'static str, Vec<Duration>)> {
    let nsm = &found.nitro.nsm;
    vec![
        ("a process of this size, forked off", times(only_start)),
        ("manifest", times(|| drop(Manifest::parse(&found.manifest).unwrap()))),
        ("Amazon's roots", times(|| drop(amazon().unwrap()))),
        ("module described, simulated", times(|| drop(black_box(nsm.describe().unwrap())))),
        ("clock check, simulated module", times(|| drop(clock::check(&**nsm)))),
        ("runtime", times(|| drop(Builder::new_multi_thread().enable_all().build().unwrap()))),
        ("recipient key pair (RSA-2048)", times(|| drop(RecipientKey::generate().unwrap()))),
        ("receipt key", times(|| drop(Receipts::new().unwrap()))),
    ]
}

fn times(work: impl Fn()) -> Vec<Duration> {
    let once = |_| {
        let begun = busy();
        work();
        busy() - begun
    };
    (0..STARTS).map(once).collect()
}

/// Processor time of this thread, which a busy machine does not lengthen
/// (`/proc/thread-self/schedstat`, in nanoseconds).
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn only_start() {
    let program = std::env::current_exe().unwrap();
    assert!(Command::new(program).arg(ONLY_START).status().unwrap().success());
}

fn report(name: &str, mut all: Vec<Duration>) {
    all.sort();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!("  {name:<42} {:7.2} ms ({:.2})", ms(all[all.len() / 2]), ms(all[all.len() - 1]));
}

const ONLY_START: &str = "--only-start";
