//! However a stream is split, each operation gives the same; and one that leaves
//! bad records out gives what it gives without them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use proptest::prelude::*;
use strongroom::manifest::Manifest;
use strongroom::manifest::fields::Shape;
use strongroom::operation::{Comparand, Material, Tally};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::signing::{SignatureAlgorithm, SigningKey};

use super::data::{Column, Rng, Table};
use super::drive::{Pieces, drive, manifest, manifest_with, operation, tokens};

/// An operation in one shape: `@name` in its job stands for a field.
struct Job {
    text: &'static str,
    columns: &'static [Column],
    material: fn() -> Material,
    /// A field and what no record may have there, in CSV and in JSON.
    bad: Option<(Column, &'static [u8], &'static str)>,
}

use Column::{Balance, Born, City, Email, Handle, Id, Name, Pan, Plan};

const JOBS: &[Job] = &[
    Job {
        text: r#"
operation = "mask"
input = { INPUT "SHAPE", bad_records = "BAD" }
fields = { "@id" = "keep", "@name" = "initials", "@email" = "email", "@pan" = "last4", "@born" = "year-of-date", "@handle" = "drop" }
"#,
        columns: &[Id, Name, City, Email, Pan, Born, Handle],
        material: || Material::None,
        bad: Some((Born, b"some day", r#"{"id":1,"born":"some day"}"#)),
    },
    Job {
        text: r#"
operation = "mask"
unknown_fields = "keep"
input = { INPUT "SHAPE", bad_records = "BAD" }
fields = { "@name" = "first6last4", "@email" = "redact", "@city" = "drop" }
"#,
        columns: &[Id, Name, City, Email, Plan],
        material: || Material::None,
        bad: Some((Name, b"\xff", r#"{"name":{},"contact":{"email":null},"city":1}"#)),
    },
    Job {
        text: r#"
operation = "tokenize"
secret = "key"
input = { INPUT "SHAPE", bad_records = "BAD" }
fields = { "@name" = { token = "siv" }, "@pan" = { token = "ff1", alphabet = "digits" }, "@id" = "keep" }
"#,
        columns: &[Id, Name, Pan],
        material: tokens,
        bad: Some((Pan, b"4111x", r#"{"cards":[{"pan":"4111 1111"},{"pan":"1"}]}"#)),
    },
    Job {
        text: r#"
operation = "detokenize"
secret = "key"
input = { INPUT "SHAPE", bad_records = "BAD" }
fields = { "@pan" = { token = "ff1", alphabet = "digits" }, "@id" = "keep" }
"#,
        columns: &[Id, Pan],
        material: tokens,
        bad: Some((Pan, b"12", r#"{"cards":[{"pan":true}]}"#)),
    },
    Job {
        text: r#"
operation = "index"
secret = "key"
input = { INPUT "SHAPE", bad_records = "BAD" }
fields = { "@name" = { index = { normalise = ["lowercase", "trim"] } }, "@id" = "keep" }
"#,
        columns: &[Id, Name],
        material: tokens,
        bad: Some((Name, b"\xff", r#"{"id":1,"name":["x"]}"#)),
    },
    Job {
        text: r#"
operation = "match"
args = ["value"]
input = { INPUT "SHAPE", bad_records = "BAD" }
match = { field = "@city", arg = "value", as = "encrypted" }
"#,
        columns: &[Id, City],
        material: || Material::Comparand(Comparand::Value(SecretBuf::from_vec(b"ab".to_vec()))),
        bad: None,
    },
    Job {
        text: r#"
operation = "aggregate"
input = { INPUT "SHAPE", bad_records = "BAD" }
[job.aggregate]
group_by = ["@city"]
min_group_size = 2
compute = { people = "count", mean = { mean = "@balance" }, most = { max = "@balance" } }
where = [{ field = "@plan", not = "team" }]
"#,
        columns: &[City, Plan, Balance],
        material: || Material::None,
        bad: Some((Balance, b"1O", r#"{"city":"Paris","plan":"team","balance":"1O"}"#)),
    },
    Job {
        text: r#"
operation = "join-count"
inputs = [{ INPUT "SHAPE", bad_records = "BAD" }, { INPUT "SHAPE", bad_records = "BAD" }]
join = { on = ["@city", "@plan"], normalise = ["trim"], min_group_size = 1 }
[job.aggregate]
compute = { people = "count", sum = { sum = "@balance" } }
"#,
        columns: &[City, Plan, Balance],
        material: || Material::None,
        bad: None,
    },
    Job {
        text: "operation = \"join-count\"\n\
            inputs = [{ INPUT \"SHAPE\", bad_records = \"BAD\" }, { INPUT \"SHAPE\", bad_records = \"BAD\" }]\n\
            join = { on = [\"@city\", \"@city\"], min_group_size = 1 }\n",
        columns: &[City, Plan],
        material: || Material::None,
        bad: Some((City, b"\xff", r#"{"plan":"free","city":[]}"#)),
    },
];

const SHAPES: [(Shape, &str); 3] =
    [(Shape::Csv, "csv"), (Shape::Ndjson, "ndjson"), (Shape::Json, "json")];

impl Job {
    fn text(&self, shape: (Shape, &str), bad: &str) -> String {
        let mut text = self.text.replace("SHAPE", shape.1).replace("BAD", bad);
        for column in [Id, Name, Email, Pan, Handle, Born, Balance, City, Plan] {
            let name = format!("{column:?}").to_lowercase();
            let place = match (shape.0, column) {
                (Shape::Csv, _) => name.clone(),
                (_, Email) => "/contact/email".to_owned(),
                (_, Pan) => "/cards/*/pan".to_owned(),
                _ => format!("/{name}"),
            };
            text = text.replace(&format!("@{name}"), &place);
        }
        text
    }

    fn inputs(&self) -> u64 {
        if self.text.contains("inputs") { 2 } else { 1 }
    }

    fn table(&self, seed: u64, rows: u64) -> Table {
        Table { seed, rows, columns: self.columns }
    }

    /// A bad record of which the end is certain, as it stands in a file.
    fn bad_record(&self, shape: Shape, rng: &mut Rng) -> Vec<u8> {
        let own = if rng.one_in(2) { self.bad } else { None };
        let mut record = match (shape, own) {
            (Shape::Csv, Some((bad, value, _))) => {
                let values: Vec<&[u8]> = self
                    .columns
                    .iter()
                    .map(|c| if *c == bad { value } else { b"\"2000-\"" })
                    .collect();
                values.join(&b',')
            }
            (Shape::Csv, None) => {
                [&b"\"one,\r\n\"\"field\""[..], b"a,b,,,,,,,,,,"][rng.below(2) as usize].to_vec()
            }
            (_, Some((_, _, record))) => record.as_bytes().to_vec(),
            (Shape::Ndjson, None) => [&b"{\"id\":1"[..], b"\xff", b"[1,2", b"\"text\"", b"{} {}"]
                [rng.below(5) as usize]
                .to_vec(),
            (_, None) => [&b"null"[..], b"\"te]x,t\"", b"-1.5"][rng.below(3) as usize].to_vec(),
        };
        record.extend_from_slice(match shape {
            Shape::Csv if rng.one_in(2) => b"\r\n",
            Shape::Json => b" ",
            _ => b"\n",
        });
        record
    }

    /// A plaintext, and the same with `bad` bad records somewhere in it.
    fn plaintexts(&self, shape: Shape, seed: u64, rows: u64, bad: u64) -> [Vec<u8>; 2] {
        let table = self.table(seed, rows);
        let mut rng = Rng(seed);
        let mut records: Vec<(Vec<u8>, bool)> = match shape {
            Shape::Csv => (0..rows).map(|row| (table.csv(row), true)).collect(),
            _ => (0..rows).map(|row| (table.json(row), true)).collect(),
        };
        for _ in 0..bad {
            let at = rng.below(records.len() as u64 + 1) as usize;
            records.insert(at, (self.bad_record(shape, &mut rng), false));
        }
        let of = |all: bool| {
            let mut kept = records
                .iter()
                .filter(|(_, good)| all || *good)
                .map(|(record, _)| record.clone())
                .peekable();
            let mut out = match shape {
                Shape::Csv => table.header(),
                Shape::Json => b"[".to_vec(),
                _ => Vec::new(),
            };
            while let Some(record) = kept.next() {
                out.extend_from_slice(&record);
                match shape {
                    Shape::Ndjson if !record.ends_with(b"\n") => out.push(b'\n'),
                    Shape::Json if kept.peek().is_some() => out.push(b','),
                    _ => {}
                }
            }
            if shape == Shape::Json {
                out.push(b']');
            }
            out
        };
        [of(false), of(true)]
    }
}

/// What comes out, or what is wrong.
type Outcome = Result<(Vec<u8>, Option<Tally>), String>;

fn outcome(manifest: &Manifest, material: Material, inputs: &[Vec<&[u8]>]) -> Outcome {
    let pieces = inputs
        .iter()
        .map(|pieces| Box::new(pieces.iter().map(|piece| piece.to_vec())) as Pieces<'_>);
    let mut out = Vec::new();
    let done = drive(operation(manifest, material), pieces.collect(), |bytes| {
        out.extend_from_slice(bytes);
    });
    done.map(|tally| (out, tally)).map_err(|error| error.to_string())
}

/// `text` cut at these places of it, wherever they are.
fn split<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.sort_unstable();
    let mut start = 0;
    let mut pieces: Vec<&[u8]> = Vec::new();
    for end in at.into_iter().chain([text.len()]) {
        pieces.push(&text[start..end]);
        start = end;
    }
    pieces
}

fn whole(texts: &[Vec<u8>]) -> Vec<Vec<&[u8]>> {
    texts.iter().map(|text| vec![text.as_slice()]).collect()
}

fn bytes(texts: &[Vec<u8>]) -> Vec<Vec<&[u8]>> {
    texts.iter().map(|text| text.chunks(1).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Of good and of bad records, left out or refused, and of records that are
    /// too long.
    #[test]
    fn a_stream_can_be_split_anywhere_in_every_operation_and_shape(
        seed: u64,
        rows in 0_u64..12,
        bad in 0_u64..4,
        drop: bool,
        max_record in prop::sample::select(vec!["64MiB", "120"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        for job in JOBS {
            for shape in SHAPES {
                let text = job.text(shape, if drop { "drop" } else { "refuse" });
                let manifest = manifest_with(&text, max_record);
                let texts: Vec<Vec<u8>> = (0..job.inputs())
                    .map(|input| job.plaintexts(shape.0, seed ^ input, rows, bad)[1].clone())
                    .collect();
                let expected = outcome(&manifest, (job.material)(), &whole(&texts));
                let pieces: Vec<_> = texts.iter().map(|text| split(text, &cuts)).collect();
                for pieces in [pieces, bytes(&texts)] {
                    let split = outcome(&manifest, (job.material)(), &pieces);
                    prop_assert_eq!(&split, &expected, "{}", text);
                }
            }
        }
    }

    #[test]
    fn bad_records_that_are_left_out_leave_no_trace_but_their_number(
        seed: u64,
        rows in 0_u64..12,
        bad in 0_u64..6,
    ) {
        for job in JOBS {
            for shape in SHAPES {
                let manifest = manifest(&job.text(shape, "drop"));
                let of = |all: bool| {
                    let texts: Vec<Vec<u8>> = (0..job.inputs())
                        .map(|input| job.plaintexts(shape.0, seed ^ input, rows, bad)[usize::from(all)].clone())
                        .collect();
                    outcome(&manifest, (job.material)(), &whole(&texts))
                };
                let (result, tally) = of(false).unwrap();
                let (with_bad, tally_with_bad) = of(true).unwrap();
                prop_assert_eq!(result.escape_ascii().to_string(), with_bad.escape_ascii().to_string());
                let tally = tally.map(|tally| Tally { dropped: tally.dropped + bad * job.inputs(), ..tally });
                prop_assert_eq!(tally, tally_with_bad, "{} {}", shape.1, job.text);
            }
        }
    }

    #[test]
    fn what_is_not_read_can_be_split_anywhere(
        text in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let pieces = [split(&text, &cuts)];
        for verb in ["reencrypt", "open"] {
            let manifest = manifest(&format!("operation = \"{verb}\"\ninput = BYTES"));
            let passed = outcome(&manifest, Material::None, &pieces);
            prop_assert_eq!(passed, Ok((text.clone(), None)));
        }
        let job = |algorithm: &str| {
            let sign = format!("sign = {{ algorithm = \"{algorithm}\" }}");
            manifest(&format!("operation = \"sign\"\nsecret = \"key\"\ninput = BYTES\n{sign}"))
        };
        let ed25519 = || SigningKey::new(SignatureAlgorithm::Ed25519, &[7; 32]).unwrap();
        let signed = |pieces: &[Vec<&[u8]>]| {
            outcome(&job("ed25519"), Material::Signing(ed25519()), pieces).unwrap()
        };
        prop_assert_eq!(signed(&pieces), signed(&whole(std::slice::from_ref(&text))));

        // No two signatures of ECDSA are the same.
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let key = SigningKey::new(SignatureAlgorithm::EcdsaP256Sha256, pkcs8.as_ref()).unwrap();
        let (signature, _) = outcome(&job("ecdsa-p256"), Material::Signing(key), &pieces).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
        prop_assert!(public.verify(&text, &signature).is_ok());
    }
}
