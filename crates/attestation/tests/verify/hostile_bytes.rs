//! No input panics, and no change to a document goes unnoticed.

use std::sync::OnceLock;

use proptest::prelude::*;

use crate::maker::*;

fn forge() -> &'static (Forge, Vec<u8>) {
    static FORGE: OnceLock<(Forge, Vec<u8>)> = OnceLock::new();
    FORGE.get_or_init(|| {
        let forge = Forge::new();
        let document = forge.document();
        (forge, document)
    })
}

/// Overwrites, inserts and cuts, each at a place of its own.
fn mutate(bytes: &mut Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) {
    for (at, kind, byte) in edits {
        let at = at.index(bytes.len());
        match kind % 3 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            _ => drop(bytes.drain(at..(at + usize::from(*byte)).min(bytes.len()))),
        }
        if bytes.is_empty() {
            bytes.push(*byte);
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..6)
}

/// One bit of every byte, and every bit of the shell around the payload. (The
/// payload's are alike: one signature covers them all.)
#[test]
fn any_flipped_bit_is_refused() {
    let (forge, document) = forge();
    let root = forge.root();
    let shell = |byte: usize| byte < 16 || byte + 100 > document.len();
    for bit in 0..document.len() * 8 {
        let byte = bit / 8;
        if shell(byte) || bit % 8 == byte % 8 {
            let mut changed = document.clone();
            changed[byte] ^= 1 << (bit % 8);
            let verdict = strongroom_attestation::verify(&changed, &root, forge.now, &forge.policy);
            assert!(verdict.is_err(), "byte {byte}, bit {}", bit % 8);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(forge().0.verify_bytes(&bytes).is_err());
    }

    #[test]
    fn a_mutated_document_is_refused(edits in edits()) {
        let (forge, document) = forge();
        let mut changed = document.clone();
        mutate(&mut changed, &edits);
        prop_assume!(changed != *document);
        prop_assert!(forge.verify_bytes(&changed).is_err());
    }

    /// Signed again, so that everything behind the signature sees it too. It
    /// may be accepted (another nonce is a good document) but must not panic.
    #[test]
    fn a_mutated_payload_correctly_signed_does_not_panic(edits in edits()) {
        let (forge, _) = forge();
        let mut payload = forge.payload();
        mutate(&mut payload, &edits);
        let _ = forge.verify_bytes(&forge.sign(payload));
    }

    #[test]
    fn a_mutated_certificate_in_a_correctly_signed_document_is_refused(
        place in ROOT..=LEAF,
        edits in edits(),
    ) {
        let mut forge = Forge::new();
        let root = forge.root();
        let mut chain = forge.chain();
        let original = chain[place].clone();
        mutate(&mut chain[place], &edits);
        prop_assume!(chain[place] != original);
        let leaf = chain.pop().unwrap();
        forge.set("certificate", leaf.into());
        forge.set("cabundle", ciborium::Value::Array(chain.into_iter().map(Into::into).collect()));
        let verdict =
            strongroom_attestation::verify(&forge.document(), &root, forge.now, &forge.policy);
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn random_bytes_are_no_root(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(strongroom_attestation::TrustRoot::from_der_or_pem(&bytes).is_err());
    }
}
