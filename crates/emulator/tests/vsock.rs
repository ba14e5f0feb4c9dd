//! Real boots: the vsock device between a host and a kernel's own driver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use strongroom_emulator::Machine;

// The boot tests' guest; not all of it is needed here.
#[allow(dead_code)]
#[path = "boot/guest.rs"]
mod guest;

use guest::{Device, Image, PATIENCE, booted, parts, up};

fn asking(machine: &Machine, port: u32) -> UnixStream {
    let mut stream = UnixStream::connect(machine.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(stream, "CONNECT {port}").unwrap();
    stream
}

#[test]
fn a_port_of_the_guests_where_nobody_listens_is_a_plain_close_at_once() {
    let Some(machine) = booted(|machine| machine) else { return };
    let mut device = Device::of(&machine);
    let begun = Instant::now();
    for port in [1, 6999, 7001, u32::MAX - 1] {
        assert_eq!(asking(&machine, port).read(&mut [0]).unwrap(), 0, "port {port}");
    }
    // Much less than the time that a guest without an answer is given.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(device.ask_raw(&[0xff]).is_ok(), "other connections go on");
}

#[test]
fn hosts_that_connect_before_the_guest_is_up_do_no_harm() {
    let Some(parts) = parts() else { return };
    let machine = Image::of(&parts, "serve").machine(&parts).start().unwrap();
    let mut eager = Vec::new();
    while machine.wait_for_heartbeat(Duration::from_millis(5)).is_err() && eager.len() < 200 {
        // Some leave at once, some wait.
        eager.push((eager.len() % 3 > 0).then(|| asking(&machine, 6999)));
        drop(asking(&machine, 7000));
    }
    up(&machine);
    for mut stream in eager.into_iter().flatten() {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert!(Device::of(&machine).ask_raw(&[0xff]).is_ok());
}

#[test]
fn when_the_guest_ends_so_do_the_hosts_connections() {
    let Some(machine) = booted(|machine| machine) else { return };
    // The guest serves one at a time: the second is accepted and stands still.
    let mut first = Device::of(&machine);
    let mut second = asking(&machine, 7000);
    let mut ok = [0; 3];
    second.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"OK ");
    first.send(b"");
    assert!(machine.wait(PATIENCE).is_some());
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).unwrap();
    // Refused, or closed before, while or after its line is written.
    let late = UnixStream::connect(machine.socket()).and_then(|mut late| {
        late.set_read_timeout(Some(PATIENCE))?;
        late.write_all(b"CONNECT 7000\n")?;
        late.read(&mut [0])
    });
    let closed = |error: &std::io::Error| {
        use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
        matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotFound)
    };
    assert!(matches!(&late, Ok(0)) || late.as_ref().is_err_and(closed), "{late:?}");
}
