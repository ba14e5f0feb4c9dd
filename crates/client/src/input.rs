//! What a run is given: one input or two, and what is noted of each as it passes.
//!
//! Between the caller's readers and [`crate::exchange`]. A sealed result must say
//! that it was made from this very message, and a receipt that it was made from
//! these very bytes; whoever relays the request can put others in their place.

use std::fmt;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use strongroom_envelope::name::{NAME_END, UNNAMED, name};
use tokio::io::{AsyncRead, ReadBuf};

use crate::digest::Sha256;

/// What a job runs over: for most jobs one reader, which needs no mention of
/// this type; for a job with two inputs [`Inputs::two`].
pub struct Inputs<'a> {
    first: Reader<'a>,
    second: Option<Reader<'a>>,
}

type Reader<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

impl<'a> Inputs<'a> {
    /// Two inputs, in the order in which the manifest has them. They are sent one
    /// after the other.
    pub fn two(
        first: impl AsyncRead + Send + Unpin + 'a,
        second: impl AsyncRead + Send + Unpin + 'a,
    ) -> Self {
        Self { first: Box::new(first), second: Some(Box::new(second)) }
    }

    /// The inputs with their notes, as they are to be sent; with their digests if
    /// `hashed`.
    pub(crate) fn noted(self, notes: &'a [Notes; 2], hashed: bool) -> Vec<Noted<'a>> {
        let readers = [Some(self.first), self.second].into_iter().flatten();
        readers.zip(notes).map(|(reader, notes)| Noted::new(reader, notes, hashed)).collect()
    }

    pub(crate) const fn count(&self) -> usize {
        if self.second.is_some() { 2 } else { 1 }
    }
}

impl<'a, R: AsyncRead + Send + Unpin + 'a> From<R> for Inputs<'a> {
    fn from(reader: R) -> Self {
        Self { first: Box::new(reader), second: None }
    }
}

impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inputs({})", self.count())
    }
}

/// What is known of an input that is being sent.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Its name, once that much of it was read.
    pub(crate) name: OnceLock<Vec<u8>>,
    /// SHA-256 of its bytes, once all were read, where it is asked for.
    pub(crate) sha256: OnceLock<[u8; 32]>,
}

/// An input that is noted down before its bytes are handed on.
pub(crate) struct Noted<'a> {
    inner: Reader<'a>,
    /// First bytes of the message, at most [`NAME_END`].
    start: Vec<u8>,
    /// Where it is asked for.
    digest: Option<Sha256>,
    notes: &'a Notes,
}

impl<'a> Noted<'a> {
    fn new(inner: Reader<'a>, notes: &'a Notes, hashed: bool) -> Self {
        Self { inner, start: Vec::new(), digest: hashed.then(Sha256::new), notes }
    }

    fn note(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            if let Some(digest) = self.digest.take() {
                self.notes.sha256.get_or_init(|| digest.finish());
            }
            self.notes.name.get_or_init(|| UNNAMED.to_vec());
            return;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        let missing = NAME_END.saturating_sub(self.start.len());
        if missing == 0 || self.notes.name.get().is_some() {
            return;
        }
        self.start.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        if let Some(name) = name(&self.start) {
            self.notes.name.get_or_init(|| name);
        }
    }
}

impl AsyncRead for Noted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.note(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}
