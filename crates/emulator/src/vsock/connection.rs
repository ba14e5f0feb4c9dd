//! One connection: a Unix socket on the host's side, credit and flags on the
//! guest's.
//!
//! Neither direction ever waits for the other. What the guest sends waits in
//! `to_host`, never more than the credit it was given; what the host sends is
//! read only as far as one buffer, and leaves as the guest gives credit.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::packet::{
    CREDIT_REQUEST, CREDIT_UPDATE, Head, NO_MORE_SENT, NO_MORE_TAKEN, REQUEST, RESPONSE, RST, RW,
    SHUTDOWN,
};

pub(super) struct Connection {
    pub(super) stream: UnixStream,
    state: State,
    /// From the guest, not yet written to the host.
    to_host: Buffer,
    /// From the host, not yet sent to the guest.
    to_guest: Buffer,
    credit: Credit,
    due: Due,
    /// The guest sends no more; the guest takes no more.
    guest_sent_all: bool,
    guest_takes_none: bool,
    /// The host has ended its direction; the host is gone whole.
    host_sent_all: bool,
    host_gone: bool,
    host_told_end: bool,
    guest_told: u32,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The host asked for a port, the guest has not answered.
    Asking,
    Open,
    /// The guest knows it no longer; what it sent is still being delivered.
    Ended,
}

/// Packets that the guest must get.
#[derive(Default)]
struct Due {
    request: bool,
    response: bool,
    credit_update: bool,
    credit_request: bool,
    reset: bool,
}

#[derive(Default)]
struct Credit {
    /// The guest's room for us, and how much of it it has freed.
    buf_alloc: u32,
    fwd_cnt: u32,
    /// What we have sent, ever.
    sent: u32,
    /// What we have delivered, ever, and what of it the guest knows.
    delivered: u32,
    told: u32,
    asked: bool,
}

/// Bytes with a beginning that moves.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, by: usize) {
        self.at = self.at.saturating_add(by);
        if self.at >= self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.bytes.len().saturating_add(bytes.len()) > self.bytes.capacity() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }
}

impl Connection {
    /// The host asks for a port of the guest. `early` was sent with the request.
    pub(super) fn to_guest(stream: UnixStream, early: &[u8], now: Instant) -> Self {
        let mut connection = Self::new(stream, State::Asking);
        connection.to_guest.push(early);
        connection.due.request = true;
        connection.deadline = now.checked_add(ANSWER_TIMEOUT);
        connection
    }

    /// The guest asked for a port of its parent, and somebody listens there.
    pub(super) fn from_guest(stream: UnixStream, head: &Head) -> Self {
        let mut connection = Self::new(stream, State::Open);
        connection.due.response = true;
        connection.see_credit(head);
        connection
    }

    fn new(stream: UnixStream, state: State) -> Self {
        Self {
            stream,
            state,
            to_host: Buffer::default(),
            to_guest: Buffer::default(),
            credit: Credit::default(),
            due: Due::default(),
            guest_sent_all: false,
            guest_takes_none: false,
            host_sent_all: false,
            host_gone: false,
            host_told_end: false,
            guest_told: 0,
            deadline: None,
        }
    }

    fn see_credit(&mut self, head: &Head) {
        self.credit.buf_alloc = head.buf_alloc;
        self.credit.fwd_cnt = head.fwd_cnt;
        if self.credit.left() > 0 {
            self.credit.asked = false;
        }
    }

    /// A packet of the guest's.
    pub(super) fn take(&mut self, head: &Head, payload: &[u8], port: u32, now: Instant) {
        self.see_credit(head);
        match head.op {
            RESPONSE if self.state == State::Asking => {
                self.state = State::Open;
                self.deadline = None;
                // A socket that was just made has room for a line.
                let ok = format!("OK {port}\n");
                if !self.stream.write(ok.as_bytes()).is_ok_and(|len| len == ok.len()) {
                    self.lose_host();
                }
            }
            RW if self.state == State::Open => self.data(payload),
            CREDIT_REQUEST => self.due.credit_update = true,
            CREDIT_UPDATE => {}
            SHUTDOWN if self.state == State::Open => {
                self.guest_sent_all |= head.flags & NO_MORE_SENT != 0;
                self.guest_takes_none |= head.flags & NO_MORE_TAKEN != 0;
                if self.guest_takes_none {
                    self.to_guest = Buffer::default();
                }
                self.deliver(now);
            }
            RST => {
                self.state = State::Ended;
                self.deadline = now.checked_add(DELIVERY_TIMEOUT);
                self.due = Due::default();
                self.guest_sent_all = true;
                self.deliver(now);
            }
            // Not what this connection waits for: it is broken.
            _ => self.break_off(),
        }
    }

    fn data(&mut self, payload: &[u8]) {
        if self.host_gone {
            return;
        }
        if self.guest_sent_all || self.to_host.rest().len().saturating_add(payload.len()) > ROOM {
            return self.break_off();
        }
        self.to_host.push(payload);
    }

    fn break_off(&mut self) {
        self.due = Due { reset: true, ..Due::default() };
        self.to_host = Buffer::default();
    }

    /// Writes to the host what it takes.
    pub(super) fn deliver(&mut self, now: Instant) {
        while !self.to_host.rest().is_empty() {
            match self.stream.write(self.to_host.rest()) {
                Ok(len) => {
                    self.to_host.advance(len);
                    self.credit.delivered = self.credit.delivered.wrapping_add(low(len));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.lose_host(),
            }
        }
        if self.credit.delivered.wrapping_sub(self.credit.told) >= low(ROOM / 2) {
            self.due.credit_update = true;
        }
        if self.to_host.rest().is_empty() && self.guest_sent_all && !self.host_told_end {
            self.host_told_end = true;
            let _ = self.stream.shutdown(std::net::Shutdown::Write);
        }
        if self.host_gone && self.deadline.is_none() {
            self.deadline = now.checked_add(DELIVERY_TIMEOUT);
        }
    }

    fn lose_host(&mut self) {
        self.host_gone = true;
        self.host_sent_all = true;
        self.to_host = Buffer::default();
    }

    /// Reads from the host, as far as one buffer.
    pub(super) fn collect(&mut self, scratch: &mut [u8]) {
        if !self.wants_input() {
            return;
        }
        match self.stream.read(scratch) {
            Ok(0) => self.host_sent_all = true,
            Ok(len) => self.to_guest.push(scratch.get(..len).unwrap_or_default()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lose_host(),
        }
    }

    /// The host closed both directions, and what it sent was read.
    pub(super) fn hung_up(&mut self, now: Instant) {
        if self.host_sent_all && !self.host_gone {
            self.lose_host();
            self.deliver(now);
        }
    }

    pub(super) fn wants_input(&self) -> bool {
        self.state == State::Open
            && !self.host_sent_all
            && !self.guest_takes_none
            && self.to_guest.rest().is_empty()
    }

    pub(super) fn wants_output(&self) -> bool {
        !self.host_gone && !self.to_host.rest().is_empty()
    }

    /// Whether its socket still tells anything.
    pub(super) const fn is_watched(&self) -> bool {
        !self.host_gone
    }

    /// The next packet for the guest, whose payload has at most `room` bytes.
    pub(super) fn next(&mut self, room: usize) -> Option<(u16, u32, usize)> {
        let due = &mut self.due;
        for (flag, op) in [
            (&mut due.reset, RST),
            (&mut due.request, REQUEST),
            (&mut due.response, RESPONSE),
            (&mut due.credit_update, CREDIT_UPDATE),
            (&mut due.credit_request, CREDIT_REQUEST),
        ] {
            if std::mem::take(flag) {
                if op == RST {
                    self.state = State::Ended;
                    self.guest_sent_all = true;
                }
                return Some((op, 0, 0));
            }
        }
        if self.state != State::Open {
            return None;
        }
        let waiting = self.to_guest.rest().len();
        if waiting > 0 {
            let left = usize::try_from(self.credit.left()).unwrap_or(0);
            return match waiting.min(left).min(room) {
                0 if left == 0 && !self.credit.asked => {
                    self.credit.asked = true;
                    Some((CREDIT_REQUEST, 0, 0))
                }
                0 => None,
                len => Some((RW, 0, len)),
            };
        }
        self.next_end()
    }

    /// What is to be said about the connection's end.
    fn next_end(&mut self) -> Option<(u16, u32, usize)> {
        // Both of the guest's directions are closed and all it sent is delivered.
        if self.guest_sent_all && self.guest_takes_none && self.to_host.rest().is_empty() {
            self.state = State::Ended;
            return Some((RST, 0, 0));
        }
        let mut flags = 0;
        if self.host_sent_all {
            flags |= NO_MORE_SENT;
        }
        if self.host_gone || (self.host_sent_all && self.guest_sent_all) {
            flags |= NO_MORE_TAKEN;
        }
        if flags == self.guest_told || (self.guest_sent_all && !self.to_host.rest().is_empty()) {
            return None;
        }
        self.guest_told = flags;
        Some((SHUTDOWN, flags, 0))
    }

    /// The payload of a packet of `len` bytes; call [`Self::sent`] after it.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        self.to_guest.rest().get(..len).unwrap_or_default()
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.to_guest.advance(len);
        self.credit.sent = self.credit.sent.wrapping_add(low(len));
        self.credit.told = self.credit.delivered;
    }

    /// Room and progress, as every packet carries them.
    pub(super) const fn credit(&self) -> (u32, u32) {
        (low(ROOM), self.credit.delivered)
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        let due = self.due.reset || self.due.request;
        late || (self.state == State::Ended && self.to_host.rest().is_empty() && !due)
    }

    /// Whether the guest still takes it for open, and must hear that it is not.
    pub(super) fn is_known_to_guest(&self) -> bool {
        self.state != State::Ended && !self.due.request
    }
}

impl Credit {
    /// Bytes that the guest still has room for.
    const fn left(&self) -> u32 {
        self.buf_alloc.saturating_sub(self.sent.wrapping_sub(self.fwd_cnt))
    }
}

/// The low 32 bits of a length: counters are modulo 2^32.
#[expect(clippy::as_conversions, reason = "the counters of the protocol wrap")]
#[expect(clippy::cast_possible_truncation, reason = "the counters of the protocol wrap")]
const fn low(len: usize) -> u32 {
    len as u32
}

/// Room for what one connection's guest sends, in bytes.
const ROOM: usize = 256 << 10;

/// How long a guest may take to answer that it accepts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a connection may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
