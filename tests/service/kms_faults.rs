//! A KMS, and a road to it, with faults: the right error, in time, and service
//! as before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use strongroom_client::{ErrorCode, Job};
use strongroom_sim::kms::{Fault, KmsError};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, MASKED, Plan, mask, unkept};

#[tokio::test]
async fn throttling_and_passing_failures_are_retried_until_kms_answers() {
    let house = House::built(Plan { manifest: unkept, ..Plan::default() }).await;
    let message = house.acme().await;
    for fault in [
        Fault::Error(KmsError::throttling()),
        Fault::Error(KmsError::internal()),
        Fault::Error(KmsError::dependency_timeout()),
        Fault::Reset,
    ] {
        let before = house.nitro.kms.faults().count("Decrypt");
        house.nitro.kms.faults().inject_for("Decrypt", 2, fault.clone());
        assert_eq!(house.mask(&message).await.unwrap(), MASKED, "{fault:?}");
        assert_eq!(house.nitro.kms.faults().count("Decrypt"), before + 3, "{fault:?}");
    }
}

#[tokio::test]
async fn lasting_failures_end_in_a_retryable_error() {
    let house = House::built(Plan { manifest: unkept, ..Plan::default() }).await;
    let message = house.acme().await;
    for fault in [Fault::Error(KmsError::throttling()), Fault::Reset, Fault::Garbage] {
        house.nitro.kms.faults().inject_for("Decrypt", 20, fault.clone());
        let refused = house.refusal(&mask("acme"), &message).await;
        assert_eq!(refused.code, ErrorCode::KeyUnavailable, "{fault:?}");
        assert!(refused.code.is_retryable());
        house.nitro.kms.faults().clear();
        assert_eq!(house.mask(&message).await.unwrap(), MASKED, "after {fault:?}");
    }
}

#[tokio::test]
async fn refusals_are_not_retried() {
    let house = House::new().await;
    let message = house.acme().await;
    house.nitro.kms.set_key_enabled(&house.customers, false).unwrap();
    let before = house.nitro.kms.faults().count("Decrypt");
    let refused = house.refusal(&mask("acme"), &message).await;
    assert_eq!(
        (refused.code, refused.kms.unwrap().code.as_str()),
        (ErrorCode::KeyDenied, "DisabledException")
    );
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), before + 1);
}

#[tokio::test]
async fn a_hanging_kms_ends_at_the_callers_deadline() {
    let house = House::new().await;
    let message = house.acme().await;
    house.nitro.kms.faults().inject_for("Decrypt", 20, Fault::Hang);
    let job = Job { deadline: Some(Duration::from_millis(700)), ..mask("acme") };
    let started = Instant::now();
    let error = house.run(&job, &message).await.unwrap_err();
    let by_service = error.service().map(|body| body.code) == Some(ErrorCode::DeadlineExceeded);
    assert!(by_service || matches!(error.cause(), strongroom_client::Error::Deadline), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "the deadline was not kept");
    house.nitro.kms.faults().clear();
    assert_eq!(house.mask(&message).await.unwrap(), MASKED);
}

#[tokio::test]
async fn a_proxy_that_accepts_and_never_answers_does_not_gather_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let silent = Arc::new(AtomicUsize::new(0));
    let (tell_kms, kms) = tokio::sync::watch::channel(None);
    tokio::spawn(serve_one_and_stall_the_rest(listener, kms, silent.clone()));
    let house = House::built(Plan { kms: Some(proxy), manifest: unkept, ..Plan::default() }).await;
    tell_kms.send(Some(house.nitro.kms.addr())).unwrap();
    let message = house.acme().await;
    // Of two at once one finds the good connection free, and the other starts
    // a new one and is then served by the first's.
    for _ in 0..5 {
        let (one, other) = tokio::join!(house.mask(&message), house.mask(&message));
        assert_eq!((one.unwrap().as_str(), other.unwrap().as_str()), (MASKED, MASKED));
    }
    assert!(silent.load(SeqCst) > 0, "the attack did not take place");
    for _ in 0..200 {
        if silent.load(SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} connections are still held", silent.load(SeqCst));
}

async fn serve_one_and_stall_the_rest(
    listener: TcpListener,
    mut kms: tokio::sync::watch::Receiver<Option<SocketAddr>>,
    silent: Arc<AtomicUsize>,
) {
    let (mut first, _) = listener.accept().await.unwrap();
    tokio::spawn(async move {
        let kms = kms.wait_for(Option::is_some).await.unwrap().unwrap();
        let mut road = TcpStream::connect(kms).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut first, &mut road).await;
    });
    while let Ok((mut stream, _)) = listener.accept().await {
        let silent = silent.clone();
        silent.fetch_add(1, SeqCst);
        tokio::spawn(async move {
            // Reads until the other side gives up, and never says a word.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            silent.fetch_sub(1, SeqCst);
        });
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let house = House::built(Plan { kms: Some(nobody), ..Plan::default() }).await;
    let refused = house.refusal(&mask("acme"), &house.acme().await).await;
    assert_eq!(refused.code, ErrorCode::KeyUnavailable);
    assert!(refused.message.contains("refused"), "{}", refused.message);
}
