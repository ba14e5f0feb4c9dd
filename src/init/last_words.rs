//! One line to the parent about why an enclave has ended.
//!
//! A production enclave's console cannot be read, so the line goes to a vsock
//! port of the parent. It comes from an error's text, which names kinds and
//! never content.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use vsock::{VsockAddr, VsockStream};

/// Tells the parent, as far as it listens; takes a second at most.
pub(crate) fn tell_parent(line: &str) {
    let line = format!("{line}\n");
    let (sender, done) = mpsc::channel();
    // On a thread: a parent that does not answer must not hold up the end.
    let told = std::thread::Builder::new().spawn(move || {
        let told =
            VsockStream::connect(&VsockAddr::new(PARENT_CID, PORT)).and_then(|mut stream| {
                stream.write_all(line.as_bytes())?;
                stream.shutdown(std::net::Shutdown::Write)?;
                // The parent closes once it has read it. What it has not taken
                // when the machine ends may be lost with the machine.
                stream.read(&mut [0])
            });
        let _ = sender.send(told.is_ok());
    });
    if told.is_ok() {
        let _ = done.recv_timeout(PATIENCE);
    }
}

/// A text as one line of printable characters, of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let printable = text.trim().chars().map(|char| if char.is_control() { ' ' } else { char });
    printable.take(MAX_CHARS).collect()
}

/// The parent's context id.
pub(crate) const PARENT_CID: u32 = 3;

/// Where the parent may listen for it.
const PORT: u32 = 9001;

const PATIENCE: Duration = Duration::from_secs(1);
const MAX_CHARS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_it_becomes_one_printable_line() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m\0"), "a b c [31m ");
        assert_eq!(one_line("  x \n"), "x");
        assert_eq!(one_line(&"y".repeat(5000)).len(), MAX_CHARS);
    }
}
