//! A million records through each operation, and what others make of them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strongroom::manifest::fields::Shape::{self, Csv, Json, Ndjson};
use strongroom::manifest::operations::{MatchForm, OperationSpec};
use strongroom::operation::{Comparand, Material, Tally, index};
use strongroom::shape::FieldError;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::IndexError;
use strongroom_envelope::signing::{SignatureAlgorithm, SigningKey};
use strongroom_envelope::token::TokenKey;

use super::data::{Cell, Column, Table};
use super::drive::{Pieces, SECRET, TENANT, drive, file, manifest, operation, to_files, tokens};
use super::python;

const COUNT: u64 = 1_000_000;

/// A test's folder, and the Python to compare with.
struct Bench {
    python: String,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        Some(Self { python: python::interpreter()?, folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has `task` done over the files that `files` names, and parameters.
    fn agrees(&self, task: &str, files: &[&str], mut parameters: Value) {
        for name in files {
            parameters[name] = json!(self.path(name));
        }
        parameters["count"] = json!(COUNT);
        parameters["secret"] = json!(SECRET.iter().map(|b| format!("{b:02x}")).collect::<String>());
        parameters["tenant"] = json!(TENANT);
        python::run(&self.python, task, &parameters);
    }

    /// Puts a table through a job; its files are `input` and `result`.
    fn put(&self, job: &str, material: Material, table: Table, shape: Shape) -> Option<Tally> {
        let input = self.path("input");
        to_files(job, material, &[(table, shape, &input)], &self.path("result"))
    }

    /// Puts files through a job, into the file `to`.
    fn again(&self, job: &str, material: Material, from: &[&str], to: &str) {
        let manifest = manifest(job);
        let mut out = Vec::new();
        let input = |name: &&str| -> Pieces<'_> { Box::new(file(&self.path(name))) };
        let inputs = from.iter().map(input).collect();
        let operation = operation(&manifest, material);
        drive(operation, inputs, |bytes| out.extend_from_slice(bytes)).unwrap();
        std::fs::write(self.path(to), out).unwrap();
    }

    /// What a match answers over the file `input`.
    fn answer(&self, job: &str, given: Comparand) -> String {
        self.again(job, Material::Comparand(given), &["input"], "answer");
        std::fs::read_to_string(self.path("answer")).unwrap()
    }
}

fn table(seed: u64, columns: &'static [Column]) -> Table {
    Table { seed, rows: COUNT, columns }
}

const ALL: Option<Tally> = Some(Tally { records: Some(COUNT), dropped: 0 });
const WITHHELD: Option<Tally> = Some(Tally { records: None, dropped: 0 });

#[test]
fn every_mask_rule_leaves_of_csv_what_python_leaves() {
    use Column::{Age, Balance, Born, Code, Email, Handle, Id, Name, Note, Pan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "mask"
unknown_fields = "keep"
input = { INPUT "csv" }
[job.fields]
id = "keep"
name = "initials"
email = "email"
pan = "first6last4"
handle = "last4"
born = "year-of-date"
balance = "redact"
age = { generalise = 10 }
code = "drop"
"#;
    let table = table(1, &[Id, Name, Email, Pan, Handle, Born, Balance, Age, Code, Note]);
    assert_eq!(bench.put(job, Material::None, table, Csv), ALL);
    bench.agrees("mask-csv", &["input", "result"], json!({}));
}

#[test]
fn every_mask_rule_leaves_of_json_what_python_leaves() {
    use Column::{Age, Balance, Born, City, Code, Email, Handle, Id, Name, Note, Pan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "mask"
input = { INPUT "ndjson" }
[job.fields]
"/id" = "keep"
"/name" = "initials"
"/contact/email" = "email"
"/cards/*/pan" = "first6last4"
"/handle" = "last4"
"/born" = "year-of-date"
"/balance" = "redact"
"/age" = { generalise = 10 }
"/code" = "drop"
"/note" = "keep"
"#;
    let table = table(2, &[Id, Name, City, Email, Pan, Handle, Born, Balance, Age, Code, Note]);
    assert_eq!(bench.put(job, Material::None, table, Ndjson), ALL);
    bench.agrees("mask-ndjson", &["input", "result"], json!({}));
}

#[test]
fn siv_tokens_are_those_of_another_library_and_turn_back() {
    use Column::{Email, Id, Name, Pan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "tokenize"
secret = "key"
input = { INPUT "ndjson" }
[job.fields]
"/id" = "keep"
"/name" = { token = "siv" }
"/contact/email" = { token = "siv", name = "email" }
"/cards/*/pan" = { token = "siv" }
"#;
    let input = bench.path("input");
    let table = table(3, &[Id, Name, Email, Pan]);
    let tally = to_files(job, tokens(), &[(table, Ndjson, &input)], &bench.path("tokens"));
    assert_eq!(tally, ALL);
    bench.again(&job.replace("tokenize", "detokenize"), tokens(), &["tokens"], "values");
    bench.agrees("siv", &["input", "tokens", "values"], json!({}));
}

#[test]
fn ff1_tokens_are_those_of_another_library_and_turn_back() {
    use Column::{Code, Handle, Hex, Pan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "tokenize"
secret = "key"
input = { INPUT "csv" }
[job.fields]
pan = { token = "ff1", alphabet = "digits" }
code = { token = "ff1", alphabet = "lowercase" }
handle = { token = "ff1", alphabet = "alphanumeric" }
hex = { token = "ff1", alphabet = "hex" }
"#;
    let input = bench.path("input");
    let table = table(4, &[Pan, Code, Handle, Hex]);
    let tally = to_files(job, tokens(), &[(table, Csv, &input)], &bench.path("tokens"));
    assert_eq!(tally, ALL);
    bench.again(&job.replace("tokenize", "detokenize"), tokens(), &["tokens"], "values");
    // The other library takes about a tenth of a millisecond for a value.
    bench.agrees("ff1", &["input", "tokens", "values"], json!({ "one_in": 100 }));
}

#[test]
fn blind_indexes_are_hmacs_of_python_over_normalised_values() {
    use Column::{Id, Name, Pan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "index"
secret = "key"
input = { INPUT "json" }
[job.fields]
"/id" = "keep"
"/name" = { index = { normalise = ["collapse-spaces", "trim", "lowercase"] } }
"/cards/*/pan" = { index = { name = "pan", normalise = ["digits"], bytes = 16 } }
"#;
    assert_eq!(bench.put(job, tokens(), table(5, &[Id, Name, Pan]), Json), ALL);
    bench.agrees("index", &["input", "result"], json!({}));
}

#[test]
fn a_value_matches_when_python_finds_it_in_the_column() {
    let Some(bench) = Bench::new() else { return };
    let table = table(6, &[Column::Id, Column::Email]);
    // One of many records and far from the last: an answer is not the last's.
    let there = (COUNT / 2..COUNT).find_map(|row| match table.cell(Column::Email, row) {
        Cell::Text(text) if text.starts_with('u') => Some(text),
        _ => None,
    });
    let there = there.unwrap();
    let shouted = format!(" {} ", there.to_uppercase());
    let values = [there.as_str(), &there[..there.len() - 1], "nobody@example.com", &shouted];

    let job = r#"
operation = "match"
args = ["value"]
input = { INPUT "csv" }
match = { field = "email", arg = "value", as = "encrypted" }
"#;
    let value = |text: &str| Comparand::Value(SecretBuf::from_vec(text.as_bytes().to_vec()));
    let tally = bench.put(job, Material::Comparand(value("")), table, Csv);
    assert_eq!(tally, WITHHELD);
    let answers = values.map(|text| json!([text, bench.answer(job, value(text))]));

    let job = r#"
operation = "match"
args = ["value"]
secret = "key"
input = { INPUT "csv" }
match = { field = "email", arg = "value", as = "indexed", index = { normalise = ["collapse-spaces", "trim", "lowercase"] } }
"#;
    let indexed = [shouted.as_str(), "nobody@example.com"].map(|text| {
        let (index, given) = indexed(job, text);
        json!([text, index, bench.answer(job, given)])
    });
    let parameters = json!({ "column": "email", "answers": answers, "indexed": indexed });
    bench.agrees("match", &["input"], parameters);
}

/// The index of a value, and a comparison with it as the service makes it.
fn indexed(job: &str, value: &str) -> (String, Comparand) {
    let manifest = manifest(job);
    let Some(OperationSpec::Match(spec)) = manifest.jobs.values().next().map(|job| &job.operation)
    else {
        panic!("not a match")
    };
    let MatchForm::Indexed { rule, .. } = &spec.form else { panic!("not indexed") };
    let index = index::blind_index(&TokenKey::new(SECRET).unwrap(), rule, TENANT).unwrap();
    let mut hex = SecretBuf::new();
    index.index(value, &mut hex).unwrap();
    let hex = String::from_utf8(hex.expose().to_vec()).unwrap();
    let given = hex.clone();
    let comparand = Comparand::Index(Box::new(move |value| {
        let value = str::from_utf8(value).map_err(|_| FieldError::NotUtf8)?;
        match index.matches(value, given.as_bytes()) {
            Err(IndexError::Empty) => Ok(false),
            answer => answer.map_err(|_| FieldError::TooLong),
        }
    }));
    (hex, comparand)
}

const COMPUTE: &str = r#"
[job.aggregate.compute]
people = "count"
total = { sum = "BALANCE" }
average = { mean = "BALANCE" }
least = { min = "BALANCE" }
most = { max = "BALANCE" }
"#;

fn computed(balance: &str) -> Value {
    json!({
        "people": ["count", null],
        "total": ["sum", balance],
        "average": ["mean", balance],
        "least": ["min", balance],
        "most": ["max", balance],
    })
}

#[test]
fn numbers_about_groups_of_csv_are_those_of_pandas() {
    use Column::{Age, Balance, City, Note, Plan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "aggregate"
input = { INPUT "csv" }
[job.aggregate]
group_by = ["city", "plan"]
min_group_size = 5
where = [
    { field = "age", at_least = "-0.5" },
    { field = "balance", below = "999999999999999950" },
    { field = "plan", not = "team" },
]
"#;
    let job = job.to_owned() + &COMPUTE.replace("BALANCE", "balance");
    let table = table(7, &[City, Note, Plan, Balance, Age]);
    assert_eq!(bench.put(&job, Material::None, table, Csv), WITHHELD);
    let parameters = json!({
        "format": "csv",
        "group_by": ["city", "plan"],
        "compute": computed("balance"),
        "where": [
            ["age", "at_least", "-0.5"],
            ["balance", "below", "999999999999999950"],
            ["plan", "not", "team"],
        ],
        "enough": 5,
        "at_least_rows": 30,
    });
    bench.agrees("aggregate", &["input", "result"], parameters);
}

#[test]
fn numbers_about_groups_of_json_are_those_of_pandas() {
    use Column::{Balance, City, Plan};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "aggregate"
input = { INPUT "ndjson" }
[job.aggregate]
group_by = ["/plan", "/city"]
min_group_size = 30
where = [{ field = "/city", one_of = ["London", "東京", "", "Wilmslow, Cheshire", "Hamlet 1", "Hamlet 2"] }]
"#;
    let job = job.to_owned() + &COMPUTE.replace("BALANCE", "/balance");
    assert_eq!(bench.put(&job, Material::None, table(8, &[City, Plan, Balance]), Ndjson), WITHHELD);
    let parameters = json!({
        "format": "ndjson",
        "group_by": ["/plan", "/city"],
        "compute": computed("/balance"),
        "where": [["/city", "one_of", ["London", "東京", "", "Wilmslow, Cheshire", "Hamlet 1", "Hamlet 2"]]],
        "enough": 30,
        "at_least_rows": 20,
    });
    bench.agrees("aggregate", &["input", "result"], parameters);
}

#[test]
fn what_two_inputs_have_in_common_is_what_pandas_merges() {
    use Column::{Balance, City, Email, Id};
    let Some(bench) = Bench::new() else { return };
    let job = r#"
operation = "join-count"
inputs = [{ INPUT "ndjson" }, { INPUT "csv" }]
[job.join]
on = ["/contact/email", "email"]
normalise = ["trim", "lowercase"]
min_group_size = 20
"#;
    let aggregate = "[job.aggregate]\ngroup_by = [\"city\"]\n".to_owned()
        + &COMPUTE.replace("BALANCE", "balance");
    let job = job.to_owned();
    let (left, right) = (bench.path("left"), bench.path("right"));
    let inputs = [
        (table(9, &[Id, Email]), Ndjson, left.as_path()),
        (table(10, &[Email, City, Balance]), Csv, right.as_path()),
    ];
    let count = to_files(&job, Material::None, &inputs, &bench.path("result"));
    assert_eq!(count, WITHHELD);
    bench.again(&(job + &aggregate), Material::None, &["left", "right"], "aggregated");
    let parameters = json!({
        "left_format": "ndjson", "left_on": "/contact/email",
        "right_format": "csv", "right_on": "email",
        "normalise": ["trim", "lowercase"],
        "aggregate": {
            "group_by": ["city"], "compute": computed("balance"), "where": [], "enough": 20,
        },
    });
    bench.agrees("join", &["left", "right", "result", "aggregated"], parameters);
}

#[test]
fn signatures_over_a_million_records_verify_elsewhere() {
    let Some(bench) = Bench::new() else { return };
    python::run(&bench.python, "keys", &json!({ "folder": bench.folder.path() }));
    let algorithms = [
        ("ecdsa-p256", SignatureAlgorithm::EcdsaP256Sha256),
        ("ecdsa-secp256k1", SignatureAlgorithm::EcdsaSecp256k1Sha256),
        ("ed25519", SignatureAlgorithm::Ed25519),
        ("rsa-pss", SignatureAlgorithm::RsaPssSha256),
    ];
    // Short enough for Ed25519, which holds the message whole.
    let table = table(11, &[Column::Id, Column::City]);
    let mut signatures = serde_json::Map::new();
    for (name, algorithm) in algorithms {
        let key = SigningKey::new(algorithm, &std::fs::read(bench.path(name)).unwrap()).unwrap();
        let job = format!(
            "operation = \"sign\"\nsecret = \"key\"\ninput = BYTES\nsign = {{ algorithm = \"{name}\" }}"
        );
        assert_eq!(bench.put(&job, Material::Signing(key), table, Csv), None);
        let signature = format!("{name}.signature");
        rename(&bench.path("result"), &bench.path(&signature));
        signatures.insert(signature, json!(name));
    }
    let parameters = json!({ "folder": bench.folder.path(), "signatures": signatures });
    bench.agrees("verify", &["input"], parameters);
}

#[test]
fn what_is_encrypted_anew_or_opened_is_the_input_byte_for_byte() {
    let Some(bench) = Bench::new() else { return };
    for verb in ["reencrypt", "open"] {
        let job = format!("operation = \"{verb}\"\ninput = BYTES");
        let table = table(12, &[Column::Id, Column::Name]);
        assert_eq!(bench.put(&job, Material::None, table, Ndjson), None);
        bench.agrees("same", &["input", "result"], json!({}));
    }
}

fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}
