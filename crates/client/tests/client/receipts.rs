//! Receipts and signed requests: a run after attestation gives no result without
//! a receipt that is of this enclave, this request, these inputs, this result.

use std::sync::Arc;

use strongroom_client::attestation::nsm::{AttestationRequest, Nsm as _};
use strongroom_client::attestation::{Policy, TrustRoot, UnixTime, VerifyError};
use strongroom_client::{
    Caller, CallerKey, CallerSecret, Client, Error, ExpectedReceipt, Inputs, Job, Protect, Receipt,
    ReceiptError, ReceiptRefused, RequestId, Summary, Verifier, verify_receipt,
};
use strongroom_envelope::caller::message;
use strongroom_envelope::receipt::ReceiptKey;
use strongroom_sim::SimNsm;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind, Outcome, Payload as _, Request, Response, Trailer};

use crate::peer::{Service, accepted, control, end, frame, job, pair};

const RESULT: &[u8] = b"pan\n1111\n";

/// An enclave with its receipt key.
struct Enclave {
    nsm: SimNsm,
    key: ReceiptKey,
}

impl Enclave {
    fn new() -> Arc<Self> {
        let nsm = SimNsm::builder().image(b"the image").build().unwrap();
        Arc::new(Self { nsm, key: ReceiptKey::generate().unwrap() })
    }

    fn verifier(&self) -> Verifier {
        let policy = Policy::for_pcrs([(0, self.nsm.describe_pcr(0).unwrap().value)]);
        Verifier { root: TrustRoot::from_der(&self.nsm.trust_root_der()).unwrap(), policy }
    }

    fn document(&self, user_data: Option<&[u8]>, nonce: Option<&[u8]>) -> Vec<u8> {
        self.nsm.attest(&AttestationRequest { user_data, nonce, public_key: None }).unwrap()
    }

    fn attested(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        self.document(Some(&self.key.user_data()), nonce)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// The honest receipt for a run.
fn receipt(request: &Request, bodies: &[Vec<u8>]) -> Receipt {
    let (run, caller) = match &request.call {
        Call::Run(run) => (run.clone(), None),
        Call::Signed(signed) => (signed.run().unwrap(), Some(signed.caller.clone())),
        other => panic!("{other:?}"),
    };
    Receipt {
        request_id: request.id.0,
        request_digest: sha256(&request.encode().unwrap()),
        job: run.job,
        manifest: [3; 32],
        keys: vec!["arn:aws:kms:eu-west-1:111122223333:key/a".into()],
        inputs: bodies.iter().map(|body| sha256(body)).collect(),
        result: sha256(RESULT),
        counter: 7,
        time_ms: 1_700_000_000_000,
        caller,
        records: Some(1),
        dropped: Some(2),
    }
}

/// A client that has attested `enclave`, whose service reads `inputs` bodies and
/// gives the receipt that `forge` makes.
async fn attested(
    enclave: &Arc<Enclave>,
    inputs: usize,
    forge: impl FnOnce(&Enclave, &Request, Receipt) -> Option<Vec<u8>> + Send + 'static,
) -> Client {
    let (mut client, stream) = pair();
    let theirs = Arc::clone(enclave);
    tokio::spawn(async move {
        let mut service = Service::new(stream);
        service.write(&PREFACE).await;
        let request = service.request().await.unwrap();
        let Call::Attest(attest) = &request.call else { panic!("{request:?}") };
        let document = theirs.attested(attest.nonce.as_ref().map(|nonce| nonce.as_slice())).into();
        let response = Response { id: request.id, outcome: Outcome::Attest { document } };
        service.write(&[control(FrameKind::Response, &response), end(0)].concat()).await;
        let Some(request) = service.request().await else { return };
        let mut bodies = Vec::new();
        for _ in 0..inputs {
            bodies.push(service.body().await.unwrap());
        }
        let honest = receipt(&request, &bodies);
        let receipt = forge(&theirs, &request, honest).map(Into::into);
        let trailer =
            Trailer { bytes: RESULT.len() as u64, records: Some(1), dropped: Some(2), receipt };
        let answer = [
            accepted(request.id, Protect::None),
            frame(FrameKind::Data, RESULT),
            control(FrameKind::End, &trailer),
        ];
        service.write(&answer.concat()).await;
        // The connection stays open until the client has gone.
        let _ = service.next().await;
    });
    client.attest(&enclave.verifier()).await.unwrap();
    client
}

async fn run(client: &mut Client, job: &Job) -> Result<Summary, Error> {
    client.run(job, &b"message"[..], &mut Vec::new()).await
}

#[tokio::test]
async fn a_run_after_attestation_comes_with_a_proof() {
    let enclave = Enclave::new();
    let mut client =
        attested(&enclave, 1, |enclave, _, honest| enclave.key.sign(&honest).ok()).await;
    let summary = run(&mut client, &job()).await.unwrap();
    let proof = summary.proof.unwrap();
    assert_eq!((proof.counter, proof.manifest), (7, [3; 32]));
    assert_eq!((summary.records, summary.dropped), (Some(1), Some(2)));
    assert_eq!(summary.inputs_sha256, [sha256(b"message")]);
    assert_eq!(summary.result_sha256, Some(sha256(RESULT)));
    assert_eq!(proof.request_digest, summary.request_sha256);
}

#[tokio::test]
async fn two_inputs_are_sent_one_after_the_other_and_both_proven() {
    let enclave = Enclave::new();
    let mut client = attested(&enclave, 2, |enclave, _, honest| {
        assert_eq!(honest.inputs, [sha256(b"first"), sha256(b"second")]);
        enclave.key.sign(&honest).ok()
    })
    .await;
    let inputs = Inputs::two(&b"first"[..], &b"second"[..]);
    let mut output = Vec::new();
    let summary = client.run(&job(), inputs, &mut output).await.unwrap();
    assert_eq!((summary.sent, output.as_slice()), (11, RESULT));
    assert_eq!(summary.proof.unwrap().inputs, summary.inputs_sha256);
}

#[tokio::test]
async fn an_answer_before_the_second_input_was_sent_is_no_result() {
    let (mut client, stream) = pair();
    tokio::spawn(async move {
        let mut service = Service::new(stream);
        let request = service.request().await.unwrap();
        service.body().await.unwrap();
        let answer = [PREFACE.to_vec(), accepted(request.id, Protect::None), end(0)].concat();
        service.write(&answer).await;
    });
    // The second input has nothing to give yet.
    let (_kept, second) = tokio::io::duplex(1);
    let inputs = Inputs::two(&b"first"[..], second);
    let error = client.run(&job(), inputs, &mut Vec::new()).await.unwrap_err();
    assert!(
        matches!(error, Error::Protocol(strongroom_client::ProtocolError::EarlyEnd)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_receipt_that_is_missing_forged_or_for_another_run_voids_the_result() {
    type Forge = fn(&Enclave, &Request, Receipt) -> Option<Vec<u8>>;
    let cases: [(&str, Forge, ReceiptRefused); 9] = [
        ("missing", |_, _, _| None, ReceiptRefused::Missing),
        (
            "another key",
            |_, _, honest| ReceiptKey::generate().unwrap().sign(&honest).ok(),
            ReceiptError::Signature.into(),
        ),
        (
            "one bit of the payload",
            |enclave, _, honest| {
                let mut receipt = enclave.key.sign(&honest).unwrap();
                receipt[40] ^= 1;
                Some(receipt)
            },
            ReceiptError::Signature.into(),
        ),
        ("no receipt at all", |_, _, _| Some(vec![0x84]), ReceiptError::NotAReceipt.into()),
        (
            "an older request's",
            |enclave, _, honest| enclave.key.sign(&Receipt { request_id: [1; 16], ..honest }).ok(),
            ReceiptRefused::Other("request"),
        ),
        (
            "other arguments",
            |enclave, _, honest| {
                enclave.key.sign(&Receipt { request_digest: [1; 32], ..honest }).ok()
            },
            ReceiptRefused::Other("request (its arguments)"),
        ),
        (
            "another job",
            |enclave, _, honest| enclave.key.sign(&Receipt { job: "x".into(), ..honest }).ok(),
            ReceiptRefused::Other("job"),
        ),
        (
            "another input",
            |enclave, _, honest| {
                enclave.key.sign(&Receipt { inputs: vec![[1; 32]], ..honest }).ok()
            },
            ReceiptRefused::Other("input"),
        ),
        (
            "another result",
            |enclave, _, honest| enclave.key.sign(&Receipt { result: [1; 32], ..honest }).ok(),
            ReceiptRefused::Other("result"),
        ),
    ];
    for (what, forge, refusal) in cases {
        let enclave = Enclave::new();
        let mut client = attested(&enclave, 1, forge).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let error = client.run_to_file(&job(), &b"message"[..], &path).await.unwrap_err();
        assert!(
            matches!(error.cause(), Error::Receipt(found) if *found == refusal),
            "{what}: {error:?}"
        );
        assert!(!path.exists(), "{what}");
    }
}

#[tokio::test]
async fn a_signature_is_over_the_run_as_sent_for_the_attested_enclave() {
    let enclave = Enclave::new();
    let secret = CallerSecret::generate_ed25519().unwrap();
    let public = secret.public_key().unwrap();
    let mut client = attested(&enclave, 1, move |enclave, request, honest| {
        let Call::Signed(signed) = &request.call else { panic!("{request:?}") };
        let nonce = signed.nonce.as_slice().try_into().unwrap();
        let covered = |id: &str, key: CallerKey| {
            let message = message(id, &request.id.0, &signed.run, nonce, signed.time_ms);
            key.verify(&message, &signed.signature).is_ok()
        };
        assert!(covered(enclave.nsm.module_id(), public));
        assert!(!covered("i-0123456789abcdef0-enc0123456789abcdef", public));
        assert_eq!(signed.run().unwrap().job, "mask");
        enclave.key.sign(&honest).ok()
    })
    .await;
    let job = job().signed_by(Caller::new("billing", secret));
    let proof = run(&mut client, &job).await.unwrap().proof.unwrap();
    assert_eq!(proof.caller.as_deref(), Some("billing"));
}

#[tokio::test]
async fn a_receipt_that_forgets_the_caller_is_refused() {
    let enclave = Enclave::new();
    let mut client = attested(&enclave, 1, |enclave, _, honest| {
        enclave.key.sign(&Receipt { caller: None, ..honest }).ok()
    })
    .await;
    let secret = CallerSecret::generate_p256().unwrap();
    let error = run(&mut client, &job().signed_by(Caller::new("billing", secret))).await;
    let error = error.unwrap_err();
    assert!(matches!(error.cause(), Error::Receipt(ReceiptRefused::Other("caller"))), "{error:?}");
}

#[tokio::test]
async fn nothing_is_signed_for_an_enclave_that_nobody_named() {
    let (mut client, _stream) = pair();
    let caller = Caller::new("billing", CallerSecret::generate_ed25519().unwrap());
    let error = run(&mut client, &job().signed_by(caller)).await.unwrap_err();
    assert!(matches!(error, Error::EnclaveUnknown), "{error:?}");
}

/// A stored receipt with everything that its owner knows.
fn stored(enclave: &Enclave) -> (Vec<u8>, ExpectedReceipt) {
    let run = strongroom_wire::Run { job: "mask".into(), ..Default::default() };
    let request = Request { id: RequestId([9; 16]), deadline_ms: None, call: Call::Run(run) };
    let honest = receipt(&request, &[b"message".to_vec()]);
    let expected = ExpectedReceipt {
        request: Some(request.id),
        request_sha256: Some(honest.request_digest),
        job: Some("mask".into()),
        manifest: Some([3; 32]),
        inputs: Some(vec![sha256(b"message")]),
        result: Some(sha256(RESULT)),
        caller: Some(None),
    };
    (enclave.key.sign(&honest).unwrap(), expected)
}

fn now() -> UnixTime {
    UnixTime::from_millis(strongroom_sim::system_clock()())
}

#[test]
fn a_stored_receipt_proves_what_it_says_and_nothing_else() {
    let enclave = Enclave::new();
    let (receipt, expected) = stored(&enclave);
    let (verifier, document) = (enclave.verifier(), enclave.attested(Some(b"nonce")));
    let check = |expected: &ExpectedReceipt| {
        verify_receipt(&receipt, &document, &verifier, Some(b"nonce"), now(), expected)
    };
    let checked = check(&expected).unwrap();
    assert_eq!(
        (checked.receipt.counter, checked.document.module_id()),
        (7, enclave.nsm.module_id())
    );
    assert!(check(&ExpectedReceipt::default()).is_ok());
    for (what, other) in [
        ("request", ExpectedReceipt { request: Some(RequestId([1; 16])), ..expected.clone() }),
        (
            "request (its arguments)",
            ExpectedReceipt { request_sha256: Some([1; 32]), ..expected.clone() },
        ),
        ("job", ExpectedReceipt { job: Some("rotate".into()), ..expected.clone() }),
        ("manifest", ExpectedReceipt { manifest: Some([1; 32]), ..expected.clone() }),
        ("input", ExpectedReceipt { inputs: Some(vec![]), ..expected.clone() }),
        ("input", ExpectedReceipt { inputs: Some(vec![[1; 32]]), ..expected.clone() }),
        ("result", ExpectedReceipt { result: Some([1; 32]), ..expected.clone() }),
        ("caller", ExpectedReceipt { caller: Some(Some("billing".into())), ..expected.clone() }),
    ] {
        let error = check(&other).unwrap_err();
        assert!(
            matches!(error, Error::Receipt(ReceiptRefused::Other(found)) if found == what),
            "{what}: {error:?}"
        );
    }
}

#[test]
fn a_document_that_does_not_prove_the_enclave_and_its_key_makes_no_receipt_good() {
    let enclave = Enclave::new();
    let (receipt, expected) = stored(&enclave);
    let check = |document: &[u8], verifier: &Verifier, nonce: Option<&[u8]>| {
        verify_receipt(&receipt, document, verifier, nonce, now(), &expected).unwrap_err()
    };
    let (good, verifier) = (enclave.attested(Some(b"nonce")), enclave.verifier());
    let unpinned = Verifier { policy: Policy::default(), ..enclave.verifier() };
    let error = check(&good, &unpinned, None);
    assert!(matches!(error, Error::Attestation(VerifyError::ImageUnpinned)), "{error:?}");
    let error = check(&good, &verifier, Some(b"another"));
    assert!(matches!(error, Error::Attestation(VerifyError::NonceMismatch)), "{error:?}");
    let other = Enclave::new();
    let error = check(&good, &other.verifier(), None);
    assert!(matches!(error, Error::Attestation(_)), "{error:?}");
    // The same enclave after a restart: another key.
    let restarted = enclave.document(Some(&other.key.user_data()), None);
    let error = check(&restarted, &verifier, None);
    assert!(
        matches!(error, Error::Receipt(ReceiptRefused::Receipt(ReceiptError::Signature))),
        "{error:?}"
    );
    // The user data of a sealed result, and none.
    for user_data in [Some(&[b"SRSEAL\0\x01".as_slice(), &[7; 32]].concat()[..]), None] {
        let error = check(&enclave.document(user_data, None), &verifier, None);
        assert!(matches!(error, Error::Receipt(ReceiptRefused::NoKey)), "{error:?}");
    }
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(matches!(check(&flipped, &verifier, None), Error::Attestation(_)), "bit {at}");
    }
}

#[tokio::test]
async fn a_digest_of_the_input_goes_out_with_the_request() {
    let enclave = Enclave::new();
    let mut client = attested(&enclave, 1, |enclave, request, honest| {
        let Call::Run(run) = &request.call else { panic!("{request:?}") };
        assert_eq!(run.input_sha256.as_ref().unwrap().as_slice(), sha256(b"message"));
        enclave.key.sign(&honest).ok()
    })
    .await;
    run(&mut client, &job().input_sha256(sha256(b"message"))).await.unwrap();
}
