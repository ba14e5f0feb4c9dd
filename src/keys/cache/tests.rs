use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use proptest::prelude::*;
use strongroom_envelope::esdk::EncryptionContext;

use super::*;

const BOUNDS: KeyBounds =
    KeyBounds { max_age: Duration::from_secs(60), max_uses: 1000, max_bytes: 1 << 20 };

fn id(number: u8) -> Id {
    Id([number; 32])
}

fn key<T>(value: T, bounds: KeyBounds, now: Instant) -> Handle<T> {
    Handle::new(value, bounds, now)
}

/// Says when it is dropped, which is when a key is erased.
struct Probe(Arc<AtomicBool>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn of(job: &str, key: &str, context: &[(&str, &str)], encrypted: &[u8]) -> Id {
    let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{key}");
    let context = EncryptionContext::new(context.iter().copied()).unwrap();
    let (job, key) = (JobName::parse(job).unwrap(), KeyArn::parse(&arn).unwrap());
    Id::new(&job, &key, &context.encode().unwrap(), encrypted)
}

#[test]
fn keys_that_differ_in_anything_have_different_ids() {
    let ids = [
        of("a", "k", &[("t", "x")], b"edk"),
        of("b", "k", &[("t", "x")], b"edk"),
        of("a", "l", &[("t", "x")], b"edk"),
        of("a", "k", &[("t", "y")], b"edk"),
        of("a", "k", &[("u", "x")], b"edk"),
        of("a", "k", &[("t", "x"), ("u", "x")], b"edk"),
        of("a", "k", &[("tx", "")], b"edk"),
        of("a", "k", &[], b"edk"),
        of("a", "k", &[("t", "x")], b"edl"),
        of("a", "k", &[("t", "x")], b""),
        of("a", "k", &[("t", "x")], b"edkt"),
    ];
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(
        of("a", "k", &[("t", "x"), ("u", "y")], b"e")
            == of("a", "k", &[("u", "y"), ("t", "x")], b"e")
    );
}

proptest! {
    #[test]
    fn no_shift_of_bytes_between_parts_gives_the_same_id(
        a in "[a-z]{1,8}", b in "[a-z]{1,8}", c in "[a-z]{1,8}", cut in 1_usize..8
    ) {
        let cut = cut.min(b.len());
        let (front, rest) = b.split_at(cut);
        let moved = [(format!("{a}{front}"), format!("{rest}{c}"))];
        let moved: Vec<_> = moved.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let there = [(a.as_str(), format!("{b}{c}"))];
        let there: Vec<_> = there.iter().map(|(k, v)| (*k, v.as_str())).collect();
        prop_assert!(of("a", "k", &moved, b"") != of("a", "k", &there, b""));
    }
}

#[test]
fn as_many_keys_are_kept_as_may_be_and_the_one_unused_for_longest_makes_room() {
    let now = Instant::now();
    let mut cache = Cache::new(3);
    for number in 0..3 {
        cache.insert(id(number), key(number, BOUNDS, now));
    }
    assert_eq!((cache.len(), cache.take_evicted()), (3, 0));
    assert!(cache.get(&id(0), now).is_some());
    cache.insert(id(3), key(3, BOUNDS, now));
    assert_eq!((cache.len(), cache.take_evicted()), (3, 1));
    let kept: Vec<_> = (0..4).filter(|number| cache.get(&id(*number), now).is_some()).collect();
    assert_eq!(kept, [0, 2, 3]);
}

#[test]
fn a_key_is_used_up_to_its_age_and_not_at_it() {
    let now = Instant::now();
    let mut cache = Cache::new(3);
    cache.insert(id(0), key((), BOUNDS, now));
    let last = now + BOUNDS.max_age - Duration::from_nanos(1);
    assert!(cache.get(&id(0), last).is_some());
    assert!(cache.get(&id(0), now + BOUNDS.max_age).is_none());
    assert_eq!((cache.len(), cache.take_evicted()), (0, 1));
}

#[test]
fn a_key_has_as_many_uses_as_it_may_and_is_given_up_with_the_last() {
    let now = Instant::now();
    let mut cache = Cache::new(3);
    let bounds = KeyBounds { max_uses: 3, ..BOUNDS };
    cache.insert(id(0), key((), bounds, now));
    for left in [2, 1, 0] {
        assert!(cache.get(&id(0), now).is_some());
        assert_eq!(cache.len(), usize::from(left > 0), "{left} uses left");
    }
    assert!(cache.get(&id(0), now).is_none());
}

#[test]
fn a_key_begins_no_use_once_its_bytes_are_reached() {
    let now = Instant::now();
    let mut cache = Cache::new(3);
    let bounds = KeyBounds { max_bytes: 100, ..BOUNDS };
    cache.insert(id(0), key((), bounds, now));
    let handle = cache.get(&id(0), now).unwrap();
    handle.add(60);
    handle.meter().add(39);
    assert!(cache.get(&id(0), now).is_some(), "one byte was left");
    handle.add(1);
    assert!(cache.get(&id(0), now).is_none());
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_sweep_gives_up_what_is_too_old_and_says_when_the_next_is() {
    let now = Instant::now();
    let mut cache = Cache::new(10);
    for secs in [30, 10, 20] {
        let bounds = KeyBounds { max_age: Duration::from_secs(secs), ..BOUNDS };
        let first = cache.insert(id(u8::try_from(secs).unwrap()), key((), bounds, now));
        assert_eq!(first, secs != 20, "{secs}");
    }
    let at = |secs| now + Duration::from_secs(secs);
    assert_eq!((cache.sweep(at(9)), cache.len()), (Some(at(10)), 3));
    assert_eq!((cache.sweep(at(10)), cache.len()), (Some(at(20)), 2));
    assert_eq!((cache.sweep(at(30)), cache.len()), (None, 0));
}

#[test]
fn a_key_is_erased_when_it_is_given_up_and_nobody_uses_it() {
    let now = Instant::now();
    let mut cache = Cache::new(1);
    let erased: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let probe = |number: usize| key(Probe(erased[number].clone()), BOUNDS, now);
    cache.insert(id(0), probe(0));
    cache.insert(id(1), probe(1));
    assert!(erased[0].load(SeqCst), "evicted, and still there");
    let used = cache.get(&id(1), now).unwrap();
    cache.insert(id(2), probe(2));
    assert!(!erased[1].load(SeqCst), "erased under a request");
    drop(used);
    assert!(erased[1].load(SeqCst));
    cache.sweep(now + BOUNDS.max_age);
    assert!(erased[2].load(SeqCst), "too old, and still there");
}

#[test]
fn what_is_kept_is_of_a_type_that_erases_itself() {
    fn erases<T: zeroize::ZeroizeOnDrop>() {}
    erases::<strongroom_envelope::DataKey>();
    erases::<strongroom_envelope::SecretBuf>();
}

proptest! {
    /// Against a list that is searched from front to back.
    #[test]
    fn the_cache_does_what_a_list_would(
        steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u64..20), 1..200)
    ) {
        let start = Instant::now();
        let (mut cache, mut list) = (Cache::new(3), Vec::<(u8, u64, u64)>::new());
        let mut secs = 0;
        for (number, what, pass) in steps {
            secs += pass;
            let now = start + Duration::from_secs(secs);
            if what == 0 {
                let bounds = KeyBounds { max_uses: 4, ..BOUNDS };
                cache.insert(id(number), key(number, bounds, now));
                list.retain(|(other, ..)| *other != number);
                if list.len() == 3 {
                    list.remove(0);
                }
                list.push((number, secs + 60, 4));
            } else {
                let found = list.iter().position(|(other, ..)| *other == number);
                let entry = found.map(|at| list.remove(at));
                let usable = entry.filter(|(_, expires, _)| secs < *expires);
                prop_assert_eq!(cache.get(&id(number), now).is_some(), usable.is_some());
                list.extend(usable.map(|(n, e, left)| (n, e, left - 1)).filter(|e| e.2 > 0));
            }
            prop_assert_eq!(cache.len(), list.len());
            prop_assert_eq!(cache.by_use.len(), list.len());
            prop_assert_eq!(cache.by_expiry.len(), list.len());
        }
    }
}
