//! `dev`: the commands that it shows for each kind of job.

use serde_json::Value;

use crate::program::{error_of, run_json, shell, stderr, text};
use crate::running::Dev;

const MANIFEST: &str = r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512

[listen]
vsock_port = 5005

[kms]
region = "eu-west-1"

[[secret]]
name = "tokens"
key = "KEY"
context = { purpose = "tokens" }
wrapped = "AQID"

[[secret]]
name = "approvals"
key = "KEY"
context = { purpose = "approvals" }
wrapped = "AQIE"

[[caller]]
name = "branch"
public_key = "D75A980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

[[job]]
name = "signed-for"
operation = "open"
args = ["tenant"]
callers = ["branch"]
input = { key = "KEY", context = { purpose = "support", tenant = "{tenant}" } }
output = { protect = "seal", to = "any" }

[[job]]
name = "in-common"
operation = "join-count"
inputs = [
  { format = "csv", key = "KEY", context = { purpose = "overlap", owner = "shop" } },
  { format = "csv", key = "KEY", context = { purpose = "overlap", owner = "bank" } },
]
join = { on = ["email", "email"], min_group_size = 5 }
output = { protect = "none" }

[[job]]
name = "statistics"
operation = "aggregate"
input = { format = "csv", key = "KEY", context = { purpose = "statistics" } }
aggregate = { group_by = [], compute = { n = "count", all = { sum = "amount" } }, min_group_size = 7 }
output = { protect = "none" }

[[job]]
name = "envelope"
operation = "mask"
input = { format = "csv", encryption = "plain-envelope", key = "KEY", context = { purpose = "reports" } }
fields = { id = "keep", pan = "last4" }
output = { protect = "none" }

[[job]]
name = "from-tokens"
operation = "detokenize"
secret = "tokens"
args = ["tenant"]
callers = ["branch"]
tenant = "{tenant}"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" } }
output = { protect = "kms", key = "OTHER", context = { purpose = "values", tenant = "{tenant}" } }

[[job]]
name = "approved"
operation = "sign"
secret = "approvals"
callers = ["branch"]
input = { encryption = "none" }
sign = { algorithm = "ed25519" }
output = { protect = "seal", to = "any" }

[[job]]
name = "rows"
operation = "mask"
input = { format = "csv", key = "KEY", fields = { pan = { context = { purpose = "rows", field = "pan" } } } }
fields = { id = "keep", pan = "last4" }
output = { protect = "none" }

[[job]]
name = "listed"
operation = "match"
args = ["who"]
input = { format = "csv", key = "KEY", context = { purpose = "sanctions" } }
match = { field = "email", arg = "who", as = "encrypted" }
output = { protect = "none" }
"#;

fn start() -> Dev {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let arn = |id: &str| format!("arn:aws:kms:eu-west-1:111122223333:key/{id}");
    std::fs::write(&file, MANIFEST.replace("KEY", &arn("a")).replace("OTHER", &arn("b"))).unwrap();
    Dev::start_in(folder, &["--manifest", &text(&file)])
}

fn job<'a>(dev: &'a Dev, name: &str) -> &'a Value {
    let jobs = dev.guide["jobs"].as_array().unwrap();
    jobs.iter().find(|job| job["job"] == name).unwrap()
}

/// What a job makes of the commands that are shown for it.
fn result(dev: &Dev, name: &str) -> String {
    let job = job(dev, name);
    let commands = ["encrypt", "encrypt_second", "call"].map(|key| job[key].as_str());
    let commands = commands.into_iter().flatten().collect::<Vec<_>>().join("\n");
    let output = shell(&format!(". {}\n{commands}", dev.path("producer.env")));
    assert!(output.status.success(), "{commands}: {}", stderr(&output));
    std::fs::read_to_string(dev.file(&format!("{name}.result"))).unwrap()
}

#[test]
fn the_commands_for_callers_two_inputs_and_envelopes_work_as_they_are_shown() {
    let dev = start();
    let customers = std::fs::read_to_string(dev.file("customers.csv")).unwrap();
    assert_eq!(result(&dev, "signed-for"), customers);
    let distinct = customers.lines().count() - 1;
    assert_eq!(result(&dev, "in-common"), format!("suppressed,count\nfalse,{distinct}\n"));
    assert_eq!(result(&dev, "statistics").lines().last(), Some("false,5050,100"));
    assert_eq!(result(&dev, "envelope").lines().count(), customers.lines().count());
    for file in ["in-common.first.encrypted", "in-common.second.encrypted", "caller-branch.key"] {
        assert!(dev.file(file).exists(), "{file}");
    }
}

#[test]
fn a_job_that_takes_nothing_encrypted_as_a_whole_is_shown_without_encrypt() {
    let dev = start();
    let call = |name: &str| job(&dev, name)["call"].as_str().unwrap();
    let tokens = job(&dev, "from-tokens");
    assert!(tokens.get("encrypt").is_none(), "{tokens}");
    assert!(call("from-tokens").contains(&dev.path("customers.csv")));
    assert!(call("from-tokens").contains("--sign-with branch:"));
    let rows = job(&dev, "rows");
    assert!(rows.get("encrypt").is_none(), "{rows}");
    assert!(rows["notes"].to_string().contains("docs/formats.md#encrypted-fields"), "{rows}");
    assert!(!call("rows").contains("--sign-with"));
    let listed = job(&dev, "listed");
    assert!(listed["notes"].to_string().contains("who=acme cannot work"), "{listed}");
}

#[test]
fn a_sealed_result_of_an_input_in_the_clear_is_opened_as_of_that_very_file() {
    let dev = start();
    // Sealed to the owner's public key this time, and stored.
    let call = job(&dev, "approved")["call"].as_str().unwrap();
    let sealed = call.replace("--seal-key", "--seal-to").replace("owner.key", "owner.key.pub");
    let output = shell(&sealed);
    assert!(output.status.success(), "{}", stderr(&output));
    let open = |of: &str| {
        let args = ["open", "--seal-key", &dev.path("owner.key"), "--of", &dev.path(of)];
        let files =
            ["--input", &dev.path("approved.result"), "--output", &dev.path("approved.signature")];
        args.into_iter().chain(files).map(str::to_owned).chain(dev.trust()).collect::<Vec<_>>()
    };
    std::fs::write(dev.file("other.csv"), "id\n1\n").unwrap();
    let error = error_of(open("other.csv"));
    assert_eq!(error["code"], "sealed-refused");
    assert!(error["hint"].as_str().unwrap().contains("its SHA-256"), "{error}");
    let (code, json) = run_json(open("customers.csv"));
    assert_eq!(code, 0, "{json}");
    assert_eq!(std::fs::read(dev.file("approved.signature")).unwrap().len(), 64);
}
