//! The worked examples of docs/operations.md, run through the operation as the
//! service runs it: from decrypted input to what is handed to the output.

use strongroom::manifest::operations::{MatchForm, OperationSpec};
use strongroom::manifest::{Job, Manifest};
use strongroom::operation::{Comparand, Material, Operation, index};
use strongroom::shape::FieldError;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::IndexError;
use strongroom_envelope::signing::SigningKey;
use strongroom_envelope::token::TokenKey;

use crate::blocks::{named, page};
use crate::fragments::completed;

const PAGE: &str = "operations.md";
const TENANT: &str = "acme";

/// The secret of the examples.
pub(crate) fn secret() -> Vec<u8> {
    (0..32).collect()
}

#[test]
fn mask_gives_what_the_documentation_says() {
    assert_example("mask", |_| Material::None);
}

#[test]
fn reencrypt_gives_what_the_documentation_says() {
    assert_example("reencrypt", |_| Material::None);
}

#[test]
fn tokenize_gives_what_the_documentation_says() {
    assert_example("tokenize", |_| token());
}

#[test]
fn detokenize_gives_what_the_documentation_says() {
    assert_example("detokenize", |_| token());
}

#[test]
fn tokens_of_the_documentation_come_back_as_what_they_were() {
    let without_city = |text: String| {
        let line = |line: &str| format!("{}\n", line.rsplit_once(',').unwrap().0);
        text.lines().map(line).collect::<String>()
    };
    let tokens = without_city(named(PAGE, "tokenize output"));
    assert_eq!(tokens, named(PAGE, "detokenize input"));
    assert_eq!(without_city(named(PAGE, "tokenize input")), named(PAGE, "detokenize output"));
}

#[test]
fn index_gives_what_the_documentation_says() {
    assert_example("index", |_| token());
}

#[test]
fn match_gives_what_the_documentation_says() {
    let shown = page(PAGE);
    let (_, rest) = shown.split_once("with `who=").unwrap();
    let (who, _) = rest.split_once('`').unwrap();
    assert_example("match", |job| Material::Comparand(is_index(job, who)));
    // Of another person, no: the example could say yes to everything.
    let other = "0".repeat(who.len());
    assert_eq!(result("match", |job| Material::Comparand(is_index(job, &other))), b"0");
}

#[test]
fn aggregate_gives_what_the_documentation_says() {
    assert_example("aggregate", |_| Material::None);
}

#[test]
fn join_count_gives_what_the_documentation_says() {
    assert_example("join", |_| Material::None);
}

#[test]
fn sign_gives_what_the_documentation_says() {
    let signature = result("sign", |job| {
        let OperationSpec::Sign(spec) = &job.operation else { panic!("signs") };
        Material::Signing(SigningKey::new(spec.algorithm.into(), &secret()).unwrap())
    });
    let hex: String = named(PAGE, "sign output").split_whitespace().collect();
    assert_eq!(hex::encode(signature), hex);
}

#[test]
fn open_gives_what_the_documentation_says() {
    assert_example("open", |_| Material::None);
}

#[track_caller]
fn assert_example(name: &str, material: impl FnOnce(&Job) -> Material) {
    let output = String::from_utf8(result(name, material)).unwrap();
    assert_eq!(output, body(&format!("{name} output")), "{name}, as computed:\n{output}\n");
}

/// What the job of the example makes of its input.
fn result(name: &str, material: impl FnOnce(&Job) -> Material) -> Vec<u8> {
    let manifest = Manifest::parse(&completed(&named(PAGE, &format!("{name} job")))).unwrap();
    let job = manifest.jobs.values().next().unwrap();
    let material = material(job);
    let mut operation =
        Operation::new(&job.operation, &job.inputs, material, &manifest.limits).unwrap();
    let (mut input, mut out) = (SecretBuf::new(), SecretBuf::new());
    if job.inputs.len() == 2 {
        input.extend_from_slice(body(&format!("{name} input 1")).as_bytes());
        operation.next_input(&mut input, &mut out).unwrap();
        input.clear();
        input.extend_from_slice(body(&format!("{name} input 2")).as_bytes());
    } else {
        input.extend_from_slice(body(&format!("{name} input")).as_bytes());
    }
    operation.finish(&mut input, &mut out).unwrap();
    out.expose().to_vec()
}

/// A block's text; a block of the language `text` is without its last line end.
fn body(name: &str) -> String {
    let text = named(PAGE, name);
    let plain = crate::blocks::blocks(PAGE)
        .into_iter()
        .any(|block| block.name == name && block.language == "text");
    if plain { text.strip_suffix('\n').unwrap().to_owned() } else { text }
}

fn token() -> Material {
    Material::Token(TokenKey::new(&secret()).unwrap(), TENANT.to_owned())
}

/// As the service compares with an index.
fn is_index(job: &Job, given: &str) -> Comparand {
    let OperationSpec::Match(spec) = &job.operation else { panic!("matches") };
    let MatchForm::Indexed { rule, .. } = &spec.form else { panic!("as an index") };
    assert_eq!(given.len(), rule.bytes * 2);
    let key = TokenKey::new(&secret()).unwrap();
    let (index, given) = (index::blind_index(&key, rule, "").unwrap(), given.to_owned());
    Comparand::Index(Box::new(move |value| {
        let value = str::from_utf8(value).map_err(|_| FieldError::NotUtf8)?;
        match index.matches(value, given.as_bytes()) {
            Ok(equal) => Ok(equal),
            Err(IndexError::Empty) => Ok(false),
            Err(_) => Err(FieldError::TooLong),
        }
    }))
}
