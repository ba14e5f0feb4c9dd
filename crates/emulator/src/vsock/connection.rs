//! One connection: a Unix socket on the host's side, credit and flags on the
//! guest's. The muxer calls it with the guest's packets and what `poll` says.
//!
//! Neither direction ever waits for the other, and neither is cut short by the
//! end of the other. What the guest sends waits in `to_host`, never more than
//! the credit it was given; what the host sends is read only as far as one
//! buffer, and leaves as the guest gives credit.

mod buffer;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::packet::{
    CREDIT_REQUEST, CREDIT_UPDATE, Head, NO_MORE_SENT, NO_MORE_TAKEN, REQUEST, RESPONSE, RST, RW,
    SHUTDOWN,
};
use buffer::{Buffer, Credit, ROOM};

pub(super) struct Connection {
    pub(super) stream: UnixStream,
    state: State,
    /// From the guest, not yet written to the host.
    to_host: Buffer,
    /// From the host, not yet sent to the guest.
    to_guest: Buffer,
    credit: Credit,
    due: Due,
    guest: Side,
    host: Side,
    /// Both directions of the socket are closed; what was sent can still be read.
    hung_up: bool,
    /// The host's side broke rather than ended.
    broken: bool,
    /// The host was told that the guest sends no more.
    host_told: bool,
    /// The flags that the guest was told.
    guest_told: u32,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The host asked for a port, the guest has not answered.
    Asking,
    Open,
    /// The guest knows it no longer, or is about to be told so; what it sent is
    /// still being delivered.
    Ended,
}

/// What a side has said.
#[derive(Default)]
struct Side {
    sends_no_more: bool,
    takes_no_more: bool,
}

/// Packets that the guest must get.
#[derive(Default)]
struct Due {
    request: bool,
    response: bool,
    credit_update: bool,
    reset: bool,
}

/// A packet for the guest, but for its ports and credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) op: u16,
    pub(super) flags: u32,
    /// Bytes of payload.
    pub(super) len: usize,
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
        connection.credit.see(head);
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
            guest: Side::default(),
            host: Side::default(),
            hung_up: false,
            broken: false,
            host_told: false,
            guest_told: 0,
            deadline: None,
        }
    }

    /// A packet of the guest's; `port` is the host's.
    pub(super) fn take(&mut self, head: &Head, payload: &[u8], port: u32, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        self.credit.see(head);
        match head.op {
            RESPONSE if self.state == State::Asking => self.accepted(port, now),
            RW if self.state == State::Open => self.data(payload, now),
            CREDIT_REQUEST => self.due.credit_update = true,
            CREDIT_UPDATE => {}
            SHUTDOWN if self.state == State::Open => self.guest_shuts(head.flags),
            RST => self.guest_gone(now),
            // Not what this connection waits for: it is broken.
            _ => self.break_off(now),
        }
        self.deliver(now);
    }

    fn accepted(&mut self, port: u32, now: Instant) {
        self.state = State::Open;
        self.deadline = None;
        // A socket that was just made has room for a line.
        let ok = format!("OK {port}\n");
        if !self.stream.write(ok.as_bytes()).is_ok_and(|len| len == ok.len()) {
            self.break_off(now);
        }
    }

    fn data(&mut self, payload: &[u8], now: Instant) {
        let waiting = self.to_host.rest().len().saturating_add(payload.len());
        if self.guest.sends_no_more || waiting > ROOM {
            self.break_off(now);
        } else if !self.host.takes_no_more {
            self.to_host.push(payload);
        }
    }

    fn guest_shuts(&mut self, flags: u32) {
        self.guest.sends_no_more |= flags & NO_MORE_SENT != 0;
        if flags & NO_MORE_TAKEN != 0 && !self.guest.takes_no_more {
            self.guest.takes_no_more = true;
            self.to_guest.clear();
            // The host's next write fails, instead of waiting for ever.
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }

    /// The guest has given the connection up, or is gone itself.
    pub(super) fn guest_gone(&mut self, now: Instant) {
        self.end(now);
        self.deliver(now);
    }

    /// Gives the connection up, and tells the guest.
    fn break_off(&mut self, now: Instant) {
        self.end(now);
        self.to_host.clear();
        self.due.reset = true;
    }

    fn end(&mut self, now: Instant) {
        self.state = State::Ended;
        self.due = Due::default();
        self.guest = Side { sends_no_more: true, takes_no_more: true };
        self.to_guest.clear();
        self.linger(now);
    }

    /// Gives the rest of a connection that is ending a while to move.
    fn linger(&mut self, now: Instant) {
        self.deadline = now.checked_add(LINGER);
    }

    fn moved(&mut self, now: Instant) {
        if self.state != State::Asking && self.deadline.is_some() {
            self.linger(now);
        }
    }

    /// Writes to the host what it takes.
    pub(super) fn deliver(&mut self, now: Instant) {
        while !self.to_host.is_empty() {
            match self.stream.write(self.to_host.rest()) {
                Ok(len) => {
                    self.to_host.advance(len);
                    self.credit.deliver(len);
                    self.moved(now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the host sent before can still be read.
                Err(_) => self.host_takes_no_more(),
            }
        }
        if self.state == State::Open && self.credit.is_stale() {
            self.due.credit_update = true;
        }
        if self.to_host.is_empty() && self.guest.sends_no_more && !self.host_told {
            self.host_told = true;
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    fn host_takes_no_more(&mut self) {
        self.host.takes_no_more = true;
        self.to_host.clear();
    }

    /// Reads from the host, as far as one buffer.
    pub(super) fn collect(&mut self, scratch: &mut [u8], now: Instant) {
        if !self.wants_input() {
            return;
        }
        match self.stream.read(scratch) {
            Ok(0) => self.host.sends_no_more = true,
            Ok(len) => self.to_guest.push(scratch.get(..len).unwrap_or_default()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => {
                self.broken = true;
                self.host.sends_no_more = true;
                self.host_takes_no_more();
                self.linger(now);
            }
        }
    }

    /// Both directions of the socket are closed: the host is gone, or both sides
    /// have ended theirs. `poll` says so for ever.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if self.hung_up {
            return;
        }
        self.hung_up = true;
        match self.state {
            // It was not asked for yet: the guest need not hear of it.
            State::Asking if self.due.request => self.end(now),
            State::Asking => self.break_off(now),
            State::Open | State::Ended => {
                self.host_takes_no_more();
                self.linger(now);
            }
        }
    }

    pub(super) fn wants_input(&self) -> bool {
        self.state == State::Open
            && !self.host.sends_no_more
            && !self.guest.takes_no_more
            && self.to_guest.is_empty()
    }

    pub(super) fn wants_output(&self) -> bool {
        !self.to_host.is_empty()
    }

    /// Whether its socket still tells anything new.
    pub(super) fn is_watched(&self) -> bool {
        !self.hung_up || self.wants_input()
    }

    /// The next packet for the guest, whose payload has at most `room` bytes.
    /// The caller sends it, and [`Self::sent`] is to be called after.
    pub(super) fn next(&mut self, room: usize, now: Instant) -> Option<Outgoing> {
        let due = &mut self.due;
        for (flag, op) in [
            (&mut due.reset, RST),
            (&mut due.request, REQUEST),
            (&mut due.response, RESPONSE),
            (&mut due.credit_update, CREDIT_UPDATE),
        ] {
            if std::mem::take(flag) {
                return Some(Outgoing { op, flags: 0, len: 0 });
            }
        }
        if self.state != State::Open {
            return None;
        }
        if self.to_guest.is_empty() { self.next_end(now) } else { self.next_data(room) }
    }

    fn next_data(&mut self, room: usize) -> Option<Outgoing> {
        let left = usize::try_from(self.credit.left()).unwrap_or(0);
        match self.to_guest.rest().len().min(left).min(room) {
            0 if left == 0 && self.credit.ask() => {
                Some(Outgoing { op: CREDIT_REQUEST, flags: 0, len: 0 })
            }
            0 => None,
            len => Some(Outgoing { op: RW, flags: 0, len }),
        }
    }

    /// What is to be said about the connection's end, when all that the host has
    /// sent so far is with the guest.
    fn next_end(&mut self, now: Instant) -> Option<Outgoing> {
        let delivered = self.to_host.is_empty();
        // The guest has closed both directions and all it sent is delivered; or
        // the host broke.
        let closed = self.guest.sends_no_more && self.guest.takes_no_more && delivered;
        if closed || self.broken {
            self.end(now);
            return Some(Outgoing { op: RST, flags: 0, len: 0 });
        }
        let mut flags = self.guest_told;
        if self.host.sends_no_more {
            flags |= NO_MORE_SENT;
        }
        let both_done = self.host.sends_no_more && self.guest.sends_no_more && delivered;
        if both_done || (self.host.takes_no_more && !self.guest.sends_no_more) {
            flags |= NO_MORE_TAKEN;
        }
        if flags == self.guest_told {
            return None;
        }
        self.guest_told = flags;
        if flags == NO_MORE_SENT | NO_MORE_TAKEN {
            // The guest answers with a reset.
            self.linger(now);
        }
        Some(Outgoing { op: SHUTDOWN, flags, len: 0 })
    }

    /// The payload of a packet of `len` bytes.
    pub(super) fn payload(&self, len: usize) -> &[u8] {
        self.to_guest.rest().get(..len).unwrap_or_default()
    }

    /// A packet with `len` bytes of payload has left.
    pub(super) fn sent(&mut self, len: usize, now: Instant) {
        self.to_guest.advance(len);
        self.credit.send(len);
        if len > 0 {
            self.moved(now);
        }
    }

    /// Room and progress, as every packet carries them.
    pub(super) const fn credit(&self) -> (u32, u32) {
        self.credit.ours()
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        late || (self.state == State::Ended && self.to_host.is_empty() && !self.due.reset)
    }

    /// Whether the guest still takes it for open, and must hear that it is not.
    pub(super) fn is_known_to_guest(&self) -> bool {
        self.due.reset || (self.state != State::Ended && !self.due.request)
    }
}

/// How long a guest may take to answer that it accepts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is ending may stand still. A side that reads
/// slowly gets all that was sent to it.
const LINGER: Duration = Duration::from_secs(30);
