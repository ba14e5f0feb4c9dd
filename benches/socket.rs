//! One large message through the service, and the same bytes through a raw
//! echo, in turn, over the same kind of socket: gigabytes a second, and the ratio.
//!
//! `cargo bench --bench socket [-- [MIB] [ROW]]`, where a row is the beginning of
//! what is printed, such as `"rotate 64 KiB"`. Service, client, simulated KMS and echo
//! are one process on one runtime. The client is as lean as can be: what it sends
//! is ready in memory, and of what comes it looks at the heads of frames only.
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

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use house::{ACME, House, Plan};
use strongroom_client::Address;
use strongroom_wire::frame::{HEAD_LEN, MAX_CONTROL_LEN, PREFACE, encode_head};
use strongroom_wire::{Call, FrameKind, Payload as _, Request, RequestId, Run, Trailer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const RUNS: usize = 5;

/// Bytes of a `DATA` frame that the client sends, and of its reads.
const PIECE: usize = 256 << 10;

fn main() {
    // cargo passes `--bench`.
    let mib = std::env::args().find_map(|arg| arg.parse::<usize>().ok()).unwrap_or(256);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let only = std::env::args().skip(1).find(|arg| arg.starts_with(['r', 'm']));
    runtime.block_on(run(mib << 20, &only.unwrap_or_default()));
}

async fn run(bytes: usize, only: &str) {
    let long = |text: String| {
        let text = text.replace("frame = \"4KiB\"", "frame = \"64KiB\"");
        text.replace("request_deadline_secs = 20", "request_deadline_secs = 600")
    };
    let house = House::built(Plan { manifest: long, ..Plan::default() }).await;
    let Address::Unix(service) = house.address.clone() else { panic!("a Unix socket") };
    let dir = tempfile::tempdir().unwrap();
    let echo = dir.path().join("echo.sock");
    tokio::spawn(serve_echo(UnixListener::bind(&echo).unwrap()));
    let csv = csv(bytes);
    for (job, frame) in [("rotate", 64 << 10), ("rotate", 4 << 10), ("mask", 64 << 10)] {
        let message = house.encrypt(&house.customers, &ACME, &csv, frame).await;
        let (mut ours, mut raw, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for receipt in [false, true] {
            let with = if receipt { "with" } else { "without" };
            let row = format!("{job} {} KiB {with} receipt", frame >> 10);
            if !row.starts_with(only) {
                continue;
            }
            let (head, body) = request(job, &message, receipt);
            for _ in 0..RUNS {
                let took = through(&service, head.clone(), body.clone()).await;
                let took_raw = through_echo(&echo, body.clone()).await;
                let rate = |took: Duration| message.len() as f64 / took.as_secs_f64() / 1e9;
                ours.push(rate(took));
                raw.push(rate(took_raw));
                ratios.push(rate(took) / rate(took_raw));
            }
            println!(
                "{row:<32} {:5.2} GB/s  echo {:5.2} GB/s  ratio {:4.2}",
                median(&mut ours),
                median(&mut raw),
                median(&mut ratios)
            );
        }
    }
}

fn median(values: &mut Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    values.clear();
    median
}

fn csv(bytes: usize) -> Vec<u8> {
    let mut csv = b"name,pan,email,city\n".to_vec();
    let mut row = 0;
    while csv.len() < bytes {
        csv.extend_from_slice(
            format!("Grace Hopper {row},4111{row:012},grace{row}@example.com,\"Arlington, VA\"\n")
                .as_bytes(),
        );
        row += 1;
    }
    csv
}

/// A request as it stands on the stream: its head, and its body in `DATA` frames.
fn request(job: &str, message: &[u8], receipt: bool) -> (Vec<u8>, bytes::Bytes) {
    let args = [("tenant".to_owned(), "acme".to_owned())].into();
    let run = Run { job: job.to_owned(), args, no_receipt: !receipt, ..Run::default() };
    let request = Request { id: RequestId([7; 16]), deadline_ms: None, call: Call::Run(run) };
    let mut head = PREFACE.to_vec();
    put(&mut head, FrameKind::Request, &request.encode().unwrap());
    let mut body = Vec::with_capacity(message.len() + message.len() / PIECE * 16 + 100);
    for piece in message.chunks(PIECE) {
        put(&mut body, FrameKind::Data, piece);
    }
    let end = Trailer { bytes: message.len() as u64, ..Trailer::default() };
    put(&mut body, FrameKind::End, &end.encode().unwrap());
    (head, body.into())
}

fn put(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    out.extend_from_slice(&encode_head(kind, payload.len()).unwrap());
    out.extend_from_slice(payload);
}

async fn through(socket: &Path, head: Vec<u8>, body: bytes::Bytes) -> Duration {
    let (mut from, mut to) = UnixStream::connect(socket).await.unwrap().into_split();
    let started = Instant::now();
    let writing = tokio::spawn(async move {
        to.write_all(&head).await.unwrap();
        to.write_all(&body).await.unwrap();
        to
    });
    let mut buffer = vec![0; PIECE];
    let (mut held, mut skip, mut preface) = (Vec::new(), 0, PREFACE.len());
    loop {
        let read = from.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the service went away");
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            let passed = bytes.len().min(skip);
            skip -= passed;
            bytes = &bytes[passed..];
            let passed = bytes.len().min(preface);
            preface -= passed;
            bytes = &bytes[passed..];
            let wanted = if held.len() < HEAD_LEN {
                HEAD_LEN
            } else {
                HEAD_LEN + u32::from_be_bytes(held[4..8].try_into().unwrap()) as usize
            };
            let taken = bytes.len().min(wanted - held.len());
            held.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if held.len() < HEAD_LEN {
                continue;
            }
            let len = u32::from_be_bytes(held[4..8].try_into().unwrap()) as usize;
            match held[0] {
                3 => {
                    skip = len;
                    held.clear();
                }
                kind if held.len() == HEAD_LEN + len => {
                    assert!(len <= MAX_CONTROL_LEN);
                    assert!(kind != 5, "{}", String::from_utf8_lossy(&held));
                    held.clear();
                    if kind == 4 {
                        let took = started.elapsed();
                        writing.await.unwrap();
                        return took;
                    }
                }
                _ => {}
            }
        }
    }
}

async fn serve_echo(listener: UnixListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = vec![0; PIECE];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..read]).await.unwrap();
            }
        });
    }
}

async fn through_echo(socket: &PathBuf, body: bytes::Bytes) -> Duration {
    let (mut from, mut to) = UnixStream::connect(socket).await.unwrap().into_split();
    let (mut buffer, mut received, len) = (vec![0; PIECE], 0, body.len());
    let started = Instant::now();
    let writing = tokio::spawn(async move {
        to.write_all(&body).await.unwrap();
        to
    });
    while received < len {
        received += from.read(&mut buffer).await.unwrap();
    }
    let took = started.elapsed();
    writing.await.unwrap();
    took
}
