//! Puts plaintext through an operation, as a request does.

use std::io::{BufWriter, Write};
use std::path::Path;

use strongroom::manifest::Manifest;
use strongroom::manifest::fields::Shape;
use strongroom::operation::{Material, Operation, OperationError, Tally};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::token::TokenKey;

use super::data::Table;

/// A plaintext in pieces.
pub type Pieces<'a> = Box<dyn Iterator<Item = Vec<u8>> + 'a>;

/// The manifest of one job, of which `job` is what stands behind its name.
/// `INPUT` in it, before a format, becomes an input.
pub fn manifest(job: &str) -> Manifest {
    manifest_with(job, "64MiB")
}

/// The same with another limit for records.
pub fn manifest_with(job: &str, max_record: &str) -> Manifest {
    let input = format!("{{ key = \"{KEY}\", context = {{ purpose = \"test\" }}, format =");
    let job = job.replace("{ INPUT", &input);
    let job =
        job.replace("BYTES", &format!("{{ key = \"{KEY}\", context = {{ purpose = \"test\" }} }}"));
    let to = "ab".repeat(32);
    let output = format!("output = {{ protect = \"seal\", to = [\"{to}\"] }}");
    let base = BASE.replace("KEY", KEY).replace("MAX_RECORD", max_record);
    let text = format!("{base}\n[[job]]\nname = \"job\"\n{output}\n{job}");
    Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}\n{job}"))
}

/// The operation of the one job there is.
pub fn operation(manifest: &Manifest, material: Material) -> Operation {
    let job = manifest.jobs.values().next().unwrap();
    Operation::new(&job.operation, &job.inputs, material, &manifest.limits).unwrap()
}

/// Puts inputs through, each in pieces; what comes out is handed to `result`.
pub fn drive(
    mut operation: Operation,
    inputs: Vec<Pieces<'_>>,
    mut result: impl FnMut(&[u8]),
) -> Result<Option<Tally>, OperationError> {
    let (mut plaintext, mut out) = (SecretBuf::new(), SecretBuf::new());
    let mut put = |out: &mut SecretBuf| {
        result(out.expose());
        out.clear();
    };
    let count = inputs.len();
    for (number, input) in inputs.into_iter().enumerate() {
        for piece in input {
            plaintext.extend_from_slice(&piece);
            operation.process(&mut plaintext, &mut out)?;
            put(&mut out);
        }
        if number + 1 < count {
            operation.next_input(&mut plaintext, &mut out)?;
            assert!(plaintext.is_empty());
            put(&mut out);
        }
    }
    let tally = operation.finish(&mut plaintext, &mut out)?;
    put(&mut out);
    Ok(tally)
}

/// Puts tables through the job; the result is left in `result`, and each input
/// in the file beside it.
pub fn to_files(
    job: &str,
    material: Material,
    inputs: &[(Table, Shape, &Path)],
    result: &Path,
) -> Option<Tally> {
    let manifest = manifest(job);
    let tables = inputs.iter().map(|(table, shape, path)| {
        let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
        let pieces = table.pieces(*shape).inspect(move |piece| file.write_all(piece).unwrap());
        Box::new(pieces) as Pieces<'_>
    });
    let mut file = BufWriter::new(std::fs::File::create(result).unwrap());
    let written = |bytes: &[u8]| file.write_all(bytes).unwrap();
    let tally = drive(operation(&manifest, material), tables.collect(), written).unwrap();
    file.flush().unwrap();
    tally
}

/// The content of a file in pieces.
pub fn file(path: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
    let mut file = std::fs::File::open(path).unwrap();
    std::iter::from_fn(move || {
        let mut piece = vec![0; 50_021];
        let len = std::io::Read::read(&mut file, &mut piece).unwrap();
        piece.truncate(len);
        (len > 0).then_some(piece)
    })
}

/// The key of tokens and indexes, of tenant `acme`.
pub fn tokens() -> Material {
    Material::Token(TokenKey::new(SECRET).unwrap(), TENANT.to_owned())
}

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef-operations";
pub const TENANT: &str = "acmé";

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const BASE: &str = r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512

[listen]
vsock_port = 5005

[limits]
max_record = "MAX_RECORD"
max_in_flight_bytes = "1GiB"

[kms]
region = "eu-west-1"

[[secret]]
name = "key"
key = "KEY"
context = { purpose = "tokens" }
wrapped = "AAAA"
"#;
