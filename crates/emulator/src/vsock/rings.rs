//! The two rings of packets in the guest's memory, and the bell that says that
//! the guest has put something into one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use vhost_user_backend::{VringRwLock, VringT};
use virtio_queue::{DescriptorChain, QueueOwnedT as _, QueueT as _};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};

use super::packet::{HEAD_LEN, Head};

type Memory = GuestMemoryLoadGuard<GuestMemoryMmap>;

/// The rings of a running guest.
pub(super) struct Rings {
    /// To the guest.
    pub(super) rx: VringRwLock,
    /// From the guest.
    pub(super) tx: VringRwLock,
    pub(super) memory: GuestMemoryAtomic<GuestMemoryMmap>,
}

/// Room for one packet to the guest.
pub(super) struct Slot {
    chain: DescriptorChain<Memory>,
    memory: Memory,
    /// Bytes of payload that fit.
    pub(super) room: usize,
}

impl Rings {
    /// The next packet from the guest; `payload` is cleared and filled.
    ///
    /// What is no packet is returned to the guest unanswered. Nothing is
    /// returned when there is none.
    pub(super) fn receive(&self, payload: &mut Vec<u8>) -> Option<Head> {
        loop {
            let memory = self.memory.memory();
            let chain = self.tx.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone())?;
            let index = chain.head_index();
            let packet = read_packet(chain, &memory, payload);
            let _ = self.tx.add_used(index, 0);
            if let Some(head) = packet {
                return Some(head);
            }
        }
    }

    /// Room for a packet to the guest, if it has given any.
    pub(super) fn slot(&self) -> Option<Slot> {
        loop {
            let memory = self.memory.memory();
            let chain = self.rx.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone())?;
            let room = chain.clone().writer(&*memory).map_or(0, |writer| writer.available_bytes());
            match room.checked_sub(HEAD_LEN) {
                Some(room) => return Some(Slot { chain, memory, room }),
                None => {
                    let _ = self.rx.add_used(chain.head_index(), 0);
                }
            }
        }
    }

    /// Puts a packet into `slot`. `payload` is no longer than its room.
    pub(super) fn send(&self, slot: Slot, head: &Head, payload: &[u8]) {
        let index = slot.chain.head_index();
        let written =
            slot.chain.writer(&*slot.memory).map_err(io::Error::other).and_then(|mut writer| {
                writer.write_all(&head.write())?;
                writer.write_all(payload)
            });
        let len = written.map_or(0, |()| HEAD_LEN.saturating_add(payload.len()));
        let _ = self.rx.add_used(index, u32::try_from(len).unwrap_or(0));
    }

    /// Takes back room that was not used.
    pub(super) fn keep(&self, slot: Slot) {
        drop(slot);
        self.rx.get_mut().get_queue_mut().go_to_previous_position();
    }

    /// Tells the guest that both rings have moved.
    pub(super) fn signal(&self) {
        let _ = self.rx.signal_used_queue();
        let _ = self.tx.signal_used_queue();
    }
}

/// Gathers a packet from all of its descriptors: kernels put a large write's
/// pages into one each.
fn read_packet(
    chain: DescriptorChain<Memory>,
    memory: &Memory,
    payload: &mut Vec<u8>,
) -> Option<Head> {
    payload.clear();
    let mut reader = chain.reader(&**memory).ok()?;
    let mut head = [0; HEAD_LEN];
    reader.read_exact(&mut head).ok()?;
    let head = Head::read(&head);
    let len = usize::try_from(head.len).ok().filter(|len| *len <= MAX_PAYLOAD)?;
    if len > reader.available_bytes() {
        return None;
    }
    payload.resize(len, 0);
    reader.read_exact(payload).ok()?;
    Some(head)
}

/// What the muxer's thread is told.
pub(super) enum News {
    /// A guest has started to use its rings.
    Rings(Rings),
    /// QEMU is gone.
    Gone,
}

/// A bell for the muxer's thread, and what it is told.
pub(super) struct Waker {
    bell: UnixStream,
    news: Mutex<Option<News>>,
    stopped: AtomicBool,
}

impl Waker {
    /// A bell, and the end at which it is heard.
    pub(super) fn new() -> io::Result<(Self, UnixStream)> {
        let (bell, heard) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        heard.set_nonblocking(true)?;
        let waker = Self { bell, news: Mutex::new(None), stopped: AtomicBool::new(false) };
        Ok((waker, heard))
    }

    pub(super) fn wake(&self) {
        // Full is loud enough.
        let _ = (&self.bell).write(&[1]);
    }

    /// Only the latest news counts.
    pub(super) fn tell(&self, news: News) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
        self.wake();
    }

    pub(super) fn take(&self) -> Option<News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// Longest payload taken in one packet, in bytes. Linux sends 64 KiB at most.
const MAX_PAYLOAD: usize = 256 << 10;
