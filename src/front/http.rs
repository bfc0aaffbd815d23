//! Serves clients over HTTP: the Streamable HTTP transport of both eras at one endpoint, and, if the user asks for it,
//! the rest of the server's site at the other paths.
//!
//! The body classifies a message: one that names its revision in `params._meta` belongs to the modern era and stands
//! alone; any other belongs to a session, which `initialize` begins. Each session has its own servers; modern requests
//! share one set.

mod access_control;
mod connections;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod large_messages;
mod legacy;
mod legacy_sessions;
mod listener;
mod message_queue;
mod modern;
mod pass_through;
mod post;
mod responses;
mod session_streams;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, EventSender};
use crate::jsonrpc::INVALID_REQUEST;
use crate::lock::locked;
use crate::session::{Session, SessionFactory};
use crate::transport::file_limit;
pub(crate) use access_control::AccessControl;
use connections::{ConnectionState, Connections, HttpConnection, TrackedBody};
use large_messages::LargeMessages;
use legacy_sessions::LegacySessions;
use listener::Listener;
pub(crate) use listener::{Address, is_in_use};
use modern::ModernRequests;
pub(crate) use pass_through::PassThrough;
use responses::ErrorResponse;

/// Path of the MCP endpoint.
const ENDPOINT: &str = "/mcp";
/// Maximum number of open connections, if the system allows enough open files.
const CONNECTIONS: u64 = 8192;
/// Number of open files to request from the system.
const FILES: u64 = 65_536;
/// Time limit for the headers of the next request on a connection.
const SILENCE: Duration = Duration::from_secs(120);
/// Maximum size of all headers of a request in bytes.
const HEADERS: usize = 64 * 1024;
/// Maximum number of unknown paths that are reported.
const MAX_REPORTED_PATHS: usize = 16;
/// Maximum length of such a path in messages, in characters.
const MAX_PATH_LENGTH: usize = 200;
/// Time limit for writing the last responses at shutdown.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings of the HTTP front.
#[derive(Debug, Clone)]
pub(crate) struct HttpOptions {
    /// Address to listen on.
    pub(crate) address: Address,
    /// File with the token that clients must send.
    pub(crate) token_file: Option<PathBuf>,
    /// Origins allowed for browser pages, in addition to the server's own.
    pub(crate) origins: Vec<String>,
    /// Host names that clients may use, in addition to the local ones.
    pub(crate) hosts: Vec<String>,
    /// Maximum number of concurrent sessions.
    pub(crate) max_sessions: usize,
    /// Time after which an idle session ends.
    pub(crate) session_idle: Duration,
    /// Server that gets the requests for other paths, if any does.
    pub(crate) pass_through: Option<PassThrough>,
}

impl HttpOptions {
    /// Returns true if other users of this machine can connect without a token.
    pub(crate) fn is_open(&self) -> bool {
        self.token_file.is_none() && matches!(self.address, Address::Tcp(_))
    }
}

/// Reason why the HTTP front cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Binding the address failed.
    #[error("cannot listen on {0}")]
    Bind(Address, #[source] io::Error),
    /// Access control cannot be set up.
    #[error(transparent)]
    Guard(#[from] access_control::AccessControlError),
}

/// HTTP front. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front(Arc<FrontInner>);

struct FrontInner {
    listener: Listener,
    /// URL of the endpoint, or address of the socket.
    url: String,
    access_control: AccessControl,
    pass_through: Option<PassThrough>,
    /// Maximum length of a message in bytes.
    max_message: usize,
    session_factory: SessionFactory,
    /// Sessions of the legacy era.
    sessions: LegacySessions,
    modern_requests: Arc<ModernRequests>,
    /// Session shared by all modern requests, opened by the first one.
    modern_session: OnceCell<Arc<Session>>,
    connections: Arc<Connections>,
    /// Cancelled once no more requests are accepted.
    ending: CancellationToken,
    large_messages: LargeMessages,
    /// Requested paths other than the endpoint that were reported; at most [`MAX_REPORTED_PATHS`].
    reported_paths: Mutex<BTreeSet<String>>,
    events: EventSender,
}

impl Front {
    /// Binds the address. `max_message` is the maximum message length in bytes.
    pub(crate) async fn bind(
        options: HttpOptions,
        max_message: usize,
        session_factory: SessionFactory,
        events: &EventSender,
    ) -> Result<Self, HttpError> {
        let access_control = AccessControl::new(&options)?;
        let (listener, address) = Listener::bind(&options.address)
            .await
            .map_err(|error| HttpError::Bind(options.address, error))?;
        let url = match &address {
            Address::Tcp(address) => format!("http://{address}{ENDPOINT}"),
            Address::Unix(_) => address.to_string(),
        };
        events.send(Event::Listening { url: url.clone() });
        Ok(Self(Arc::new(FrontInner {
            listener,
            url,
            access_control: access_control.with_address(&address),
            pass_through: options.pass_through,
            max_message,
            session_factory,
            sessions: LegacySessions::new(options.max_sessions, options.session_idle),
            modern_requests: Arc::default(),
            modern_session: OnceCell::new(),
            connections: Connections::new(max_connections()),
            ending: CancellationToken::new(),
            large_messages: LargeMessages::default(),
            reported_paths: Mutex::default(),
            events: events.clone(),
        })))
    }

    /// Returns the URL of the endpoint, or the address of the socket.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// Accepts clients until `end`.
    pub(crate) async fn serve(&self, end: &CancellationToken) {
        let router = Router::new()
            .route(ENDPOINT, any(handle))
            .route(&format!("{ENDPOINT}/"), any(handle))
            .fallback(handle_other_path)
            .with_state(self.clone());
        let accept = async {
            loop {
                let permit = self.0.connections.reserve().await;
                match self.0.listener.accept().await {
                    Ok((stream, client)) => {
                        let (router, ending) = (router.clone(), self.0.ending.clone());
                        let connection = self.0.connections.open(permit, client);
                        tokio::spawn(serve_connection(stream, connection, router, ending));
                    }
                    // No file descriptor left, or the client has already disconnected.
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = self.0.sessions.sweep() => {}
            () = end.cancelled() => {}
        }
    }

    /// Ends all sessions; resolves when all have ended.
    pub(crate) async fn stop(&self) {
        self.0.ending.cancel();
        let end_modern = async {
            if let Some(session) = self.0.modern_session.get() {
                session.end().await;
            }
        };
        tokio::join!(self.0.sessions.end_all(), end_modern);
        self.0.modern_requests.end();
        // The last responses are still being written.
        let _ = tokio::time::timeout(FINAL_WRITE_TIMEOUT, self.0.connections.closed()).await;
    }

    /// Returns the session that began last or, without sessions, the one of all modern requests, if it was opened.
    fn newest_session(&self) -> Option<Arc<Session>> {
        let newest = self.0.sessions.newest();
        newest.or_else(|| self.0.modern_session.get().cloned())
    }

    /// Returns the session of all modern requests; the first request opens it.
    async fn modern_session(&self) -> Result<Arc<Session>, ErrorResponse> {
        if self.0.ending.is_cancelled() {
            return Err(ErrorResponse::crowded("the proxy is shutting down"));
        }
        let open = async || {
            self.0
                .session_factory
                .open(self.0.modern_requests.clone(), true)
                .await
        };
        let session = self.0.modern_session.get_or_try_init(open).await;
        session
            .cloned()
            .map_err(|error| ErrorResponse::broken(&error))
    }
}

/// Serves HTTP on one connection until it ends or, after `ending`, until it has no open request.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    connection: HttpConnection,
    router: Router,
    ending: CancellationToken,
) {
    let (state, router) = (connection.state(), TowerToHyperService::new(router));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        state.head_arrived();
        request.extensions_mut().insert(state.clone());
        router.call(request)
    });
    let http = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut http = pin!(http);
    let served = tokio::select! {
        served = http.as_mut() => served,
        () = connection.wait_closing() => return,
        () = ending.cancelled() => {
            http.as_mut().graceful_shutdown();
            http.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection error");
    }
}

async fn handle(State(front): State<Front>, request: Request) -> Response {
    if let Err(refused) = front
        .0
        .access_control
        .check_host_and_origin(request.headers())
    {
        return refused.into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let state = request.extensions().get::<Arc<ConnectionState>>().cloned();
    let response = dispatch(&front, request).await;
    let mut response = response.unwrap_or_else(IntoResponse::into_response);
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let vary = HeaderValue::from_static("Origin");
        headers.insert(header::VARY, vary);
        let exposed = HeaderValue::from_static(SESSION_ID);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    match state {
        Some(state) => response.map(|body| Body::new(TrackedBody { body, state })),
        None => response,
    }
}

async fn handle_other_path(State(front): State<Front>, request: Request) -> Response {
    match &front.0.pass_through {
        Some(pass_through) => pass_through.handle(&front, request).await,
        None => refuse_wrong_path(&front, request.uri()).into_response(),
    }
}

/// Answers requests for other paths with the path of the endpoint. Does not report paths below `/.well-known/`, where
/// clients look for a login.
fn refuse_wrong_path(front: &Front, uri: &Uri) -> ErrorResponse {
    let path: String = uri.path().chars().take(MAX_PATH_LENGTH).collect();
    if !path.starts_with("/.well-known/") {
        let mut reported = locked(&front.0.reported_paths);
        if reported.len() < MAX_REPORTED_PATHS && reported.insert(path.clone()) {
            let endpoint = ENDPOINT.to_owned();
            let path = path.clone();
            front.0.events.send(Event::WrongPath { path, endpoint });
        }
    }
    let message = format!("unknown path `{path}`: send messages to `{ENDPOINT}`");
    ErrorResponse::new(StatusCode::NOT_FOUND, INVALID_REQUEST, message)
}

/// Header with the id of a legacy session.
const SESSION_ID: &str = "mcp-session-id";

async fn dispatch(front: &Front, request: Request) -> Result<Response, ErrorResponse> {
    // A preflight request from a page of an allowed origin, sent before any token.
    if *request.method() == Method::OPTIONS {
        return Ok(responses::preflight(request.headers()));
    }
    front.0.access_control.check_token(request.headers())?;
    if *request.method() == Method::GET {
        post::request_arrived(request.extensions());
    }
    match *request.method() {
        Method::POST => post::take(front, request).await,
        Method::GET => legacy_sessions::handle_get(front, request.headers()),
        Method::DELETE => legacy_sessions::delete(front, request.headers()),
        _ => Err(ErrorResponse::method()),
    }
}

/// Returns the maximum number of connections: half of the open files remain for the servers of sessions.
fn max_connections() -> usize {
    let files = file_limit::raise(FILES);
    usize::try_from((files / 2).min(CONNECTIONS)).unwrap_or(usize::MAX)
}
