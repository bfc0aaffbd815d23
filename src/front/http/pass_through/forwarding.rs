//! Sends one request to the process of the active generation, over a connection of its own, and returns the response. A
//! request without effects is sent once more if the process ends before it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, Version};
use axum::response::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::io::InspectReader;

use super::super::connections::{ConnectionState, TrackedBody};
use super::super::responses::ErrorResponse;
use super::super::{Front, HEADERS};
use super::headers::{self, Sender};
use super::site_body::SiteBody;
use crate::error_chain::with_causes;
use crate::server::{ServerHandle, SiteExchange};

/// Time limit for a connection to a process of this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time within which the exit of a process is noticed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Reason why a request got no response.
struct Unanswered {
    error: ErrorResponse,
    /// True if a part of the response has arrived.
    has_begun: bool,
}

/// Forwards a request to `server` and returns its response. Both bodies are passed on as they arrive.
pub(super) async fn forward(
    front: &Front,
    server: &ServerHandle,
    mut request: Request,
) -> Result<Response, ErrorResponse> {
    let state = request.extensions().get::<Arc<ConnectionState>>().cloned();
    let mark_arrived = || {
        if let Some(state) = &state {
            state.request_arrived();
        }
    };
    if request.body().is_end_stream() {
        mark_arrived();
    }
    let is_websocket = headers::is_websocket(request.headers());
    let client = is_websocket.then(|| hyper::upgrade::on(&mut request));
    let sender = Sender {
        address: state.as_ref().and_then(|state| state.client),
        has_token: front.0.access_control.has_token(),
    };
    let mut again = repeatable(&request);
    let (exchange, mut response) = loop {
        let (exchange, stream) = connect(server).await?;
        address(&mut request, &exchange, &sender);
        match send(&exchange, stream, request).await {
            Ok(response) => break (exchange, response),
            Err(Unanswered { error, has_begun }) => {
                let copy = again.take().filter(|_| !has_begun);
                let (Some(copy), true) = (copy, has_ended(&exchange).await) else {
                    return Err(error);
                };
                request = copy;
            }
        }
    };
    mark_arrived();
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    headers::rewrite_response(response.headers_mut(), exchange.endpoint(), switches);
    *response.version_mut() = Version::HTTP_11;
    if !switches {
        let response = SiteBody::tie(response, exchange).map(Body::new);
        return Ok(match state {
            Some(state) => response.map(|body| Body::new(TrackedBody { body, state })),
            None => response,
        });
    }
    let Some(client) = client else {
        return Err(ErrorResponse::bad_gateway(format!(
            "`{}` switched to another protocol, which the request did not ask for",
            exchange.server()
        )));
    };
    let server = hyper::upgrade::on(&mut response);
    tokio::spawn(tunnel(exchange, state, client, server));
    Ok(response.map(|_| Body::empty()))
}

/// Returns a copy of a request that has neither effects nor a body, so that it can be sent again.
fn repeatable(request: &Request) -> Option<Request> {
    let has_effects = !matches!(*request.method(), Method::GET | Method::HEAD);
    if has_effects || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Addresses a request to the process of `exchange`.
fn address(request: &mut Request, exchange: &SiteExchange, sender: &Sender) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    headers::rewrite_request(request.headers_mut(), exchange.endpoint(), sender);
}

/// Returns true if the generation of a failed exchange ends about now.
async fn has_ended(exchange: &SiteExchange) -> bool {
    timeout(EXIT_TIMEOUT, exchange.cut().cancelled())
        .await
        .is_ok()
}

/// Begins an exchange and connects to the process.
async fn connect(server: &ServerHandle) -> Result<(SiteExchange, TcpStream), ErrorResponse> {
    loop {
        let exchange = server.begin_exchange().await;
        let exchange = exchange.map_err(|error| ErrorResponse::crowded(error.to_string()))?;
        let endpoint = exchange.endpoint();
        let host = endpoint.host_str().unwrap_or_default();
        let port = endpoint.port_or_known_default().unwrap_or_default();
        let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
        let reason = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok((exchange, stream));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        };
        // If the process has just exited, the request goes to the next one: nothing was sent.
        if !has_ended(&exchange).await {
            return Err(ErrorResponse::bad_gateway(format!(
                "`{}` does not accept connections on port {port}: {reason}",
                exchange.server()
            )));
        }
    }
}

/// Sends a request over `stream` and waits for the head of its response.
async fn send(
    exchange: &SiteExchange,
    stream: TcpStream,
    request: Request,
) -> Result<Response<Incoming>, Unanswered> {
    let has_begun = Arc::new(AtomicBool::new(false));
    let unanswered = |error| Unanswered {
        error,
        has_begun: has_begun.load(Ordering::Relaxed),
    };
    let broken = |error: hyper::Error| {
        unanswered(ErrorResponse::bad_gateway(format!(
            "`{}` did not answer the request: {}",
            exchange.server(),
            with_causes(&error)
        )))
    };
    let begun = has_begun.clone();
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        begun.fetch_or(!bytes.is_empty(), Ordering::Relaxed);
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADERS);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Dropping the connection closes it; otherwise it ends with the response.
    let connection = connection.with_upgrades();
    tokio::spawn(exchange.cut().clone().run_until_cancelled_owned(connection));
    tokio::select! {
        biased;
        () = exchange.cut().cancelled() => Err(unanswered(ErrorResponse::crowded(format!(
            "`{}` ended before it answered the request, which may have been executed in part",
            exchange.server()
        )))),
        response = sender.send_request(request) => response.map_err(broken),
    }
}

/// Passes bytes between both sides of a websocket until it is closed or the exchange is cut. `_state` keeps the
/// client's connection counted.
async fn tunnel(
    mut exchange: SiteExchange,
    _state: Option<Arc<ConnectionState>>,
    client: OnUpgrade,
    server: OnUpgrade,
) {
    exchange.become_stream();
    let joined = async {
        let (client, server) = tokio::try_join!(client, server).ok()?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        copy_bidirectional(&mut client, &mut server).await.ok()
    };
    exchange.cut().run_until_cancelled(joined).await;
}
