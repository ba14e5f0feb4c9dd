//! The PCRs that Nitro will show for an image.

use aws_lc_rs::digest::{Context, SHA384};

/// PCR values, as the image format's specification defines them: each is
/// SHA-384(48 zero bytes ‖ SHA-384(content)), over the data of sections alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// Kernel, command line and all ramdisks: the whole image.
    pub pcr0: [u8; 48],
    /// Kernel, command line and the first ramdisk.
    pub pcr1: [u8; 48],
    /// The ramdisks after the first.
    pub pcr2: [u8; 48],
    /// The signing certificate, DER; only of a signed image.
    pub pcr8: Option<[u8; 48]>,
}

impl Measurements {
    pub(crate) fn of(
        kernel: &[u8],
        cmdline: &[u8],
        ramdisks: &[&[u8]],
        certificate: Option<&[u8]>,
    ) -> Self {
        let (first, later) = ramdisks.split_at(1.min(ramdisks.len()));
        let boot = [kernel, cmdline];
        Self {
            pcr0: pcr(boot.iter().chain(ramdisks)),
            pcr1: pcr(boot.iter().chain(first)),
            pcr2: pcr(later),
            pcr8: certificate.map(|der| pcr(&[der])),
        }
    }

    /// The values by PCR index.
    pub fn by_index(&self) -> impl Iterator<Item = (u8, &[u8; 48])> {
        let unsigned = [(0, &self.pcr0), (1, &self.pcr1), (2, &self.pcr2)];
        unsigned.into_iter().chain(self.pcr8.as_ref().map(|pcr8| (8, pcr8)))
    }
}

pub(crate) fn pcr<'a>(content: impl IntoIterator<Item = &'a &'a [u8]>) -> [u8; 48] {
    let mut inner = Context::new(&SHA384);
    for piece in content {
        inner.update(piece);
    }
    let mut outer = Context::new(&SHA384);
    outer.update(&[0; 48]);
    outer.update(inner.finish().as_ref());
    let mut pcr = [0; 48];
    for (slot, byte) in pcr.iter_mut().zip(outer.finish().as_ref()) {
        *slot = *byte;
    }
    pcr
}
