use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn nothing_is_found_where_nothing_was_inserted() {
    let index = Index::new();
    assert_eq!(index.find(index.hash(b"a"), |_| true), None);
    assert_eq!(index.memory(), 0);
}

#[test]
fn two_indexes_hash_differently() {
    assert_ne!(Index::new().hash(b"a"), Index::new().hash(b"a"));
}

#[test]
fn at_least_half_of_the_slots_are_free() {
    let mut index = Index::new();
    for place in 0..10_000 {
        index.insert(index.hash(&usize::to_be_bytes(place)), place);
        let free = index.slots.iter().filter(|slot| slot.place == 0).count();
        assert!(2 * free >= index.slots.len() && index.used == place + 1);
    }
    assert_eq!(index.slots.len(), 32_768);
}

proptest! {
    /// Few hashes, so that many collide; some of them at the end of the table.
    #[test]
    fn every_place_is_found_as_in_a_map(
        keys in proptest::collection::vec((prop_oneof![0..4_u64, Just(u64::MAX)], 0..50_u8), 0..200)
    ) {
        let (mut index, mut map, mut places) = (Index::new(), BTreeMap::new(), Vec::new());
        for key in keys {
            let found = index.find(key.0, |place| places[place] == key);
            prop_assert_eq!(found, map.get(&key).copied());
            if found.is_none() {
                index.insert(key.0, places.len());
                map.insert(key, places.len());
                places.push(key);
            }
        }
        for (key, place) in map {
            prop_assert_eq!(index.find(key.0, |at| places[at] == key), Some(place));
        }
    }
}
