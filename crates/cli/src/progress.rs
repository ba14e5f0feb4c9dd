//! A progress bar on standard error, for what takes longer than a second.
//!
//! Shown on a terminal only, and gone when the work is done.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::io::{AsyncRead, ReadBuf};

/// How far some work has come.
pub(crate) struct Meter {
    bar: ProgressBar,
    started: Instant,
    shown: AtomicBool,
}

impl Meter {
    /// A meter of `total` bytes, if that is known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            None => "{spinner} {bytes}, {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// `bytes` of the input are done.
    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
        let late = self.started.elapsed() > QUIET;
        if late && !self.shown.swap(true, Ordering::Relaxed) {
            // Draws nothing when standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A reader that tells a meter how much was read.
pub(crate) struct Metered<R> {
    inner: R,
    meter: Meter,
    read: u64,
}

impl<R> Metered<R> {
    pub(crate) fn new(inner: R, total: Option<u64>) -> Self {
        Self { inner, meter: Meter::new(total), read: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        self.read = self.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.meter.at(self.read);
        polled
    }
}

/// A sign of life on standard error, while something takes its time.
pub(crate) struct Busy(ProgressBar);

impl Busy {
    pub(crate) fn start() -> Self {
        // Draws nothing when standard error is no terminal.
        let spinner = ProgressBar::new_spinner().with_message("running …");
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(spinner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Work that is done by then needs no bar.
const QUIET: Duration = Duration::from_secs(1);
