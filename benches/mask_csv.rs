//! `mask` of a CSV file on one core, beside a program on the `csv` crate.
//!
//! `cargo bench --bench mask_csv [-- MIB]` masks two columns of seven in a CSV
//! file of so many MiB (16) in the clear, in turns with a program that does the
//! same with the `csv` crate: records that are used again, buffers of the same
//! size, the same rules, and, which is checked, the same bytes out. Figures are
//! GB of CSV read per second of the thread's own processor time, and the median
//! of the turns' ratios. The second file has about a third of its fields in quotes,
//! each with a comma and some with quotes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use rustix::time::{ClockId, clock_gettime};
use strongroom::manifest::fields::{
    BadRecords, FieldPath, FieldRule, MaskRule, Shape, UnknownFields,
};
use strongroom::manifest::operations::{FieldsSpec, FieldsVerb, OperationSpec};
use strongroom::manifest::{ByteCount, Input, Limits, Source};
use strongroom::operation::{Material, Operation};
use strongroom_envelope::SecretBuf;

/// Bytes that the operation gets at a time, and of the other program's buffers.
const PIECE: usize = 64 << 10;

const TURNS: usize = 9;

fn main() {
    // cargo passes `--bench`.
    let mib = std::env::args().find_map(|arg| arg.parse::<usize>().ok()).unwrap_or(16);
    for (quoted, what) in [(false, "plain fields"), (true, "a third of the fields in quotes")] {
        let (input, records) = make(mib << 20, quoted);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        mask(&input, |piece| ours.extend_from_slice(piece));
        mask_with_csv(&input, &mut theirs);
        assert!(ours == theirs, "the results differ");
        println!("{what}, {} bytes a record", input.len() / records);
        let mut turns: Vec<(f64, f64)> = (0..TURNS)
            .map(|_| {
                let theirs = timed(|| mask_with_csv(&input, &mut theirs));
                let ours = timed(|| mask(&input, |piece| _ = black_box(piece)));
                (ours, theirs)
            })
            .collect();
        turns.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let rate = |seconds: f64| input.len() as f64 / seconds / 1e9;
        let ratio = |turn: (f64, f64)| turn.1 / turn.0;
        let (ours, theirs) = turns[TURNS / 2];
        println!("  strongroom {:.3} GB/s   csv crate {:.3} GB/s", rate(ours), rate(theirs));
        let (least, most) = (ratio(turns[0]), ratio(turns[TURNS - 1]));
        println!("  ratio {:.2} ({least:.2} to {most:.2})", ratio((ours, theirs)));
    }
}

/// Seconds of this thread's processor time.
fn timed(run: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let start = now();
    run();
    now() - start
}

/// The operation, as a request drives it.
fn mask(input: &[u8], mut result: impl FnMut(&[u8])) {
    let mut operation = operation();
    let (mut plaintext, mut out) = (SecretBuf::new(), SecretBuf::new());
    for piece in input.chunks(PIECE) {
        plaintext.extend_from_slice(piece);
        operation.process(&mut plaintext, &mut out).unwrap();
        result(out.expose());
        out.clear();
    }
    operation.finish(&mut plaintext, &mut out).unwrap();
    result(out.expose());
}

fn operation() -> Operation {
    let rule = |name: &str, rule| (FieldPath::Column(name.to_owned()), FieldRule::Mask(rule));
    let spec = OperationSpec::Fields(FieldsSpec {
        verb: FieldsVerb::Mask,
        rules: BTreeMap::from([rule("pan", MaskRule::Last4), rule("email", MaskRule::Email)]),
        unknown: UnknownFields::Keep,
        secret: None,
        tenant: None,
    });
    let input = Input { source: Source::Clear, shape: Shape::Csv, bad_records: BadRecords::Refuse };
    let limits = Limits {
        max_connections: 1,
        max_in_flight_bytes: ByteCount(1 << 30),
        request_deadline: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        max_header: ByteCount(1 << 16),
        max_frame: ByteCount(1 << 20),
        max_encrypted_data_keys: 1,
        max_record: ByteCount(1 << 20),
        max_data_keys: 1,
        max_groups: 1,
    };
    Operation::new(&spec, &[input], Material::None, &limits).unwrap()
}

/// The same, with the `csv` crate.
fn mask_with_csv(input: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut reader =
        ReaderBuilder::new().has_headers(false).buffer_capacity(PIECE).from_reader(input);
    let mut writer = WriterBuilder::new().buffer_capacity(PIECE).from_writer(out);
    let (mut record, mut masked) = (ByteRecord::new(), ByteRecord::new());
    let mut text = String::new();
    reader.read_byte_record(&mut record).unwrap();
    writer.write_byte_record(&record).unwrap();
    while reader.read_byte_record(&mut record).unwrap() {
        masked.clear();
        for (column, value) in record.iter().enumerate() {
            match column {
                PAN => last4(str::from_utf8(value).unwrap(), &mut text),
                EMAIL => email(str::from_utf8(value).unwrap(), &mut text),
                _ => {
                    masked.push_field(value);
                    continue;
                }
            }
            masked.push_field(text.as_bytes());
            text.clear();
        }
        writer.write_byte_record(&masked).unwrap();
    }
    writer.flush().unwrap();
}

fn last4(value: &str, out: &mut String) {
    out.push_str("****");
    if value.chars().nth(7).is_some() {
        let (start, _) = value.char_indices().rev().nth(3).unwrap();
        out.push_str(&value[start..]);
    }
}

fn email(value: &str, out: &mut String) {
    out.push_str("***");
    let in_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    if let Some((local, domain)) = value.split_once('@')
        && !local.is_empty()
        && !domain.is_empty()
        && domain.chars().all(in_domain)
    {
        out.push('@');
        out.push_str(domain);
    }
}

const PAN: usize = 2;
const EMAIL: usize = 3;

/// A CSV file of about `bytes` bytes, and its number of records.
fn make(bytes: usize, quoted: bool) -> (Vec<u8>, usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut out = String::from("id,name,pan,email,born,city,note\n");
    let mut records = 0;
    while out.len() < bytes {
        records += 1;
        let mut text = |out: &mut String, quoted: bool, words: u64| {
            let start = out.len();
            for word in 0..words {
                let between = match word {
                    0 => "",
                    _ if !quoted => " ",
                    1 => ", ",
                    _ if random.below(3) == 0 => " \"\"",
                    _ => " \"\"\"\"",
                };
                out.push_str(between);
                for _ in 0..random.between(3, 9) {
                    out.push(char::from(b'a' + random.below(26) as u8));
                }
            }
            if quoted {
                out.insert(start, '"');
                out.push('"');
            }
        };
        write!(out, "{records},").unwrap();
        text(&mut out, quoted, 2);
        write!(out, ",4{:015},", records * 7_919_797 % 1_000_000_007).unwrap();
        text(&mut out, false, 1);
        out.push('@');
        text(&mut out, false, 1);
        let (month, day) = (records % 12 + 1, records % 28 + 1);
        write!(out, ".com,{}-{month:02}-{day:02},", 1940 + records % 60).unwrap();
        // In one of four a quote stands within the field.
        text(&mut out, quoted, if records % 4 == 0 { 3 } else { 2 });
        out.push(',');
        text(&mut out, quoted && records % 3 > 0, 2);
        out.push('\n');
    }
    (out.into_bytes(), records)
}

/// Numbers that look random and are the same each time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }
}
