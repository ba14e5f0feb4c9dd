//! Verifying an attestation document beside the signatures in it.
//!
//! `cargo bench -p strongroom-attestation --bench verify`
//!
//! The document has a hypervisor's shape: four certificates between it and the
//! root, ES384 throughout, sixteen PCRs. The reference is the cryptographic
//! library's share that no verifier can do without: five ES384 verifications,
//! four of certificates and one of the document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "../tests/verify/maker.rs"]
mod maker;
#[path = "../../envelope/benches/support/thread_time.rs"]
mod thread_time;

use std::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use maker::Forge;
use strongroom_attestation::verify;
use thread_time::{Pair, compare, criterion, timed};

fn main() {
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group("verify");
    let forge = Forge::new();
    let (document, root) = (forge.document(), forge.root());
    let mut five = five_signatures(&document);
    compare(
        &mut group,
        Pair {
            name: "a document beside five ES384 verifications",
            bytes: 0,
            ours: &mut || {
                timed(|| {
                    let document = black_box(&document);
                    black_box(verify(document, &root, forge.now, &forge.policy).unwrap());
                })
            },
            reference: &mut || timed(&mut five),
        },
    );
    group.finish();
    criterion.final_summary();
}

/// Four over as many bytes as a certificate has, one over a document's.
fn five_signatures(document: &[u8]) -> impl FnMut() {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let certificate = vec![6; 600];
    let messages = [&certificate, &certificate, &certificate, &certificate, &document.to_vec()];
    let signed = messages.map(|message| {
        let signature = key.sign(&SystemRandom::new(), message).unwrap();
        (message.clone(), signature.as_ref().to_vec())
    });
    let point = key.public_key().as_ref().to_vec();
    move || {
        for (message, signature) in &signed {
            let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point);
            key.verify(message, signature).unwrap();
        }
    }
}
