//! Clients that come in by HTTP: the Streamable HTTP transport of both eras at one endpoint.
//!
//! A message is classified by its body: one that names its revision in `params._meta` is of the modern era
//! and stands alone; any other belongs to a session, which `initialize` begins. Each session has servers
//! of its own; modern requests share theirs.

mod answer;
mod connections;
mod feed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod large;
mod legacy;
mod listener;
mod modern;
mod post;
mod room;
mod sessions;

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

use crate::event::{Event, Events};
use crate::jsonrpc::INVALID_REQUEST;
use crate::lock::locked;
use crate::session::{Session, Sessions};
use crate::transport::files;
use answer::Refusal;
use connections::{Answering, Connection, Connections, Presence};
use guard::Guard;
use large::Large;
pub(crate) use listener::Address;
use listener::Listener;
use modern::Exchanges;
use sessions::Table;

/// Where messages go.
const ENDPOINT: &str = "/mcp";
/// So many connections may be open, if the system allows as many files.
const CONNECTIONS: u64 = 8192;
/// So many files are asked for.
const FILES: u64 = 65_536;
/// A connection that sends no request for so long is closed.
const SILENCE: Duration = Duration::from_secs(120);
/// All the headers of a request may be as long.
const HEADERS: usize = 64 * 1024;
/// So many paths that nobody answers are told of.
const STRAYS: usize = 16;
/// So much of such a path is shown, in characters.
const LONGEST: usize = 200;
/// How long the sockets of answered requests may take to be written at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How clients come in by HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) address: Address,
    /// The file with the token that clients must show.
    pub(crate) token_file: Option<PathBuf>,
    /// Origins that pages of browsers may come from, beside the own one.
    pub(crate) origins: Vec<String>,
    /// Names that clients may call this host by, beside the local ones.
    pub(crate) hosts: Vec<String>,
    /// How many sessions there may be at a time.
    pub(crate) max_sessions: usize,
    /// How long a session may be idle.
    pub(crate) session_idle: Duration,
}

impl Options {
    /// Whether other users of this machine can come in, who are not asked for a token.
    pub(crate) fn is_open(&self) -> bool {
        self.token_file.is_none() && matches!(self.address, Address::Tcp(_))
    }
}

/// Why clients cannot come in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Bind(Address, #[source] io::Error),
    /// The rules of who may come in cannot be kept.
    #[error(transparent)]
    Guard(#[from] guard::GuardError),
}

/// The door for clients that come by HTTP.
#[derive(Clone)]
pub(crate) struct Front(Arc<Inner>);

struct Inner {
    listener: Listener,
    guard: Guard,
    /// The longest message in bytes.
    limit: usize,
    opener: Sessions,
    /// Of the legacy era.
    sessions: Table,
    exchanges: Arc<Exchanges>,
    /// The session that all modern requests share, from the first one on.
    shared: OnceCell<Arc<Session>>,
    connections: Arc<Connections>,
    /// Cancelled when no more requests are taken.
    ending: CancellationToken,
    large: Large,
    /// Paths beside the endpoint that were asked for and told of; at most [`STRAYS`].
    strays: Mutex<BTreeSet<String>>,
    events: Events,
}

impl Front {
    /// Listens. `limit` is the longest message in bytes.
    pub(crate) async fn bind(
        options: Options,
        limit: usize,
        opener: Sessions,
        events: &Events,
    ) -> Result<Self, HttpError> {
        let guard = Guard::new(&options)?;
        let (listener, address) = Listener::bind(&options.address)
            .await
            .map_err(|error| HttpError::Bind(options.address, error))?;
        events.send(Event::Listening {
            url: match &address {
                Address::Tcp(address) => format!("http://{address}{ENDPOINT}"),
                Address::Unix(_) => address.to_string(),
            },
        });
        Ok(Self(Arc::new(Inner {
            listener,
            guard: guard.at(&address),
            limit,
            opener,
            sessions: Table::new(options.max_sessions, options.session_idle, events.clone()),
            exchanges: Arc::default(),
            shared: OnceCell::new(),
            connections: Connections::new(room_for_connections()),
            ending: CancellationToken::new(),
            large: Large::default(),
            strays: Mutex::default(),
            events: events.clone(),
        })))
    }

    /// Lets clients in until `end`.
    pub(crate) async fn serve(&self, end: &CancellationToken) {
        let router = Router::new()
            .route(ENDPOINT, any(handle))
            .route(&format!("{ENDPOINT}/"), any(handle))
            .fallback(astray)
            .with_state(self.clone());
        let accept = async {
            loop {
                let room = self.0.connections.room().await;
                match self.0.listener.accept().await {
                    Ok(stream) => {
                        let (router, ending) = (router.clone(), self.0.ending.clone());
                        let connection = self.0.connections.open(room);
                        tokio::spawn(attend(stream, connection, router, ending));
                    }
                    // No files left, or a client that was gone at once.
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

    /// Ends all sessions; resolves when nothing is left of them.
    pub(crate) async fn stop(&self) {
        self.0.ending.cancel();
        let shared = async {
            if let Some(session) = self.0.shared.get() {
                session.end().await;
            }
        };
        tokio::join!(self.0.sessions.end_all(), shared);
        self.0.exchanges.end();
        // What was answered last is still being written.
        let _ = tokio::time::timeout(LAST_WORDS, self.0.connections.closed()).await;
    }

    /// The session of all modern requests, which the first one opens.
    async fn shared(&self) -> Result<Arc<Session>, Refusal> {
        if self.0.ending.is_cancelled() {
            return Err(Refusal::crowded("the proxy is ending"));
        }
        let open = async || self.0.opener.open(self.0.exchanges.clone(), true);
        let session = self.0.shared.get_or_try_init(open).await;
        session.cloned().map_err(|error| Refusal::broken(&error))
    }
}

/// Speaks HTTP with one connection until it ends, or until it has no request open after `ending`.
async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Connection,
    router: Router,
    ending: CancellationToken,
) {
    let (presence, router) = (connection.presence(), TowerToHyperService::new(router));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        presence.begun();
        request.extensions_mut().insert(presence.clone());
        router.call(request)
    });
    let spoken = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut spoken = pin!(spoken);
    let served = tokio::select! {
        served = spoken.as_mut() => served,
        () = connection.over() => return,
        () = ending.cancelled() => {
            spoken.as_mut().graceful_shutdown();
            spoken.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn handle(State(front): State<Front>, request: Request) -> Response {
    if let Err(refused) = front.0.guard.check_place(request.headers()) {
        return refused.into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let presence = request.extensions().get::<Arc<Presence>>().cloned();
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
    match presence {
        Some(presence) => response.map(|body| Body::new(Answering { body, presence })),
        None => response,
    }
}

/// Says where messages go to whoever asks elsewhere. Clients look for a way to log in below `/.well-known/`.
async fn astray(State(front): State<Front>, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(LONGEST).collect();
    if !path.starts_with("/.well-known/") {
        let mut strays = locked(&front.0.strays);
        if strays.len() < STRAYS && strays.insert(path.clone()) {
            let endpoint = ENDPOINT.to_owned();
            let path = path.clone();
            front.0.events.send(Event::WrongPath { path, endpoint });
        }
    }
    let message = format!("there is nothing at `{path}`: send messages to `{ENDPOINT}`");
    Refusal::new(StatusCode::NOT_FOUND, INVALID_REQUEST, message)
}

/// The header that names a session of the legacy era.
const SESSION_ID: &str = "mcp-session-id";

async fn dispatch(front: &Front, request: Request) -> Result<Response, Refusal> {
    // Of a page of an allowed origin, before it sends a token.
    if *request.method() == Method::OPTIONS {
        return Ok(answer::preflight(request.headers()));
    }
    front.0.guard.check_token(request.headers())?;
    if *request.method() == Method::GET {
        post::complete(request.extensions());
    }
    match *request.method() {
        Method::POST => post::take(front, request).await,
        Method::GET => sessions::stand(front, request.headers()),
        Method::DELETE => sessions::delete(front, request.headers()),
        _ => Err(Refusal::method()),
    }
}

/// How many connections there may be: each session needs some files for its servers as well.
fn room_for_connections() -> usize {
    let files = files::raise(FILES);
    usize::try_from((files / 2).min(CONNECTIONS)).unwrap_or(usize::MAX)
}
