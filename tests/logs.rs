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

use std::io::Write;
use std::sync::{Arc, Mutex};

use house::{ACME, House, mask};
use strongroom_client::Job;
use tracing::level_filters::LevelFilter;

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
