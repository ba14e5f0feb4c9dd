//! `/dev/nsm` as a guest has it: the kernel's driver over the emulated device.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use serde_bytes::ByteBuf;
use strongroom_attestation::{
    DebugMode, Mode, Policy, TrustRoot, UnixTime, VerifiedDocument, VerifyError, verify,
};
use strongroom_emulator::{Machine, NsmFault, RequestKind};
use strongroom_sim::NitroCa;

use crate::guest::{Device, Image, booted, parts, up};

fn attestation(nonce: &[u8]) -> Request {
    Request::Attestation {
        user_data: Some(ByteBuf::from(vec![1; 1024])),
        nonce: Some(ByteBuf::from(nonce)),
        public_key: Some(ByteBuf::from(vec![2; 1024])),
    }
}

fn document(device: &mut Device, nonce: &[u8]) -> Vec<u8> {
    match device.ask(&attestation(nonce)) {
        Response::Attestation { document } => document,
        other => panic!("{other:?}"),
    }
}

fn judged(
    machine: &Machine,
    document: &[u8],
    policy: Policy,
) -> Result<VerifiedDocument, VerifyError> {
    let root = TrustRoot::from_der(&machine.trust_root_der()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(u64::try_from(now.as_millis()).unwrap());
    verify(document, &root, now, &Policy { debug: DebugMode::Allow, ..policy })
}

fn is_error(response: &Response, code: &str) -> bool {
    matches!(response, Response::Error(found) if format!("{found:?}") == code)
}

#[test]
fn a_guests_document_verifies_and_shows_the_pcrs_of_the_image() {
    let Some(parts) = parts() else { return };
    let image = Image::of(&parts, "serve");
    let ca = NitroCa::new().unwrap();
    let machine = image.machine(&parts).ca(&ca).start().unwrap();
    up(&machine);
    assert_eq!(machine.trust_root_der(), ca.root_der());

    let mut device = Device::of(&machine);
    let document = document(&mut device, b"a nonce");
    let policy = Policy {
        nonce: Some(b"a nonce".to_vec()),
        user_data: Some(vec![1; 1024]),
        public_key: Some(vec![2; 1024]),
        ..Policy::for_pcrs(machine.pcrs())
    };
    let verified = judged(&machine, &document, policy).unwrap();
    assert_eq!((verified.mode(), verified.module_id()), (Mode::Production, machine.module_id()));
    for (index, value) in image.measured.by_index() {
        assert_eq!(verified.pcr(index).unwrap().0, *value, "PCR{index}");
    }
    assert!(verified.pcr(8).unwrap().is_zero());
    assert!(matches!(
        judged(
            &machine,
            &document,
            Policy { nonce: Some(b"other".to_vec()), ..Policy::any_image() }
        ),
        Err(VerifyError::NonceMismatch)
    ));
}

#[test]
fn a_guest_in_debug_mode_has_no_measured_image_but_its_parents_identity() {
    let adjust = |machine: strongroom_emulator::MachineBuilder| {
        machine
            .debug(true)
            .role_arn(Some("arn:aws:iam::123456789012:role/Webserver"))
            .instance_id("i-0d7ff222bf091ba40")
    };
    let Some(machine) = booted(adjust) else { return };
    let document = document(&mut Device::of(&machine), b"");
    let verified = judged(&machine, &document, Policy::any_image()).unwrap();
    assert_eq!(verified.mode(), Mode::Debug);
    for (index, zero) in [(0, true), (1, true), (2, true), (3, false), (4, false), (8, true)] {
        assert_eq!(verified.pcr(index).unwrap().is_zero(), zero, "PCR{index}");
    }
    assert!(verified.pcr(3).unwrap().to_string().starts_with("78fce75d"));
    assert!(verified.module_id().starts_with("i-0d7ff222bf091ba40-enc"));
}

#[test]
fn the_driver_carries_every_request_and_its_own_limits_hold() {
    let Some(machine) = booted(|machine| machine) else { return };
    let mut device = Device::of(&machine);
    let described = device.ask(&Request::DescribeNSM);
    assert!(matches!(described, Response::DescribeNSM { max_pcrs: 32, .. }), "{described:?}");
    let Response::ExtendPCR { data } =
        device.ask(&Request::ExtendPCR { index: 16, data: vec![7; 2000] })
    else {
        panic!("not extended")
    };
    assert!(matches!(device.ask(&Request::LockPCR { index: 16 }), Response::LockPCR));
    assert!(is_error(&device.ask(&Request::LockPCR { index: 16 }), "ReadOnlyIndex"));
    let Response::DescribePCR { lock: true, data: locked } =
        device.ask(&Request::DescribePCR { index: 16 })
    else {
        panic!("not locked")
    };
    assert_eq!(locked, data);
    assert!(matches!(device.ask(&Request::LockPCRs { range: 20 }), Response::LockPCRs));
    assert!(is_error(&device.ask(&Request::LockPCRs { range: 33 }), "InvalidIndex"));
    let Response::GetRandom { random } = device.ask(&Request::GetRandom) else {
        panic!("no random")
    };
    assert_eq!(random.len(), 256);
    let document = document(&mut device, b"");
    let verified = judged(&machine, &document, Policy::any_image()).unwrap();
    assert_eq!(verified.pcrs().len(), 20);
    assert_eq!(verified.pcr(16).unwrap().0[..], data[..]);

    // What is no request: the device answers; what is too long: the driver does.
    let nonsense = device.ask_raw(&[0xff; 4096]).unwrap();
    assert!(is_error(&serde_cbor::from_slice(&nonsense).unwrap(), "InvalidOperation"));
    assert_eq!(device.ask_raw(&[0; 4097]), Err(EMSGSIZE));
    assert!(matches!(device.ask(&Request::GetRandom), Response::GetRandom { .. }));
}

#[test]
fn a_module_is_made_to_fail_while_the_guest_runs_and_works_again() {
    let Some(machine) = booted(|machine| machine) else { return };
    let mut device = Device::of(&machine);
    let fault = machine.nsm_fault();
    let asked = fault.requests();

    fault.set(NsmFault::error());
    assert!(is_error(&device.ask(&Request::DescribeNSM), "InternalError"));
    fault.set(NsmFault::garbage().only(RequestKind::Attestation));
    assert!(matches!(device.ask(&Request::GetRandom), Response::GetRandom { .. }));
    let garbage = device.ask_raw(&serde_cbor::to_vec(&attestation(b"")).unwrap()).unwrap();
    assert!(serde_cbor::from_slice::<Response>(&garbage).is_err());
    fault.set(NsmFault::empty_random());
    let random = device.ask(&Request::GetRandom);
    assert!(matches!(random, Response::GetRandom { random } if random.is_empty()));
    fault.set(NsmFault::clock_offset_ms(3_600_000));
    let early = document(&mut device, b"");
    let early = judged(&machine, &early, Policy::any_image());
    assert!(matches!(early, Err(VerifyError::TimestampFuture { .. })), "{early:?}");
    assert!(fault.requests() >= asked + 5);

    fault.clear();
    let document = document(&mut device, b"");
    judged(&machine, &document, Policy::any_image()).unwrap();

    fault.set(NsmFault::stall());
    device.send(&serde_cbor::to_vec(&Request::DescribeNSM).unwrap());
    assert!(!device.answer_within(Duration::from_secs(2)), "a stalled module answered");
    // And the machine ends all the same.
}

/// "Message too long", Linux on x86-64.
const EMSGSIZE: u32 = 90;
