//! Addresses of the site.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use maud::Markup;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::access::PageAccess;
use super::assets::asset;
use super::curl::FrontOfPage;
use super::data::PageData;
use super::layout::{Tab, html_response, page};
use super::message_selection::TextSearch;
use super::trying::{self, Trying};
use super::{
    acting, export, input, message_detail, message_list, message_selection, page_recording,
    server_cards, stream, time_line, watched_files,
};
use crate::config::HiddenValues;
use crate::fleet::OpenFleets;
use crate::server::StandIn;

/// Maximum number of connections. A browser opens at most six to a host.
const CONNECTIONS: usize = 64;
/// Time limit for the headers of the next request on a connection.
const SILENCE: Duration = Duration::from_secs(10);
/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Headers of every response. Nothing is loaded from elsewhere, no script or style stands in a page, and no other site
/// frames, reads or stores one.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer`, browsers send forms without their origin.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Everything that the pages need.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) access: PageAccess,
    pub(super) data: Arc<PageData>,
    pub(super) search: Arc<Mutex<TextSearch>>,
    pub(super) fleets: OpenFleets,
    /// HTTP front of the proxy.
    pub(super) front: Option<FrontOfPage>,
    /// Values that must not be shown.
    pub(super) hidden: Arc<Mutex<HiddenValues>>,
    /// Calls of the page.
    pub(super) trying: Trying,
    /// Stand-in for clients.
    pub(super) stand_in: Arc<StandIn>,
    /// Runtime of the servers.
    pub(super) runtime: Handle,
}

/// Answers requests without end.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let router = Router::new().fallback(handle).with_state(site);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // No file descriptor left, or the browser has already disconnected.
            Err(error) => {
                tracing::debug!(%error, "a connection to the page was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(SILENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection error of the page");
            }
            drop(permit);
        });
    }
}

async fn handle(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match address(&head) {
        Some(url) => answer(&site, &head, body, &url).await,
        None => StatusCode::BAD_REQUEST.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns the address of a request, with its query decoded.
fn address(head: &Parts) -> Option<Url> {
    let base = Url::parse("http://page").ok()?;
    base.join(head.uri.path_and_query()?.as_str()).ok()
}

async fn answer(site: &Arc<Site>, head: &Parts, body: Body, url: &Url) -> Response {
    let token = value(url, "token");
    if let Some(response) = site.access.refuse(head, token.as_deref()) {
        return response;
    }
    if !url.path().starts_with("/assets/")
        && let Some(backlog) = site.data.backlog().cloned()
    {
        // Streams and other requests go on meanwhile. A shutdown of the runtime needs no messages.
        let _ = tokio::task::spawn_blocking(move || backlog.catch_up()).await;
    }
    if head.method == Method::POST {
        return act(site, url.path(), body).await;
    }
    if head.method != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let whole_or_part = |tab, content: Markup| {
        // A script asks for the part that changes.
        let is_part = value(url, "part").is_some();
        html_response(if is_part {
            content
        } else {
            page(tab, site, &content)
        })
    };
    match url.path() {
        // A file has no servers.
        "/" | "/try" | "/input" if site.data.file.is_some() => {
            Redirect::to("/messages").into_response()
        }
        "/" => whole_or_part(Tab::Servers, server_cards::content(site)),
        "/messages" => whole_or_part(Tab::Messages, message_list::content(site, url).await),
        "/messages.ndjson" => message_selection::recording(site, url).await,
        "/messages.html" => export::response(site, url).await,
        "/messages/rows" => message_list::rows(site, url).await,
        "/time-line" => whole_or_part(Tab::TimeLine, time_line::content(site)),
        "/time-line/news" => time_line::news(site, url),
        "/record.ndjson" => page_recording::download(site).await.unwrap_or_else(missing),
        "/try" => whole_or_part(Tab::Try, trying::content(site, url)),
        "/input" => whole_or_part(Tab::Input, input::content(site, url)),
        // Browsers ask for it beside raw messages.
        "/favicon.ico" => StatusCode::NO_CONTENT.into_response(),
        "/watched" => match watched_files::content(site, url).await {
            Some(content) => html_response(page(Tab::Watched, site, &content)),
            None => (
                StatusCode::NOT_FOUND,
                "This session has no such server now.\n",
            )
                .into_response(),
        },
        "/stream" => stream::open(site.clone(), value(url, "messages").is_some()),
        path => {
            let found = if path == "/try/answer" {
                trying::answer(site, url)
            } else if path == "/try/tools" {
                trying::tools(site, url)
            } else if path == "/try/messages" {
                trying::messages(site, url)
            } else if let Some(message) = path.strip_prefix("/messages/") {
                match message.strip_suffix("/raw") {
                    Some(number) => {
                        message_number(number).and_then(|it| message_detail::raw(site, it))
                    }
                    None => message_number(message)
                        .and_then(|it| message_detail::content(site, it))
                        .map(|it| whole_or_part(Tab::Message, it)),
                }
            } else {
                let found = path.strip_prefix("/assets/").and_then(asset);
                found.map(|(content, kind)| {
                    ([(header::CONTENT_TYPE, kind)], content).into_response()
                })
            };
            found.unwrap_or_else(missing)
        }
    }
}

/// Does what a form that is sent to `path` asks for.
async fn act(site: &Site, path: &str, body: Body) -> Response {
    match path {
        "/act" => acting::handle(site, body).await,
        "/record" => page_recording::handle(site, body).await,
        path if path.starts_with("/try/") => trying::handle(site, path, body).await,
        path if path.starts_with("/input/") => input::handle(site, path, body).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
}

fn message_number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Returns the value of a parameter.
pub(super) fn value(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs
        .find(|(it, _)| it == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    impl Site {
        /// Creates a site without content. Must be called on a runtime.
        pub(in crate::page) fn empty(address: SocketAddr) -> Self {
            Self {
                access: PageAccess::new(address, "token".to_owned(), "key".to_owned()),
                data: PageData::new("run".to_owned()),
                search: Arc::default(),
                fleets: OpenFleets::default(),
                front: None,
                hidden: Arc::default(),
                trying: Trying::of(Path::new("/project")),
                stand_in: StandIn::new(String::new(), tokio::sync::watch::Sender::new(())),
                runtime: Handle::current(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_make_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Site::empty(address);
        tokio::spawn(serve(listener, Arc::new(site)));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut asking = TcpStream::connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        asking.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        for mut stream in silent {
            let end = tokio::time::timeout(2 * SILENCE, stream.read(&mut [0])).await;
            assert_eq!(end.unwrap().unwrap_or_default(), 0);
        }
    }
}
