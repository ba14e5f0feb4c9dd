//! What QEMU asks of the device over vhost-user. The work is the muxer's, in a
//! thread of its own; this hands it the rings and says when they changed.

use std::io;
use std::sync::Arc;

use vhost::vhost_user::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VringRwLock};
use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use super::rings::{News, Rings, Waker};

pub(super) struct Backend {
    guest_cid: u64,
    waker: Arc<Waker>,
    memory: Option<GuestMemoryAtomic<GuestMemoryMmap>>,
    given: bool,
}

impl Backend {
    pub(super) const fn new(guest_cid: u64, waker: Arc<Waker>) -> Self {
        Self { guest_cid, waker, memory: None, given: false }
    }
}

impl VhostUserBackendMut for Backend {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1) | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIG
    }

    fn set_event_idx(&mut self, _: bool) {}

    /// The only field is the guest's context id, 64 bits.
    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = self.guest_cid.to_le_bytes();
        let bounds = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
        let range = bounds.and_then(|(at, len)| Some(at..at.checked_add(len)?));
        range.and_then(|range| config.get(range)).map_or_else(Vec::new, <[u8]>::to_vec)
    }

    fn update_memory(&mut self, memory: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<()> {
        self.memory = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }

    fn handle_event(
        &mut self,
        _: u16,
        _: EventSet,
        vrings: &[VringRwLock],
        _: usize,
    ) -> io::Result<()> {
        if !self.given
            && let (Some(memory), [rx, tx, ..]) = (&self.memory, vrings)
        {
            let rings = Rings { rx: rx.clone(), tx: tx.clone(), memory: memory.clone() };
            self.waker.tell(News::Rings(rings));
            self.given = true;
        }
        self.waker.wake();
        Ok(())
    }
}

/// Receive, transmit and event queue; no event is ever sent on the last.
const QUEUES: usize = 3;
const MAX_QUEUE_SIZE: usize = 1024;
