//! Takes the padding off a result that was opened.
//!
//! For readers of results whose job has `pad_to`: an AWS Encryption SDK message
//! says so in its encryption context ([`PADDING_KEY`], [`PADDING_VALUE`]). Works
//! on plaintext that has been authenticated; a changed byte was found before.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::padding::{self, Unpadder};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::answer::len;
use crate::error::Error;

/// Name in the encryption context of a padded result.
pub const PADDING_KEY: &str = padding::CONTEXT_KEY;

/// Its value: ISO/IEC 7816-4.
pub const PADDING_VALUE: &str = padding::CONTEXT_VALUE;

/// Writes plaintext on without its padding, in constant memory.
pub struct Unpad<W> {
    output: W,
    unpadder: Unpadder,
    piece: SecretBuf,
}

impl<W: AsyncWrite + Unpin> Unpad<W> {
    /// At the start of a result that goes to `output`.
    pub fn new(output: W) -> Self {
        Self { output, unpadder: Unpadder::new(), piece: SecretBuf::new() }
    }

    /// Takes the next bytes of plaintext, and gives the number of bytes written:
    /// what may be padding is held back.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub async fn write(&mut self, mut plaintext: &[u8]) -> Result<u64, Error> {
        let mut written = 0_u64;
        while !plaintext.is_empty() {
            self.piece.clear();
            let taken = self.unpadder.feed(plaintext, &mut self.piece);
            plaintext = plaintext.get(taken..).unwrap_or_default();
            self.output.write_all(self.piece.expose()).await.map_err(Error::Output)?;
            written = written.saturating_add(len(self.piece.expose()));
        }
        Ok(written)
    }

    /// The result has ended.
    ///
    /// # Errors
    /// [`Error::Padding`] unless it ended in a padding: it is not whole, or was
    /// not padded. [`Error::Output`].
    pub async fn finish(mut self) -> Result<(), Error> {
        self.unpadder.finish().map_err(Error::Padding)?;
        self.output.flush().await.map_err(Error::Output)
    }
}

impl<W> std::fmt::Debug for Unpad<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpad")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpad(pieces: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut output = Vec::new();
            let mut written = 0;
            let mut unpad = Unpad::new(&mut output);
            for piece in pieces {
                written += unpad.write(piece).await?;
            }
            unpad.finish().await?;
            assert_eq!(written, u64::try_from(output.len()).unwrap());
            Ok(output)
        })
    }

    #[test]
    fn a_result_without_a_padding_is_not_whole() {
        for bad in [&b""[..], b"abc", b"abc\0\0", b"\x80\0x", b"\x80\0\x01"] {
            assert!(matches!(unpad(&[bad]), Err(Error::Padding(_))), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_data_without_its_padding(
            data in prop::collection::vec(prop_oneof![Just(0x80), Just(0), any::<u8>()], 0..40),
            zeros in 0_usize..200_000,
            at in any::<prop::sample::Index>(),
        ) {
            let padded = [&data[..], &[0x80], &vec![0; zeros]].concat();
            let (one, two) = padded.split_at(at.index(padded.len()));
            prop_assert_eq!(unpad(&[one, two]).unwrap(), data);
        }

        #[test]
        fn zeros_that_were_data_come_back(zeros in 0_usize..200_000) {
            let data = [&[0x80][..], &vec![0; zeros], b"x"].concat();
            prop_assert_eq!(unpad(&[&data, b"\x80"]).unwrap(), data);
        }
    }
}
