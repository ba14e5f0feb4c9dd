//! Bytes on their way through a connection, and the credit that bounds them.

use crate::vsock::packet::Head;

/// Bytes with a beginning that moves.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    at: usize,
}

impl Buffer {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn advance(&mut self, by: usize) {
        self.at = self.at.saturating_add(by);
        if self.at >= self.bytes.len() {
            self.clear();
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.bytes.len().saturating_add(bytes.len()) > self.bytes.capacity() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
    }
}

/// Virtio 1.2, §5.10.6.3: counters are modulo 2^32.
#[derive(Default)]
pub(super) struct Credit {
    /// The guest's room for us, and how much of it it has freed, ever.
    buf_alloc: u32,
    fwd_cnt: u32,
    /// What we have sent, ever.
    sent: u32,
    /// What we have delivered, ever, and what of it the guest knows.
    delivered: u32,
    told: u32,
    /// The guest was asked how much room it has.
    asked: bool,
}

impl Credit {
    /// Every packet of the guest's says how much room it has.
    pub(super) const fn see(&mut self, head: &Head) {
        self.buf_alloc = head.buf_alloc;
        self.fwd_cnt = head.fwd_cnt;
        if self.left() > 0 {
            self.asked = false;
        }
    }

    /// Bytes that the guest still has room for.
    pub(super) const fn left(&self) -> u32 {
        self.buf_alloc.saturating_sub(self.sent.wrapping_sub(self.fwd_cnt))
    }

    /// Whether the guest is to be asked for room: once, until it gives some.
    pub(super) const fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.asked, true)
    }

    pub(super) const fn deliver(&mut self, len: usize) {
        self.delivered = self.delivered.wrapping_add(low(len));
    }

    /// Whether the guest may be waiting to hear how much was delivered.
    pub(super) const fn is_stale(&self) -> bool {
        self.delivered.wrapping_sub(self.told) >= low(ROOM / 2)
    }

    /// A packet with `len` bytes of payload leaves; it carries [`Self::ours`].
    pub(super) const fn send(&mut self, len: usize) {
        self.sent = self.sent.wrapping_add(low(len));
        self.told = self.delivered;
    }

    /// Room and progress, as every packet carries them.
    pub(super) const fn ours(&self) -> (u32, u32) {
        (low(ROOM), self.delivered)
    }
}

/// The low 32 bits of a length.
#[expect(clippy::as_conversions, reason = "the counters of the protocol wrap")]
#[expect(clippy::cast_possible_truncation, reason = "the counters of the protocol wrap")]
const fn low(len: usize) -> u32 {
    len as u32
}

/// Room for what one connection's guest sends, in bytes.
pub(super) const ROOM: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(buf_alloc: u32, fwd_cnt: u32) -> Head {
        Head { buf_alloc, fwd_cnt, ..Head::default() }
    }

    proptest! {
        /// Over the wrap of the counters at 2^32.
        #[test]
        fn no_more_is_sent_than_the_guest_has_room_for(
            start in u32::MAX - (1 << 16)..=u32::MAX,
            room in 0u32..1 << 20,
            steps: Vec<(u16, u16)>,
        ) {
            let mut credit = Credit { sent: start, ..Credit::default() };
            let (mut freed, mut waiting) = (start, 0u32);
            credit.see(&said(room, freed));
            for (send, free) in steps {
                let len = u32::from(send).min(credit.left());
                credit.send(usize::try_from(len).unwrap());
                waiting += len;
                prop_assert!(waiting <= room);
                prop_assert_eq!(credit.left(), room - waiting);
                let free = u32::from(free).min(waiting);
                waiting -= free;
                freed = freed.wrapping_add(free);
                credit.see(&said(room, freed));
            }
        }

        #[test]
        fn no_numbers_of_the_guests_give_more_than_its_room(
            sent: u32, buf_alloc: u32, fwd_cnt: u32,
        ) {
            let mut credit = Credit { sent, ..Credit::default() };
            credit.see(&said(buf_alloc, fwd_cnt));
            prop_assert!(credit.left() <= buf_alloc);
        }

        #[test]
        fn a_buffer_is_a_queue(steps: Vec<(Vec<u8>, u8)>) {
            let (mut buffer, mut model) = (Buffer::default(), Vec::new());
            for (bytes, take) in steps {
                buffer.push(&bytes);
                model.extend(bytes);
                let take = usize::from(take).min(model.len());
                buffer.advance(take);
                model.drain(..take);
                prop_assert_eq!(buffer.rest(), &model[..]);
            }
        }
    }

    #[test]
    fn a_guest_without_room_is_asked_once_until_it_has_some() {
        let mut credit = Credit::default();
        assert_eq!((credit.ask(), credit.ask()), (true, false));
        credit.see(&said(0, 0));
        assert!(!credit.ask());
        credit.see(&said(1, 0));
        assert!(credit.ask());
    }

    #[test]
    fn a_guest_hears_of_room_before_it_has_used_all() {
        let mut credit = Credit { delivered: u32::MAX, told: u32::MAX, ..Credit::default() };
        credit.deliver(ROOM / 2 - 1);
        assert!(!credit.is_stale());
        credit.deliver(1);
        assert!(credit.is_stale());
        credit.send(0);
        assert!(!credit.is_stale());
    }
}
