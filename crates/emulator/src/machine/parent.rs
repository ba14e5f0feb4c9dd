//! The parent's ports that a machine answers at itself.
//!
//! 9000 is the boot heartbeat, which nitro-cli answers on real hardware: the
//! guest sends one byte and gets it back. 9001 takes the last words of a guest
//! that gives up: one line of text a connection. Trusts nothing that comes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::console::plain;
use super::life::Life;
use super::listening::Listening;
use crate::vsock::port_path;

/// The two listeners. Dropped, they end.
#[derive(Debug)]
pub(super) struct ParentPorts {
    _heartbeat: Listening,
    _last_words: Listening,
}

impl ParentPorts {
    /// Listens beside the host socket `socket`.
    pub(super) fn start(socket: &Path, life: &Arc<Life>) -> io::Result<Self> {
        let heartbeat = Listening::start(&port_path(socket, HEARTBEAT_PORT), {
            let life = life.clone();
            move |stream| {
                if echo_heartbeat(stream).is_ok() {
                    life.heartbeat();
                }
            }
        })?;
        let last_words = Listening::start(&last_words_path(socket), {
            let life = life.clone();
            move |stream| life.say_some(&line(stream))
        })?;
        Ok(Self { _heartbeat: heartbeat, _last_words: last_words })
    }
}

/// Where last words arrive.
pub(super) fn last_words_path(socket: &Path) -> PathBuf {
    port_path(socket, LAST_WORDS_PORT)
}

impl Life {
    fn say_some(&self, words: &str) {
        if !words.is_empty() {
            self.say(words.to_owned());
        }
    }
}

fn echo_heartbeat(mut stream: &UnixStream) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    if byte != [HEARTBEAT] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&byte)
}

/// What comes before the end of the line, the end of the stream or the deadline.
fn line(stream: &UnixStream) -> String {
    let mut line = Vec::new();
    for byte in io::BufReader::new(stream).bytes().take(MAX_WORDS_LEN) {
        match byte {
            Ok(b'\n') | Err(_) => break,
            Ok(byte) => line.push(byte),
        }
    }
    plain(&line)
}

/// nitro-cli's port for the boot heartbeat, and its byte.
const HEARTBEAT_PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xb7;
/// strongroom's port for the last words of a guest.
const LAST_WORDS_PORT: u32 = 9001;
/// Longest last words, in bytes.
const MAX_WORDS_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::life::Outcome;
    use crate::machine::listening::drain;

    struct Parent {
        dir: tempfile::TempDir,
        life: Arc<Life>,
        _ports: ParentPorts,
    }

    impl Parent {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let life = Arc::new(Life::begin());
            let ports = ParentPorts::start(&dir.path().join("vm"), &life).unwrap();
            Self { dir, life, _ports: ports }
        }

        fn connect(&self, port: u32) -> UnixStream {
            UnixStream::connect(self.dir.path().join(format!("vm_{port}"))).unwrap()
        }

        fn words(&self) -> Vec<String> {
            drain(&last_words_path(&self.dir.path().join("vm")));
            self.life.last_words()
        }
    }

    #[test]
    fn the_heartbeat_comes_back_and_is_known() {
        let parent = Parent::new();
        let mut stream = parent.connect(9000);
        stream.write_all(&[0xb7]).unwrap();
        let mut back = [0];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [0xb7]);
        let outcome = parent.life.await_heartbeat(Duration::from_secs(10));
        assert!(matches!(outcome, Outcome::Heartbeat(_)));
    }

    #[test]
    fn another_byte_or_none_is_no_heartbeat() {
        let parent = Parent::new();
        drop(parent.connect(9000));
        let mut stream = parent.connect(9000);
        stream.write_all(&[0xb6]).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        let outcome = parent.life.await_heartbeat(Duration::from_millis(20));
        assert_eq!(outcome, Outcome::Nothing);
    }

    #[test]
    fn last_words_are_a_line_each_and_nothing_is_nothing() {
        let parent = Parent::new();
        for words in [&b"the module did not answer\nand more"[..], b"", b"\n", b"cut \x1bsh"] {
            parent.connect(9001).write_all(words).unwrap();
        }
        assert_eq!(parent.words(), ["the module did not answer", "cut sh"]);
    }

    #[test]
    fn words_without_end_are_cut() {
        let parent = Parent::new();
        // The other side closes after what it takes.
        let _ = parent.connect(9001).write_all(&[b'x'; 3 * MAX_WORDS_LEN]);
        for _ in 0..100 {
            let _ = parent.connect(9001).write_all(b"again\n");
        }
        let words = parent.words();
        assert_eq!((words.len(), words[0].len()), (64, MAX_WORDS_LEN));
    }
}
