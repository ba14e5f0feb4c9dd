//! The host's side of the device, without a guest.

use std::io::Write;

use super::*;

#[test]
fn a_first_line_names_a_port_and_all_else_is_none() {
    let parse = |bytes: &'static [u8]| {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        first_line(bytes, end)
    };
    assert_eq!(parse(b"CONNECT 5000\n"), Some((5000, &b""[..])));
    assert_eq!(parse(b"CONNECT 5000\r\n"), Some((5000, &b""[..])));
    assert_eq!(parse(b"CONNECT 4294967295\nmore\n"), Some((u32::MAX, &b"more\n"[..])));
    for wrong in [
        &b"\n"[..],
        b"CONNECT\n",
        b"CONNECT \n",
        b"CONNECT x\n",
        b"CONNECT -1\n",
        b"CONNECT 4294967296\n",
        b"CONNECT 1 2\n",
        b"connect 1\n",
        b" CONNECT 1\n",
        b"CONNECT \xff\n",
        b"GET / HTTP/1.1\n",
    ] {
        assert_eq!(parse(wrong), None, "{wrong:?}");
    }
}

struct Started {
    muxer: Muxer,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Started {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vsock");
        Self { muxer: Muxer::new(16, &path).unwrap(), path, _dir: dir }
    }

    fn client(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// One round of the host's side.
    fn turn(&mut self, now: Instant) {
        for (source, flags) in self.muxer.wait().unwrap().into_iter().rev() {
            self.muxer.serve(&source, flags, &mut [0; 1024], now);
        }
        self.muxer.tidy(now);
    }
}

fn head(op: u16) -> Head {
    Head {
        src_cid: 16,
        dst_cid: 3,
        src_port: 1024,
        dst_port: 9,
        kind: STREAM,
        op,
        ..Head::default()
    }
}

#[test]
fn a_line_in_any_pieces_makes_a_connection_that_waits_for_the_guest() {
    let mut device = Started::new();
    let now = Instant::now();
    let mut clients: Vec<_> = (0..3).map(|_| device.client()).collect();
    device.turn(now);
    for byte in b"CONNECT 5000\n" {
        for client in &mut clients {
            client.write_all(&[*byte]).unwrap();
        }
        assert!(device.muxer.connections.is_empty());
        device.turn(now);
    }
    assert!(device.muxer.asking.is_empty());
    let guest: Vec<_> = device.muxer.connections.keys().map(|ports| ports.1).collect();
    assert_eq!(guest, [5000, 5000, 5000]);
}

#[test]
fn a_client_that_says_something_else_or_nothing_is_closed() {
    let mut device = Started::new();
    let now = Instant::now();
    let mut long = device.client();
    long.write_all(&[b'C'; MAX_LINE]).unwrap();
    let mut wrong = device.client();
    wrong.write_all(b"CONNECT x\n").unwrap();
    let mut slow = device.client();
    slow.write_all(b"CONNECT 50").unwrap();
    let gone = device.client();
    drop(gone);
    device.turn(now);
    device.turn(now);
    assert_eq!(device.muxer.asking.len(), 1);
    assert_eq!(long.read(&mut [0]).unwrap() + wrong.read(&mut [0]).unwrap(), 0);
    device.muxer.tidy(now + LINE_TIMEOUT);
    assert_eq!(slow.read(&mut [0]).unwrap(), 0);
    assert!(device.muxer.connections.is_empty());
}

#[test]
fn a_port_that_nobody_listens_at_is_reset_at_once_and_one_with_a_listener_is_not() {
    let mut device = Started::new();
    device.muxer.open((9, 1024), &head(REQUEST));
    let reset = device.muxer.resets.pop_front().unwrap();
    assert_eq!((reset.op, reset.src_cid, reset.dst_cid), (RST, 3, 16));
    assert_eq!((reset.src_port, reset.dst_port), (9, 1024));

    let listener = UnixListener::bind(super::super::port_path(&device.path, 9)).unwrap();
    device.muxer.open((9, 1024), &head(REQUEST));
    assert!(device.muxer.resets.is_empty());
    listener.accept().unwrap();
    device.muxer.open((9, 1024), &head(REQUEST));
    assert_eq!(device.muxer.resets.len(), 1, "its ports are in use");
}

#[test]
fn a_reset_is_never_answered_and_resets_do_not_pile_up() {
    let mut device = Started::new();
    device.muxer.refuse(&head(RST));
    assert!(device.muxer.resets.is_empty());
    for _ in 0..2 * MAX_RESETS {
        device.muxer.refuse(&head(REQUEST));
    }
    assert_eq!(device.muxer.resets.len(), MAX_RESETS);
}

#[test]
fn when_the_guest_is_gone_so_are_its_connections_and_no_new_one_is_held() {
    let mut device = Started::new();
    let now = Instant::now();
    let mut asked = device.client();
    asked.write_all(b"CONNECT 1\n").unwrap();
    let mut asking = device.client();
    device.turn(now);
    device.turn(now);
    device.muxer.waker().tell(News::Gone);
    device.muxer.hear(now);
    device.muxer.tidy(now);
    assert_eq!(asked.read(&mut [0]).unwrap() + asking.read(&mut [0]).unwrap(), 0);
    let mut late = device.client();
    device.turn(now);
    assert_eq!(late.read(&mut [0]).unwrap(), 0);
}
