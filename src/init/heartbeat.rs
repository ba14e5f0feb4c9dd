//! The heartbeat by which nitro-cli knows that an enclave has booted: one byte
//! to port 9000 of the parent, and the same byte back (AWS's own init does so).

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use vsock::{VsockAddr, VsockStream};

use super::InitError;
use super::last_words::PARENT_CID;
use super::pause;

/// Sends it. The parent listens before it starts an enclave; a few tries are
/// for a machine whose devices are slow to come up.
pub(super) fn send() -> Result<(), InitError> {
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for _ in 0..TRIES {
        match once() {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
        pause(PAUSE);
    }
    Err(InitError::Heartbeat(last))
}

fn once() -> io::Result<()> {
    let mut stream = VsockStream::connect(&VsockAddr::new(PARENT_CID, PORT))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    exchange(&mut stream)
}

fn exchange(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&[BEAT])?;
    let mut back = [0];
    stream.read_exact(&mut back)?;
    match back == [BEAT] {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::InvalidData, "it sent another byte back")),
    }
}

const PORT: u32 = 9000;
const BEAT: u8 = 0xB7;
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    struct Parent {
        heard: Vec<u8>,
        answer: &'static [u8],
    }

    impl Read for Parent {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.answer.read(buf)
        }
    }

    impl Write for Parent {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.heard.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_the_same_byte_back_is_a_heartbeat() {
        for (answer, good) in
            [(&[0xB7][..], true), (&[0xB7, 1], true), (&[0xB6], false), (&[], false)]
        {
            let mut parent = Parent { heard: Vec::new(), answer };
            assert_eq!(exchange(&mut parent).is_ok(), good, "{answer:?}");
            assert_eq!(parent.heard, [0xB7]);
        }
    }
}
