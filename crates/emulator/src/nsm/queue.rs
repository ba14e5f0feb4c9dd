//! The module's one virtqueue: chains of descriptors to requests and answers.
//!
//! Called by `backend.rs` whenever the guest has queued something. Trusts
//! nothing in the guest's memory: what makes no sense is given back unused, and
//! the queue goes on. The kernel's driver queues the request, then a buffer of
//! 0x3000 bytes for the answer, and wants both back in that order with one
//! notification (`drivers/misc/nsm.c`); a chain that holds both is served too.

use std::io::{Read, Write};
use std::sync::Arc;

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Response};
use strongroom_sim::SimNsm;
use vhost_user_backend::{VringRwLock, VringT};
use virtio_queue::{DescriptorChain, QueueOwnedT, Reader, Writer};
use vm_memory::GuestMemoryMmap;

use super::answer::{MAX_REQUEST_LEN, encode};
use super::fault::NsmFaultHandle;
use super::faulty::answer_or_not;

/// The queue's side of the module.
pub(super) struct RequestQueue {
    nsm: Arc<SimNsm>,
    faults: NsmFaultHandle,
    /// A request whose answer buffer has not come yet: the chain's head, and
    /// its bytes.
    waiting: Option<(u16, Vec<u8>)>,
}

impl RequestQueue {
    pub(super) fn new(nsm: Arc<SimNsm>, faults: NsmFaultHandle) -> Self {
        Self { nsm, faults, waiting: None }
    }

    /// Forgets what it was in the middle of: the guest has reset the device.
    pub(super) fn reset(&mut self) {
        self.waiting = None;
    }

    /// Serves everything that the guest has queued.
    pub(super) fn serve(&mut self, memory: &GuestMemoryMmap, vring: &VringRwLock) {
        let chains: Vec<_> = match vring.get_mut().get_queue_mut().iter(memory) {
            Ok(chains) => chains.collect(),
            Err(error) => return tracing::warn!(%error, "the guest's queue makes no sense"),
        };
        let mut used = Vec::new();
        for chain in chains {
            self.take(memory, chain, &mut used);
        }
        for &(head, len) in &used {
            if let Err(error) = vring.add_used(head, len) {
                tracing::warn!(%error, "a buffer cannot be given back to the guest");
            }
        }
        if !used.is_empty()
            && let Err(error) = vring.signal_used_queue()
        {
            tracing::warn!(%error, "the guest cannot be notified");
        }
    }

    /// Serves one chain. Adds to `used` the heads to give back, and how many
    /// bytes were written.
    fn take(
        &mut self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
        used: &mut Vec<(u16, u32)>,
    ) {
        let head = chain.head_index();
        let (Ok(reader), Ok(writer)) = (chain.clone().reader(memory), chain.writer(memory)) else {
            tracing::warn!("the guest queued a buffer outside its memory");
            return used.push((head, 0));
        };
        if reader.available_bytes() > 0 {
            // One that never got a buffer for its answer.
            used.extend(self.waiting.take().map(|(head, _)| (head, 0)));
            self.waiting = Some((head, gather(reader)));
        }
        if writer.available_bytes() == 0 {
            if self.waiting.as_ref().is_none_or(|(waiting, _)| *waiting != head) {
                used.push((head, 0));
            }
            return;
        }
        let Some((asked, request)) = self.waiting.take() else { return used.push((head, 0)) };
        let Some(answer) = answer_or_not(&self.nsm, &self.faults, &request) else { return };
        if asked != head {
            used.push((asked, 0));
        }
        used.push((head, put(writer, &answer)));
    }
}

/// A request out of all its pieces; of one that is too long, enough to see it.
fn gather(reader: Reader<'_>) -> Vec<u8> {
    let limit = u64::try_from(MAX_REQUEST_LEN).unwrap_or(u64::MAX).saturating_add(1);
    let mut request = Vec::new();
    if let Err(error) = reader.take(limit).read_to_end(&mut request) {
        tracing::warn!(%error, "a request cannot be read");
    }
    request
}

/// Writes an answer over all the buffer's pieces; gives its length.
fn put(mut writer: Writer<'_>, answer: &[u8]) -> u32 {
    let too_small = encode(&Response::Error(ErrorCode::BufferTooSmall));
    let fitting = [answer, &too_small].into_iter().find(|it| it.len() <= writer.available_bytes());
    let Some(bytes) = fitting else { return 0 };
    match writer.write_all(bytes) {
        Ok(()) => u32::try_from(bytes.len()).unwrap_or(0),
        Err(error) => {
            tracing::warn!(%error, "an answer cannot be written");
            0
        }
    }
}

#[cfg(test)]
mod tests;
