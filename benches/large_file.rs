//! A large encrypted CSV through the service: time, and peak resident memory.
//!
//! `cargo bench --bench large_file [-- MIB]` makes an encrypted CSV of so many
//! MiB (1024), masks it through the service over a Unix socket, and beside it
//! sends the same bytes through a raw echo over the same kind of socket. Service,
//! client and simulated KMS are one process, so its peak is an upper bound of
//! the service's.
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

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use house::{ACME, House, Plan, mask};
use strongroom_envelope::esdk::{EncryptionContext, FrameLen, Sealer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const RUNS: usize = 3;

fn main() {
    // cargo passes `--bench`.
    let mib = std::env::args().find_map(|arg| arg.parse::<u64>().ok()).unwrap_or(1024);
    tokio::runtime::Runtime::new().unwrap().block_on(run(mib << 20));
}

async fn run(bytes: u64) {
    let long = |text: String| {
        let text = text.replace("request_deadline_secs = 20", "request_deadline_secs = 600");
        text.replace("max_frame = \"1MiB\"", "max_frame = \"8MiB\"")
    };
    let house = House::built(Plan { manifest: long, ..Plan::default() }).await;
    let dir = tempfile::tempdir().unwrap();
    for frame in [4096, 64 << 10, 8 << 20] {
        let path = dir.path().join("customers.csv.encrypted");
        let rows = make(&house, &path, bytes, frame).await;
        let size = std::fs::metadata(&path).unwrap().len();
        println!("{} MiB of CSV in {rows} rows, encrypted in frames of {frame} bytes", bytes >> 20);
        for _ in 0..RUNS {
            reset_peak();
            let started = Instant::now();
            let input = tokio::fs::File::open(&path).await.unwrap();
            let job = mask("acme").deadline(Duration::from_secs(600));
            let summary = house.client().await.run(&job, input, tokio::io::sink()).await.unwrap();
            report("mask", size, started.elapsed());
            assert_eq!(summary.records, Some(rows));
        }
        let started = Instant::now();
        echo(dir.path(), &path, size).await;
        report("raw echo", size, started.elapsed());
    }
}

fn report(what: &str, bytes: u64, took: Duration) {
    let rate = bytes as f64 / took.as_secs_f64() / 1e9;
    println!(
        "  {what:<9} {:6.2} s  {rate:5.2} GB/s  peak {} MiB resident",
        took.as_secs_f64(),
        peak_kib() >> 10
    );
}

/// Writes an encrypted CSV of about `bytes` bytes; gives its number of rows.
async fn make(house: &House, path: &Path, bytes: u64, frame: usize) -> u64 {
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    let context = EncryptionContext::new(ACME).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut out = Vec::new();
    let frame = FrameLen::new(frame).unwrap();
    let mut sealer = Sealer::new(&key, &context, &[encrypted], frame, &mut out).unwrap();
    sealer.seal(b"name,pan,email,city\n", &mut out).unwrap();
    let (mut rows, mut made) = (0, 0);
    while made < bytes {
        let row = format!(
            "Grace Hopper {rows},4111{rows:012},grace{rows}@example.com,\"Arlington, VA\"\n"
        );
        sealer.seal(row.as_bytes(), &mut out).unwrap();
        file.write_all(&out).unwrap();
        out.clear();
        rows += 1;
        made += row.len() as u64;
    }
    sealer.finish(&mut out).unwrap();
    file.write_all(&out).unwrap();
    file.flush().unwrap();
    rows
}

/// The same bytes to a peer that sends them back, on the same kind of socket.
async fn echo(dir: &Path, path: &Path, size: u64) {
    let socket = dir.join("echo.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 256 << 10];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..read]).await.unwrap();
        }
    });
    let (mut from, mut to) = UnixStream::connect(&socket).await.unwrap().into_split();
    let mut file = tokio::fs::File::open(path).await.unwrap();
    let writing = tokio::spawn(async move {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(read @ 1..) = file.read(&mut buffer).await {
            to.write_all(&buffer[..read]).await.unwrap();
        }
    });
    let (mut buffer, mut received) = (vec![0; 256 << 10], 0);
    while received < size {
        received += from.read(&mut buffer).await.unwrap() as u64;
    }
    writing.await.unwrap();
}

/// Peak resident memory of this process since the last reset, in KiB (proc(5)).
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}
