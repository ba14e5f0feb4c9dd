//! Every rule of the verifier, each broken once, with documents of our own
//! making: see `maker`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::as_conversions, clippy::panic, missing_docs, unreachable_pub)]

mod chain_rules;
mod cose_rules;
mod document_rules;
mod good;
mod hostile_bytes;
mod maker;
mod policy_rules;
mod speed;

/// Breaks a good document with `knob` and expects the refusal `code`.
fn refused(code: &str, knob: impl FnOnce(&mut maker::Forge)) {
    let mut forge = maker::Forge::new();
    knob(&mut forge);
    match forge.verify() {
        Ok(_) => panic!("accepted, {code} expected"),
        Err(error) => assert_eq!(error.code(), code, "{error}"),
    }
}

/// Changes a good document with `knob` and expects it to be good still.
fn accepted(knob: impl FnOnce(&mut maker::Forge)) -> strongroom_attestation::VerifiedDocument {
    let mut forge = maker::Forge::new();
    knob(&mut forge);
    forge.verify().unwrap()
}
