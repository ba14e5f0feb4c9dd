//! The trust rules once more, where keys are many: fields, wrapped keys, joins,
//! signed requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::cms::RecipientKey;
use strongroom_sim::SimNsm;
use strongroom_sim::kms::{Fault, Hostility, KmsError};
use strongroom_wire::{ErrorBody, ErrorCode};

use crate::house::{ACME, CUSTOMERS, House, Plan, key_policy, now_ms, unkept};
use crate::raw::{Line, run_of};
use crate::signer::Caller;
use crate::workshop::{Wrapped, house_of};

const JOBS: &str = r#"
[[job]]
name = "fields"
operation = "mask"
input = { format = "ndjson", bad_records = "drop", key = "$customers", fields = { "/name" = { context = { purpose = "field" } } } }
fields = { "/name" = "initials" }
output = { protect = "none" }

[[job]]
name = "rekey"
operation = "reencrypt"
input = { format = "ndjson", bad_records = "drop", key = "$customers", fields = { "/name" = { context = { purpose = "field" } } } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" }, fields = ["/name"] }

[[job]]
name = "tokenize"
operation = "tokenize"
secret = "tokens"
input = { format = "csv", bad_records = "drop", key = "$customers", context = { purpose = "support" } }
fields = { pan = { token = "siv" } }
output = { protect = "none" }

[[job]]
name = "join"
operation = "join-count"
inputs = [
  { format = "csv", key = "$customers", context = { purpose = "support" } },
  { format = "csv", key = "$customers", context = { purpose = "support" } },
]
join = { on = ["pan", "pan"], min_group_size = 5 }
output = { protect = "none" }

[[job]]
name = "signed"
operation = "mask"
callers = ["ann"]
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { pan = "last4" }
output = { protect = "none" }
"#;

struct Stage {
    house: House,
    ann: Caller,
    csv: Vec<u8>,
    json: Vec<u8>,
}

const NAMES: [&str; 5] = ["fields", "rekey", "tokenize", "join", "signed"];

impl Stage {
    async fn new(plan: Plan) -> Self {
        let ann = Caller::ed25519("ann");
        let jobs = ann.entry() + JOBS;
        let house = house_of(plan, &jobs, &[Wrapped::generated("tokens")], |text| text).await;
        let csv = house.encrypt(&house.customers, &ACME, CUSTOMERS.as_bytes(), 64).await;
        let name = STANDARD
            .encode(house.encrypt(&house.customers, &[("purpose", "field")], b"Ada B", 64).await);
        let json = format!("{{\"name\":\"{name}\"}}\n").repeat(3).into_bytes();
        Self { house, ann, csv, json }
    }

    async fn ask(&self, job: &str) -> Result<Vec<u8>, ErrorBody> {
        let request = match job {
            "signed" => self.ann.run(&self.house, job, &[], &self.csv),
            _ => run_of(job, &[]),
        };
        let bodies: &[&[u8]] = match job {
            "fields" | "rekey" => &[&self.json],
            "join" => &[&self.csv, &self.csv],
            _ => &[&self.csv],
        };
        let answer = Line::to(&self.house).await.ask(&request, bodies).await;
        if answer.error.is_some() {
            assert!(answer.data.is_empty(), "{job}: something was released");
            return Err(answer.refusal());
        }
        assert_eq!(answer.trailer.as_ref().unwrap().dropped, None, "{job}: records were lost");
        Ok(answer.whole())
    }

    async fn all_are_served(&self) {
        for job in NAMES {
            assert!(!self.ask(job).await.unwrap().is_empty(), "{job}");
        }
    }
}

#[tokio::test]
async fn a_lying_kms_gets_nothing_and_makes_no_record_disappear() {
    let stage = Stage::new(Plan::default()).await;
    let house = &stage.house;
    let other = RecipientKey::generate().unwrap().public_key_der().to_vec();
    for lie in [
        Hostility::PlaintextBeside,
        Hostility::PlaintextInstead,
        Hostility::NothingForRecipient,
        Hostility::OtherKeyId(format!("{}x", house.archive)),
        Hostility::OtherRecipient(other),
        Hostility::RawCiphertext(vec![0x30, 0x80, 0, 0]),
    ] {
        house.nitro.kms.hostile().set(Some(lie.clone()));
        for job in NAMES {
            let refused = stage.ask(job).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::KeyUnavailable, "{job}: {lie:?}");
        }
    }
    house.nitro.kms.hostile().set(None);
    stage.all_are_served().await;
}

#[tokio::test]
async fn a_kms_that_refuses_or_fails_makes_no_record_disappear() {
    let stage = Stage::new(Plan::default()).await;
    let kms = &stage.house.nitro.kms;
    let strangers = key_policy(&"ab".repeat(48));
    for key in [&stage.house.customers, &stage.house.archive] {
        kms.put_key_policy(key, &strangers).unwrap();
    }
    for job in NAMES {
        let refused = stage.ask(job).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::KeyDenied, "{job}");
        assert_eq!(refused.kms.unwrap().code, "AccessDeniedException", "{job}");
    }
    for key in [&stage.house.customers, &stage.house.archive] {
        kms.put_key_policy(key, &key_policy(&stage.house.pcr0)).unwrap();
        kms.set_key_enabled(key, false).unwrap();
    }
    for job in NAMES {
        let refused = stage.ask(job).await.unwrap_err();
        assert_eq!(refused.kms.unwrap().code, "DisabledException", "{job}");
    }
    for key in [&stage.house.customers, &stage.house.archive] {
        kms.set_key_enabled(key, true).unwrap();
    }
    for job in ["fields", "tokenize"] {
        kms.faults().inject_for("Decrypt", 20, Fault::Error(KmsError::throttling()));
        assert_eq!(stage.ask(job).await.unwrap_err().code, ErrorCode::KeyUnavailable, "{job}");
        kms.faults().clear();
    }
    stage.all_are_served().await;
}

#[tokio::test]
async fn every_call_to_kms_for_fields_and_wrapped_keys_is_attested() {
    let stage = Stage::new(Plan { manifest: unkept, ..Plan::default() }).await;
    let before = stage.house.nitro.kms.audit_log().len();
    stage.all_are_served().await;
    let log = stage.house.nitro.kms.audit_log().split_off(before);
    // One data key a job, one more for the new one, the wrapped key, the second input.
    assert_eq!(log.len(), 8);
    let pcr0 = Some(stage.house.pcr0.clone());
    assert!(log.iter().all(|call| call.attested_image == pcr0 && call.error.is_none()));
}

#[tokio::test]
async fn a_debug_enclave_runs_none_of_these_jobs_for_anybody() {
    let stage = Stage::new(Plan { nsm: SimNsm::builder().debug(), ..Plan::default() }).await;
    for job in NAMES {
        let refused = stage.ask(job).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Denied, "{job}");
    }
    assert_eq!(stage.house.nitro.kms.faults().count("Decrypt"), 0);
}

#[tokio::test]
async fn none_of_these_jobs_uses_kms_while_the_clock_is_off() {
    let off = Arc::new(AtomicI64::new(0));
    let shared = Arc::clone(&off);
    let clock = Arc::new(move || now_ms().saturating_add_signed(shared.load(SeqCst)));
    let stage = Stage::new(Plan { nsm: SimNsm::builder().clock(clock), ..Plan::default() }).await;
    off.store(3_600_000, SeqCst);
    for job in NAMES {
        let refused = stage.ask(job).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::AttestationFailed, "{job}");
    }
    assert_eq!(stage.house.nitro.kms.faults().count("Decrypt"), 0);
    off.store(0, SeqCst);
    stage.all_are_served().await;
}

#[tokio::test]
async fn what_of_two_inputs_fails_and_where_is_not_told() {
    let stage = Stage::new(Plan::default()).await;
    let house = &stage.house;
    let mut texts = std::collections::BTreeSet::new();
    for at in 1..60 {
        let mut bad = stage.csv.clone();
        let len = bad.len();
        bad[len - at * 4] ^= 1;
        for bodies in [[&bad, &stage.csv], [&stage.csv, &bad]] {
            let bodies = [bodies[0].as_slice(), bodies[1]];
            let answer = Line::to(house).await.ask(&run_of("join", &[]), &bodies).await;
            let refused = answer.refusal();
            assert_eq!(refused.code, ErrorCode::DecryptFailed);
            texts.insert(refused.message);
        }
    }
    assert_eq!(texts.len(), 1, "the errors can be told apart: {texts:?}");
}
