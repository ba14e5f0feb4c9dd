//! The road to KMS: the AWS SDK's HTTP client over a byte stream of ours.
//!
//! The third seam, and the SDK's own: connector, roots and where to connect are
//! handed in by whoever composes. The parent forwards bytes and no more: the
//! stream goes to its proxy whatever the host name, TLS ends here, and the
//! certificate must be KMS's own under the given roots.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::Uri;
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error as HyperError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::transport::{Endpoint, Stream};

/// A way to KMS. Clones share its connections.
#[derive(Clone)]
pub struct Road {
    client: Client<InTime<HttpsConnector<Dialer>>, SdkBody>,
}

impl Road {
    /// A road through `proxy`, believing certificates under `roots` only.
    #[must_use]
    pub fn new(proxy: Endpoint, roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(Dialer(Arc::new(proxy)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(InTime(https));
        Self { client }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let other = |error: BoxError| ConnectorError::other(error, None);
        let request = request.try_into_http1x().map_err(|error| other(error.into()))?;
        let response = self.client.request(request).await.map_err(connector_error)?;
        let response =
            response.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_RESPONSE)));
        HttpResponse::try_from(response).map_err(|error| other(error.into()))
    }
}

impl fmt::Debug for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Road")
    }
}

impl HttpConnector for Road {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Road {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A refused certificate will be refused again; everything else about a
/// connection is worth another try.
fn connector_error(error: HyperError) -> ConnectorError {
    match std::error::Error::source(&error).is_some_and(is_tls) {
        true => ConnectorError::other(error.into(), None),
        false => ConnectorError::io(error.into()),
    }
}

/// Whether an error comes from TLS, however deep it is wrapped.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // An I/O error does not name what it wraps as its source.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}

/// Connects to the proxy, whatever host is wanted: the name is for TLS to check.
#[derive(Clone)]
struct Dialer(Arc<Endpoint>);

impl Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Connecting<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let proxy = Arc::clone(&self.0);
        Box::pin(async move { proxy.connect().await.map(TokioIo::new) })
    }
}

/// Bounds the making of a connection, TLS included. The client may leave one
/// half made to its own devices: without a bound of its own, a proxy that
/// accepts and never answers would gather them for ever.
#[derive(Clone)]
struct InTime<S>(S);

impl<S> Service<Uri> for InTime<S>
where
    S: Service<Uri, Error = BoxError>,
    S::Response: 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let made = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
            made.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }
}

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest wait for a connection through the proxy, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. AWS's vsock-proxy gives each connection
/// one of its four threads for as long as it is open.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Most idle connections kept; half of vsock-proxy's threads.
const POOL_SIZE: usize = 2;

/// Longest body of a response, in bytes. KMS's are below 16 KiB.
const MAX_RESPONSE: usize = 64 << 10;
