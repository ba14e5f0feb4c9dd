//! Measuring runs: printed, never judged. `tests/enclave/run` with
//! `--ignored --nocapture measures`.
//!
//! The guest is `crates/lab`'s, with its peers on ports of their own; everything
//! compared is of one boot, in turns, so that other work on the machine meets
//! all of it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use strongroom_client::Client;
use strongroom_wire::frame::{MAX_DATA_LEN, PREFACE};
use strongroom_wire::{Call, FrameKind, Run};
use tokio::sync::Mutex;

use crate::booted::{Booted, Image, Wish};
use crate::house::{ACME, Plan};
use crate::parts::parts;
use crate::raw::{end, frame, request};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measuring run of minutes"]
async fn measures_vsock_and_the_service_beside_a_raw_echo() {
    let _alone = ALONE.lock().await;
    let long = |text: String| text.replace("deadline_secs = 20", "deadline_secs = 600");
    let plan = Plan { manifest: long, ..Plan::default() };
    let wish = Wish { plan, extra: vec![("/lab-measure", Vec::new())], ..Wish::default() };
    let Some(booted) = Booted::wished(wish).await else { return };
    let csv = "name,pan,email,city\n".to_owned()
        + &"Grace Hopper,4111111111111111,g@h.example,New York\n".repeat(MIB * ((1 << 20) / 51));
    let house = &booted.house;
    let message = house.encrypt(&house.customers, &ACME, csv.as_bytes(), 1 << 16).await;
    let (rotate, mask) = (call("rotate", &message, true), call("mask", &message, true));
    let plainly = call("rotate", &message, false);
    let ways: [(&str, u32, &[u8]); 5] = [
        ("raw echo", ECHO, &message),
        ("framed echo", FRAMED, &rotate),
        ("reencrypt, no receipt", SERVICE, &plainly),
        ("reencrypt", SERVICE, &rotate),
        ("mask", SERVICE, &mask),
    ];
    let mut taken = ways.map(|_| Vec::new());
    for turn in 0..TURNS {
        for ((name, port, bytes), taken) in ways.iter().zip(&mut taken) {
            let before = qemu_time();
            let (took, came) = through(&booted, *port, bytes);
            let busy = qemu_time() - before;
            taken.push([took, busy]);
            eprintln!("{turn} {name:<12} {took:6.2?}, QEMU {busy:6.2?}, {came} bytes came back");
        }
    }
    // Of each turn, so that what else the machine does meets both alike.
    for (index, (name, ..)) in ways.iter().enumerate() {
        let of = |clock: usize| {
            let seconds = |way: usize, turn: usize| taken[way][turn][clock].as_secs_f64();
            let rate = |turn| message.len() as f64 / 1e6 / seconds(index, turn);
            let ratio = |turn| seconds(0, turn) / seconds(index, turn);
            (median((0..TURNS).map(rate)), median((0..TURNS).map(ratio)))
        };
        let ((rate, ratio), (_, of_busy)) = (of(0), of(1));
        eprintln!(
            "{name:<21} {rate:6.1} MB/s, {ratio:.2} of the raw echo; \
             {of_busy:.2} by QEMU's processor time"
        );
    }
    eprintln!("ms of the guest's processor for 32 MiB: {}", line(&booted, SPEED));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measuring run"]
async fn measures_the_start_to_the_first_answer() {
    let _alone = ALONE.lock().await;
    let Some(parts) = parts() else { return };
    for _ in 0..STARTS {
        let extra = vec![("/lab-measure", Vec::new())];
        let plan = Plan { credentials: false, ..Plan::default() };
        // The key pair is made on one while the other one starts to serve.
        let wish = Wish { plan, extra, cpus: 2, ..Wish::default() };
        let image = Image::build(&parts, wish).await;
        // Returns when `status` has been answered.
        let booted = image.boot(&parts).await;
        let status = booted.started.elapsed();
        let mut client = Client::connect(&booted.house.address).await.unwrap();
        let _ = client.attest_unverified(&[7; 32]).await.unwrap();
        let attest = booted.started.elapsed();
        let said = line(&booted, CLOCK);
        let asked = booted.started.elapsed();
        let at = |name: &str| {
            let mut words = said.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap().parse::<u64>().unwrap()
        };
        // The guest's clock, and what of ours it is.
        let guest = |ours: Duration| at("now") as i64 - (asked - ours).as_millis() as i64;
        let init = at("init") as i64;
        eprintln!(
            "machine to /init {} ms; /init to the service's process {} ms, to the first \
             status {} ms, to the first attestation {} ms",
            init - guest(Duration::ZERO),
            at("service") as i64 - init,
            guest(status) - init,
            guest(attest) - init,
        );
    }
}

/// One run at a time: each would measure the other's machines.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A call of a job of the house with all that follows it.
fn call(job: &str, input: &[u8], receipt: bool) -> Vec<u8> {
    let args = [("tenant".to_owned(), "acme".to_owned())].into();
    let run = Run { job: job.into(), args, no_receipt: !receipt, ..Run::default() };
    let mut all = [&PREFACE[..], &request(Call::Run(run))].concat();
    for piece in input.chunks(MAX_DATA_LEN.min(1 << 16)) {
        all.extend(frame(FrameKind::Data, piece));
    }
    all.extend(end(input.len()));
    all
}

/// Sends `bytes` to a port and reads until its end: how long that took, and how
/// many bytes came.
fn through(booted: &Booted, port: u32, bytes: &[u8]) -> (Duration, usize) {
    let mut stream = connected(booted, port);
    let begun = Instant::now();
    let came = std::thread::scope(|scope| {
        let mut sending = stream.try_clone().unwrap();
        scope.spawn(move || {
            sending.write_all(bytes).unwrap();
            sending.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut buffer, mut came) = (vec![0; 256 << 10], 0);
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return came,
                len => came += len,
            }
        }
    });
    assert!(came > bytes.len() / 4, "a refusal came: {came} bytes");
    (begun.elapsed(), came)
}

/// What a port says to whoever connects.
fn line(booted: &Booted, port: u32) -> String {
    let mut line = String::new();
    connected(booted, port).read_to_string(&mut line).unwrap();
    line
}

fn connected(booted: &Booted, port: u32) -> UnixStream {
    let mut stream = UnixStream::connect(booted.machine.socket()).unwrap();
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
    }
    stream
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Processor time of this process's children, which are the machines (proc(5),
/// in hundredths of a second).
fn qemu_time() -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        for child in children.split_whitespace() {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
            // After the name, which can have spaces; 14 and 15 are user and system.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    Duration::from_millis(10 * ticks)
}

/// Of CSV, before it is encrypted.
const MIB: usize = 64;

const TURNS: usize = 5;
const STARTS: usize = 5;

const SERVICE: u32 = 5005;

/// The ports of `crates/lab`'s peers.
const ECHO: u32 = 6000;
const FRAMED: u32 = 6001;
const SPEED: u32 = 6002;
const CLOCK: u32 = 6003;
