//! The PCRs that Nitro will show for an image.

use aws_lc_rs::digest::{Context, SHA384};

use crate::header::SectionType;

/// PCR values, as the image format's specification defines them: each is
/// SHA-384(48 zero bytes ‖ SHA-384(content)), over the data of sections alone, in
/// the order in which they stand in the file.
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
    /// Over kernel, command line and ramdisks in the order of the file.
    pub(crate) fn of(sections: &[(SectionType, &[u8])], certificate: Option<&[u8]>) -> Self {
        let mut ramdisks = 0_usize;
        let later = |kind: SectionType, ramdisks: &mut usize| {
            *ramdisks += usize::from(kind == SectionType::Ramdisk);
            *ramdisks > 1 && kind == SectionType::Ramdisk
        };
        let (app, boot): (Vec<_>, Vec<_>) =
            sections.iter().partition(|(kind, _)| later(*kind, &mut ramdisks));
        let data = |sections: &[&(SectionType, &[u8])]| pcr(sections.iter().map(|(_, data)| data));
        Self {
            pcr0: pcr(sections.iter().map(|(_, data)| data)),
            pcr1: data(&boot),
            pcr2: data(&app),
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
