//! The head of a packet: 44 bytes, little-endian (virtio 1.2, §5.10.6).

/// The head of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    /// Bytes of payload after the head.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) op: u16,
    pub(super) flags: u32,
    /// Room that the sender has for this connection, in bytes.
    pub(super) buf_alloc: u32,
    /// Bytes that the sender has taken out of that room, ever, modulo 2^32.
    pub(super) fwd_cnt: u32,
}

pub(super) const HEAD_LEN: usize = 44;

/// The only kind of connection that Nitro has.
pub(super) const STREAM: u16 = 1;

pub(super) const REQUEST: u16 = 1;
pub(super) const RESPONSE: u16 = 2;
pub(super) const RST: u16 = 3;
pub(super) const SHUTDOWN: u16 = 4;
pub(super) const RW: u16 = 5;
pub(super) const CREDIT_UPDATE: u16 = 6;
pub(super) const CREDIT_REQUEST: u16 = 7;

/// Of `SHUTDOWN`: its sender takes no more.
pub(super) const NO_MORE_TAKEN: u32 = 1;
/// Of `SHUTDOWN`: its sender sends no more.
pub(super) const NO_MORE_SENT: u32 = 2;

impl Head {
    pub(super) fn read(bytes: &[u8; HEAD_LEN]) -> Self {
        let mut rest = &bytes[..];
        Self {
            src_cid: u64::from_le_bytes(take(&mut rest)),
            dst_cid: u64::from_le_bytes(take(&mut rest)),
            src_port: u32::from_le_bytes(take(&mut rest)),
            dst_port: u32::from_le_bytes(take(&mut rest)),
            len: u32::from_le_bytes(take(&mut rest)),
            kind: u16::from_le_bytes(take(&mut rest)),
            op: u16::from_le_bytes(take(&mut rest)),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    pub(super) fn write(&self) -> [u8; HEAD_LEN] {
        let mut out = [0; HEAD_LEN];
        let bytes = (self.src_cid.to_le_bytes().into_iter())
            .chain(self.dst_cid.to_le_bytes())
            .chain(self.src_port.to_le_bytes())
            .chain(self.dst_port.to_le_bytes())
            .chain(self.len.to_le_bytes())
            .chain(self.kind.to_le_bytes())
            .chain(self.op.to_le_bytes())
            .chain(self.flags.to_le_bytes())
            .chain(self.buf_alloc.to_le_bytes())
            .chain(self.fwd_cnt.to_le_bytes());
        for (slot, byte) in out.iter_mut().zip(bytes) {
            *slot = byte;
        }
        out
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    // The array's type has the length: there is always enough.
    let (field, later) = rest.split_first_chunk().map_or(([0; N], &[][..]), |(f, l)| (*f, l));
    *rest = later;
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_stand_where_the_specification_has_them() {
        let head = Head {
            src_cid: 16,
            dst_cid: 3,
            src_port: 1,
            dst_port: 9000,
            len: 5,
            kind: STREAM,
            op: RW,
            flags: 6,
            buf_alloc: 7,
            fwd_cnt: 8,
        };
        let bytes = head.write();
        assert_eq!((bytes[0], bytes[8], bytes[16], bytes[24]), (16, 3, 1, 5));
        assert_eq!((bytes[20], bytes[21]), (0x28, 0x23));
        assert_eq!((bytes[28], bytes[30], bytes[32], bytes[36], bytes[40]), (1, 5, 6, 7, 8));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_written_back(bytes: [u8; 32], more: [u8; 12]) {
            let mut all = [0; HEAD_LEN];
            all[..32].copy_from_slice(&bytes);
            all[32..].copy_from_slice(&more);
            prop_assert_eq!(Head::read(&all).write(), all);
        }
    }
}
