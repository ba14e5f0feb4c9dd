//! Documents that we did not make: signed by AWS's hardware, or forged by
//! others. They are not part of the project; `STRONGROOM_VECTORS` names a folder
//! that holds `attestation-real` and `attestation-bad`, each with a
//! `manifest.json`. Without it these tests prove nothing and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::as_conversions, clippy::panic, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use strongroom_attestation::{DebugMode, Mode, Policy, TrustRoot, UnixTime, VerifyError, verify};

#[test]
fn vectors_every_document_of_aws_hardware_verifies_at_its_own_time() {
    let Some(folder) = folder("attestation-real") else { return };
    let manifest = manifest(&folder);
    let mut tally = Tally::default();
    let entries = manifest.as_array().or_else(|| manifest["cases"].as_array()).expect("a list");
    for entry in entries {
        let name = entry["file"].as_str().expect("a file name");
        let made = entry["timestamp_ms"].as_u64().expect("a time");
        let document = read(&folder, name);
        let policy = Policy { debug: DebugMode::Allow, ..Policy::any_image() };
        let check = |now, policy: &Policy| verify(&document, &TrustRoot::aws_nitro(), now, policy);
        match check(UnixTime::from_millis(made), &policy) {
            Ok(verified) => compare(&mut tally, name, entry, &verified),
            Err(error) => tally.wrong(name, format!("{}: {error}", error.code())),
        }
        // What everyone gets who does not ask for debug mode.
        let in_production = check(UnixTime::from_millis(made), &Policy::any_image());
        let expected_debug = entry["debug_zero_pcr0"].as_bool();
        let refused = in_production == Err(VerifyError::DebugMode);
        if expected_debug.is_some_and(|debug| debug != refused) {
            tally.wrong(name, format!("debug is {expected_debug:?}, refused for it: {refused}"));
        }
        // Two days later no leaf is valid any more.
        let later = UnixTime::from_millis(made + 2 * 86_400_000);
        match check(later, &policy) {
            Err(VerifyError::CertificateExpired { .. }) => {}
            other => tally.wrong(name, format!("two days later: {other:?}")),
        }
    }
    tally.finish("attestation-real", entries.len());
}

#[test]
fn vectors_every_forged_document_is_refused_and_every_control_accepted() {
    let Some(folder) = folder("attestation-bad") else { return };
    let manifest = manifest(&folder);
    let cases = manifest["cases"].as_array().or_else(|| manifest.as_array()).expect("a list");
    let test_root = test_root(&folder, &manifest, cases);
    let mut tally = Tally::default();
    for case in cases {
        let name = case["file"].as_str().expect("a file name");
        let Some(policy) = policy(case["policy_options"].as_object()) else {
            tally.skipped.push(format!("{name}: {}", case["policy_options"]));
            continue;
        };
        let root = match case["trust"].as_str() {
            Some("aws-g1") | None => TrustRoot::aws_nitro(),
            Some("test-root") => test_root.clone().expect("the forged set's root"),
            other => panic!("{name}: trust {other:?} is not known"),
        };
        let now = case["verify_at_unix"].as_f64().expect("a time in seconds");
        let now = UnixTime::from_millis((now * 1000.0) as u64);
        let verdict = verify(&read(&folder, name), &root, now, &policy);
        let code = verdict.as_ref().map_or_else(VerifyError::code, |_| "accept");
        let expect = case["expect"].as_str().expect("an expectation");
        if (code == "accept") == (expect == "accept") {
            tally.count(code);
        } else if case["policy"] == Value::Bool(true) {
            tally.skipped.push(format!("{name}: {code} where either is defensible"));
        } else {
            tally.wrong(name, format!("{expect} expected ({}), got {code}", case["what"]));
        }
    }
    tally.finish("attestation-bad", cases.len());
}

/// The content agrees with what the manifest's author read out of the document
/// (of the three optional fields, the lengths).
fn compare(
    tally: &mut Tally,
    name: &str,
    entry: &Value,
    verified: &strongroom_attestation::VerifiedDocument,
) {
    let mut expect = |what: &str, key: &str, found: Value| {
        if let Some(expected) = entry.get(key)
            && *expected != found
        {
            tally.wrong(name, format!("{what} is {found}, expected {expected}"));
        }
    };
    expect("module id", "module_id", verified.module_id().into());
    expect("debug mode", "debug_zero_pcr0", (verified.mode() == Mode::Debug).into());
    expect("PCR list", "pcr_indices", verified.pcrs().keys().copied().collect());
    let nonzero: Map<String, Value> = verified
        .pcrs()
        .iter()
        .filter(|(_, value)| !value.is_zero())
        .map(|(index, value)| (index.to_string(), value.to_string().into()))
        .collect();
    expect("PCR values", "pcr_nonzero", nonzero.into());
    let fields = [
        ("public_key", verified.public_key()),
        ("user_data", verified.user_data()),
        ("nonce", verified.nonce()),
    ];
    for (field, found) in fields {
        expect(field, field, found.map(<[u8]>::len).into());
    }
    tally.count("accept");
}

/// The policy that a case asks for; `None` for a rule that we do not have.
fn policy(options: Option<&Map<String, Value>>) -> Option<Policy> {
    let mut policy = Policy { debug: DebugMode::Allow, ..Policy::any_image() };
    for (option, value) in options.into_iter().flatten() {
        let bytes = || hex::decode(value.as_str()?).ok();
        match option.as_str() {
            _ if value == &Value::Bool(false) => {}
            "require_pcr0_nonzero" => policy.debug = DebugMode::Refuse,
            "max_age" => policy.max_age = Some(Duration::from_secs(value.as_u64()?)),
            "nonce" => policy.nonce = Some(bytes()?),
            "user_data" => policy.user_data = Some(bytes()?),
            "public_key" => policy.public_key = Some(bytes()?),
            "pcrs" => {
                for (index, value) in value.as_object()? {
                    let value = value.as_str()?.parse().ok()?;
                    policy.pcrs.entry(index.parse().ok()?).or_default().push(value);
                }
            }
            _ => return None, // `strict_512`, and what others may think of
        }
    }
    Some(policy)
}

/// The forged set's root: its own file, or the first certificate of a case
/// whose fingerprint the manifest names.
fn test_root(folder: &Path, manifest: &Value, cases: &[Value]) -> Option<TrustRoot> {
    let beside = folder.with_file_name("attestation-testpki").join("root.der");
    if let Ok(der) = fs::read(beside) {
        return Some(TrustRoot::from_der(&der).expect("a root"));
    }
    let wanted = manifest["test_root_sha256"].as_str()?;
    cases
        .iter()
        .filter_map(|case| first_of_cabundle(&read(folder, case["file"].as_str()?)))
        .filter_map(|der| TrustRoot::from_der(&der).ok())
        .find(|root| hex::encode(root.sha256()) == wanted)
}

fn first_of_cabundle(document: &[u8]) -> Option<Vec<u8>> {
    let outer: ciborium::Value = ciborium::from_reader(document).ok()?;
    let outer = outer.as_tag().map_or(&outer, |(_, inner)| inner);
    let payload = outer.as_array()?.get(2)?.as_bytes()?;
    let payload: ciborium::Value = ciborium::from_reader(payload.as_slice()).ok()?;
    let bundle = payload.as_map()?.iter().find(|(key, _)| key.as_text() == Some("cabundle"))?;
    bundle.1.as_array()?.first()?.as_bytes().cloned()
}

/// Verdicts so far.
#[derive(Default)]
struct Tally {
    by_code: std::collections::BTreeMap<String, usize>,
    skipped: Vec<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn count(&mut self, code: &str) {
        *self.by_code.entry(code.to_owned()).or_default() += 1;
    }

    fn wrong(&mut self, name: &str, what: String) {
        self.wrong.push(format!("{name}: {what}"));
    }

    /// Prints past the test harness, so that the counts are seen without
    /// `--nocapture`, and fails on any wrong verdict.
    fn finish(self, set: &str, total: usize) {
        let mut out = std::io::stderr().lock();
        let (ok, skipped) = (self.by_code.values().sum::<usize>(), self.skipped.len());
        writeln!(out, "{set}: {total} documents, {ok} as expected, {skipped} skipped").unwrap();
        writeln!(out, "  {:?}", self.by_code).unwrap();
        for line in &self.skipped {
            writeln!(out, "  skipped {line}").unwrap();
        }
        assert!(total > 0, "{set} lists no documents");
        assert!(self.wrong.is_empty(), "{set}: wrong verdicts:\n{}", self.wrong.join("\n"));
    }
}

/// The set's folder, if there is one. Whether any must be there is for the
/// workspace's own test to say.
#[expect(clippy::disallowed_methods, reason = "the one setting of these tests, read once each")]
fn folder(set: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("STRONGROOM_VECTORS").ok()?).join(set);
    folder.is_dir().then_some(folder)
}

fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&read(folder, "manifest.json")).expect("a manifest")
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    let path = folder.join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
