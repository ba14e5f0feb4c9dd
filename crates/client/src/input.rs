//! Which message a run sends: its id, taken down as it passes.
//!
//! Between the caller's input and [`crate::exchange`]. A sealed result must say
//! that it was made from this very message; whoever relays the request can put
//! another one in its place.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use strongroom_envelope::name::{NAME_END, name};
use tokio::io::{AsyncRead, ReadBuf};

/// The name of the input that is being sent, once that much of it was read.
pub(crate) type InputId = OnceLock<Vec<u8>>;

/// An input whose message id is noted in `id` before the bytes that hold it are
/// handed on.
pub(crate) struct Named<'a, R> {
    inner: R,
    /// First bytes of the input, at most [`NAME_END`].
    start: Vec<u8>,
    id: &'a InputId,
}

impl<'a, R> Named<'a, R> {
    pub(crate) const fn new(inner: R, id: &'a InputId) -> Self {
        Self { inner, start: Vec::new(), id }
    }

    fn note(&mut self, bytes: &[u8]) {
        let missing = NAME_END.saturating_sub(self.start.len());
        if missing == 0 || self.id.get().is_some() {
            return;
        }
        self.start.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        if let Some(id) = name(&self.start) {
            self.id.get_or_init(|| id);
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Named<'_, R> {
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
