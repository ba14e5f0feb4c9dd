use serde_bytes::ByteBuf;
use strongroom_attestation::{DebugMode, Policy, TrustRoot, UnixTime, VerifyError, verify};

use super::*;
use crate::nsm::NsmFault;
use crate::nsm::RequestKind as Kind;

struct Module {
    nsm: SimNsm,
    faults: NsmFaultHandle,
}

impl Module {
    fn with(fault: NsmFault) -> Self {
        let module =
            Self { nsm: SimNsm::builder().build().unwrap(), faults: NsmFaultHandle::default() };
        module.faults.set(fault);
        module
    }

    fn ask_raw(&self, request: &Request) -> Option<Vec<u8>> {
        answer_or_not(&self.nsm, &self.faults, &serde_cbor::to_vec(request).unwrap())
    }

    fn ask(&self, request: &Request) -> String {
        let bytes = self.ask_raw(request).unwrap();
        format!("{:?}", serde_cbor::from_slice::<Response>(&bytes).unwrap())
    }

    fn document(&self) -> Vec<u8> {
        match serde_cbor::from_slice(&self.ask_raw(&attestation()).unwrap()).unwrap() {
            Response::Attestation { document } => document,
            other => panic!("{other:?}"),
        }
    }

    fn judged(&self, document: &[u8], now_ms: u64) -> Result<u64, VerifyError> {
        let root = TrustRoot::from_der(&self.nsm.trust_root_der()).unwrap();
        let policy = Policy { debug: DebugMode::Allow, ..Policy::any_image() };
        verify(document, &root, UnixTime::from_millis(now_ms), &policy)
            .map(|verified| verified.timestamp_ms())
    }
}

fn attestation() -> Request {
    Request::Attestation { user_data: None, nonce: Some(ByteBuf::from(b"n")), public_key: None }
}

fn all() -> Vec<Request> {
    vec![
        Request::DescribePCR { index: 0 },
        Request::ExtendPCR { index: 16, data: vec![1] },
        Request::LockPCR { index: 17 },
        Request::LockPCRs { range: 3 },
        Request::DescribeNSM,
        attestation(),
        Request::GetRandom,
    ]
}

#[test]
fn without_a_fault_the_module_answers_everything() {
    let module = Module::with(NsmFault::none());
    for request in all() {
        let answered = module.ask(&request);
        assert!(!answered.starts_with("Error"), "{request:?} → {answered}");
    }
    assert_eq!(module.faults.requests(), 7);
}

#[test]
fn errors_garbage_and_silence_strike_every_request_even_one_that_is_none() {
    for request in all() {
        assert_eq!(Module::with(NsmFault::error()).ask(&request), "Error(InternalError)");
        let refused = Module::with(NsmFault::error_code("BufferTooSmall")).ask(&request);
        assert_eq!(refused, "Error(BufferTooSmall)");
        assert!(Module::with(NsmFault::stall()).ask_raw(&request).is_none());
        let garbage = Module::with(NsmFault::garbage()).ask_raw(&request).unwrap();
        assert!(serde_cbor::from_slice::<Value>(&garbage).is_err());
    }
    let module = Module::with(NsmFault::stall());
    assert!(answer_or_not(&module.nsm, &module.faults, b"no request").is_none());
}

use serde_cbor::Value;

#[test]
fn a_wrong_answer_is_of_another_kind_than_its_request() {
    let module = Module::with(NsmFault::wrong_answer());
    for request in all() {
        let (asked, answered) = (format!("{request:?}"), module.ask(&request));
        assert_ne!(asked.split(' ').next(), answered.split(' ').next());
    }
}

#[test]
fn a_wrong_clock_shows_in_documents_that_verify_at_its_time() {
    for offset in [-3_600_000_i64, 3_600_000, 30 * 86_400_000] {
        let module = Module::with(NsmFault::clock_offset_ms(offset));
        let before = module.nsm.now_ms().checked_add_signed(offset).unwrap();
        let document = module.document();
        let timestamp = module.judged(&document, before).unwrap();
        assert!((before..before + 60_000).contains(&timestamp), "{offset}");
    }
    let module = Module::with(NsmFault::clock_offset_ms(3_600_000));
    let document = module.document();
    let future = module.judged(&document, module.nsm.now_ms());
    assert!(matches!(future, Err(VerifyError::TimestampFuture { .. })), "{future:?}");
}

#[test]
fn the_widest_clock_offsets_harm_nobody() {
    for offset in [i64::MIN, i64::MAX] {
        assert!(!Module::with(NsmFault::clock_offset_ms(offset)).document().is_empty());
    }
}

#[test]
fn random_pcr_and_document_faults_strike_their_requests_alone() {
    let module = Module::with(NsmFault::empty_random());
    assert_eq!(module.ask(&Request::GetRandom), "GetRandom { random: [] }");
    assert!(module.judged(&module.document(), module.nsm.now_ms()).is_ok());

    let module = Module::with(NsmFault::constant_random());
    let first = module.ask(&Request::GetRandom);
    assert_eq!(first, module.ask(&Request::GetRandom));
    assert_eq!(first.matches("165").count(), 256);

    let module = Module::with(NsmFault::short_pcr());
    let short =
        serde_cbor::from_slice(&module.ask_raw(&Request::DescribePCR { index: 0 }).unwrap());
    let Response::DescribePCR { data, .. } = short.unwrap() else { panic!("no PCR") };
    assert_eq!(data.len(), 32);
    assert!(module.judged(&module.document(), module.nsm.now_ms()).is_ok());

    let module = Module::with(NsmFault::truncated_document());
    assert!(module.judged(&module.document(), module.nsm.now_ms()).is_err());
    assert_ne!(module.ask(&Request::GetRandom), module.ask(&Request::GetRandom));
}

#[test]
fn a_fault_can_be_for_one_kind_of_request_and_begin_later() {
    let module = Module::with(NsmFault::error().only(Kind::GetRandom).after(2));
    for spared in [true, true, false, false] {
        assert!(module.ask(&attestation()).starts_with("Attestation"));
        let random = module.ask(&Request::GetRandom);
        assert_eq!(random.starts_with("GetRandom"), spared, "{random}");
    }
    // The faults of one kind never strike another.
    let module = Module::with(NsmFault::empty_random().only(Kind::Attestation));
    assert!(module.ask(&Request::GetRandom).len() > 100);
}

#[test]
fn a_fault_is_switched_while_the_module_runs() {
    let module = Module::with(NsmFault::none());
    let switch = module.faults.clone();
    assert!(module.ask(&Request::GetRandom).starts_with("GetRandom"));
    switch.set(NsmFault::error().after(1));
    assert!(module.ask(&Request::GetRandom).starts_with("GetRandom"));
    assert!(module.ask(&Request::GetRandom).starts_with("Error"));
    switch.set(NsmFault::error().after(1));
    assert!(module.ask(&Request::GetRandom).starts_with("GetRandom"), "counts anew");
    switch.clear();
    assert!(module.ask(&Request::GetRandom).starts_with("GetRandom"));
    assert_eq!(switch.requests(), 5);
}
