//! A boot that must not succeed ends in one clear line, told to the parent.

use std::time::Duration;

use strongroom_emulator::NsmFault;

use crate::booted::{Image, Wish, heartbeat};
use crate::parts::{Parts, parts};

/// Boots an image that cannot come up; gives its last words once it has ended.
async fn last_words(parts: &Parts, wish: Wish, fault: Option<NsmFault>) -> String {
    let image = Image::build(parts, wish).await;
    let machine = image.start(parts);
    if let Some(fault) = fault {
        machine.nsm_fault().set(fault);
    }
    let _ = heartbeat(&machine);
    let ended = machine.wait(Duration::from_secs(90));
    let console = machine.console();
    assert!(ended.is_some(), "the machine goes on; console:\n{console}");
    let words = machine.last_words();
    assert_eq!(words.len(), 1, "{words:?}; console:\n{console}");
    assert!(console.contains(&words[0]), "the console does not say it:\n{console}");
    words.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_errs_stalls_or_lies_stops_the_boot_with_one_clear_line() {
    let Some(parts) = parts() else { return };
    for (fault, said) in [
        (NsmFault::error(), "Nitro Secure Module"),
        (NsmFault::garbage(), "Nitro Secure Module"),
        (NsmFault::stall(), "did not answer"),
        (NsmFault::clock_offset_ms(3_600_000), "clock"),
        (NsmFault::constant_random(), "random"),
        (NsmFault::empty_random(), "Nitro Secure Module"),
    ] {
        let described = format!("{fault:?}");
        let words = last_words(&parts, Wish::default(), Some(fault)).await;
        eprintln!("{described}: {words}");
        assert!(words.contains(said), "{described}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_that_cannot_be_read_stop_the_boot_with_one_clear_line() {
    let Some(parts) = parts() else { return };
    let extra = vec![("/kms-roots.pem", b"no certificate".to_vec())];
    let wish = Wish { extra, own_roots: false, ..Wish::default() };
    let words = last_words(&parts, wish, None).await;
    assert!(words.contains("/kms-roots.pem"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_system_call_kills_the_service_and_the_parent_hears_why() {
    let Some(parts) = parts() else { return };
    let extra = vec![("/lab-misbehave", Vec::new())];
    let words = last_words(&parts, Wish { extra, ..Wish::default() }, None).await;
    assert!(words.contains("system call"), "{words}");
    eprintln!("{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_that_was_cut_under_the_same_pcrs_stops_the_boot() {
    let Some(parts) = parts() else { return };
    let image = Image::build(&parts, Wish::default()).await;
    let file = std::fs::read(&image.eif).unwrap();
    let genuine = strongroom_eif::Image::parse(&file).unwrap();
    // The format measures one string of bytes: kernel, command line, ramdisks.
    let (moved, rest) = genuine.cmdline().split_at("reboot=k panic=30 ".len());
    let kernel = [genuine.kernel(), moved.as_bytes()].concat();
    let metadata = strongroom_eif::Metadata::read(genuine.metadata().unwrap()).unwrap();
    let cut = strongroom_eif::Builder {
        architecture: genuine.architecture(),
        kernel: &kernel,
        cmdline: rest,
        ramdisks: genuine.ramdisks().collect(),
        metadata: &metadata,
    };
    assert_eq!(cut.measurements(None), genuine.measurements());
    std::fs::write(&image.eif, cut.build(None).unwrap()).unwrap();
    let machine = image.start(&parts);
    let _ = heartbeat(&machine);
    assert!(machine.wait(Duration::from_secs(60)).is_some(), "{}", machine.console());
    let words = machine.last_words();
    assert!(words.len() == 1 && words[0].contains("command line"), "{words:?}");
}
