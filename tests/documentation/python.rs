//! The Python of docs/formats.md, run as it stands: what it computes is what
//! the enclave computes, and what it produces the enclave opens.

use std::path::Path;
use std::process::{Command, Stdio};

use strongroom_client::Job;
use strongroom_envelope::{DataKey, SecretBuf, plain};

use crate::blocks::named;
use crate::examples::secret;
use crate::fragments::KEY;
use crate::house::{self, House, Plan};

const PAGE: &str = "formats.md";

/// The interpreter, where there is one that has the packages; says so otherwise.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn python() -> Option<String> {
    let named = std::env::var("STRONGROOM_PYTHON").ok();
    if named.is_none() {
        eprintln!("skipped: STRONGROOM_PYTHON names no interpreter");
    }
    named
}

/// What a script prints that runs in `folder`.
fn run(python: &str, folder: &Path, script: &str, setting: &[(&str, String)]) -> String {
    std::fs::write(folder.join("script.py"), script).unwrap();
    let mut command = Command::new(python);
    command.arg("script.py").current_dir(folder).stdin(Stdio::null());
    let done = command.envs(setting.iter().map(|(name, value)| (name, value))).output().unwrap();
    assert!(done.status.success(), "{}\n{script}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_producer_of_plain_envelopes_is_the_one_that_is_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/plain_envelope.py");
    assert_eq!(named(PAGE, "plain-envelope"), std::fs::read_to_string(path).unwrap());
}

#[test]
fn a_plain_envelope_of_the_documentation_opens() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = named(PAGE, "plain-envelope")
        + r#"
class Kms:
    def generate_data_key(self, **asked):
        assert asked["EncryptionContext"] == context, asked
        return {"CiphertextBlob": b"wrapped", "Plaintext": bytes(range(32))}


context = {"tenant": "acme", "purpose": "support"}
print(seal(Kms(), "key", context, "Füße\n".encode()).hex())
"#;
    let envelope = hex::decode(run(&python, folder.path(), &script, &[]).trim()).unwrap();
    let opened = |context: &[(&str, &str)]| {
        let (header, len) =
            plain::Header::parse(&envelope, &plain::Limits::DEFAULT).unwrap().unwrap();
        assert_eq!(header.encrypted_data_key(), b"wrapped");
        let context =
            strongroom_envelope::esdk::EncryptionContext::new(context.iter().copied()).unwrap();
        let key = DataKey::from_slice(&secret()).unwrap();
        let mut plaintext = SecretBuf::new();
        let opener = plain::Opener::new(header, &key, &context).unwrap();
        opener.finish(&envelope[len..], &mut plaintext).map(|()| plaintext.expose().to_vec())
    };
    assert_eq!(opened(&[("purpose", "support"), ("tenant", "acme")]).unwrap(), "Füße\n".as_bytes());
    assert!(opened(&[("purpose", "support")]).is_err());
}

#[test]
fn indexes_and_tokens_of_the_documentation_are_the_enclaves() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = named(PAGE, "index")
        + &named(PAGE, "token")
        + r#"
secret = bytes(range(32))
print(index(secret, "email", "acme", "ada@example.org", bytes=16))
print(index(secret, "phone", "acme", "442079460018", bytes=16))
print(index(secret, "email", "", "ada@example.org", bytes=16))
print(siv_token(secret, "contact", "acme", "ada@example.org"))
print(ff1_token(secret, "pan", "acme", "4111-1111-1111-1111"))
print(ff1_token(secret, "pan", "acme", "5500-0055-5555-5559"))
"#;
    let printed = run(&python, folder.path(), &script, &[]);
    let lines: Vec<&str> = printed.lines().collect();
    let operations = crate::blocks::page("operations.md");
    let index = named("operations.md", "index output");
    assert!(index.contains(lines[0]) && index.contains(lines[1]), "{printed}");
    assert!(operations.contains(&format!("who={}", lines[2])), "{printed}");
    let tokens = named("operations.md", "tokenize output");
    for token in &lines[3..6] {
        assert!(tokens.contains(token), "{printed}");
    }
}

#[test]
fn padding_comes_off_as_the_documentation_says() {
    use strongroom_envelope::padding::Padder;
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    for data in [&b""[..], b"abc", b"ends in zeros\0\0", b"\x80", &[7; 16], &[0; 31]] {
        let mut padder = Padder::new(16).unwrap();
        padder.count(data.len() as u64);
        let (mut padding, mut padded) = (padder.finish(), SecretBuf::new());
        padded.extend_from_slice(data);
        while padding.emit(&mut padded) > 0 {}
        assert_eq!(padded.len() % 16, 0);
        let script = named(PAGE, "unpad")
            + &format!("print(unpad(bytes.fromhex(\"{}\")).hex())\n", hex::encode(padded.expose()));
        let printed = run(&python, folder.path(), &script, &[]);
        assert_eq!(printed.trim(), hex::encode(data));
    }
}

/// A house whose manifest has the job of the page, under its own KMS key.
async fn house_with_the_job() -> House {
    House::built(Plan {
        manifest: |text| {
            let key = text.split('"').find(|part| part.starts_with("arn:aws:kms:")).unwrap();
            let job = named(PAGE, "fields job").replace(KEY, key);
            text + &job
        },
        ..Plan::default()
    })
    .await
}

/// What makes a boto3 client call the simulated KMS as the producer.
fn setting(house: &House, folder: &Path) -> Vec<(&'static str, String)> {
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, house.nitro.kms.ca_pem()).unwrap();
    vec![
        ("AWS_ENDPOINT_URL_KMS", house.nitro.kms.endpoint_url()),
        ("AWS_CA_BUNDLE", ca.to_str().unwrap().to_owned()),
        ("AWS_ACCESS_KEY_ID", house.producer.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", house.producer.secret_access_key.clone()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_fields_of_the_documentation_go_through_its_job_at_a_call_per_field() {
    let Some(python) = python() else { return };
    let house = house_with_the_job().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain_envelope.py"), named(PAGE, "plain-envelope")).unwrap();
    let script = named(PAGE, "fields producer").replace(KEY, &house.customers);
    let records = run(&python, folder.path(), &script, &setting(&house, folder.path()));
    assert!(!records.contains("4111111111111111") && !records.contains("Ada"), "{records}");
    let (result, _) = house.run(&Job::new("mask-payments"), records.as_bytes()).await.unwrap();
    assert_eq!(String::from_utf8(result).unwrap(), named(PAGE, "fields result"));
    let log = house.nitro.kms.audit_log();
    assert_eq!(log.iter().filter(|asked| asked.operation == "Decrypt").count(), 2);
    // A field's ciphertext in another's place is none of it.
    let record: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    let swapped = serde_json::json!({"id": 1, "pan": record["name"], "name": record["pan"]});
    let refusal = house.refusal(&Job::new("mask-payments"), swapped.to_string().as_bytes()).await;
    assert_eq!(refusal.code.as_str(), "bad_record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_sdk_makes_as_the_documentation_says_goes_through_a_job() {
    let Some(python) = python() else { return };
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("customers.csv"), house::CUSTOMERS).unwrap();
    let script = named(PAGE, "esdk")
        .replace(KEY, &house.customers)
        .replace("sys.stdin.buffer.read()", "open(\"customers.csv\", \"rb\").read()")
        .replace("sys.stdout.buffer.write(message)", "print(message.hex())");
    let message = run(&python, folder.path(), &script, &setting(&house, folder.path()));
    let message = hex::decode(message.trim()).unwrap();
    assert_eq!(house.mask(&message).await.unwrap(), house::MASKED);
}
