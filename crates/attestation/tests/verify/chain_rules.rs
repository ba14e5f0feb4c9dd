//! The certificates: each one's form, its fitness for its place, and the links.
//! Every document here is correctly signed by its leaf.

use ciborium::Value;
use strongroom_attestation::{RootError, TrustRoot, UnixTime, verify};

use crate::maker::*;
use crate::refused;

/// Replaces the cabundle of a good document.
fn with_cabundle(code: &str, knob: impl FnOnce(&mut Vec<Vec<u8>>)) {
    refused(code, |forge| {
        let mut bundle = forge.chain();
        bundle.pop();
        knob(&mut bundle);
        forge.set("cabundle", Value::Array(bundle.into_iter().map(Value::Bytes).collect()));
    });
}

const ALL: [usize; 5] = [ROOT, REGION, ZONE, INSTANCE, LEAF];
const BELOW_ROOT: [usize; 4] = [REGION, ZONE, INSTANCE, LEAF];

#[test]
fn another_root_is_refused_and_both_are_named() {
    let forge = Forge::new();
    let aws = TrustRoot::aws_nitro();
    let error = verify(&forge.document(), &aws, forge.now, &forge.policy).unwrap_err();
    assert_eq!(error.code(), "root-mismatch");
    assert!(error.to_string().contains(&hex::encode(aws.sha256())));
    assert!(error.to_string().contains(&hex::encode(forge.root().sha256())));
}

#[test]
fn a_lookalike_root_with_the_same_name_and_key_is_refused() {
    let (trusted, mut other) = (Forge::new().root(), Forge::new());
    other.certificates[ROOT].not_after += 1;
    let error = verify(&other.document(), &trusted, other.now, &other.policy).unwrap_err();
    assert_eq!(error.code(), "root-mismatch");
}

#[test]
fn a_chain_reversed_without_its_root_or_of_the_leaf_alone_is_refused() {
    with_cabundle("root-mismatch", |bundle| bundle.reverse());
    with_cabundle("root-mismatch", |bundle| drop(bundle.remove(ROOT)));
    refused("root-mismatch", |forge| {
        let leaf = forge.chain().pop().unwrap();
        forge.set("cabundle", Value::Array(vec![Value::Bytes(leaf)]));
    });
}

#[test]
fn a_chain_with_a_certificate_missing_or_out_of_order_is_refused() {
    for place in [REGION, ZONE, INSTANCE] {
        with_cabundle("chain-invalid", |bundle| drop(bundle.remove(place)));
    }
    with_cabundle("certificate-invalid", |bundle| bundle.swap(ZONE, INSTANCE));
    with_cabundle("certificate-invalid", |bundle| bundle.swap(REGION, INSTANCE));
}

#[test]
fn a_certificate_repeated_is_refused_even_the_root() {
    with_cabundle("certificate-invalid", |bundle| bundle.insert(REGION, bundle[REGION].clone()));
    with_cabundle("chain-invalid", |bundle| bundle.insert(ROOT, bundle[ROOT].clone()));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    for place in [REGION, ZONE, INSTANCE] {
        with_cabundle("certificate-invalid", |bundle| bundle[place].push(0));
        with_cabundle("certificate-invalid", |bundle| bundle[place].truncate(200));
        with_cabundle("certificate-invalid", |bundle| bundle[place] = vec![0; 64]);
    }
    refused("certificate-invalid", |forge| forge.certificates[LEAF].patch = |der| der.push(0));
    refused("certificate-invalid", |forge| forge.set("certificate", Value::Bytes(vec![0; 64])));
}

#[test]
fn an_issuer_name_that_differs_is_refused() {
    for place in BELOW_ROOT {
        refused("chain-invalid", |forge| {
            forge.certificates[place].issuer = Some("someone else".to_owned());
        });
    }
}

#[test]
fn a_certificate_signed_by_another_key_is_refused() {
    for place in BELOW_ROOT {
        refused("chain-invalid", |forge| forge.certificates[place].signer = LEAF);
    }
}

#[test]
fn a_certificate_changed_after_signing_is_refused() {
    for place in BELOW_ROOT {
        refused("chain-invalid", |forge| {
            forge.certificates[place].patch = |der| {
                // The serial number, 20 bytes after the version.
                let version = der.windows(5).position(|window| window == [0xa0, 3, 2, 1, 2]);
                der[version.unwrap() + 10] ^= 1;
            };
        });
    }
}

#[test]
fn a_key_on_another_curve_is_refused() {
    for place in BELOW_ROOT {
        refused("certificate-invalid", |forge| forge.certificates[place].key = p256_key());
    }
}

#[test]
fn a_key_that_says_to_be_of_another_curve_or_kind_is_refused() {
    // The last byte of secp384r1, 1.3.132.0.34, and of id-ecPublicKey, 1.2.840.10045.2.1.
    let patches: [fn(&mut Vec<u8>); 2] = [
        |der| {
            let at = der.windows(5).position(|window| window == [0x2b, 0x81, 4, 0, 34]);
            der[at.unwrap() + 4] = 35;
        },
        |der| {
            let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
            let at = der.windows(7).position(|window| window == oid);
            der[at.unwrap() + 6] = 2;
        },
    ];
    for place in BELOW_ROOT {
        for patch in patches {
            refused("certificate-invalid", |forge| forge.certificates[place].patch = patch);
        }
    }
}

#[test]
fn another_signature_algorithm_is_refused_inside_outside_and_both() {
    // The last byte of ecdsa-with-SHA384, 1.2.840.10045.4.3.3: SHA-256 is …2.
    const OID: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    let patches: [fn(&mut Vec<u8>); 3] = [
        |der| {
            let at = der.windows(8).position(|window| window == OID).unwrap();
            der[at + 7] = 2;
        },
        |der| {
            let at = der.windows(8).rposition(|window| window == OID).unwrap();
            der[at + 7] = 2;
        },
        |der| {
            while let Some(at) = der.windows(8).position(|window| window == OID) {
                der[at + 7] = 2;
            }
        },
    ];
    for place in BELOW_ROOT {
        for patch in patches {
            refused("certificate-invalid", |forge| forge.certificates[place].patch = patch);
        }
    }
}

#[test]
fn a_version_1_certificate_is_refused() {
    for place in BELOW_ROOT {
        refused("certificate-invalid", |forge| {
            forge.certificates[place].patch = |der| {
                let at = der.windows(5).position(|window| window == [0xa0, 3, 2, 1, 2]).unwrap();
                der[at + 4] = 1;
            };
        });
    }
}

#[test]
fn an_authority_without_the_ca_flag_is_refused() {
    for place in [REGION, ZONE, INSTANCE] {
        refused("certificate-invalid", |forge| {
            forge.certificates[place].set_extension(BASIC_CONSTRAINTS, NOT_CA);
        });
        refused("certificate-invalid", |forge| {
            forge.certificates[place].remove_extension(BASIC_CONSTRAINTS);
        });
    }
}

#[test]
fn an_authority_whose_basic_constraints_are_not_critical_is_refused() {
    for place in [REGION, ZONE, INSTANCE] {
        refused("certificate-invalid", |forge| {
            let extensions = &mut forge.certificates[place].extensions;
            extensions.iter_mut().find(|(oid, ..)| *oid == BASIC_CONSTRAINTS).unwrap().1 = false;
        });
    }
}

#[test]
fn an_authority_that_may_not_sign_certificates_is_refused() {
    for place in [REGION, ZONE, INSTANCE] {
        refused("certificate-invalid", |forge| {
            forge.certificates[place].set_extension(KEY_USAGE, USAGE_LEAF);
        });
        refused("certificate-invalid", |forge| {
            forge.certificates[place].remove_extension(KEY_USAGE);
        });
    }
}

#[test]
fn a_path_longer_than_allowed_is_refused() {
    for (place, limit) in [(ROOT, 2), (REGION, 1), (ZONE, 0)] {
        refused("certificate-invalid", |forge| {
            forge.certificates[place].set_extension(BASIC_CONSTRAINTS, &path_len(limit));
        });
    }
    crate::accepted(|forge| {
        forge.certificates[ROOT].set_extension(BASIC_CONSTRAINTS, &path_len(3));
    });
}

#[test]
fn a_leaf_that_is_an_authority_is_refused() {
    for constraints in [CA_ANY, &path_len(0), &[0x30, 3, 2, 1, 0]] {
        refused("certificate-invalid", |forge| {
            forge.certificates[LEAF].set_extension(BASIC_CONSTRAINTS, constraints);
        });
    }
}

#[test]
fn a_leaf_that_may_not_sign_documents_is_refused() {
    for usage in [USAGE_INSTANCE, USAGE_CA, &[3, 2, 6, 0x40]] {
        refused("certificate-invalid", |forge| {
            forge.certificates[LEAF].set_extension(KEY_USAGE, usage);
        });
    }
    refused("certificate-invalid", |forge| forge.certificates[LEAF].remove_extension(KEY_USAGE));
}

#[test]
fn an_unknown_critical_extension_is_refused_even_a_standard_one() {
    const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
    for oid in [&[1, 2, 3, 4][..], NAME_CONSTRAINTS] {
        for place in BELOW_ROOT {
            refused("certificate-invalid", |forge| {
                forge.certificates[place].extensions.push((oid, true, vec![0x30, 0]));
            });
        }
    }
}

#[test]
fn an_extension_twice_is_refused() {
    for place in BELOW_ROOT {
        refused("certificate-invalid", |forge| {
            let again = forge.certificates[place].extensions[0].clone();
            forge.certificates[place].extensions.push(again);
        });
        refused("certificate-invalid", |forge| {
            let extensions = &mut forge.certificates[place].extensions;
            extensions
                .extend([(&[1, 2, 3][..], false, vec![5, 0]), (&[1, 2, 3], false, vec![5, 0])]);
        });
    }
}

#[test]
fn an_extension_with_bytes_after_its_value_is_refused() {
    for oid in [BASIC_CONSTRAINTS, KEY_USAGE] {
        for place in BELOW_ROOT {
            refused("certificate-invalid", |forge| {
                let extensions = &mut forge.certificates[place].extensions;
                extensions.iter_mut().find(|(each, ..)| *each == oid).unwrap().2.push(0);
            });
        }
    }
}

#[test]
fn a_leaf_issued_to_another_module_is_refused() {
    let names = ["i-0123456789abcdef0-enc0123456789abcde0.test-1.aws", MODULE, "test-1.aws"];
    for name in names.into_iter().map(str::to_owned).chain([
        format!("{MODULE}."),
        format!("{MODULE}0.test-1.aws"),
        format!("x{MODULE}.test-1.aws"),
    ]) {
        refused("module-id-mismatch", |forge| forge.certificates[LEAF].subject = name);
    }
}

#[test]
fn every_certificate_must_have_begun_and_not_have_ended() {
    for place in ALL {
        refused("certificate-expired", |forge| forge.certificates[place].not_after = NOW - 1);
        refused("certificate-not-yet-valid", |forge| {
            forge.certificates[place].not_before = NOW + 1;
        });
    }
}

#[test]
fn a_document_replayed_after_its_leaf_expired_is_refused() {
    let mut forge = Forge::new();
    let end = forge.certificates[LEAF].not_after;
    let document = forge.document();
    forge.now = UnixTime::from_secs(end);
    forge.verify_bytes(&document).unwrap();
    forge.now = UnixTime::from_secs(end + 1);
    assert_eq!(forge.verify_bytes(&document).unwrap_err().code(), "certificate-expired");
}

#[test]
fn what_cannot_issue_is_no_root() {
    let root = |knob: fn(&mut Certificate)| {
        let mut forge = Forge::new();
        knob(&mut forge.certificates[ROOT]);
        TrustRoot::from_der(&forge.chain()[ROOT])
    };
    assert!(root(|_| {}).is_ok());
    let unfit = |result| assert!(matches!(result, Err(RootError::Unfit(_))), "{result:?}");
    unfit(root(|root| root.set_extension(BASIC_CONSTRAINTS, NOT_CA)));
    unfit(root(|root| root.remove_extension(KEY_USAGE)));
    unfit(root(|root| root.key = p256_key()));
    assert_eq!(root(|root| root.signer = LEAF).unwrap_err(), RootError::NotSelfSigned);
    let region = Forge::new().chain().swap_remove(REGION);
    assert_eq!(TrustRoot::from_der(&region).unwrap_err(), RootError::NotSelfSigned);
}
