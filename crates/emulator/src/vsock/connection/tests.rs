//! A connection between a Unix socket and packets that are made here.

use super::*;

struct Pair {
    connection: Connection,
    host: UnixStream,
    now: Instant,
}

const ROOMY: u32 = 1 << 20;

fn packet(op: u16) -> Head {
    Head { op, buf_alloc: ROOMY, ..Head::default() }
}

fn streams() -> (UnixStream, UnixStream) {
    let (ours, host) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    host.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (ours, host)
}

impl Pair {
    /// The guest has connected, and knows it.
    fn open() -> Self {
        let (ours, host) = streams();
        let connection = Connection::from_guest(ours, &packet(REQUEST));
        let mut pair = Self { connection, host, now: Instant::now() };
        assert_eq!(pair.next(), Some((RESPONSE, 0)));
        pair
    }

    /// The host has asked, and so far nobody has answered.
    fn asking(early: &[u8]) -> Self {
        let (ours, host) = streams();
        let now = Instant::now();
        Self { connection: Connection::to_guest(ours, early, now), host, now }
    }

    fn take(&mut self, op: u16, flags: u32, payload: &[u8]) {
        let head = Head { flags, ..packet(op) };
        self.connection.take(&head, payload, 77, self.now);
    }

    /// What the guest gets next: operation and flags.
    fn next(&mut self) -> Option<(u16, u32)> {
        let next = self.connection.next(4096, self.now)?;
        self.connection.sent(next.len, self.now);
        Some((next.op, next.flags))
    }

    /// Reads and sends, as the muxer does, until there is nothing more: the
    /// payloads, and the other packets.
    fn pump(&mut self) -> (Vec<u8>, Vec<(u16, u32)>) {
        let (mut bytes, mut packets) = (Vec::new(), Vec::new());
        loop {
            self.connection.collect(&mut [0; 3000], self.now);
            let Some(next) = self.connection.next(1000, self.now) else {
                return (bytes, packets);
            };
            bytes.extend_from_slice(self.connection.payload(next.len));
            self.connection.sent(next.len, self.now);
            if next.op != RW {
                packets.push((next.op, next.flags));
            }
        }
    }

    fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.host.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn is_over(&self) -> bool {
        self.connection.is_over(self.now)
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

const A_MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_host_that_asks_is_told_when_the_guest_accepts_and_what_it_sent_early_goes_over() {
    let mut pair = Pair::asking(b"early");
    assert_eq!(pair.next(), Some((REQUEST, 0)));
    assert_eq!(pair.next(), None);
    pair.take(RESPONSE, 0, b"");
    let mut ok = [0; 6];
    pair.host.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"OK 77\n");
    assert_eq!(pair.pump(), (b"early".to_vec(), vec![]));
}

#[test]
fn a_host_that_asks_where_nobody_listens_gets_the_end() {
    let mut pair = Pair::asking(b"");
    pair.next();
    pair.take(RST, 0, b"");
    assert!(pair.is_over());
    drop(pair.connection);
    assert_eq!(pair.host.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_guest_that_does_not_answer_is_not_waited_for() {
    let mut pair = Pair::asking(b"");
    assert!(!pair.connection.is_known_to_guest(), "it was not asked yet");
    pair.next();
    pair.wait(ANSWER_TIMEOUT - A_MOMENT);
    assert!(!pair.is_over());
    pair.wait(A_MOMENT);
    assert!(pair.is_over() && pair.connection.is_known_to_guest());
}

#[test]
fn a_host_that_leaves_while_it_waits_leaves_nothing_behind() {
    let mut unasked = Pair::asking(b"");
    unasked.connection.hang_up(unasked.now);
    assert_eq!(unasked.next(), None);
    assert!(unasked.is_over());

    let mut asked = Pair::asking(b"");
    asked.next();
    asked.connection.hang_up(asked.now);
    assert!(!asked.is_over());
    assert_eq!(asked.next(), Some((RST, 0)));
    assert!(asked.is_over());
}

#[test]
fn a_guests_half_close_reaches_the_host_after_its_data_and_the_host_goes_on() {
    let mut pair = Pair::open();
    pair.take(RW, 0, b"question");
    pair.take(SHUTDOWN, NO_MORE_SENT, b"");
    assert_eq!(pair.read_all(), b"question");
    pair.host.write_all(&[7; 5000]).unwrap();
    assert_eq!(pair.pump(), (vec![7; 5000], vec![]));
    pair.host.shutdown(Shutdown::Write).unwrap();
    let both = NO_MORE_SENT | NO_MORE_TAKEN;
    assert_eq!(pair.pump(), (vec![], vec![(SHUTDOWN, both)]));
    pair.take(RST, 0, b"");
    assert!(pair.is_over());
}

#[test]
fn a_hosts_half_close_reaches_the_guest_after_its_data_and_the_guest_goes_on() {
    let mut pair = Pair::open();
    pair.host.write_all(&[7; 5000]).unwrap();
    pair.host.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.pump(), (vec![7; 5000], vec![(SHUTDOWN, NO_MORE_SENT)]));
    pair.take(RW, 0, b"answer");
    pair.take(SHUTDOWN, NO_MORE_SENT | NO_MORE_TAKEN, b"");
    assert_eq!(pair.pump(), (vec![], vec![(RST, 0)]));
    assert!(pair.is_over());
    assert_eq!(pair.read_all(), b"answer");
}

#[test]
fn what_a_host_sent_before_it_closed_reaches_the_guest_even_when_it_takes_nothing_more() {
    let mut pair = Pair::open();
    pair.host.write_all(&[7; 5000]).unwrap();
    drop(std::mem::replace(&mut pair.host, UnixStream::pair().unwrap().0));
    pair.connection.hang_up(pair.now);
    pair.take(RW, 0, b"nobody reads this");
    let both = NO_MORE_SENT | NO_MORE_TAKEN;
    let (bytes, packets) = pair.pump();
    assert_eq!(bytes, [7; 5000]);
    assert_eq!(packets.last(), Some(&(SHUTDOWN, both)));
    assert!(!pair.is_over(), "the guest has still to answer");
    pair.wait(LINGER);
    assert!(pair.is_over() && pair.connection.is_known_to_guest());
}

#[test]
fn a_host_that_dies_with_data_unread_resets_the_connection_after_what_it_sent() {
    let mut pair = Pair::open();
    pair.host.write_all(b"last").unwrap();
    pair.take(RW, 0, b"unread");
    drop(std::mem::replace(&mut pair.host, UnixStream::pair().unwrap().0));
    assert_eq!(pair.pump(), (b"last".to_vec(), vec![(RST, 0)]));
    assert!(pair.is_over());
}

#[test]
fn a_connection_whose_socket_hung_up_is_watched_only_while_there_is_something_to_read() {
    let mut pair = Pair::open();
    pair.host.write_all(&[7; 5000]).unwrap();
    drop(std::mem::replace(&mut pair.host, UnixStream::pair().unwrap().0));
    pair.connection.collect(&mut [0; 3000], pair.now);
    pair.connection.hang_up(pair.now);
    assert!(!pair.connection.is_watched(), "the guest has not taken the first part");
    while pair.next().is_some() {}
    assert!(pair.connection.is_watched());
    pair.pump();
    assert!(!pair.connection.is_watched());
}

#[test]
fn a_guest_that_takes_no_more_makes_the_hosts_writes_fail() {
    let mut pair = Pair::open();
    pair.take(SHUTDOWN, NO_MORE_TAKEN, b"");
    let error = pair.host.write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    pair.take(RW, 0, b"still sent");
    pair.take(RST, 0, b"");
    assert_eq!(pair.read_all(), b"still sent");
}

#[test]
fn nothing_is_sent_without_room_and_it_is_asked_for_once() {
    let mut pair = Pair::open();
    pair.connection.take(&Head { op: CREDIT_UPDATE, ..Head::default() }, b"", 77, pair.now);
    pair.host.write_all(b"waits").unwrap();
    assert_eq!(pair.pump(), (vec![], vec![(CREDIT_REQUEST, 0)]));
    let some = Head { op: CREDIT_UPDATE, buf_alloc: 3, ..Head::default() };
    pair.connection.take(&some, b"", 77, pair.now);
    assert_eq!(pair.pump(), (b"wai".to_vec(), vec![(CREDIT_REQUEST, 0)]));
    let more = Head { fwd_cnt: 2, ..some };
    pair.connection.take(&more, b"", 77, pair.now);
    assert_eq!(pair.pump(), (b"ts".to_vec(), vec![]));
}

#[test]
fn a_guest_that_asks_for_room_is_told() {
    let mut pair = Pair::open();
    pair.take(RW, 0, b"four");
    pair.take(CREDIT_REQUEST, 0, b"");
    assert_eq!(pair.next(), Some((CREDIT_UPDATE, 0)));
    assert_eq!(pair.connection.credit(), (256 << 10, 4));
}

/// As much as the host's socket and our room hold, and one byte.
#[test]
fn a_guest_that_sends_more_than_its_room_is_reset_and_nothing_is_kept() {
    let mut pair = Pair::open();
    let chunk = vec![7; 32 << 10];
    let mut chunks = 0;
    while pair.connection.state == State::Open {
        pair.take(RW, 0, &chunk);
        assert!(pair.connection.to_host.rest().len() <= ROOM);
        chunks += 1;
        assert!(chunks < 1000, "it is taken without an end");
    }
    assert_eq!(pair.next(), Some((RST, 0)));
    assert!(pair.is_over());
    pair.take(RW, 0, b"after its end");
    assert_eq!(pair.next(), None, "a reset is said once");
}

#[test]
fn what_a_guest_sent_before_its_end_waits_for_a_host_that_reads_slowly_but_not_for_ever() {
    let mut pair = Pair::open();
    while pair.connection.to_host.rest().len() < 200 << 10 {
        pair.take(RW, 0, &[7; 32 << 10]);
    }
    pair.take(RST, 0, b"");
    for _ in 0..3 {
        pair.wait(LINGER - A_MOMENT);
        assert!(!pair.is_over());
        pair.host.read_exact(&mut [0; 64 << 10]).unwrap();
        pair.connection.deliver(pair.now);
    }
    pair.wait(LINGER);
    assert!(pair.is_over() && !pair.connection.is_known_to_guest());
}

#[test]
fn packets_that_do_not_belong_where_they_come_break_the_connection_and_no_other() {
    for (op, asking) in [(RW, true), (SHUTDOWN, true), (RESPONSE, false), (0, false), (99, false)] {
        let mut pair = if asking { Pair::asking(b"") } else { Pair::open() };
        if asking {
            pair.next();
        }
        pair.take(op, NO_MORE_SENT, b"");
        assert_eq!(pair.next(), Some((RST, 0)), "operation {op}");
        assert!(pair.is_over());
    }
    let mut pair = Pair::open();
    pair.take(SHUTDOWN, NO_MORE_SENT, b"");
    pair.take(RW, 0, b"after its own end");
    assert_eq!(pair.next(), Some((RST, 0)));
    assert_eq!(pair.read_all(), b"");
}

#[test]
fn both_directions_go_on_while_the_host_does_not_read() {
    let mut pair = Pair::open();
    while pair.connection.to_host.is_empty() {
        pair.take(RW, 0, &[7; 32 << 10]);
    }
    pair.host.write_all(&[9; 50_000]).unwrap();
    let (bytes, packets) = pair.pump();
    assert_eq!(bytes, [9; 50_000]);
    assert!(packets.iter().all(|(op, _)| *op == CREDIT_UPDATE), "{packets:?}");
}

proptest::proptest! {
    /// Whatever a guest says, in whatever order: at most its room is kept, and
    /// after the end comes nothing.
    #[test]
    fn no_sequence_of_packets_does_harm(
        packets: Vec<(u16, u32, u32, u32, u16)>, asking: bool,
    ) {
        let mut pair = if asking { Pair::asking(b"early") } else { Pair::open() };
        pair.host.write_all(&[7; 2000]).unwrap();
        for (op, flags, buf_alloc, fwd_cnt, len) in packets {
            let head = Head { op: op % 9, flags: flags % 4, buf_alloc, fwd_cnt, ..packet(0) };
            pair.connection.take(&head, &vec![1; usize::from(len)], 77, pair.now);
            proptest::prop_assert!(pair.connection.to_host.rest().len() <= ROOM);
            pair.pump();
            if pair.connection.state == State::Ended {
                proptest::prop_assert_eq!(pair.next(), None);
            }
        }
        pair.wait(LINGER + ANSWER_TIMEOUT);
        proptest::prop_assert!(pair.is_over() || pair.connection.deadline.is_none());
    }
}
