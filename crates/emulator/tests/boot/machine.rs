//! The machine around the guest: its boot, its console, its end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use strongroom_emulator::{Machine, MachineError};

use crate::guest::{Device, Image, PATIENCE, booted, parts, up};

#[test]
fn a_guest_comes_up_says_so_and_leaves_nothing_behind() {
    let Some(machine) = booted(|machine| machine.cid(77).memory_mib(64)) else { return };
    let took = up(&machine);
    eprintln!("heartbeat {took:.2?} after the start of QEMU");
    assert!(machine.console_lines().any(|line| line == "guest: serving"));
    assert!(machine.console().contains("guest: mode serve\n"));
    assert_eq!((machine.cid(), machine.memory_mib()), (77, 64));
    assert!(machine.wait(Duration::ZERO).is_none() && machine.last_words().is_empty());

    let folder = machine.socket().parent().unwrap().to_owned();
    let pid = pid_of_qemu(&folder).expect("QEMU runs");
    drop(machine);
    assert!(!folder.exists());
    assert!(pid_of_qemu(&folder).is_none(), "QEMU {pid} still runs");
}

#[test]
fn a_guest_that_gives_up_is_heard_and_its_machine_ends() {
    let Some(parts) = parts() else { return };
    let machine = Image::of(&parts, "words").machine(&parts).start().unwrap();
    let error = machine.wait_for_heartbeat(PATIENCE).unwrap_err();
    let MachineError::Ended { status, report } = &error else { panic!("{error}") };
    assert!(status.success());
    assert_eq!(report.last_words, ["the guest cannot [31mgo on"], "control characters are gone");
    assert!(error.to_string().contains("\nlast words: the guest cannot"), "{error}");
    assert!(report.console.iter().any(|line| line.starts_with("guest: the guest cannot")));
    assert_eq!(machine.last_words(), report.last_words);
    assert!(machine.wait(Duration::ZERO).is_some_and(|status| status.success()));
    assert!(machine.console_lines().count() > 10, "following ends with the machine");
}

#[test]
fn a_guest_that_ends_later_is_heard_too() {
    let Some(machine) = booted(|machine| machine) else { return };
    Device::of(&machine).send(b"");
    assert!(machine.wait(PATIENCE).is_some());
    assert_eq!(machine.last_words(), ["the guest was asked to give up"]);
    assert!(machine.wait_for_heartbeat(Duration::ZERO).is_ok(), "it had one");
}

#[test]
fn a_guest_without_a_heartbeat_is_not_waited_for_longer_than_asked() {
    let Some(parts) = parts() else { return };
    let machine = Image::of(&parts, "silent").machine(&parts).start().unwrap();
    assert!(machine.console_lines().any(|line| line == "guest: mode silent"));
    let begun = Instant::now();
    let error = machine.wait_for_heartbeat(Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, MachineError::NoHeartbeat { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(error.to_string().contains("guest: mode silent"), "{error}");
    assert!(machine.wait(Duration::from_millis(10)).is_none());
}

#[test]
fn machines_side_by_side_do_not_meet() {
    let Some(parts) = parts() else { return };
    let image = Image::of(&parts, "serve");
    let [one, other] = [(); 2].map(|()| image.machine(&parts).start().unwrap());
    up(&one);
    up(&other);
    let (mut here, mut there) = (Device::of(&one), Device::of(&other));
    let lock = serde_cbor::to_vec(&"DescribeNSM").unwrap();
    assert!(here.ask_raw(&lock).is_ok() && there.ask_raw(&lock).is_ok());
    assert_ne!(one.trust_root_der(), other.trust_root_der());
    drop(one);
    assert!(there.ask_raw(&lock).is_ok());
}

#[test]
fn what_nitro_does_not_start_is_not_started() {
    let Some(parts) = parts() else { return };
    let image = Image::of(&parts, "serve");
    let refused = |machine: strongroom_emulator::MachineBuilder| match machine.start() {
        Ok(_) => panic!("it was started"),
        Err(error) => error,
    };
    let small = refused(image.machine(&parts).memory_mib(63));
    assert!(matches!(small, MachineError::Memory { .. }), "{small}");
    let reserved = refused(image.machine(&parts).cid(3));
    assert!(matches!(reserved, MachineError::Setting { .. }), "{reserved}");

    let mut file = std::fs::read(&image.path).unwrap();
    let last = file.len() - 1;
    file[last] ^= 1;
    std::fs::write(&image.path, &file).unwrap();
    let damaged = refused(image.machine(&parts));
    assert!(damaged.to_string().contains("CRC"), "{damaged}");
    std::fs::remove_file(&image.path).unwrap();
    let missing = refused(image.machine(&parts));
    assert!(matches!(missing, MachineError::ReadImage { .. }), "{missing}");
    let no_qemu = refused(Machine::builder(&image.path).qemu("/nonexistent/qemu"));
    assert!(no_qemu.to_string().contains("image/qemu"), "{no_qemu}");
}

/// The process that has this folder among its arguments.
fn pid_of_qemu(folder: &std::path::Path) -> Option<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &PathBuf| {
        let arguments = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(folder)
    };
    processes.filter(holds).map(|path| path.display().to_string()).next()
}
