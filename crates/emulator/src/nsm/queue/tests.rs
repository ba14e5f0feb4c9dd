//! A guest by hand: descriptors written into its memory byte by byte.

use proptest::prelude::*;
use strongroom_sim::SimNsm;
use vm_memory::{Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic};

use super::*;
use crate::nsm::{NsmFault, RESPONSE_LEN};

/// A descriptor: address, length, flags, next.
type Descriptor = (u64, u32, u16, u16);

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const SIZE: u16 = 16;
const MEMORY: usize = 0x20000;
const TABLE: u64 = 0x1000;
const AVAIL: u64 = 0x2000;
const USED: u64 = 0x3000;
const REQUEST: u64 = 0x4000;
const ANSWER: u64 = 0x8000;

struct Guest {
    memory: GuestMemoryAtomic<GuestMemoryMmap>,
    vring: VringRwLock,
    queue: RequestQueue,
    faults: NsmFaultHandle,
    queued: u16,
}

impl Guest {
    fn new() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let memory = GuestMemoryAtomic::new(memory);
        let vring = VringRwLock::new(memory.clone(), SIZE).unwrap();
        vring.set_queue_size(SIZE);
        vring.set_queue_info(TABLE, AVAIL, USED).unwrap();
        vring.set_queue_ready(true);
        let faults = NsmFaultHandle::default();
        let nsm = Arc::new(SimNsm::builder().build().unwrap());
        let queue = RequestQueue::new(nsm, faults.clone());
        Self { memory, vring, queue, faults, queued: 0 }
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.memory().write_slice(bytes, GuestAddress(at)).unwrap();
    }

    fn describe(&self, index: u16, (address, len, flags, next): Descriptor) {
        let bytes = [
            &address.to_le_bytes()[..],
            &len.to_le_bytes(),
            &flags.to_le_bytes(),
            &next.to_le_bytes(),
        ];
        self.write(TABLE + 16 * u64::from(index), &bytes.concat());
    }

    /// Makes a chain available to the device.
    fn queue(&mut self, head: u16) {
        let slot = AVAIL + 4 + 2 * u64::from(self.queued % SIZE);
        self.write(slot, &head.to_le_bytes());
        self.queued = self.queued.wrapping_add(1);
        self.write(AVAIL + 2, &self.queued.to_le_bytes());
    }

    /// The driver's notification; gives all that was ever given back.
    fn kick(&mut self) -> Vec<(u16, u32)> {
        self.queue.serve(&self.memory.memory(), &self.vring);
        self.used()
    }

    fn used(&self) -> Vec<(u16, u32)> {
        let memory = self.memory.memory();
        let len: u16 = memory.read_obj(GuestAddress(USED + 2)).unwrap();
        let entry = |slot: u16| {
            let at = GuestAddress(USED + 4 + 8 * u64::from(slot % SIZE));
            let [head, len]: [u32; 2] = memory.read_obj(at).unwrap();
            (u16::try_from(head).unwrap(), len)
        };
        (0..len).map(entry).collect()
    }

    fn read(&self, at: u64, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        self.memory.memory().read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    /// Queues descriptors 0 and 1 as the kernel's driver does.
    fn ask_as_the_driver(&mut self, request: &[u8]) {
        self.write(REQUEST, request);
        self.describe(0, (REQUEST, u32::try_from(request.len()).unwrap(), 0, 0));
        self.describe(1, (ANSWER, u32::try_from(RESPONSE_LEN).unwrap(), WRITE, 0));
        self.queue(0);
        self.queue(1);
    }
}

fn random_request() -> Vec<u8> {
    serde_cbor::to_vec(&"GetRandom").unwrap()
}

fn is_random(answer: &[u8]) -> bool {
    answer.len() > 256 && answer.starts_with(b"\xa1iGetRandom")
}

#[test]
fn the_driver_gets_both_its_buffers_back_in_order_with_the_answer() {
    let mut guest = Guest::new();
    for round in 1..40_usize {
        guest.ask_as_the_driver(&random_request());
        let used = guest.kick();
        assert_eq!(used.len(), 2 * round);
        let [(first, 0), (second, len)] = used[used.len() - 2..] else { panic!("{used:?}") };
        assert_eq!((first, second), (0, 1));
        assert!(is_random(&guest.read(ANSWER, len)));
    }
}

#[test]
fn a_request_waits_for_the_buffer_of_its_answer() {
    let mut guest = Guest::new();
    guest.write(REQUEST, &random_request());
    guest.describe(0, (REQUEST, 10, 0, 0));
    guest.queue(0);
    assert_eq!(guest.kick(), [], "nothing is given back before there is an answer");
    guest.describe(1, (ANSWER, 0x3000, WRITE, 0));
    guest.queue(1);
    assert!(matches!(guest.kick()[..], [(0, 0), (1, 257..)]));
}

#[test]
fn a_request_in_many_pieces_and_an_answer_over_many_are_whole() {
    let mut guest = Guest::new();
    let request = random_request();
    for (index, byte) in (0u16..).zip(&request) {
        let at = REQUEST + 64 * u64::from(index);
        guest.write(at, &[*byte]);
        let last = usize::from(index) + 1 == request.len();
        guest.describe(index, (at, 1, if last { 0 } else { NEXT }, index + 1));
    }
    guest.queue(0);
    for index in 10..16 {
        let at = ANSWER + 0x1000 * u64::from(index - 10);
        let (len, more) = if index == 15 { (0x2000, 0) } else { (50, NEXT) };
        guest.describe(index, (at, len, WRITE | more, index + 1));
    }
    guest.queue(10);
    let used = guest.kick();
    let [(0, 0), (10, len)] = used[..] else { panic!("{used:?}") };
    let pieces = (0..6).flat_map(|at| guest.read(ANSWER + 0x1000 * at, 50));
    let answer: Vec<u8> = pieces.take(usize::try_from(len).unwrap()).collect();
    assert!(is_random(&answer), "{answer:02x?}");
    assert!(serde_cbor::from_slice::<Response>(&answer).is_ok());
}

#[test]
fn one_chain_with_both_buffers_is_served_too() {
    let mut guest = Guest::new();
    guest.write(REQUEST, &random_request());
    guest.describe(0, (REQUEST, 10, NEXT, 1));
    guest.describe(1, (ANSWER, 0x3000, WRITE, 0));
    guest.queue(0);
    assert!(matches!(guest.kick()[..], [(0, 257..)]));
}

#[test]
fn a_request_over_4096_bytes_is_told_so() {
    let mut guest = Guest::new();
    guest.ask_as_the_driver(&[0x40; MAX_REQUEST_LEN + 1]);
    let used = guest.kick();
    let answer: Response = serde_cbor::from_slice(&guest.read(ANSWER, used[1].1)).unwrap();
    assert!(matches!(answer, Response::Error(ErrorCode::InputTooLarge)));
}

#[test]
fn a_buffer_too_small_for_the_answer_is_told_so_or_left_alone() {
    for (space, told) in [(100, true), (10, false)] {
        let mut guest = Guest::new();
        guest.write(REQUEST, &random_request());
        guest.describe(0, (REQUEST, 10, 0, 0));
        guest.describe(1, (ANSWER, space, WRITE, 0));
        guest.queue(0);
        guest.queue(1);
        let used = guest.kick();
        let answer = serde_cbor::from_slice(&guest.read(ANSWER, used[1].1));
        let too_small = matches!(answer, Ok(Response::Error(ErrorCode::BufferTooSmall)));
        assert_eq!(too_small, told);
        assert_eq!(used[1].1 == 0, !told);
    }
}

#[test]
fn a_stalled_module_keeps_the_buffers_and_serves_the_next_request_once_it_works() {
    let mut guest = Guest::new();
    guest.faults.set(NsmFault::stall());
    guest.ask_as_the_driver(&random_request());
    assert_eq!(guest.kick(), []);
    guest.faults.clear();
    assert_eq!(guest.kick(), [], "what was swallowed stays so");
    guest.ask_as_the_driver(&random_request());
    assert!(matches!(guest.kick()[..], [(0, 0), (1, 257..)]));
}

#[test]
fn nonsense_is_given_back_unused_and_the_next_request_is_answered() {
    let out = u64::try_from(MEMORY).unwrap();
    let nonsense: [(&str, &[Descriptor]); 9] = [
        ("an answer's buffer without a request", &[(ANSWER, 0x3000, WRITE, 0)]),
        ("nothing at all", &[(REQUEST, 0, 0, 0)]),
        ("a request outside memory", &[(out, 16, 0, 0)]),
        ("a request that leaves memory", &[(out - 8, 16, 0, 0)]),
        ("an address at the end of all", &[(u64::MAX, 16, 0, 0)]),
        ("an answer's buffer outside memory", &[(REQUEST, 10, NEXT, 1), (out, 64, WRITE, 0)]),
        ("a length of 4 GiB", &[(REQUEST, u32::MAX, NEXT, 1), (REQUEST, u32::MAX, 0, 0)]),
        ("a next that is none", &[(out, 1, NEXT, 999)]),
        ("a table of odd size", &[(REQUEST, 17, INDIRECT, 0)]),
    ];
    for (what, descriptors) in nonsense {
        let mut guest = Guest::new();
        for (index, descriptor) in (0u16..).zip(descriptors) {
            guest.describe(index, *descriptor);
        }
        guest.queue(0);
        assert_eq!(guest.kick(), [(0, 0)], "{what}");
        guest.ask_as_the_driver(&random_request());
        assert!(matches!(guest.kick()[..], [_, (0, 0), (1, 257..)]), "{what}");
    }
}

#[test]
fn requests_that_never_get_a_buffer_are_given_back_one_after_the_other() {
    let mut guest = Guest::new();
    guest.write(REQUEST, &random_request());
    for index in 0..4 {
        guest.describe(index, (REQUEST, 10, 0, 0));
        guest.queue(index);
    }
    assert_eq!(guest.kick(), [(0, 0), (1, 0), (2, 0)]);
    guest.queue.reset();
    guest.describe(5, (ANSWER, 0x3000, WRITE, 0));
    guest.queue(5);
    assert_eq!(guest.kick()[3..], [(5, 0)], "after a reset nothing waits");
}

#[test]
fn an_available_index_beyond_the_queue_stops_nothing() {
    let mut guest = Guest::new();
    guest.write(AVAIL + 2, &1000u16.to_le_bytes());
    assert_eq!(guest.kick(), []);
    guest.write(AVAIL + 2, &0u16.to_le_bytes());
    guest.ask_as_the_driver(&random_request());
    assert_eq!(guest.kick().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_descriptors_kill_the_device(
        table in proptest::collection::vec(descriptors(), usize::from(SIZE)),
        heads in proptest::collection::vec(any::<u16>(), 0..usize::from(SIZE)),
    ) {
        let mut guest = Guest::new();
        for (index, descriptor) in (0u16..).zip(table) {
            guest.describe(index, descriptor);
        }
        for head in heads {
            guest.queue(head % (SIZE + 2));
            guest.kick();
        }
        let before = guest.kick().len();
        guest.ask_as_the_driver(&random_request());
        let used = guest.kick();
        // A request that still waited from before is given back first.
        prop_assert!(used.len() == before + 2 || used.len() == before + 3);
        let (head, len) = used[used.len() - 1];
        prop_assert_eq!(head, 1);
        prop_assert!(is_random(&guest.read(ANSWER, len)));
    }
}

/// Plausible enough to be followed: buffers clear of the rings themselves.
fn descriptors() -> impl Strategy<Value = Descriptor> {
    let end = u64::try_from(MEMORY).unwrap();
    let address = prop_oneof![REQUEST..end, end - 64..end + 64, Just(u64::MAX)];
    let len = prop_oneof![0u32..64, 0u32..0x4000, Just(u32::MAX)];
    (address, len, 0u16..8, 0u16..SIZE + 2)
}
