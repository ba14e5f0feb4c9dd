//! `aggregate` over an encrypted CSV file: time, processor time, peak memory.
//!
//! `cargo bench --bench aggregate [-- MIB]` writes a CSV file of so many MiB (256)
//! into a directory that it keeps, encrypted in frames of 4 KiB and of 64 KiB and
//! in the clear, opens and aggregates it as a request does (pieces of the file
//! are read, opened, and put through the operation), and prints the command by
//! which `benches/aggregate.py` has DuckDB and Polars compute the same over the
//! file in the clear.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom::manifest::Manifest;
use strongroom::operation::{Helpers, Material, Operation};
use strongroom_envelope::esdk::{
    EncryptedDataKey, EncryptionContext, FrameLen, Header, Limits, Opener, Policy, Sealer,
};
use strongroom_envelope::{DataKey, SecretBuf};

const RUNS: usize = 5;

/// Bytes read at once, as from a connection, and bytes opened at once.
const READ: usize = 256 << 10;

const ONE: &str = r#"group_by = ["country"]
compute = { people = "count", total = { sum = "amount" }, average = { mean = "amount" } }"#;

const TWO: &str = r#"group_by = ["country", "plan"]
compute = { people = "count", total = { sum = "amount" }, most = { max = "fee" }, average = { mean = "balance" } }"#;

fn main() {
    // cargo passes `--bench`.
    let mib = std::env::args().find_map(|arg| arg.parse::<u64>().ok()).unwrap_or(256);
    let dir = std::env::temp_dir().join("strongroom-aggregate");
    std::fs::create_dir_all(&dir).unwrap();
    let clear = dir.join("payments.csv");
    for frame in [4 << 10, 64 << 10] {
        let encrypted = dir.join(format!("payments.csv.{frame}"));
        let (bytes, rows) = make(&clear, &encrypted, mib << 20, frame);
        println!("{} MiB of CSV in {rows} rows, encrypted in frames of {frame} bytes", bytes >> 20);
        for (name, job) in [("1 column, 2 numbers", ONE), ("2 columns, 3 numbers", TWO)] {
            for (helpers, how) in [(0, "alone"), (1, "helped")] {
                let result = dir.join(format!("{}.{how}.result", &name[..1]));
                let name = format!("{name}, {how}");
                measure(&name, bytes, || aggregate(&encrypted, job, &result, helpers));
            }
            let result = |how| std::fs::read(dir.join(format!("{}.{how}.result", &name[..1])));
            assert_eq!(result("alone").unwrap(), result("helped").unwrap());
        }
        measure("opened only", bytes, || open(&encrypted, SecretBuf::clear));
    }
    println!("python3 benches/aggregate.py {}", clear.display());
}

/// Runs it several times, and prints the median.
fn measure(name: &str, bytes: u64, run: impl Fn()) {
    let mut took: Vec<(Duration, Duration)> = (0..RUNS)
        .map(|_| {
            reset_peak();
            let (started, used) = (Instant::now(), processor_time());
            run();
            (started.elapsed(), processor_time() - used)
        })
        .collect();
    took.sort();
    let (wall, cpu) = took[RUNS / 2];
    println!(
        "  {name:<28} {:6.3} s  {:5.2} GB/s  {:6.3} s of processor time  peak {} MiB",
        wall.as_secs_f64(),
        bytes as f64 / wall.as_secs_f64() / 1e9,
        cpu.as_secs_f64(),
        peak_kib() >> 10,
    );
}

fn aggregate(encrypted: &Path, job: &str, result: &Path, helpers: usize) {
    let manifest = manifest(job);
    let job = manifest.jobs.values().next().unwrap();
    let operation =
        Operation::new(&job.operation, &job.inputs, Material::None, &manifest.limits).unwrap();
    let mut operation = operation.with_helpers(&Helpers::new(helpers));
    let (mut rest, mut out) = (SecretBuf::new(), SecretBuf::new());
    open(encrypted, |plaintext| {
        operation.process(plaintext, &mut out).unwrap();
        // What is left when the file ends.
        rest.clear();
        rest.extend_from_slice(plaintext.expose());
    });
    operation.finish(&mut rest, &mut out).unwrap();
    std::fs::write(result, out.expose()).unwrap();
}

/// Opens the file, a piece at a time.
fn open(encrypted: &Path, mut with: impl FnMut(&mut SecretBuf)) {
    let mut file = File::open(encrypted).unwrap();
    let mut input = vec![0; READ];
    let mut held = file.read(&mut input).unwrap();
    let parsed = Header::parse(&input[..held], &Limits::DEFAULT, &Policy::default());
    let (header, mut used) = parsed.unwrap().unwrap();
    let mut opener = Opener::new(header, &key()).unwrap();
    let mut plaintext = SecretBuf::new();
    loop {
        let opened = opener.open(&input[used..held], &mut plaintext, READ).unwrap();
        used += opened;
        with(&mut plaintext);
        if opened > 0 {
            continue;
        }
        input.copy_within(used..held, 0);
        held -= used;
        used = 0;
        match file.read(&mut input[held..]).unwrap() {
            0 => break,
            read => held += read,
        }
    }
    opener.finish().unwrap();
}

/// Writes about `bytes` bytes of CSV in the clear and encrypted; gives how many
/// they are, and the number of rows.
fn make(clear: &Path, encrypted: &Path, bytes: u64, frame: usize) -> (u64, u64) {
    let context = EncryptionContext::new([("purpose", "test")]).unwrap();
    let wrapped = EncryptedDataKey {
        provider_id: "aws-kms".to_owned(),
        provider_info: b"arn".to_vec(),
        ciphertext: vec![1; 184],
    };
    let create = |path| BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let (mut clear, mut file) = (create(clear), create(encrypted));
    let mut out = Vec::new();
    let frame = FrameLen::new(frame).unwrap();
    let mut sealer = Sealer::new(&key(), &context, &[wrapped], frame, &mut out).unwrap();
    let (mut rows, mut made) = (0, 0);
    let mut row = b"id,email,country,plan,amount,fee,balance\n".to_vec();
    while made < bytes {
        clear.write_all(&row).unwrap();
        sealer.seal(&row, &mut out).unwrap();
        file.write_all(&out).unwrap();
        out.clear();
        made += row.len() as u64;
        rows += 1;
        row.clear();
        write_row(rows, &mut row);
    }
    sealer.finish(&mut out).unwrap();
    file.write_all(&out).unwrap();
    file.flush().unwrap();
    clear.flush().unwrap();
    (made, rows - 1)
}

/// 200 countries, 4 plans, and amounts of money.
fn write_row(number: u64, row: &mut Vec<u8>) {
    // Weyl's sequence, mixed: any numbers do.
    let mixed = |salt: u64| {
        let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt << 32);
        (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
    };
    let country = mixed(1) % 200;
    let plan = ["free", "basic", "team", "enterprise"][(mixed(2) % 4) as usize];
    let cents = |salt, most| {
        let cents = mixed(salt) % most;
        format!("{}.{:02}", cents / 100, cents % 100)
    };
    writeln!(
        row,
        "{number},grace.hopper{number}@example.com,Country-{country},{plan},{},{},{}",
        cents(3, 10_000_000),
        cents(4, 10_000),
        cents(5, 100_000_000),
    )
    .unwrap();
}

fn key() -> DataKey {
    DataKey::from_slice(&[7; 32]).unwrap()
}

fn manifest(job: &str) -> Manifest {
    let text = format!(
        r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512

[listen]
vsock_port = 5005

[limits]
max_record = "1MiB"
max_in_flight_bytes = "256MiB"

[kms]
region = "eu-west-1"

[[job]]
name = "job"
operation = "aggregate"
input = {{ key = "{KEY}", context = {{ purpose = "test" }}, format = "csv" }}
output = {{ protect = "seal", to = ["{}"] }}
[job.aggregate]
min_group_size = 5
{job}
"#,
        "ab".repeat(32)
    );
    Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Processor time of this process, all its threads together.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
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
