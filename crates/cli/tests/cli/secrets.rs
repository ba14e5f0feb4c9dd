//! `dev` with jobs that need a key of their own: it wraps one that its own KMS
//! can unwrap.

use crate::program::{shell, stderr, text};
use crate::running::Dev;

const JOBS: &str = r#"
[[secret]]
name = "tokens"
key = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01"
context = { purpose = "tokens" }
wrapped = "cGxhY2Vob2xkZXI="

[[secret]]
name = "signing"
key = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01"
context = { purpose = "signing" }
wrapped = "cGxhY2Vob2xkZXI="

[[job]]
name = "tokenize-customers"
operation = "tokenize"
args = ["tenant"]
input = { format = "csv", key = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01", context = { purpose = "support", tenant = "{tenant}" } }
secret = "tokens"
tenant = "{tenant}"
fields = { pan = { token = "ff1", alphabet = "digits" }, email = { token = "siv" }, city = "keep" }
output = { protect = "none" }

[[job]]
name = "sign-file"
operation = "sign"
args = ["tenant"]
input = { key = "arn:aws:kms:eu-west-1:111122223333:key/1f0c7a52-2f9e-4f57-9f0e-3c1c5a1d7e01", context = { purpose = "support", tenant = "{tenant}" } }
secret = "signing"
sign = { algorithm = "ed25519" }
output = { protect = "none" }
"#;

#[test]
fn jobs_with_wrapped_keys_run_under_keys_that_dev_makes() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("mine.toml");
    let example = include_str!("../../../../enclave.eif.toml");
    std::fs::write(&manifest, format!("{example}{JOBS}")).unwrap();
    let dev = Dev::start_in(folder, &["--manifest", &text(&manifest)]);
    for job in dev.guide["jobs"].as_array().unwrap() {
        let (encrypt, call) = (job["encrypt"].as_str().unwrap(), job["call"].as_str().unwrap());
        let output = shell(&format!(". {}\n{encrypt}\n{call}", dev.path("producer.env")));
        assert!(output.status.success(), "{job}: {}", stderr(&output));
    }
    let tokens = std::fs::read_to_string(dev.file("tokenize-customers.result")).unwrap();
    assert!(tokens.lines().count() == 101 && !tokens.contains('@'), "{tokens}");
    let card = tokens.lines().nth(1).unwrap().split(',').find(|cell| cell.len() == 16);
    assert!(card.is_some_and(|card| card.bytes().all(|byte| byte.is_ascii_digit())), "{tokens}");
    assert_eq!(std::fs::read(dev.file("sign-file.result")).unwrap().len(), 64);
}
