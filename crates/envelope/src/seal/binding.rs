//! What a sealed stream is bound to, and the two hashes that bind it.
//!
//! Every input is length-prefixed and every hash starts with its own domain, so
//! two different bindings never hash alike. Pure; used by sealer and opener.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};

use super::hpke::Enc;
use super::keys::RecipientPublicKey;
use super::{MAGIC, MAX_INPUT_ID_LEN, USER_DATA_LEN};

/// The request that a result answers, and the input that it was made from.
///
/// Whoever opens a stream says which request it must answer and from what; any
/// other stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The client's id for the request.
    pub request_id: [u8; 16],
    /// Name of the job that ran.
    pub job: &'a str,
    /// The arguments it ran with.
    pub args: &'a BTreeMap<String, String>,
    /// Id of the input that was opened: of an AWS Encryption SDK message the
    /// message id. 1 to [`MAX_INPUT_ID_LEN`] bytes.
    pub input: &'a [u8],
    /// The client's nonce, when it sent one.
    pub nonce: Option<&'a [u8]>,
    /// Whether the plaintext ends in padding ([`crate::padding`]).
    pub padded: bool,
}

impl Binding<'_> {
    /// HPKE's `info`: a hash of the binding (RFC 9180 section 7.2.1 asks for
    /// short ones).
    pub(super) fn info(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        hash.update(INFO_DOMAIN);
        hash.update(&self.request_id);
        update_sized(&mut hash, self.job.as_bytes());
        update_length(&mut hash, self.args.len());
        for (name, value) in self.args {
            update_sized(&mut hash, name.as_bytes());
            update_sized(&mut hash, value.as_bytes());
        }
        update_sized(&mut hash, self.input);
        hash.update(&[u8::from(self.nonce.is_some())]);
        update_sized(&mut hash, self.nonce.unwrap_or_default());
        hash.update(&[u8::from(self.padded)]);
        finish(hash)
    }
}

/// Whether an input can have this id.
pub(super) const fn is_input_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_INPUT_ID_LEN
}

/// The `user_data` of the attestation document that goes with a stream.
pub(super) fn user_data(
    enc: &Enc,
    recipient: &RecipientPublicKey,
    info: &[u8; 32],
) -> [u8; USER_DATA_LEN] {
    let mut hash = Context::new(&SHA256);
    hash.update(USER_DATA_DOMAIN);
    hash.update(enc);
    hash.update(recipient.as_bytes());
    hash.update(info);
    let mut user_data = [0; USER_DATA_LEN];
    let (tag, digest) = user_data.split_at_mut(MAGIC.len());
    tag.copy_from_slice(&MAGIC);
    digest.copy_from_slice(&finish(hash));
    user_data
}

fn update_sized(hash: &mut Context, bytes: &[u8]) {
    update_length(hash, bytes.len());
    hash.update(bytes);
}

#[expect(clippy::expect_used, reason = "usize has at most 64 bits on every target Rust has")]
fn update_length(hash: &mut Context, length: usize) {
    hash.update(&u64::try_from(length).expect("usize fits u64").to_be_bytes());
}

#[expect(clippy::expect_used, reason = "SHA-256 gives 32 bytes")]
fn finish(hash: Context) -> [u8; 32] {
    hash.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

const INFO_DOMAIN: &[u8] = b"strongroom sealed result v1: info\0";
const USER_DATA_DOMAIN: &[u8] = b"strongroom sealed result v1: attested\0";
