//! All connections, in one thread: packets to and from the rings, bytes to and
//! from the Unix sockets.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::ops::Bound;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::PARENT_CID;
use super::connection::{Connection, Outgoing};
use super::packet::{Head, REQUEST, RST, STREAM};
use super::rings::{News, Rings, Slot, Waker};

/// A connection's ports: the parent's, the guest's.
type Ports = (u32, u32);

pub(super) struct Muxer {
    guest_cid: u64,
    host_socket: PathBuf,
    listener: UnixListener,
    waker: Arc<Waker>,
    heard: UnixStream,
    rings: Option<Rings>,
    /// QEMU is gone, and with it the guest: nobody can be connected any more.
    gone: bool,
    /// The guest may have sent more than was taken at once.
    more: bool,
    /// When the listener is looked at again, after it could not accept.
    rests: Option<Instant>,
    /// Host connections whose first line is not complete.
    asking: Vec<Asking>,
    connections: BTreeMap<Ports, Connection>,
    /// The connection that was served last: the others come first.
    last: Ports,
    /// Resets for connections that do not exist.
    resets: VecDeque<Head>,
    next_port: u32,
}

struct Asking {
    stream: UnixStream,
    line: Vec<u8>,
    deadline: Instant,
}

/// What a polled descriptor belongs to.
enum Source {
    Bell,
    Listener,
    Asking(usize),
    Connection(Ports),
}

impl Muxer {
    pub(super) fn new(guest_cid: u64, host_socket: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(host_socket)?;
        listener.set_nonblocking(true)?;
        let (waker, heard) = Waker::new()?;
        Ok(Self {
            guest_cid,
            host_socket: host_socket.to_owned(),
            listener,
            waker: Arc::new(waker),
            heard,
            rings: None,
            gone: false,
            more: false,
            rests: None,
            asking: Vec::new(),
            connections: BTreeMap::new(),
            last: (0, 0),
            resets: VecDeque::new(),
            next_port: FIRST_PORT,
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Works until the device is dropped.
    pub(super) fn run(mut self) {
        let mut scratch = vec![0; SCRATCH];
        let mut payload = Vec::new();
        while !self.waker.is_stopped() {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the vsock device cannot wait for its sockets");
                    return;
                }
            };
            let now = Instant::now();
            // Before the news: what a guest sent last arrives after its end.
            let received = self.receive_all(&mut payload, now);
            self.hear(now);
            // Places of those that are still asking move as some are done.
            for (source, flags) in ready.into_iter().rev() {
                self.serve(&source, flags, &mut scratch, now);
            }
            let sent = self.send_all(now);
            if let Some(rings) = self.rings.as_ref().filter(|_| received || sent) {
                rings.signal();
            }
            self.tidy(now);
        }
    }

    /// What the device's other thread has to say.
    fn hear(&mut self, now: Instant) {
        match self.waker.take() {
            Some(News::Rings(rings)) => {
                self.rings = Some(rings);
                self.more = true;
            }
            Some(News::Gone) => {
                self.rings = None;
                self.gone = true;
                self.asking.clear();
                self.resets.clear();
                for connection in self.connections.values_mut() {
                    connection.guest_gone(now);
                }
            }
            None => {}
        }
    }

    /// Drops what is over or late.
    fn tidy(&mut self, now: Instant) {
        self.connections.retain(|ports, connection| {
            let over = connection.is_over(now);
            if over && connection.is_known_to_guest() {
                self.resets.push_back(reset(self.guest_cid, *ports));
            }
            !over
        });
        self.asking.retain(|asking| asking.deadline > now);
        self.rests = self.rests.filter(|until| *until > now);
    }

    fn wait(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let mut fds = vec![PollFd::new(&self.heard, PollFlags::IN)];
        let mut sources = vec![Source::Bell];
        if self.has_place() && self.rests.is_none() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
            sources.push(Source::Listener);
        }
        for (index, asking) in self.asking.iter().enumerate() {
            fds.push(PollFd::new(&asking.stream, PollFlags::IN));
            sources.push(Source::Asking(index));
        }
        for (ports, connection) in &self.connections {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, connection.wants_input());
            flags.set(PollFlags::OUT, connection.wants_output());
            if connection.is_watched() {
                fds.push(PollFd::new(&connection.stream, flags));
                sources.push(Source::Connection(*ports));
            }
        }
        let tick = if self.more { Duration::ZERO } else { TICK };
        let tick = Timespec { tv_sec: 0, tv_nsec: tick.subsec_nanos().into() };
        match poll(&mut fds, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = fds.iter().map(PollFd::revents);
        Ok(sources.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn serve(&mut self, source: &Source, flags: PollFlags, scratch: &mut [u8], now: Instant) {
        match source {
            Source::Bell => while self.heard.read(scratch).is_ok_and(|len| len > 0) {},
            Source::Listener => self.accept(now),
            Source::Asking(index) => self.ask(*index, now),
            Source::Connection(ports) => {
                let Some(connection) = self.connections.get_mut(ports) else { return };
                connection.deliver(now);
                connection.collect(scratch, now);
                if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                    connection.hang_up(now);
                }
            }
        }
    }

    fn has_place(&self) -> bool {
        self.connections.len().saturating_add(self.asking.len()) < MAX_CONNECTIONS
    }

    fn accept(&mut self, now: Instant) {
        while self.has_place() {
            match self.listener.accept() {
                Ok(_) if self.gone => {}
                Ok((stream, _)) => {
                    let deadline = now.checked_add(LINE_TIMEOUT).unwrap_or(now);
                    if stream.set_nonblocking(true).is_ok() {
                        self.asking.push(Asking { stream, line: Vec::new(), deadline });
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // No descriptors are left, as a rule: not at once again.
                Err(error) => {
                    tracing::warn!(%error, "the vsock device cannot accept a connection");
                    self.rests = now.checked_add(TICK);
                    return;
                }
            }
        }
    }

    /// Reads on the first line of a host connection: `CONNECT <port>`.
    fn ask(&mut self, index: usize, now: Instant) {
        let Some(asking) = self.asking.get_mut(index) else { return };
        let mut piece = [0; MAX_LINE];
        let read = asking.stream.read(&mut piece);
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(len) if len > 0 => asking.line.extend(piece.get(..len).unwrap_or_default()),
            Ok(_) | Err(_) => return drop(self.asking.swap_remove(index)),
        }
        let end = asking.line.iter().position(|byte| *byte == b'\n');
        if end.is_none() && asking.line.len() < MAX_LINE {
            return;
        }
        let Asking { stream, line, .. } = self.asking.swap_remove(index);
        let Some((port, early)) = end.and_then(|end| first_line(&line, end)) else { return };
        let ports = (self.free_port(port), port);
        self.connections.insert(ports, Connection::to_guest(stream, early, now));
    }

    fn free_port(&mut self, guest: u32) -> u32 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.connections.contains_key(&(port, guest)) {
                return port;
            }
        }
    }

    /// Takes what the guest has sent, not for ever; whether there was anything.
    fn receive_all(&mut self, payload: &mut Vec<u8>, now: Instant) -> bool {
        let mut taken = 0;
        while taken < MAX_BURST
            && let Some(head) = self.rings.as_ref().and_then(|rings| rings.receive(payload))
        {
            taken += 1;
            let ports = (head.dst_port, head.src_port);
            if head.src_cid != self.guest_cid || head.dst_cid != PARENT_CID || head.kind != STREAM {
                self.refuse(&head);
            } else if head.op == REQUEST {
                self.open(ports, &head);
            } else if let Some(connection) = self.connections.get_mut(&ports) {
                connection.take(&head, payload, ports.0, now);
            } else {
                self.refuse(&head);
            }
        }
        self.more = taken == MAX_BURST;
        taken > 0
    }

    /// The guest wants a port of its parent.
    fn open(&mut self, ports: Ports, head: &Head) {
        let room = self.connections.len() < MAX_CONNECTIONS;
        let stream = match room && !self.connections.contains_key(&ports) {
            true => connect_now(&self.host_socket, ports.0).ok(),
            false => None,
        };
        match stream {
            Some(stream) => {
                self.connections.insert(ports, Connection::from_guest(stream, head));
            }
            None => self.refuse(head),
        }
    }

    fn refuse(&mut self, head: &Head) {
        if head.op != RST && self.resets.len() < MAX_RESETS {
            self.resets.push_back(Head {
                src_cid: head.dst_cid,
                dst_cid: head.src_cid,
                src_port: head.dst_port,
                dst_port: head.src_port,
                kind: head.kind,
                op: RST,
                ..Head::default()
            });
        }
    }

    /// Sends what the guest has room for: resets, then one packet of each
    /// connection in turn. Whether there was anything.
    fn send_all(&mut self, now: Instant) -> bool {
        let Some(rings) = &self.rings else { return false };
        let (mut sent, mut idle) = (false, 0);
        let mut free = rings.slot();
        while let Some(slot) = free.take() {
            if let Some(head) = self.resets.pop_front() {
                rings.send(slot, &head, &[]);
                sent = true;
            } else if idle < self.connections.len()
                && let Some((ports, connection)) = following(&mut self.connections, self.last)
            {
                self.last = ports;
                if let Err(slot) = send_one(rings, slot, self.guest_cid, ports, connection, now) {
                    idle += 1;
                    free = Some(slot);
                    continue;
                }
                (sent, idle) = (true, 0);
            } else {
                rings.keep(slot);
                break;
            }
            free = rings.slot();
        }
        sent
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.host_socket);
    }
}

/// The connection after `last`, and the first after the last of all.
fn following(
    connections: &mut BTreeMap<Ports, Connection>,
    last: Ports,
) -> Option<(Ports, &mut Connection)> {
    let after = (Bound::Excluded(last), Bound::Unbounded);
    let ports = connections.range(after).next().or_else(|| connections.iter().next())?.0;
    let ports = *ports;
    connections.get_mut(&ports).map(|connection| (ports, connection))
}

/// Sends a connection's next packet, or gives the slot back.
fn send_one(
    rings: &Rings,
    slot: Slot,
    guest_cid: u64,
    (port, guest_port): Ports,
    connection: &mut Connection,
    now: Instant,
) -> Result<(), Slot> {
    let Some(Outgoing { op, flags, len }) = connection.next(slot.room, now) else {
        return Err(slot);
    };
    let (buf_alloc, fwd_cnt) = connection.credit();
    let head = Head {
        src_cid: PARENT_CID,
        dst_cid: guest_cid,
        src_port: port,
        dst_port: guest_port,
        len: u32::try_from(len).unwrap_or(0),
        kind: STREAM,
        op,
        flags,
        buf_alloc,
        fwd_cnt,
    };
    rings.send(slot, &head, connection.payload(len));
    connection.sent(len, now);
    Ok(())
}

fn reset(guest_cid: u64, (port, guest_port): Ports) -> Head {
    Head {
        src_cid: PARENT_CID,
        dst_cid: guest_cid,
        src_port: port,
        dst_port: guest_port,
        kind: STREAM,
        op: RST,
        ..Head::default()
    }
}

/// The port that a host connection asks for in its first line, which ends at
/// `end`: `CONNECT <port>`. And what follows the line.
fn first_line(bytes: &[u8], end: usize) -> Option<(u32, &[u8])> {
    let port = bytes.get(..end)?.strip_prefix(b"CONNECT ")?;
    let port = std::str::from_utf8(port).ok()?.trim_end().parse().ok()?;
    Some((port, bytes.get(end.checked_add(1)?..)?))
}

/// Connects to the socket of a port of the parent's, without waiting: where its
/// queue is full, nobody listens.
fn connect_now(host_socket: &Path, port: u32) -> io::Result<UnixStream> {
    let path = super::port_path(host_socket, port);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// The first of the ports that host connections come from.
const FIRST_PORT: u32 = 1 << 30;

/// Connections at once, those included that have not said their port.
const MAX_CONNECTIONS: usize = 8192;

/// Resets that wait for the guest.
const MAX_RESETS: usize = 1024;

/// Packets taken from the guest before the host's side has its turn.
const MAX_BURST: usize = 1024;

/// Longest first line of a host connection, in bytes.
const MAX_LINE: usize = 32;

/// How long a host connection may take to say its port.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Bytes read from a socket at once.
const SCRATCH: usize = 64 << 10;
