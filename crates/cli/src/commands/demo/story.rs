//! What the demo found out: its JSON document, and what `render` shows of it.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

/// The whole demo.
#[derive(Serialize)]
pub(super) struct Story {
    /// Whether every check passed.
    pub(super) passed: bool,
    /// What stands for Nitro and KMS here.
    pub(super) simulated: bool,
    pub(super) rows: u32,
    pub(super) enclave: Enclave,
    pub(super) steps: Vec<Step>,
    pub(super) sample: Sample,
    pub(super) parties: Vec<Party>,
    pub(super) attacks: Vec<Attack>,
    pub(super) checks: Vec<Check>,
    pub(super) millis: u64,
}

#[derive(Default, Serialize)]
pub(super) struct Enclave {
    pub(super) module_id: String,
    pub(super) mode: &'static str,
    pub(super) pcr0: String,
}

/// One step of the main job.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) who: &'static str,
    pub(super) what: &'static str,
    pub(super) bytes_in: Option<u64>,
    pub(super) bytes_out: Option<u64>,
    pub(super) millis: u64,
}

/// One customer.
#[derive(Default, Serialize)]
pub(super) struct Sample {
    pub(super) producer_has: String,
    pub(super) parent_gets: String,
}

/// What one party had and saw.
#[derive(Serialize)]
pub(super) struct Party {
    pub(super) party: &'static str,
    pub(super) held: &'static str,
    pub(super) saw: String,
}

/// An attack that was really carried out.
#[derive(Serialize)]
pub(super) struct Attack {
    pub(super) attack: &'static str,
    /// The error's stable code; none if the attack went through.
    pub(super) code: Option<&'static str>,
    /// What a user reads.
    pub(super) text: String,
    pub(super) error: Option<Value>,
    pub(super) millis: u64,
}

/// Something that must hold.
#[derive(Serialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) passed: bool,
}

impl Story {
    pub(super) fn new(rows: u32) -> Self {
        Self {
            passed: false,
            simulated: true,
            rows,
            enclave: Enclave::default(),
            steps: Vec::new(),
            sample: Sample::default(),
            parties: Vec::new(),
            attacks: Vec::new(),
            checks: Vec::new(),
            millis: 0,
        }
    }

    pub(super) fn step(
        &mut self,
        who: &'static str,
        what: &'static str,
        (bytes_in, bytes_out): (Option<u64>, Option<u64>),
        started: Instant,
    ) {
        self.steps.push(Step { who, what, bytes_in, bytes_out, millis: millis(started) });
    }

    pub(super) fn check(&mut self, check: impl Into<String>, passed: bool) {
        self.checks.push(Check { check: check.into(), passed });
    }
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
