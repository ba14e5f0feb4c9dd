//! Opens a sealed stream as it arrives. Runs with the data owner, who trusts
//! neither the parent nor the stream.

use subtle::ConstantTimeEq;

use super::binding::Binding;
use super::header::StreamHeader;
use super::hpke::{self, Context, TAG_LEN};
use super::keys::RecipientSecretKey;
use super::{FINAL, MAX_CHUNK_LEN, OpenError, aad};
use crate::secret::SecretBuf;

/// Opens the chunks that follow a header. After an error it opens nothing more.
pub struct Opener {
    state: State,
}

enum State {
    Chunks(Context),
    Finished,
    Failed,
}

impl Opener {
    /// Checks what `header` claims and prepares to open what follows it.
    ///
    /// `expected` is the request that the stream must answer and the input that
    /// it must be made from. Who opens a stored stream and has no other record
    /// of them looks at
    /// [`StreamHeader::binding`] and passes that.
    ///
    /// `verified_user_data` is the `user_data` of [`StreamHeader::attestation`]
    /// **after** the caller verified that document: signature, certificate chain
    /// to the pinned root, and PCRs. Passing anything else gives up the proof
    /// that the enclave made the stream.
    ///
    /// # Errors
    /// [`OpenError::OtherRequest`], [`OpenError::OtherInput`],
    /// [`OpenError::NotAttested`], or [`OpenError::OpenFailed`] when the
    /// encapsulated key is of low order.
    pub fn new(
        header: &StreamHeader,
        expected: &Binding<'_>,
        secret: &RecipientSecretKey,
        verified_user_data: &[u8],
    ) -> Result<Self, OpenError> {
        let claimed = header.binding();
        if (Binding { input: expected.input, ..claimed }) != *expected {
            return Err(OpenError::OtherRequest);
        }
        if claimed.input != expected.input {
            return Err(OpenError::OtherInput);
        }
        let user_data = header.expected_user_data(secret.public_key());
        if !bool::from(user_data.ct_eq(verified_user_data)) {
            return Err(OpenError::NotAttested);
        }
        let context = hpke::setup_receiver(header.enc(), secret, &expected.info());
        let context = context.map_err(|hpke::Failed| OpenError::OpenFailed)?;
        Ok(Self { state: State::Chunks(context) })
    }

    /// Opens every whole chunk at the start of `input`, appends the plaintext to
    /// `out`, and says how many bytes of `input` it took. The caller gives the
    /// rest again, with more behind it.
    ///
    /// Each chunk that comes out is authentic, but only a successful
    /// [`Self::finish`] says that the result is complete.
    ///
    /// # Errors
    /// [`OpenError::OpenFailed`] for every reason there is. Chunks of the same
    /// call that opened before it stay in `out`.
    pub fn open(&mut self, input: &[u8], out: &mut SecretBuf) -> Result<usize, OpenError> {
        let mut rest = input;
        // Left behind by every early return.
        let mut state = std::mem::replace(&mut self.state, State::Failed);
        loop {
            let mut context = match state {
                State::Chunks(context) => context,
                State::Finished if rest.is_empty() => break,
                State::Finished | State::Failed => return Err(OpenError::OpenFailed),
            };
            let Some((chunk, behind)) = Chunk::split(rest)? else {
                state = State::Chunks(context);
                break;
            };
            let aad = aad(context.sequence(), chunk.last);
            let opened = context.open(&aad, chunk.ciphertext, out);
            opened.map_err(|hpke::Failed| OpenError::OpenFailed)?;
            rest = behind;
            state = if chunk.last { State::Finished } else { State::Chunks(context) };
        }
        self.state = state;
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// Says whether the stream was whole. Without this `Ok`, what came out must
    /// not be used.
    ///
    /// # Errors
    /// [`OpenError::OpenFailed`] when the final chunk has not been opened.
    pub fn finish(self) -> Result<(), OpenError> {
        match self.state {
            State::Finished => Ok(()),
            State::Chunks(_) | State::Failed => Err(OpenError::OpenFailed),
        }
    }
}

struct Chunk<'a> {
    last: bool,
    ciphertext: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The chunk at the start of `input` and what is behind it; `None` when more
    /// bytes are needed.
    fn split(input: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, OpenError> {
        let Some((&head, rest)) = input.split_first_chunk() else { return Ok(None) };
        let head = u32::from_be_bytes(head);
        let length = usize::try_from(head & !FINAL).unwrap_or(usize::MAX);
        if !(TAG_LEN..=MAX_CHUNK_LEN.saturating_add(TAG_LEN)).contains(&length) {
            return Err(OpenError::OpenFailed);
        }
        let chunk = rest.split_at_checked(length);
        Ok(chunk.map(|(ciphertext, rest)| (Self { last: head & FINAL != 0, ciphertext }, rest)))
    }
}
