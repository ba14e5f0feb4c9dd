//! HPKE (RFC 9180), base mode, in the one suite of sealed results:
//! DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002.
//!
//! Called by the sealer and the opener only. X25519, HMAC, HKDF and AES-GCM are
//! aws-lc-rs's; this file is the RFC's glue between them. It exists because the
//! HPKE that rustls carries leaves plaintext and the Diffie-Hellman secret
//! behind in freed memory; here plaintext goes straight from the caller's
//! buffer to ciphertext and back, and every secret on the heap is erased.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::keys::{RecipientPublicKey, RecipientSecretKey};
use crate::secret::SecretBuf;

/// Bytes that a ciphertext is longer than its plaintext.
pub(super) const TAG_LEN: usize = 16;

/// The encapsulated key: the sender's ephemeral X25519 public key.
pub(super) type Enc = [u8; 32];

/// A key was not acceptable or a ciphertext did not open. Says no more.
#[derive(Debug)]
pub(super) struct Failed;

/// `SetupBaseS` (RFC 9180 section 5.1.1).
///
/// Refuses a recipient key of low order, which would make the secret known.
pub(super) fn setup_sender(
    recipient: &RecipientPublicKey,
    info: &[u8],
) -> Result<(Enc, Context), Failed> {
    let ephemeral = PrivateKey::generate(&X25519).map_err(|_| Failed)?;
    let enc = public_bytes(&ephemeral)?;
    let shared = shared_secret(&ephemeral, recipient.as_bytes(), &enc, recipient.as_bytes())?;
    Ok((enc, Context::new(&shared, info)?))
}

/// `SetupBaseR` (RFC 9180 section 5.1.1).
pub(super) fn setup_receiver(
    enc: &Enc,
    recipient: &RecipientSecretKey,
    info: &[u8],
) -> Result<Context, Failed> {
    let private = PrivateKey::from_private_key(&X25519, recipient.expose()).map_err(|_| Failed)?;
    let shared = shared_secret(&private, enc, enc, recipient.public_key().as_bytes())?;
    Context::new(&shared, info)
}

/// The public key that belongs to an X25519 secret key.
pub(super) fn public_key_of(secret: &[u8; 32]) -> Result<[u8; 32], Failed> {
    public_bytes(&PrivateKey::from_private_key(&X25519, secret).map_err(|_| Failed)?)
}

/// One direction of an established HPKE context: sealing or opening, in order.
pub(super) struct Context {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
    /// Messages so far. 64 bits do not run out, and running out is an error.
    sequence: u64,
}

impl Context {
    /// `KeySchedule` of base mode (RFC 9180 section 5.1).
    fn new(shared_secret: &[u8; 32], info: &[u8]) -> Result<Self, Failed> {
        let mut context = [0; 1 + 2 * HASH_LEN];
        let [mode, hashes @ ..] = &mut context;
        *mode = MODE_BASE;
        let (psk_id_hash, info_hash) = hashes.split_at_mut(HASH_LEN);
        psk_id_hash.copy_from_slice(labeled_extract(&[], SUITE_ID, b"psk_id_hash", &[]).as_ref());
        info_hash.copy_from_slice(labeled_extract(&[], SUITE_ID, b"info_hash", info).as_ref());

        let secret = labeled_extract(shared_secret, SUITE_ID, b"secret", &[]);
        let key = labeled_expand::<32>(&secret, SUITE_ID, b"key", &context)?;
        let base_nonce = labeled_expand(&secret, SUITE_ID, b"base_nonce", &context)?;
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| Failed)?;
        Ok(Self { key: LessSafeKey::new(key), base_nonce: *base_nonce, sequence: 0 })
    }

    /// Sequence number of the next message.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// `ContextS.Seal`: appends ciphertext and tag to `out`.
    pub(super) fn seal(
        &mut self,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let nonce = self.next_nonce()?;
        let start = out.len();
        out.resize(start.saturating_add(plaintext.len()), 0);
        let room = out.get_mut(start..).ok_or(Failed)?;
        let mut tag = [0; TAG_LEN];
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, room, &[], &mut tag)
            .map_err(|_| Failed)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// `ContextR.Open`: appends the plaintext to `out`; nothing when it fails.
    pub(super) fn open(
        &mut self,
        aad: &[u8],
        ciphertext: &[u8],
        out: &mut SecretBuf,
    ) -> Result<(), Failed> {
        let nonce = self.next_nonce()?;
        let (ciphertext, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Failed)?;
        let start = out.len();
        let room = out.grow(ciphertext.len());
        let opened = self.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, room);
        opened.map_err(|_| {
            out.truncate(start);
            Failed
        })
    }

    /// `ComputeNonce` and `IncrementSeq` (RFC 9180 section 5.2) in one step, so
    /// that no nonce comes out twice.
    fn next_nonce(&mut self) -> Result<Nonce, Failed> {
        let mut nonce = self.base_nonce;
        for (byte, count) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= count;
        }
        self.sequence = self.sequence.checked_add(1).ok_or(Failed)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// DHKEM's `ExtractAndExpand` over the Diffie-Hellman of `ours` and `theirs`
/// (RFC 9180 section 4.1). aws-lc-rs refuses an all-zero result (section 7.1.4).
fn shared_secret(
    ours: &PrivateKey,
    theirs: &[u8; 32],
    enc: &Enc,
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, Failed> {
    let mut kem_context = [0; 64];
    let (first, second) = kem_context.split_at_mut(32);
    first.copy_from_slice(enc);
    second.copy_from_slice(recipient);
    agree(ours, UnparsedPublicKey::new(&X25519, theirs), Failed, |dh| {
        let eae_prk = labeled_extract(&[], KEM_SUITE_ID, b"eae_prk", dh);
        labeled_expand(&eae_prk, KEM_SUITE_ID, b"shared_secret", &kem_context)
    })
}

fn public_bytes(key: &PrivateKey) -> Result<[u8; 32], Failed> {
    key.compute_public_key().map_err(|_| Failed)?.as_ref().try_into().map_err(|_| Failed)
}

/// `LabeledExtract` (RFC 9180 section 4); HKDF-Extract is HMAC keyed by the salt.
fn labeled_extract(salt: &[u8], suite_id: &[u8], label: &[u8], ikm: &[u8]) -> hmac::Tag {
    let mut extract = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in [VERSION_LABEL, suite_id, label, ikm] {
        extract.update(part);
    }
    extract.sign()
}

/// `LabeledExpand` (RFC 9180 section 4) to `N` bytes.
fn labeled_expand<const N: usize>(
    prk: &hmac::Tag,
    suite_id: &[u8],
    label: &[u8],
    info: &[u8],
) -> Result<Zeroizing<[u8; N]>, Failed> {
    let length = u16::try_from(N).map_err(|_| Failed)?.to_be_bytes();
    let info = [&length, VERSION_LABEL, suite_id, label, info];
    let prk = Prk::new_less_safe(HKDF_SHA256, prk.as_ref());
    let mut key = Zeroizing::new([0; N]);
    let expanded = prk.expand(&info, Length(N)).map_err(|_| Failed)?;
    expanded.fill(key.as_mut()).map_err(|_| Failed)?;
    Ok(key)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const MODE_BASE: u8 = 0;
const HASH_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const VERSION_LABEL: &[u8] = b"HPKE-v1";
/// "KEM", then the KEM's id.
const KEM_SUITE_ID: &[u8] = b"KEM\x00\x20";
/// "HPKE", then the ids of KEM, KDF and AEAD.
const SUITE_ID: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x02";

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9180 appendix A.1.1. The KEM is the same for every AEAD; the key
    /// schedule of this suite has no vector there and is compared with two other
    /// implementations in `tests/seal.rs`.
    #[test]
    fn kem_gives_the_shared_secret_of_the_rfc() {
        let bytes = |hex| <[u8; 32]>::try_from(hex::decode(hex).unwrap()).unwrap();
        let enc = bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        let pk_r = bytes("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
        let sk_r = bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
        let sk_e = bytes("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736");
        let expected = bytes("fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc");

        assert_eq!(public_key_of(&sk_r).unwrap(), pk_r);
        assert_eq!(public_key_of(&sk_e).unwrap(), enc);
        let private = |bytes| PrivateKey::from_private_key(&X25519, bytes).unwrap();
        let received = shared_secret(&private(&sk_r), &enc, &enc, &pk_r).unwrap();
        let sent = shared_secret(&private(&sk_e), &pk_r, &enc, &pk_r).unwrap();
        assert_eq!((*received, *sent), (expected, expected));
    }

    #[test]
    fn nonces_count_up_from_the_base_and_never_run_over() {
        let mut context = Context::new(&[7; 32], b"").unwrap();
        let base = context.base_nonce;
        let nonce = |context: &mut Context| context.next_nonce().map(|nonce| *nonce.as_ref());
        assert_eq!(nonce(&mut context).unwrap(), base);
        let mut one = base;
        one[11] ^= 1;
        assert_eq!(nonce(&mut context).unwrap(), one);
        context.sequence = (1 << 32) + 5;
        let mut wide = base;
        wide[11] ^= 5;
        wide[7] ^= 1;
        assert_eq!(nonce(&mut context).unwrap(), wide);
        context.sequence = u64::MAX;
        assert!(context.next_nonce().is_err());
        assert!(context.next_nonce().is_err());
    }
}
