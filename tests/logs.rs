//! What the service logs: enough to run it, and nothing of the data.
//!
//! A binary of its own, because a process has one subscriber.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "service/house.rs"]
mod house;
#[path = "service/raw.rs"]
mod raw;
#[path = "service/signer.rs"]
mod signer;
#[path = "service/workshop.rs"]
mod workshop;

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use house::{ACME, House, mask};
use raw::{Line, run_of};
use signer::Caller;
use strongroom_client::Job;
use tracing::level_filters::LevelFilter;
use workshop::{Message, Wrapped, house_with};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_at_any_level_carries_plaintext_arguments_or_secrets() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();

    let house = House::new().await;
    let csv = "name,pan,city\nCanary Person,4111222233334444,Canaryville\n";
    let context = [ACME[0], ("tenant", "canary-tenant")];
    let message = house.encrypt(&house.customers, &context, csv.as_bytes(), 64).await;
    house.run(&mask("canary-tenant"), &message).await.unwrap();
    house.run(&Job::new("rotate").arg("tenant", "canary-tenant"), &message).await.unwrap();
    // And what goes wrong, at each step.
    let mut flipped = message.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let malformed = house.encrypt(&house.customers, &context, b"name,pan,city\nCanary\n", 64).await;
    for input in [&flipped, &malformed, &b"Canary in the clear".to_vec()] {
        house.refusal(&mask("canary-tenant"), input).await;
    }
    house.refusal(&Job::new("canary-job"), &message).await;
    let told = many_jobs().await;
    let lower = told.to_lowercase();
    assert!(!lower.contains("canary") && !told.contains("4111222233334444"), "{told}");

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<&str> =
        logged.lines().filter(|l| l.contains("\"target\":\"strongroom")).collect();
    assert!(ours.iter().any(|line| line.contains("decrypt_failed")), "failures are logged");
    for line in ours {
        let lower = line.to_lowercase();
        assert!(!lower.contains("canary") && !line.contains("4111222233334444"), "{line}");
    }
    // Not even the libraries below us log what authorises or what was decrypted.
    for secret in [&house.parent.secret_access_key, "4111222233334444", "Canary Person"] {
        assert!(!logged.contains(secret), "{secret} was logged");
    }
}

const JOBS: &str = r#"
[[job]]
name = "tokenize"
operation = "tokenize"
args = ["tenant"]
secret = "tokens"
tenant = "{tenant}"
input = { format = "csv", key = "$customers", commitment = "allow-legacy", context = { purpose = "support", tenant = "{tenant}" } }
fields = { pan = { token = "ff1", alphabet = "digits" }, name = { token = "siv" } }
output = { protect = "none" }

[[job]]
name = "sum"
operation = "aggregate"
args = ["tenant"]
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
aggregate = { group_by = ["city"], compute = { n = { sum = "pan" } }, min_group_size = 5 }
output = { protect = "none" }

[[job]]
name = "fields"
operation = "mask"
args = ["tenant"]
input = { format = "ndjson", key = "$customers", fields = { "/name" = { context = { purpose = "field", tenant = "{tenant}" } } } }
fields = { "/name" = "initials", "/n" = { generalise = 10 } }
output = { protect = "none" }

[[job]]
name = "join"
operation = "join-count"
args = ["tenant"]
inputs = [
  { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } },
  { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } },
]
join = { on = ["name", "name"], normalise = ["lowercase"], min_group_size = 5 }
output = { protect = "none" }

[[job]]
name = "match"
operation = "match"
args = { tenant = {}, name = { max_length = 4096 } }
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
match = { field = "name", arg = "name", as = "encrypted" }
output = { protect = "none" }

[[job]]
name = "sign"
operation = "sign"
secret = "canary-seed"
callers = ["ann"]
input = { encryption = "none" }
sign = { algorithm = "ed25519" }
output = { protect = "none" }

[[job]]
name = "unusable"
operation = "sign"
secret = "tokens"
callers = ["ann"]
input = { encryption = "none" }
sign = { algorithm = "ecdsa-p256" }
output = { protect = "none" }
"#;

/// Every operation, with what goes right and wrong in it; what callers were told
/// of the latter, and the results that say nothing of the plaintext.
async fn many_jobs() -> String {
    let ann = Caller::ed25519("ann");
    let seed = b"canary seed of a signing key 123".to_vec();
    let secrets = [Wrapped::generated("tokens"), Wrapped::of("canary-seed", seed)];
    let house = house_with(&(ann.entry() + JOBS), &secrets, |text| text).await;
    let context = [ACME[0], ("tenant", "canary-tenant")];
    let csv = |rows: &str| format!("name,pan,city\n{rows}").into_bytes();
    let good = csv("Canary Person,4111222233334444,Canaryville\n");
    let short = csv("Canary Person,4111222233334444\n");
    let no_number = csv("Canary Person,Canary,Canaryville\n");
    let of = |plaintext: Vec<u8>| {
        let house = &house;
        async move { house.encrypt(&house.customers, &context, &plaintext, 64).await }
    };
    let [good, short, no_number] = [of(good).await, of(short).await, of(no_number).await];
    let legacy = Message { suite: 0x0378, frame: 0, context: &context, required: &[], others: &[] };
    let mut cut = legacy.write(&house, &house.customers, &[b'c'; 100]).await;
    cut.pop();
    let value = STANDARD.encode(of(b"Canary Person".to_vec()).await);
    let inner = [("purpose", "field"), context[1]];
    let cell = house.encrypt(&house.customers, &inner, b"Canary Person", 64).await;
    let cell = STANDARD.encode(cell);
    let field = |name: &str, n: &str| format!("{{\"name\":\"{name}\",\"n\":{n}}}\n").into_bytes();
    let tenant = ("tenant", "canary-tenant");
    let named = [tenant, ("name", value.as_str())];
    let guess = [tenant, ("name", "Canary Person")];
    let clear = b"Canary Person, 4111222233334444".as_slice();
    let signed = |job: &str| ann.run(&house, job, &[], clear);
    let mut told = String::new();
    for (request, bodies) in [
        (run_of("tokenize", &[tenant]), vec![good.clone()]),
        (run_of("tokenize", &[tenant]), vec![short.clone()]),
        (run_of("tokenize", &[tenant]), vec![no_number.clone()]),
        (run_of("tokenize", &[tenant]), vec![cut]),
        (run_of("sum", &[tenant]), vec![good.clone()]),
        (run_of("sum", &[tenant]), vec![no_number.clone()]),
        (run_of("fields", &[tenant]), vec![field(&cell, "1")]),
        (run_of("fields", &[tenant]), vec![field(&cell, "\"Canary\"")]),
        (run_of("fields", &[tenant]), vec![field("Canary Person", "1")]),
        (run_of("fields", &[tenant]), vec![b"{Canary".to_vec()]),
        (run_of("join", &[tenant]), vec![good.clone(), good.clone()]),
        (run_of("join", &[tenant]), vec![good.clone(), short]),
        (run_of("match", &named), vec![good.clone()]),
        (run_of("match", &guess), vec![good.clone()]),
        (signed("sign"), vec![clear.to_vec()]),
        (signed("sign"), vec![good]),
        (signed("unusable"), vec![clear.to_vec()]),
    ] {
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let answer = Line::to(&house).await.ask(&request, &bodies).await;
        told += &format!("{:?}\n{}\n", answer.error, String::from_utf8_lossy(&answer.data));
    }
    assert!(told.matches("Some(").count() >= 9, "what was to go wrong went right: {told}");
    told
}
