//! The port for machines that watch: `/healthz` (alive), `/readyz` (takes queries), `/metrics` (Prometheus). It tells how much
//! the server does, never what it serves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::metrics::Observed;
use crate::sockets::{Newest, accept, not_bound};

/// How long a connection may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at the same time; the oldest goes for a new one.
const MOST: usize = 128;

/// Bytes of a request's head.
const LONGEST_HEAD: usize = 16 << 10;

/// Whether the server takes queries. Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A bound port for machines that watch.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpServer {
    /// Binds an address. Errors are one readable line.
    pub async fn bind(address: &str) -> Result<HttpServer, String> {
        let listener = TcpListener::bind(address).await.map_err(|e| not_bound("--http", address, &e))?;
        let bound = listener.local_addr().map_err(|e| not_bound("--http", address, &e))?;
        Ok(HttpServer { listener, address: bound })
    }

    /// The address that it listens on, with the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until dropped.
    pub async fn run(self, observed: Observed, ready: Ready) {
        let mut newest = Newest::new(MOST);
        loop {
            let (stream, _) = accept(&self.listener).await;
            let (observed, ready) = (observed.clone(), ready.clone());
            let service = service_fn(move |request: Request<Body>| {
                let answer = answer(request.method(), request.uri().path(), &observed, &ready);
                async move { Ok::<_, Infallible>(answer) }
            });
            newest.spawn(async move {
                let serving = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .keep_alive(false)
                    .max_buf_size(LONGEST_HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                // An error here is the other end's.
                let _ = timeout(PATIENCE, serving).await;
            });
        }
    }
}

fn answer(method: &Method, path: &str, observed: &Observed, ready: &Ready) -> Response<Full<Bytes>> {
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".into());
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => {
            let mut page = text(StatusCode::OK, observed.page());
            page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
            page
        }
        "/readyz" if observed.limits.open().is_err() => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into()),
        "/readyz" if !ready.get() => text(StatusCode::SERVICE_UNAVAILABLE, "starting: files are being indexed\n".into()),
        _ => text(StatusCode::OK, "ok\n".into()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
