//! The name of an input: what a sealed result says it was made from.
//!
//! Known from the first bytes, so that a result can be bound to it before the
//! rest has come. Used by the service, and by clients to know what to expect.

use crate::esdk::{self, MESSAGE_ID_END};
use crate::plain;

/// The name of an input that is no ciphertext as a whole: it has none of its own.
pub const UNNAMED: &[u8] = b"-";

/// Most bytes of an input that its name depends on.
pub const NAME_END: usize = plain::MAX_HEADER_LEN;

/// The name of the input that begins with `start`: of an Encryption SDK message
/// its message id, of a plain envelope its nonce, else [`UNNAMED`]. `None` when
/// more bytes have to arrive first.
///
/// Nothing is authenticated.
#[must_use]
pub fn name(start: &[u8]) -> Option<Vec<u8>> {
    match start {
        [] => None,
        [1 | 2, ..] => match esdk::message_id(start) {
            Some(id) => Some(id.as_ref().to_vec()),
            None if start.len() < MESSAGE_ID_END => None,
            None => Some(UNNAMED.to_vec()),
        },
        _ => match plain::Header::parse(start, &plain::Limits::DEFAULT) {
            Ok(Some((header, _))) => Some(header.nonce().to_vec()),
            Ok(None) => None,
            Err(_) => Some(UNNAMED.to_vec()),
        },
    }
}

/// What a sealed result calls an input of this name: an input without a name of
/// its own is called by its SHA-256, where the request demands one.
#[must_use]
pub fn name_or_digest(name: &[u8], digest: Option<&[u8; 32]>) -> Vec<u8> {
    match digest {
        Some(digest) if name == UNNAMED => digest.to_vec(),
        Some(_) | None => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_input_has_its_name() {
        let v2 = [&[2, 4, 0x78][..], &[7; 32]].concat();
        let v1 = [&[1, 0x80, 1, 0x78][..], &[8; 16]].concat();
        let envelope = [b"SRP1\0\x03edk", &[9; 12][..]].concat();
        for (whole, wanted) in [(&v2, vec![7; 32]), (&v1, vec![8; 16]), (&envelope, vec![9; 12])] {
            for len in 0..whole.len() {
                assert_eq!(name(&whole[..len]), None, "{len}");
            }
            assert_eq!(name(whole), Some(wanted));
        }
        for clear in [&b"name,pan\n"[..], b"{}", b"SRX", b"[", b"\xef\xbb\xbf", b"S,R"] {
            assert_eq!(name(clear).as_deref(), Some(UNNAMED));
        }
    }
}
