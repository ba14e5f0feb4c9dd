//! Bodies stream both ways at once, in bounded memory.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use strongroom_client::{Client, Error, Options, Progress, Protect};
use strongroom_wire::frame::PREFACE;
use strongroom_wire::{Call, FrameKind};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, duplex, repeat};

use crate::peer::{Service, accepted, answering, end, frame, job, pair, whole};

/// A service that gives back each piece as it comes, and its count at the end.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S) {
    let mut service = Service::new(stream);
    let request = service.request().await.unwrap();
    service.write(&[&PREFACE[..], &accepted(request.id, Protect::None)].concat()).await;
    let mut count = 0;
    while let Some((FrameKind::Data, bytes)) = service.next().await {
        if !bytes.is_empty() {
            service.write(&frame(FrameKind::Data, &bytes)).await;
        }
        count += bytes.len() as u64;
    }
    service.write(&end(count)).await;
}

#[tokio::test]
async fn a_body_larger_than_every_buffer_passes_through_both_ways() {
    // The pipe holds 1000 bytes: one side that only wrote would never end.
    let (near, far) = duplex(1000);
    let peer = tokio::spawn(echo(far));
    let mut client = Client::over(near, Options::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    client.on_progress(move |progress| log.lock().unwrap().push(progress));
    let input: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let mut output = Vec::new();
    let summary = client.run(&job(), &input[..], &mut output).await.unwrap();
    assert!(output == input);
    assert_eq!((summary.sent, summary.received), (3_000_000, 3_000_000));
    peer.await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.last(), Some(&Progress { sent: 3_000_000, received: 3_000_000 }));
    assert!(seen.is_sorted_by(|a, b| a.sent <= b.sent && a.received <= b.received));
    // Streaming, not hoarding: at no time was more under way than the buffers
    // of both sides and the pipe hold.
    let under_way = seen.iter().map(|p| p.sent.saturating_sub(p.received)).max().unwrap();
    assert!(under_way < 512 << 10, "{under_way}");
}

#[tokio::test]
async fn a_run_sends_what_the_job_says() {
    let (mut client, peer) = answering(|request, body| {
        let Call::Run(run) = &request.call else { panic!() };
        assert_eq!((run.job.as_str(), run.args["tenant"].as_str()), ("mask", "acme"));
        assert_eq!((&run.seal_to, &run.nonce), (&None, &None));
        assert_eq!(request.deadline_ms, Some(300_000));
        whole(request.id, Protect::Kms, &[&body])
    });
    let mut output = Vec::new();
    let summary = client.run(&job(), &b"in"[..], &mut output).await.unwrap();
    assert_eq!((output.as_slice(), summary.protect), (&b"in"[..], Protect::Kms));
    peer.await.unwrap();
}

#[tokio::test]
async fn an_input_that_fails_is_never_declared_complete() {
    struct Failing;
    impl AsyncRead for Failing {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("disk")))
        }
    }
    let (mut client, far) = pair();
    let input = (&b"some of it"[..]).chain(Failing);
    let error = client.run(&job(), input, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error:?}");
    let mut service = Service::new(far);
    service.request().await.unwrap();
    assert_eq!(service.body().await, None, "the connection ends without END");
}

#[tokio::test]
async fn an_output_that_is_full_fails_the_call() {
    struct Full;
    impl AsyncWrite for Full {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let (near, far) = duplex(1000);
    let _peer = tokio::spawn(echo(far));
    let mut client = Client::over(near, Options::default());
    let error = client.run(&job(), repeat(1), Full).await.unwrap_err();
    assert!(matches!(error, Error::Output(_)), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn every_call_can_be_spawned() {
    let (mut client, _peer) = answering(|request, _| whole(request.id, Protect::None, &[b"out"]));
    let spawned = tokio::spawn(async move {
        let mut output = Vec::new();
        client.run(&job(), &b"in"[..], &mut output).await.map(|_| output)
    });
    assert_eq!(spawned.await.unwrap().unwrap(), b"out");
}
