//! How many records a second each operation takes. By hand:
//!
//! ```sh
//! cargo test --release --test operations -- --ignored --nocapture
//! ```

use strongroom::manifest::fields::Shape;
use strongroom::operation::{Comparand, Material};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::signing::{SignatureAlgorithm, SigningKey};

use super::data::{Column, Table};
use super::drive::{Pieces, drive, manifest, operation, tokens};

const COUNT: u64 = 1_000_000;

/// What plaintext comes in: a frame's, of the most usual length.
const PIECE: usize = 64 << 10;

const COLUMNS: &[Column] = &[
    Column::Id,
    Column::Name,
    Column::Email,
    Column::Pan,
    Column::Balance,
    Column::City,
    Column::Plan,
];

/// An operation, its job, in which `@name` stands for a field, and its material.
type Measured = (&'static str, &'static str, fn() -> Material);

const JOBS: &[Measured] = &[
    (
        "`mask` of 3 fields",
        "operation = \"mask\"\ninput = { INPUT \"SHAPE\" }\nfields = { \"@name\" = \"initials\", \"@pan\" = \"last4\", \"@email\" = \"email\", \"@id\" = \"keep\" }",
        || Material::None,
    ),
    (
        "`tokenize` of 1 field, `siv`",
        "operation = \"tokenize\"\nsecret = \"key\"\ninput = { INPUT \"SHAPE\" }\nfields = { \"@email\" = { token = \"siv\" }, \"@id\" = \"keep\" }",
        tokens,
    ),
    (
        "`tokenize` of 1 field, `ff1`",
        "operation = \"tokenize\"\nsecret = \"key\"\ninput = { INPUT \"SHAPE\" }\nfields = { \"@pan\" = { token = \"ff1\", alphabet = \"digits\" }, \"@id\" = \"keep\" }",
        tokens,
    ),
    (
        "`index` of 1 field",
        "operation = \"index\"\nsecret = \"key\"\ninput = { INPUT \"SHAPE\" }\nfields = { \"@email\" = { index = { normalise = [\"trim\", \"lowercase\"] } }, \"@id\" = \"keep\" }",
        tokens,
    ),
    (
        "`match`",
        "operation = \"match\"\nargs = [\"value\"]\ninput = { INPUT \"SHAPE\" }\nmatch = { field = \"@email\", arg = \"value\", as = \"encrypted\" }",
        || Material::Comparand(Comparand::Value(SecretBuf::from_vec(b"x@example.com".to_vec()))),
    ),
    (
        "`aggregate` by 2 fields, 3 numbers",
        "operation = \"aggregate\"\ninput = { INPUT \"SHAPE\" }\n[job.aggregate]\ngroup_by = [\"@city\", \"@plan\"]\nmin_group_size = 5\ncompute = { people = \"count\", mean = { mean = \"@balance\" }, most = { max = \"@balance\" } }",
        || Material::None,
    ),
    (
        "`join-count`, 2 inputs",
        "operation = \"join-count\"\ninputs = [{ INPUT \"SHAPE\" }, { INPUT \"SHAPE\" }]\njoin = { on = [\"@email\", \"@email\"], normalise = [\"trim\", \"lowercase\"], min_group_size = 5 }",
        || Material::None,
    ),
];

const BYTES: &[Measured] = &[
    (
        "`sign`, ECDSA P-256",
        "operation = \"sign\"\nsecret = \"key\"\ninput = BYTES\nsign = { algorithm = \"ecdsa-p256\" }",
        || {
            let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(
                &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            );
            let pkcs8 = pair.unwrap().to_pkcs8v1().unwrap();
            let key = SigningKey::new(SignatureAlgorithm::EcdsaP256Sha256, pkcs8.as_ref());
            Material::Signing(key.unwrap())
        },
    ),
    ("`reencrypt`, `open`", "operation = \"open\"\ninput = BYTES", || Material::None),
];

#[test]
#[ignore = "a measurement, to be run by hand in release mode"]
fn records_a_second_of_each_operation() {
    for (name, shape) in [("CSV", Shape::Csv), ("NDJSON", Shape::Ndjson)] {
        let text = |seed| {
            let table = Table { seed, rows: COUNT, columns: COLUMNS };
            table.pieces(shape).flatten().collect::<Vec<u8>>()
        };
        let texts = [text(1), text(2)];
        let [one, _] = &texts;
        println!("{name}: {} MB", one.len() / 1_000_000);
        for (operation, job, material) in JOBS.iter().chain(BYTES) {
            let mut job = job.replace("SHAPE", &name.to_lowercase());
            for column in COLUMNS {
                let column = format!("{column:?}").to_lowercase();
                let place = match (shape, column.as_str()) {
                    (Shape::Csv, name) => name.to_owned(),
                    (_, "email") => "/contact/email".to_owned(),
                    (_, "pan") => "/cards/*/pan".to_owned(),
                    (_, name) => format!("/{name}"),
                };
                job = job.replace(&format!("@{column}"), &place);
            }
            let inputs = if job.contains("inputs") { 2 } else { 1 };
            let mut seconds: Vec<f64> =
                (0..3).map(|_| once(&job, material(), &texts[..inputs])).collect();
            seconds.sort_by(f64::total_cmp);
            let (records, bytes) = (COUNT * inputs as u64, one.len() * inputs);
            println!(
                "| {operation} | {name} | {:.2} | {:.0} |",
                records as f64 / seconds[1] / 1e6,
                bytes as f64 / seconds[1] / 1e6
            );
        }
    }
}

/// Seconds of a processor that the operation takes, without making what it is
/// given: what else the machine has to do shows less in them than on a clock.
fn once(job: &str, material: Material, texts: &[Vec<u8>]) -> f64 {
    let manifest = manifest(job);
    let operation = operation(&manifest, material);
    let inputs =
        texts.iter().map(|text| Box::new(text.chunks(PIECE).map(<[u8]>::to_vec)) as Pieces<'_>);
    let start = processor_time();
    drive(operation, inputs.collect(), |bytes| {
        std::hint::black_box(bytes);
    })
    .unwrap();
    (processor_time() - start) as f64 / 1e9
}

/// Nanoseconds that this thread has run (Linux, sched-stats).
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}
