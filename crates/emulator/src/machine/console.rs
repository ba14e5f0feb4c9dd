//! What the guest writes to its console, line by line.
//!
//! Fed by `process.rs`, read by whoever holds the machine. The guest is
//! untrusted: control characters are left out, and only the newest lines are
//! kept.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The console of one machine.
#[derive(Debug, Default)]
pub(super) struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// Bytes in `lines`.
    bytes: usize,
    /// Lines that came before the first of `lines`, and are gone.
    forgotten: u64,
    unfinished: Vec<u8>,
    closed: bool,
}

impl Console {
    /// Takes what the guest wrote next.
    pub(super) fn feed(&self, bytes: &[u8]) {
        let mut state = self.state();
        for &byte in bytes {
            if byte != b'\n' {
                state.unfinished.push(byte);
            }
            if byte == b'\n' || state.unfinished.len() >= MAX_LINE_LEN {
                state.finish_line();
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if !state.unfinished.is_empty() {
            state.finish_line();
        }
        state.closed = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Everything that is kept, the unfinished line included.
    pub(super) fn text(&self) -> String {
        let state = self.state();
        let unfinished = plain(&state.unfinished);
        let lines = state.lines.iter().map(String::as_str);
        lines.chain([unfinished.as_str()]).collect::<Vec<_>>().join("\n")
    }

    /// The newest lines.
    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        let state = self.state();
        let skipped = state.lines.len().saturating_sub(lines);
        state.lines.iter().skip(skipped).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn finish_line(&mut self) {
        let line = plain(&std::mem::take(&mut self.unfinished));
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back(line);
        while self.bytes > MAX_LEN || self.lines.len() > MAX_LINES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.len());
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }
}

/// Follows a console: every line that is kept and every one that comes, until
/// the machine has ended. Waits for the next line.
#[derive(Debug)]
pub struct ConsoleLines {
    console: Arc<Console>,
    /// Number of the next line, from the machine's start.
    next: u64,
}

impl ConsoleLines {
    pub(super) fn new(console: &Arc<Console>) -> Self {
        Self { console: console.clone(), next: 0 }
    }
}

impl Iterator for ConsoleLines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut state = self.console.state();
        loop {
            self.next = self.next.max(state.forgotten);
            let at = usize::try_from(self.next.saturating_sub(state.forgotten)).ok()?;
            if let Some(line) = state.lines.get(at) {
                self.next = self.next.saturating_add(1);
                return Some(line.clone());
            }
            if state.closed {
                return None;
            }
            state = self.console.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Text without control characters, tabs aside: a guest shall not steer the
/// terminal of whoever reads it.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|char| *char == '\t' || !char.is_control()).collect()
}

/// Longest line, in bytes; what is longer is cut into several.
const MAX_LINE_LEN: usize = 16 << 10;
/// Most bytes kept: a boot writes some 20 KiB.
const MAX_LEN: usize = 4 << 20;
/// Most lines kept, empty ones being bytes of the keeper's too.
const MAX_LINES: usize = 100_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_come_as_they_are_finished_and_the_last_at_the_end() {
        let console = Arc::new(Console::default());
        let following = std::thread::spawn({
            let lines = ConsoleLines::new(&console);
            move || lines.collect::<Vec<_>>()
        });
        console.feed(b"one\r\ntw");
        assert_eq!(console.text(), "one\ntw");
        console.feed(b"o\r\nthr");
        console.close();
        assert_eq!(following.join().unwrap(), ["one", "two", "thr"]);
        assert_eq!(console.tail(2), ["two", "thr"]);
        assert!(ConsoleLines::new(&console).eq(["one", "two", "thr"]), "another starts over");
    }

    #[test]
    fn a_guest_cannot_steer_the_terminal() {
        let console = Console::default();
        console.feed(b"\x1b[2J\x07a\tb\xff\xc2\x9b\n");
        assert_eq!(console.text(), "[2Ja\tb\u{fffd}\n");
    }

    #[test]
    fn a_guest_that_writes_without_end_is_forgotten_from_the_front() {
        let console = Arc::new(Console::default());
        console.feed(&vec![b'x'; 3 * MAX_LEN]);
        assert!(console.text().len() <= MAX_LEN + MAX_LEN / MAX_LINE_LEN + 1);
        console.feed(&vec![b'\n'; 3 * MAX_LINES]);
        assert!(console.text().len() <= MAX_LINES);
        console.feed(b"\nlast\n");
        console.close();
        assert_eq!(ConsoleLines::new(&console).last().unwrap(), "last");
    }

    #[test]
    fn who_follows_too_slowly_misses_the_oldest_lines_and_sees_none_twice() {
        let console = Arc::new(Console::default());
        let mut lines = ConsoleLines::new(&console);
        console.feed(b"first\n");
        assert_eq!(lines.next().unwrap(), "first");
        let all = 0..MAX_LINES + 5;
        console.feed(all.clone().map(|line| format!("{line}\n")).collect::<String>().as_bytes());
        console.close();
        assert!(lines.eq(all.skip(5).map(|line| line.to_string())));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in any::<proptest::sample::Index>(),
        ) {
            let cut = cut.index(bytes.len() + 1);
            let lines = |pieces: &[&[u8]]| {
                let console = Arc::new(Console::default());
                for piece in pieces {
                    console.feed(piece);
                }
                console.close();
                ConsoleLines::new(&console).collect::<Vec<_>>()
            };
            prop_assert_eq!(lines(&[&bytes[..cut], &bytes[cut..]]), lines(&[&bytes]));
        }
    }
}
