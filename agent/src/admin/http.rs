//! Health and metrics over HTTP (`admin.listen`).
//!
//! ```text
//!  GET /healthz  200 while the process lives
//!  GET /readyz   200 when it hauls, else 503 with what stands in the way
//!  GET /metrics  Prometheus text format 0.0.4
//! ```
//!
//! In: connections. Out: one answer each; the connection is closed behind it. Invariant: whoever asks changes nothing,
//! and holds up nobody but others who ask: the endpoint has one thread of its own, and one for measurements. Failure: an
//! address that is not to be had is an error at the start; a connection that fails is dropped.
//!
//! Bounds: [`CONNECTIONS`] at once, [`TIME`] each, a head of 8 KiB ([`HEAD`]) and 32 lines; bodies are not read.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::vitals::Vitals;
use crate::runtime::{OnError, OnStop, Shutdown, Tasks};

/// Connections that are served at once: a few scrapers and probes.
const CONNECTIONS: usize = 16;

/// How long a connection may take in all; probes ask every few seconds.
const TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head: the least that hyper takes.
const HEAD: usize = 8 * 1024;

/// The most lines of a request's head.
const HEADERS: usize = 32;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} (admin.listen): {source}; give this agent an address of its own, or `off` to run \
     without health and metrics"
)]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// The endpoint, serving until it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    /// What the configuration says, which may leave the port open.
    asked: SocketAddr,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Serves on this address, from a thread of its own.
    pub fn serve(asked: SocketAddr, vitals: Arc<Vitals>) -> Result<Self, ListenError> {
        let error = |source| ListenError { address: asked, source };
        let listener = TcpListener::bind(asked).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .map_err(error)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = accept(listener, vitals) => {}
                }
            });
            // A measurement that is under way ends by itself.
            runtime.shutdown_background();
        });
        let thread = Some(thread.map_err(error)?);
        Ok(Self { asked, address, stop, thread })
    }

    /// The address that was asked for.
    pub fn asked(&self) -> SocketAddr {
        self.asked
    }

    /// The address in use, with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It ends at once; a panic in it was its own.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, vitals: Arc<Vitals>) {
    /// After a failure, such as too many open files.
    const REST: Duration = Duration::from_millis(200);
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "health and metrics are not served"),
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // They are dropped with it, at the end.
    let tasks = Tasks::new(Shutdown::new(TIME));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let vitals = Arc::clone(&vitals);
                tasks.spawn("health and metrics", OnError::Log, OnStop::Abort, async move {
                    let _permit = permit;
                    let _late = tokio::time::timeout(TIME, converse(stream, vitals)).await;
                    Ok(())
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept no connection for health and metrics");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, vitals: Arc<Vitals>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let vitals = Arc::clone(&vitals);
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), vitals).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIME)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "drop a connection for health and metrics");
    }
}

async fn answer(method: &Method, path: &str, vitals: Arc<Vitals>) -> Response<Full<Bytes>> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return say(StatusCode::NOT_FOUND, TEXT, "there are /healthz, /readyz and /metrics\n".into());
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/healthz" => say(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => match vitals.in_the_way() {
            None => say(StatusCode::OK, TEXT, "ok\n".into()),
            Some(reason) => say(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
        _ => match tokio::task::spawn_blocking(move || vitals.metrics()).await {
            Ok(text) => say(StatusCode::OK, METRICS, text),
            Err(error) => say(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
    }
}

fn say(status: StatusCode, content: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
