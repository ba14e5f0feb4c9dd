//! One connection, calls one after another; a new one when the last is spent.

use strongroom_client::{
    Address, Client, Credentials, Error, ErrorBody, ErrorCode, Options, Protect, ProtocolError,
    Status,
};
use strongroom_wire::frame::PREFACE;
use strongroom_wire::message::{DIGEST_LEN, RECEIPT_KEY_LEN};
use strongroom_wire::{Call, FrameKind, Outcome, Request, Response};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::peer::{Service, accepted, answering, control, end, frame, job, pair, whole};

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        module_id: "i-0123456789abcdef0-enc0123456789abcdef".into(),
        debug: false,
        credentials: true,
        jobs: vec!["mask".into()],
        manifest: vec![1; DIGEST_LEN].into(),
        receipt_key: vec![4; RECEIPT_KEY_LEN].into(),
        counters: std::collections::BTreeMap::new(),
    }
}

fn reply(request: &Request) -> Vec<u8> {
    let outcome = match &request.call {
        Call::Run(_) | Call::Signed(_) => {
            return [accepted(request.id, Protect::None), end(0)].concat();
        }
        Call::Attest(attest) => Outcome::Attest { document: attest.nonce.clone().unwrap() },
        Call::Credentials(_) => Outcome::Credentials {},
        Call::Status {} => Outcome::Status(status()),
    };
    [control(FrameKind::Response, &Response { id: request.id, outcome }), end(0)].concat()
}

/// Serves connections; answers in each of them as many requests as `quota`
/// says in turn, then adds `farewell` and closes.
fn listen(quota: Vec<usize>, farewell: &'static [u8]) -> (Address, JoinHandle<usize>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let task = tokio::spawn(async move {
        let _keep = directory;
        let connections = quota.len();
        for requests in quota {
            let mut service = Service::new(listener.accept().await.unwrap().0);
            service.write(&PREFACE).await;
            for _ in 0..requests {
                let (request, _) = service.whole_request().await.unwrap();
                service.write(&reply(&request)).await;
            }
            service.write(farewell).await;
        }
        connections
    });
    (Address::Unix(path), task)
}

#[tokio::test]
async fn every_call_goes_over_one_connection() {
    let (address, service) = listen(vec![5], b"");
    let mut client = Client::connect(&address).await.unwrap();
    assert_eq!(client.status().await.unwrap(), status());
    let credentials = Credentials {
        access_key_id: "AKIA".into(),
        secret_access_key: "s".into(),
        session_token: None,
        expires_at: None,
    };
    client.put_credentials(credentials).await.unwrap();
    assert_eq!(client.attest_unverified(b"nonce").await.unwrap(), b"nonce");
    client.run(&job(), &b"in"[..], &mut Vec::new()).await.unwrap();
    client.status().await.unwrap();
    assert_eq!(service.await.unwrap(), 1);
}

#[tokio::test]
async fn a_connection_that_the_service_closed_is_replaced() {
    let (address, service) = listen(vec![1, 2], b"");
    let mut client = Client::connect(&address).await.unwrap();
    for _ in 0..3 {
        client.status().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(service.await.unwrap(), 2);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_never_answer_the_next_call() {
    // A whole answer, prepared in advance for whatever comes next.
    let (mut client, far) = pair();
    let peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let (request, _) = service.whole_request().await.unwrap();
        service.write(&whole(request.id, Protect::None, &[])).await;
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        service.write(&frame(FrameKind::Data, b"stale")).await;
        service
    });
    let first = client.run(&job(), &b"in"[..], &mut Vec::new()).await;
    let _service = peer.await.unwrap();
    // Seen in time, or on the next call: never as part of its answer.
    match first {
        Ok(_) => assert!(matches!(client.status().await, Err(Error::GivenUp))),
        Err(error) => {
            assert!(matches!(error, Error::Protocol(ProtocolError::AfterEnd)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_an_earlier_request_is_refused() {
    let (mut client, far) = pair();
    let _peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        let (first, _) = service.whole_request().await.unwrap();
        service.write(&[&PREFACE[..], &reply(&first)].concat()).await;
        service.whole_request().await.unwrap();
        service.write(&reply(&first)).await;
        service
    });
    client.status().await.unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::OtherRequest)), "{error:?}");
}

#[tokio::test]
async fn a_refused_request_leaves_its_connection_usable() {
    let (mut client, far) = pair();
    let _peer = tokio::spawn(async move {
        let mut service = Service::new(far);
        service.whole_request().await.unwrap();
        let refusal = control(FrameKind::Error, &ErrorBody::new(ErrorCode::UnknownJob, "no"));
        service.write(&[&PREFACE[..], &refusal].concat()).await;
        let (request, _) = service.whole_request().await.unwrap();
        service.write(&reply(&request)).await;
        service
    });
    let error = client.run(&job(), &b"in"[..], &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.service().unwrap().code, ErrorCode::UnknownJob);
    client.status().await.unwrap();
}

#[tokio::test]
async fn a_connection_with_more_after_an_error_is_not_used_again() {
    let (mut client, _peer) = answering(|_, _| {
        let refusal = control(FrameKind::Error, &ErrorBody::new(ErrorCode::UnknownJob, "no"));
        [&PREFACE[..], &refusal, &refusal].concat()
    });
    let error = client.status().await.unwrap_err();
    assert_eq!(error.service().unwrap().code, ErrorCode::UnknownJob);
    assert!(matches!(client.status().await, Err(Error::GivenUp)));
}

#[tokio::test]
async fn a_dropped_call_takes_its_connection_along() {
    let (mut client, _far) = pair();
    {
        let call = client.status();
        tokio::pin!(call);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(1), &mut call).await;
        assert!(waited.is_err());
    }
    assert!(matches!(client.status().await, Err(Error::GivenUp)));
}

#[tokio::test]
async fn an_answer_with_a_body_to_a_call_without_one_is_refused() {
    let (mut client, _peer) = answering(|request, _| {
        let outcome = Outcome::Status(status());
        let head = control(FrameKind::Response, &Response { id: request.id, outcome });
        [PREFACE.to_vec(), head, frame(FrameKind::Data, b"x"), end(1)].concat()
    });
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::Unexpected("DATA"))), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_listens_the_error_names_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let address = Address::Unix(directory.path().join("nobody"));
    let error = Client::connect_with(&address, Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
    assert!(error.is_retryable());
}
