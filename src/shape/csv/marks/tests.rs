//! Marks are what a look at one byte after the other finds.

use super::*;
use proptest::prelude::*;

fn marks(input: &[u8], at: usize) -> Vec<usize> {
    let mut marks = Marks::new(input, at);
    std::iter::from_fn(|| marks.next()).collect()
}

#[test]
fn of_all_bytes_four_are_marks() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(marks(&all, 0), [0x0a, 0x0d, 0x22, 0x2c]);
}

proptest! {
    #[test]
    fn every_mark_is_found_once_and_in_order(
        input in prop::collection::vec(prop_oneof![any::<u8>(), Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r')], 0..300),
        at in 0usize..310,
    ) {
        let plainly: Vec<usize> = (at..input.len()).filter(|i| b",\"\n\r".contains(&input[*i])).collect();
        prop_assert_eq!(marks(&input, at), plainly);
    }

    #[test]
    fn a_value_with_a_mark_anywhere_is_known(
        value in prop::collection::vec(
            any::<u8>().prop_filter("a mark", |b| !is_mark(*b)), 0..40),
        mark in prop::sample::select(vec![b',', b'"', b'\n', b'\r']),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assert!(!is_marked(&value));
        let mut value = value;
        value.insert(at.index(value.len() + 1), mark);
        prop_assert!(is_marked(&value));
    }
}
