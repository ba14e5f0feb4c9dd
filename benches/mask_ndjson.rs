//! `mask` of NDJSON on one core, beside a program on `sonic-rs`.
//!
//! `cargo bench --bench mask_ndjson [-- MIB]` masks three fields in so many MiB
//! (16) of NDJSON in the clear, in turns with programs that find the same fields
//! lazily with `sonic-rs` and splice the masks in: the same rules and, which is
//! checked, the same bytes out. Figures are GB of NDJSON read per second of the
//! thread's own processor time, and the median of the turns' ratios. The records
//! are flat ones of seven members, and nested ones. `get_many` looks at nothing
//! behind the last field that it seeks, so the flat ones come in two orders; the
//! operation always checks the whole record.
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

use rustix::time::{ClockId, clock_gettime};
use sonic_rs::{JsonValueTrait, LazyValue, PointerTree};
use strongroom::manifest::fields::{
    BadRecords, FieldPath, FieldRule, MaskRule, Pointer, Shape, UnknownFields,
};
use strongroom::manifest::operations::{FieldsSpec, FieldsVerb, OperationSpec};
use strongroom::manifest::{ByteCount, Input, Limits, Source};
use strongroom::operation::{Material, Operation};
use strongroom_envelope::SecretBuf;

/// Bytes that the operation gets at a time, and of the other programs' output.
const PIECE: usize = 64 << 10;

const TURNS: usize = 9;

type Rules = [(&'static str, MaskRule); 3];
type Program = fn(&[u8], &mut Vec<u8>, &mut dyn FnMut(&[u8]));

fn main() {
    // cargo passes `--bench`.
    let mib = std::env::args().find_map(|arg| arg.parse::<usize>().ok()).unwrap_or(16);
    let flat_rules =
        [("/name", MaskRule::Initials), ("/pan", MaskRule::Last4), ("/email", MaskRule::Email)];
    let nested_rules = [
        ("/customer/name", MaskRule::Initials),
        ("/customer/contact/email", MaskRule::Email),
        ("/items/*/note", MaskRule::Redact),
    ];
    let flat = make(mib << 20, flat_record);
    compare("flat records, get_many", &flat, &flat_rules, with_get_many);
    compare("flat records, to_object_iter", &flat, &flat_rules, with_object_iter);
    let flat = make(mib << 20, flat_record_to_its_end);
    compare("flat records, fields last, get_many", &flat, &flat_rules, with_get_many);
    let nested = make(mib << 20, nested_record);
    compare("nested records, to_object_iter", &nested, &nested_rules, with_nested_iter);
}

fn compare(what: &str, input: &[u8], rules: &Rules, program: Program) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    mask(input, rules, |piece| ours.extend_from_slice(piece));
    let mut buffer = Vec::with_capacity(2 * PIECE);
    program(input, &mut buffer, &mut |piece| theirs.extend_from_slice(piece));
    assert!(ours == theirs, "the results differ");
    let mut turns: Vec<(f64, f64)> = (0..TURNS)
        .map(|_| {
            let theirs = timed(|| program(input, &mut buffer, &mut |piece| _ = black_box(piece)));
            let ours = timed(|| mask(input, rules, |piece| _ = black_box(piece)));
            (ours, theirs)
        })
        .collect();
    turns.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let rate = |seconds: f64| input.len() as f64 / seconds / 1e9;
    let ratio = |turn: (f64, f64)| turn.1 / turn.0;
    let records = input.iter().filter(|byte| **byte == b'\n').count();
    let (ours, theirs) = turns[TURNS / 2];
    println!("{what}, {} bytes a record", input.len() / records);
    println!("  strongroom {:.3} GB/s   sonic-rs {:.3} GB/s", rate(ours), rate(theirs));
    let (least, most) = (ratio(turns[0]), ratio(turns[TURNS - 1]));
    println!("  ratio {:.2} ({least:.2} to {most:.2})", ratio((ours, theirs)));
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
fn mask(input: &[u8], rules: &Rules, mut result: impl FnMut(&[u8])) {
    let mut operation = operation(rules);
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

fn operation(rules: &Rules) -> Operation {
    let rule = |(path, rule): &(&str, MaskRule)| {
        (FieldPath::Pointer(Pointer::parse(path).unwrap()), FieldRule::Mask(rule.clone()))
    };
    let spec = OperationSpec::Fields(FieldsSpec {
        verb: FieldsVerb::Mask,
        rules: rules.iter().map(rule).collect::<BTreeMap<_, _>>(),
        unknown: UnknownFields::Keep,
        secret: None,
        tenant: None,
    });
    let input =
        Input { source: Source::Clear, shape: Shape::Ndjson, bad_records: BadRecords::Refuse };
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
        max_kms_calls: 1,
        max_kms_calls_per_job: 1,
    };
    Operation::new(&spec, &[input], Material::None, &limits).unwrap()
}

/// Hands over line after line, and the output when it has grown.
fn lines(
    input: &[u8],
    out: &mut Vec<u8>,
    result: &mut dyn FnMut(&[u8]),
    mut deal: impl FnMut(&[u8], &mut Vec<u8>),
) {
    let mut rest = input;
    while let Some(feed) = memchr::memchr(b'\n', rest) {
        deal(&rest[..feed], out);
        out.push(b'\n');
        rest = &rest[feed + 1..];
        if out.len() >= PIECE {
            result(out);
            out.clear();
        }
    }
    result(out);
    out.clear();
}

/// A line that is written anew, up to `at`.
struct Splice<'a> {
    line: &'a [u8],
    at: usize,
}

impl Splice<'_> {
    fn mask(&mut self, value: &LazyValue<'_>, rule: fn(&str, &mut Vec<u8>), out: &mut Vec<u8>) {
        let raw = value.as_raw_str();
        let start = raw.as_ptr() as usize - self.line.as_ptr() as usize;
        out.extend_from_slice(&self.line[self.at..start]);
        self.at = start + raw.len();
        out.push(b'"');
        rule(value.as_str().unwrap_or(raw), out);
        out.push(b'"');
    }

    fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line[self.at..]);
    }
}

fn with_get_many(input: &[u8], out: &mut Vec<u8>, result: &mut dyn FnMut(&[u8])) {
    let mut tree = PointerTree::new();
    for name in ["name", "pan", "email"] {
        tree.add_path([name].iter());
    }
    let rules = [initials, last4, email];
    lines(input, out, result, |line, out| {
        let values = sonic_rs::get_many(line, &tree).unwrap();
        let mut splice = Splice { line, at: 0 };
        // They stand in the order of the tree's paths.
        for (value, rule) in values.iter().zip(rules) {
            splice.mask(value.as_ref().unwrap(), rule, out);
        }
        splice.finish(out);
    });
}

fn with_object_iter(input: &[u8], out: &mut Vec<u8>, result: &mut dyn FnMut(&[u8])) {
    lines(input, out, result, |line, out| {
        let mut splice = Splice { line, at: 0 };
        for member in sonic_rs::to_object_iter(line) {
            let (name, value) = member.unwrap();
            match &*name {
                "name" => splice.mask(&value, initials, out),
                "pan" => splice.mask(&value, last4, out),
                "email" => splice.mask(&value, email, out),
                _ => {}
            }
        }
        splice.finish(out);
    });
}

fn with_nested_iter(input: &[u8], out: &mut Vec<u8>, result: &mut dyn FnMut(&[u8])) {
    let members = |value: &str, deal: &mut dyn FnMut(&str, &LazyValue<'_>)| {
        for member in sonic_rs::to_object_iter(value) {
            let (name, value) = member.unwrap();
            deal(&name, &value);
        }
    };
    lines(input, out, result, |line, out| {
        let mut splice = Splice { line, at: 0 };
        members(str::from_utf8(line).unwrap(), &mut |name, value| match name {
            "customer" => members(value.as_raw_str(), &mut |name, value| match name {
                "name" => splice.mask(value, initials, out),
                "contact" => members(value.as_raw_str(), &mut |name, value| {
                    if name == "email" {
                        splice.mask(value, email, out);
                    }
                }),
                _ => {}
            }),
            "items" => {
                for item in sonic_rs::to_array_iter(value.as_raw_str()) {
                    members(item.unwrap().as_raw_str(), &mut |name, value| {
                        if name == "note" {
                            splice.mask(value, |_, out| out.extend_from_slice(b"***"), out);
                        }
                    });
                }
            }
            _ => {}
        });
        splice.finish(out);
    });
}

fn last4(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"****");
    if value.chars().count() >= 8 {
        let start = value.char_indices().rev().nth(3).unwrap().0;
        out.extend_from_slice(&value.as_bytes()[start..]);
    }
}

fn email(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"***");
    if let Some((local, domain)) = value.split_once('@')
        && !local.is_empty()
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    {
        out.push(b'@');
        out.extend_from_slice(domain.as_bytes());
    }
}

fn initials(value: &str, out: &mut Vec<u8>) {
    for first in value.split_whitespace().filter_map(|word| word.chars().next()) {
        out.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
        out.push(b'.');
    }
}

/// Records up to `bytes` of them.
fn make(bytes: usize, record: fn(&mut dyn FnMut(u64) -> u64, usize) -> String) -> Vec<u8> {
    let mut state = 0x0123_4567_89ab_cdef_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut text = String::new();
    let mut number = 0;
    while text.len() < bytes {
        writeln!(text, "{}", record(&mut random, number)).unwrap();
        number += 1;
    }
    text.into_bytes()
}

fn flat_record(random: &mut dyn FnMut(u64) -> u64, number: usize) -> String {
    const NAMES: [&str; 5] =
        ["Ada Lovelace", "Émile Zola", "Grace Brewster Murray Hopper", "Alan Turing", "Bo Ek"];
    format!(
        "{{\"id\":{number},\"name\":\"{}\",\"pan\":\"{:016}\",\"email\":\"user{}@example.com\",\
         \"city\":\"Springfield\",\"amount\":{}.{:02},\"note\":\"a remark of some length, as is usual here\"}}",
        NAMES[random(5) as usize],
        random(10_000_000_000_000_000),
        random(100_000),
        random(10_000),
        random(100),
    )
}

fn flat_record_to_its_end(random: &mut dyn FnMut(u64) -> u64, number: usize) -> String {
    let record = flat_record(random, number);
    let (id, rest) = record.split_once(",\"name\"").unwrap();
    let (fields, others) = rest.split_once(",\"city\"").unwrap();
    let others = others.strip_suffix('}').unwrap();
    format!("{id},\"city\"{others},\"name\"{fields}}}")
}

fn nested_record(random: &mut dyn FnMut(u64) -> u64, number: usize) -> String {
    format!(
        "{{\"id\":{number},\"customer\":{{\"name\":\"Ada Lovelace\",\"contact\":{{\
         \"email\":\"user{}@example.com\",\"phone\":\"+49 30 {}\"}},\"tags\":[\"a\",\"bc\",\
         {{\"x\":[1,2,3]}}]}},\"items\":[{{\"sku\":\"A-{}\",\"note\":\"fragile\",\"qty\":{}}},\
         {{\"sku\":\"B-{}\",\"note\":\"blue\",\"qty\":1}}],\"paid\":true}}",
        random(100_000),
        random(10_000_000),
        random(1_000),
        random(100),
        random(1_000),
    )
}
