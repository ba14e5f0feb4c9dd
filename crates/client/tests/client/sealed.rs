//! Sealed results: opened only when the expected enclave made them, for this
//! request and this key, and only when whole. The enclave is simulated; its
//! documents are made by other code than the one that verifies them.

use std::sync::Arc;

use serde_bytes::ByteBuf;
use strongroom_client::attestation::nsm::{AttestationRequest, Nsm as _};
use strongroom_client::attestation::{Policy, TrustRoot, UnixTime, VerifyError};
use strongroom_client::{
    Client, Error, Expected, Options, Protect, ProtocolError, Recipient, RecipientSecretKey,
    SealedError, Verifier, input_name, open_sealed,
};
use strongroom_envelope::seal::{Binding, OpenError, RecipientPublicKey, Setup};
use strongroom_sim::SimNsm;
use strongroom_wire::{Call, FrameKind, Outcome, Request, Response, Run};
use tokio::io::{AsyncWriteExt as _, duplex};

use crate::peer::{Service, answering, control, end, job, whole};

/// The message that is sent, as far as anyone here reads it.
const MESSAGE: &[u8; 100] = &message(5);
const RESULT: &[u8] = b"name,pan\nA. B.,1111\n";

/// Start of a message with this message id; the rest is made up.
const fn message(id: u8) -> [u8; 100] {
    let mut message = [id; 100];
    message[0] = 2;
    message
}

/// An enclave, and a verifier that accepts it and no other.
fn enclave() -> (Arc<SimNsm>, Verifier) {
    let nsm = Arc::new(SimNsm::builder().image(b"the image").build().unwrap());
    let policy = Policy::for_pcrs([(0, nsm.describe_pcr(0).unwrap().value)]);
    let root = TrustRoot::from_der(&nsm.trust_root_der()).unwrap();
    (nsm, Verifier { root, policy })
}

fn run_of(request: &Request) -> Run {
    match &request.call {
        Call::Run(run) => run.clone(),
        other => panic!("{other:?}"),
    }
}

/// What the enclave gives for `run` over [`MESSAGE`].
fn seal(nsm: &SimNsm, id: [u8; 16], run: &Run, result: &[u8]) -> Vec<u8> {
    seal_from(nsm, id, run, MESSAGE, result)
}

/// What the enclave gives for `run` over `message`.
fn seal_from(nsm: &SimNsm, id: [u8; 16], run: &Run, message: &[u8], result: &[u8]) -> Vec<u8> {
    let nonce = run.nonce.as_ref().map(|nonce| nonce.as_slice());
    let input = &message[3..35];
    let binding =
        Binding { request_id: id, job: &run.job, args: &run.args, input, nonce, padded: false };
    let to = RecipientPublicKey::from_bytes(run.seal_to.as_ref().unwrap()).unwrap();
    let setup = Setup::new(&to, &binding).unwrap();
    let user_data = setup.user_data();
    let wanted = AttestationRequest { user_data: Some(&user_data), nonce, public_key: None };
    let document = nsm.attest(&wanted).unwrap();
    let mut out = Vec::new();
    let mut sealer = setup.start(&document, &mut out).unwrap();
    sealer.seal(result, &mut out).unwrap();
    sealer.finish(&mut out).unwrap();
    out
}

fn now() -> UnixTime {
    UnixTime::from_millis(strongroom_sim::system_clock()())
}

#[tokio::test]
async fn a_sealed_result_is_opened_as_it_comes() {
    let (nsm, verifier) = enclave();
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let result = RESULT.repeat(20_000);
    let sent = result.clone();
    let (near, far) = duplex(5000);
    let _peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let (request, _) = service.whole_request().await.unwrap();
        let sealed = seal(&nsm, request.id.0, &run_of(&request), &sent);
        let parts: Vec<&[u8]> = sealed.chunks(7001).collect();
        service.write(&whole(request.id, Protect::Seal, &parts)).await;
    });
    let mut client = Client::over(near, Options::default());
    // Spawned, as a caller's server would.
    let run = tokio::spawn(async move {
        let mut output = Vec::new();
        let done = client.run_sealed(&job(), &secret, &verifier, &MESSAGE[..], &mut output).await;
        (done.unwrap(), output)
    });
    let ((summary, opened), output) = run.await.unwrap();
    assert!(output == result);
    assert_eq!((summary.received, summary.request), (result.len() as u64, opened.request));
    assert_eq!((opened.job.as_str(), opened.args["tenant"].as_str()), ("mask", "acme"));
    assert_eq!(opened.nonce.as_deref(), opened.document.nonce());
    assert_eq!(opened.input, [5; 32]);
}

/// Runs a sealed job against a service that seals with `forge`.
async fn outcome(
    verifier: &Verifier,
    forge: impl FnOnce([u8; 16], Run) -> Vec<u8> + Send + 'static,
) -> (Error, Vec<u8>) {
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let (mut client, _peer) = answering(move |request, _| {
        whole(request.id, Protect::Seal, &[&forge(request.id.0, run_of(request))])
    });
    let mut output = Vec::new();
    let run = client.run_sealed(&job(), &secret, verifier, &MESSAGE[..], &mut output).await;
    (run.unwrap_err(), output)
}

#[tokio::test]
async fn a_result_for_another_request_job_argument_nonce_or_key_is_refused() {
    type Change = fn(&mut [u8; 16], &mut Run);
    let open = |error| Error::Sealed(SealedError::Open(error)).to_string();
    let other = open(OpenError::OtherRequest);
    let cases: [(&str, Change); 6] = [
        ("request", |id, _| id[0] ^= 1),
        ("job", |_, run| run.job = "other".into()),
        ("argument", |_, run| drop(run.args.insert("tenant".into(), "evil".into()))),
        ("more arguments", |_, run| drop(run.args.insert("x".into(), String::new()))),
        ("nonce", |_, run| run.nonce = Some(ByteBuf::from([1; 32]))),
        ("no nonce", |_, run| run.nonce = None),
    ];
    for (what, change) in cases {
        let (nsm, verifier) = enclave();
        let (error, output) = outcome(&verifier, move |mut id, mut run| {
            change(&mut id, &mut run);
            seal(&nsm, id, &run, RESULT)
        })
        .await;
        match &error {
            // The document's own nonce and user data give it away first.
            Error::Attestation(VerifyError::NonceMismatch | VerifyError::UserDataMismatch) => {}
            error => assert_eq!(error.to_string(), other, "{what}"),
        }
        assert!(output.is_empty(), "{what}");
    }
    let (nsm, verifier) = enclave();
    let (error, output) = outcome(&verifier, move |id, mut run| {
        let (_, thief) = RecipientSecretKey::generate().unwrap();
        run.seal_to = Some(ByteBuf::from(*thief.as_bytes()));
        seal(&nsm, id, &run, RESULT)
    })
    .await;
    assert!(matches!(error, Error::Attestation(VerifyError::UserDataMismatch)), "{error:?}");
    assert!(output.is_empty());
}

fn is_other_input(error: &Error) -> bool {
    matches!(error, Error::Sealed(SealedError::Open(OpenError::OtherInput)))
}

#[tokio::test]
async fn a_relay_that_puts_another_message_in_place_of_the_one_sent_is_refused() {
    // The request goes through as it is; the enclave is genuine and does what
    // it is asked, over the message that it gets.
    let near_miss = [&MESSAGE[..34], &[0][..], &MESSAGE[35..]].concat();
    for other in [message(6).to_vec(), near_miss] {
        let (nsm, verifier) = enclave();
        let (error, output) =
            outcome(&verifier, move |id, run| seal_from(&nsm, id, &run, &other, RESULT)).await;
        assert!(is_other_input(&error), "{error:?}");
        assert!(output.is_empty());
    }
}

#[tokio::test]
async fn a_result_made_from_another_message_and_relabelled_is_refused() {
    let (nsm, verifier) = enclave();
    let (error, output) = outcome(&verifier, move |id, run| {
        let mut sealed = seal_from(&nsm, id, &run, &message(6), RESULT);
        let at = sealed.windows(32).position(|window| window == [6; 32]).unwrap();
        sealed[at..at + 32].fill(5);
        sealed
    })
    .await;
    assert!(matches!(error, Error::Attestation(VerifyError::UserDataMismatch)), "{error:?}");
    assert!(output.is_empty());
}

#[tokio::test]
async fn a_result_that_comes_before_the_message_is_refused() {
    let (nsm, verifier) = enclave();
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    let (near, far) = duplex(1 << 20);
    let _peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let request = service.request().await.unwrap();
        let sealed = seal(&nsm, request.id.0, &run_of(&request), RESULT);
        service.write(&whole(request.id, Protect::Seal, &[&sealed])).await;
        service.body().await;
    });
    // One byte short of the message's id.
    let (mut input, reader) = duplex(1000);
    input.write_all(&MESSAGE[..34]).await.unwrap();
    let (mut client, mut output) = (Client::over(near, Options::default()), Vec::new());
    let run = client.run_sealed(&job(), &secret, &verifier, reader, &mut output).await;
    assert!(matches!(run, Err(Error::Sealed(SealedError::NoInput))), "{run:?}");
    assert!(output.is_empty());
}

#[tokio::test]
async fn a_result_under_another_name_than_its_inputs_is_refused() {
    let mut format_1 = message(5);
    format_1[0] = 1;
    // One that has none of its own, one that is cut short, one of another format.
    for input in [&b""[..], b"name,pan\n", &MESSAGE[..34], &format_1] {
        let (nsm, verifier) = enclave();
        let (secret, _) = RecipientSecretKey::generate().unwrap();
        let (mut client, _peer) = answering(move |request, _| {
            let sealed = seal(&nsm, request.id.0, &run_of(request), RESULT);
            whole(request.id, Protect::Seal, &[&sealed])
        });
        let mut output = Vec::new();
        let run = client.run_sealed(&job(), &secret, &verifier, input, &mut output).await;
        let other = SealedError::Open(OpenError::OtherInput);
        assert!(matches!(&run, Err(Error::Sealed(error)) if *error == other), "{run:?}");
        assert!(output.is_empty());
    }
}

#[tokio::test]
async fn how_the_message_is_read_does_not_matter() {
    for pipe in [1, 2, 3, 32, 34, 35, 36, 99] {
        let (nsm, verifier) = enclave();
        let (secret, _) = RecipientSecretKey::generate().unwrap();
        let (mut client, _peer) = answering(move |request, body| {
            assert_eq!(body, MESSAGE);
            let sealed = seal_from(&nsm, request.id.0, &run_of(request), &body, RESULT);
            whole(request.id, Protect::Seal, &[&sealed])
        });
        let (mut input, reader) = duplex(pipe);
        let writer = tokio::spawn(async move { input.write_all(MESSAGE).await.unwrap() });
        let mut output = Vec::new();
        client.run_sealed(&job(), &secret, &verifier, reader, &mut output).await.unwrap();
        assert_eq!(output, RESULT, "pipe of {pipe}");
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_result_of_another_enclave_is_refused_before_a_byte_of_it() {
    let (_, verifier) = enclave();
    let other_root = SimNsm::builder().image(b"the image").build().unwrap();
    let (error, output) =
        outcome(&verifier, move |id, run| seal(&other_root, id, &run, RESULT)).await;
    assert!(matches!(error, Error::Attestation(VerifyError::RootMismatch { .. })), "{error:?}");
    assert!(output.is_empty());

    let (nsm, verifier) = enclave();
    let other_image = SimNsm::builder().ca(&nsm.ca()).image(b"another").build().unwrap();
    let (error, output) =
        outcome(&verifier, move |id, run| seal(&other_image, id, &run, RESULT)).await;
    assert!(
        matches!(error, Error::Attestation(VerifyError::PcrMismatch { index: 0, .. })),
        "{error:?}"
    );
    assert!(output.is_empty());

    let (nsm, verifier) = enclave();
    let debug = SimNsm::builder().ca(&nsm.ca()).image(b"the image").debug().build().unwrap();
    let (error, output) = outcome(&verifier, move |id, run| seal(&debug, id, &run, RESULT)).await;
    assert!(matches!(error, Error::Attestation(VerifyError::DebugMode)), "{error:?}");
    assert!(output.is_empty());
}

#[tokio::test]
async fn a_stream_sealed_under_another_enclaves_document_is_refused() {
    // The parent seals by itself and borrows a genuine document.
    let (nsm, verifier) = enclave();
    let (error, output) = outcome(&verifier, move |id, run| {
        let nonce = run.nonce.as_ref().map(|nonce| nonce.as_slice());
        let (job, args, input) = (run.job.as_str(), &run.args, &MESSAGE[3..35]);
        let binding = Binding { request_id: id, job, args, input, nonce, padded: false };
        let to = RecipientPublicKey::from_bytes(run.seal_to.as_ref().unwrap()).unwrap();
        let wanted = AttestationRequest { nonce, ..AttestationRequest::default() };
        let document = nsm.attest(&wanted).unwrap();
        let mut out = Vec::new();
        let mut sealer = Setup::new(&to, &binding).unwrap().start(&document, &mut out).unwrap();
        sealer.seal(RESULT, &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        out
    })
    .await;
    assert!(matches!(error, Error::Attestation(VerifyError::UserDataMismatch)), "{error:?}");
    assert!(output.is_empty());
}

#[tokio::test]
async fn a_sealed_result_that_is_cut_or_added_to_is_refused_though_the_frames_are_whole() {
    for (what, change) in [
        ("nothing", (|_| Vec::new()) as fn(Vec<u8>) -> Vec<u8>),
        ("half the header", |stream| stream[..200].to_vec()),
        ("the last byte gone", |stream| stream[..stream.len() - 1].to_vec()),
        ("the final chunk gone", |stream| stream[..stream.len() - 4 - 16 - 34_464].to_vec()),
        ("a byte more", |stream| [stream, vec![0]].concat()),
        ("twice", |stream| [&stream[..], &stream].concat()),
        ("a bit flipped in the last chunk", |mut stream| {
            *stream.last_mut().unwrap() ^= 1;
            stream
        }),
    ] {
        let (nsm, verifier) = enclave();
        let (error, output) =
            outcome(&verifier, move |id, run| change(seal(&nsm, id, &run, &[7; 100_000]))).await;
        assert!(matches!(error.cause(), Error::Sealed(_)), "{what}: {error:?}");
        let received = match error {
            Error::Partial { received, .. } => received,
            _ => 0,
        };
        assert_eq!(received, output.len() as u64, "{what}");
    }
}

#[tokio::test]
async fn a_result_in_the_clear_never_passes_for_a_sealed_one() {
    let (_, verifier) = enclave();
    for protect in [Protect::None, Protect::Kms] {
        let (secret, public_key) = RecipientSecretKey::generate().unwrap();
        let (mut client, _peer) =
            answering(move |request, _| whole(request.id, protect, &[b"made up"]));
        let mut output = Vec::new();
        let run = client.run_sealed(&job(), &secret, &verifier, &b""[..], &mut output).await;
        assert!(matches!(run, Err(Error::Protocol(ProtocolError::NotSealed))));
        assert!(output.is_empty());

        let (mut client, _peer) =
            answering(move |request, _| whole(request.id, protect, &[b"made up"]));
        let recipient = Recipient { public_key: *public_key.as_bytes(), nonce: None };
        let run = client.run_for(&recipient, &job(), &b""[..], &mut output).await;
        assert!(matches!(run, Err(Error::Protocol(ProtocolError::NotSealed))));
        assert!(output.is_empty());
    }
}

#[tokio::test]
async fn a_relayed_result_is_opened_by_its_owner_and_by_nobody_else() {
    let (nsm, verifier) = enclave();
    let (secret, public_key) = RecipientSecretKey::generate().unwrap();
    let (mut client, _peer) = answering(move |request, _| {
        let sealed = seal(&nsm, request.id.0, &run_of(request), RESULT);
        whole(request.id, Protect::Seal, &[&sealed])
    });
    let nonce = Some(b"owner's nonce".to_vec());
    let recipient = Recipient { public_key: *public_key.as_bytes(), nonce: nonce.clone() };
    let mut stored = Vec::new();
    let summary = client.run_for(&recipient, &job(), &MESSAGE[..], &mut stored).await.unwrap();

    let expected = Expected {
        request: Some(summary.request),
        job: Some("mask".into()),
        args: Some(job().args),
        input: input_name(MESSAGE),
        nonce,
    };
    let mut output = Vec::new();
    let opened =
        open_sealed(&stored[..], &mut output, &secret, &verifier, &expected, now()).await.unwrap();
    assert_eq!((output.as_slice(), opened.request), (RESULT, summary.request));

    let (stranger, _) = RecipientSecretKey::generate().unwrap();
    let anything = Expected::default();
    let mut none = Vec::new();
    open_sealed(&stored[..], &mut none, &secret, &verifier, &anything, now()).await.unwrap();
    none.clear();
    let theft = open_sealed(&stored[..], &mut none, &stranger, &verifier, &anything, now()).await;
    assert!(matches!(theft, Err(Error::Attestation(VerifyError::UserDataMismatch))));
    let replay = Expected { nonce: Some(b"a newer nonce".to_vec()), ..anything.clone() };
    let replayed = open_sealed(&stored[..], &mut none, &secret, &verifier, &replay, now()).await;
    assert!(matches!(replayed, Err(Error::Attestation(VerifyError::NonceMismatch))));
    for input in [vec![6; 32], vec![5; 31], vec![]] {
        let swap = Expected { input: Some(input), ..anything.clone() };
        let swapped = open_sealed(&stored[..], &mut none, &secret, &verifier, &swap, now()).await;
        assert!(is_other_input(&swapped.unwrap_err()));
    }
    let later = UnixTime::from_millis(now().as_millis() + 24 * 3600 * 1000);
    let expired = open_sealed(&stored[..], &mut none, &secret, &verifier, &anything, later).await;
    assert!(matches!(expired, Err(Error::Attestation(VerifyError::CertificateExpired { .. }))));
    for cut in 0..stored.len() {
        let input = &stored[..cut];
        let opened = open_sealed(input, &mut none, &secret, &verifier, &anything, now()).await;
        assert!(matches!(opened.unwrap_err().cause(), Error::Sealed(_)), "cut at {cut}");
    }
    assert!(none.is_empty(), "one chunk: nothing comes before it is whole");
}

#[tokio::test]
async fn any_flipped_bit_of_a_stored_stream_is_refused() {
    let (nsm, verifier) = enclave();
    let (secret, public_key) = RecipientSecretKey::generate().unwrap();
    let seal_to = Some(ByteBuf::from(*public_key.as_bytes()));
    let run = Run { job: "mask".into(), seal_to, ..Run::default() };
    let stored = seal(&nsm, [1; 16], &run, RESULT);
    // The document's own bits are `attestation`'s to test, at a price for each;
    // here a sample of them, and every bit outside.
    let document = 140..stored.len() - 100;
    let bits = (0..stored.len() * 8).filter(|bit| !document.contains(&(bit / 8)) || bit % 331 == 0);
    let expected = Expected::default();
    for bit in bits {
        let mut stream = stored.clone();
        stream[bit / 8] ^= 1 << (bit % 8);
        let mut none = Vec::new();
        open_sealed(&stream[..], &mut none, &secret, &verifier, &expected, now())
            .await
            .expect_err(&format!("bit {bit}"));
        assert!(none.is_empty(), "bit {bit}");
    }
}

#[tokio::test]
async fn how_a_stored_stream_is_read_does_not_matter() {
    let (nsm, verifier) = enclave();
    let (secret, public_key) = RecipientSecretKey::generate().unwrap();
    let seal_to = Some(ByteBuf::from(*public_key.as_bytes()));
    let run = Run { job: "mask".into(), seal_to, ..Run::default() };
    let result = RESULT.repeat(8000);
    let stored = seal(&nsm, [1; 16], &run, &result);
    for pipe in [1, 2, 3, 7, 4096, 65_535, 65_536, 65_557, 1 << 20] {
        let (mut near, far) = duplex(pipe);
        let stream = stored.clone();
        let writer = tokio::spawn(async move {
            near.write_all(&stream).await.unwrap();
        });
        let mut output = Vec::new();
        let expected = Expected::default();
        open_sealed(far, &mut output, &secret, &verifier, &expected, now()).await.unwrap();
        assert!(output == result, "pipe of {pipe}");
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn attesting_binds_the_clients_own_nonce() {
    let (nsm, verifier) = enclave();
    let attest = |nsm: Arc<SimNsm>, nonce: fn(Vec<u8>) -> Option<Vec<u8>>| {
        answering(move |request, _| {
            let Call::Attest(attest) = &request.call else { panic!() };
            let nonce = nonce(attest.nonce.clone().unwrap().into_vec());
            let wanted =
                AttestationRequest { nonce: nonce.as_deref(), ..AttestationRequest::default() };
            let document = ByteBuf::from(nsm.attest(&wanted).unwrap());
            let response = Response { id: request.id, outcome: Outcome::Attest { document } };
            let preface = strongroom_wire::frame::PREFACE.to_vec();
            [preface, control(FrameKind::Response, &response), end(0)].concat()
        })
    };
    let (mut client, _peer) = attest(Arc::clone(&nsm), Some);
    let document = client.attest(&verifier).await.unwrap();
    assert_eq!(document.nonce().unwrap().len(), 32);
    for nonce in [
        (|_| None) as fn(Vec<u8>) -> Option<Vec<u8>>,
        |_| Some(vec![7; 32]),
        |nonce| Some(nonce[1..].to_vec()),
    ] {
        let (mut client, _peer) = attest(Arc::clone(&nsm), nonce);
        let error = client.attest(&verifier).await.unwrap_err();
        assert!(matches!(error, Error::Attestation(VerifyError::NonceMismatch)), "{error:?}");
    }
}

#[tokio::test]
async fn a_policy_that_names_no_image_is_refused() {
    let (nsm, mut verifier) = enclave();
    verifier.policy = Policy::default();
    let (error, output) = outcome(&verifier, move |id, run| seal(&nsm, id, &run, RESULT)).await;
    assert!(matches!(error, Error::Attestation(VerifyError::ImageUnpinned)), "{error:?}");
    assert!(output.is_empty());
}
