//! The HTTPS endpoint: accepts, bounds, and hands whole requests to the service.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response as HttpResponse;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::faults::Fault;
use super::request::Request;
use super::service::{CONTENT_TYPE, Response, Service};

/// Accepts connections until it is dropped, which ends them all.
pub(super) async fn serve(listener: TcpListener, tls: TlsAcceptor, service: Arc<Service>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some connection will end.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, service) = (tls.clone(), service.clone());
        connections.spawn(async move {
            connection(socket, tls, service).await;
            drop(slot);
        });
    }
}

async fn connection(socket: TcpStream, tls: TlsAcceptor, service: Arc<Service>) {
    let reset = Arc::new(Notify::new());
    // A second handle on the socket: hyper owns the first when a fault wants it
    // reset.
    let Ok(handle) = socket.as_fd().try_clone_to_owned() else { return };
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await else { return };
    let notify = reset.clone();
    let answer = service_fn(move |request| {
        let (service, reset) = (service.clone(), notify.clone());
        async move { Ok::<_, Infallible>(respond(request, &service, &reset).await) }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(MAX_HEADERS);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(IDLE_TIMEOUT))
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS);
    let served = http.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        _ = served => {}
        () = reset.notified() => {
            // Zero linger makes the close below an RST.
            let handle = std::net::TcpStream::from(handle);
            if let Ok(handle) = TcpStream::from_std(handle) {
                let _ = handle.set_zero_linger();
            }
        }
    }
}

async fn respond(
    request: http::Request<Incoming>,
    service: &Service,
    reset: &Notify,
) -> HttpResponse<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_LEN).collect()).await;
    let Ok(Ok(body)) = body else {
        return plain(413, "request body too large or too slow");
    };
    let request = Request::new(&parts, body.to_bytes());
    let error = match service.fault(&request) {
        None => None,
        Some(Fault::Error(error)) => Some(error),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => {
            reset.notify_one();
            std::future::pending().await
        }
        Some(Fault::Garbage) => return plain(200, "<html>this is not KMS</html>"),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            None
        }
    };
    // RSA and P-384 take a few milliseconds: short enough for a runtime thread
    // of a simulator.
    http_response(service.answer(&request, error))
}

fn http_response(response: Response) -> HttpResponse<Full<Bytes>> {
    let built = HttpResponse::builder()
        .status(response.status)
        .header("content-type", CONTENT_TYPE)
        .header("x-amzn-requestid", response.request_id)
        .header("cache-control", "no-cache, no-store, must-revalidate, private")
        .body(Full::new(Bytes::from(response.body)));
    built.unwrap_or_else(|_| plain(500, "the simulated KMS made no valid response"))
}

fn plain(status: u16, text: &'static str) -> HttpResponse<Full<Bytes>> {
    let mut response = HttpResponse::new(Full::new(Bytes::from_static(text.as_bytes())));
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    response
}

const MAX_CONNECTIONS: usize = 512;
const MAX_STREAMS: u32 = 128;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// The largest true request is a Decrypt with a 256 KiB document.
const MAX_BODY_LEN: usize = 1024 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
