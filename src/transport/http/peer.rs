//! Holds a server's address and the result of the handshake, and builds the HTTP requests to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::cookies::Cookies;
use super::link_event::LinkError;
use super::response::without_secrets;
use super::{causes, proxy_server};
use crate::config::Remote;
use crate::jsonrpc::{Envelope, Members, MessageKind, RawId, RawJson};
use crate::lock::locked;
use crate::mcp::headers::{self, MirroredArgument, encode};
use crate::mcp::{Entry, ListKind, MODERN};

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Time limit for the answer to a request of the proxy itself.
const OWN_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum length of a server's error text in messages, in characters.
const SHOWN: usize = 200;

/// One outgoing message.
#[derive(Debug)]
pub(super) struct OutgoingMessage {
    /// The message as UTF-8.
    line: Bytes,
    pub(super) kind: MessageKind,
    /// Number of a request.
    pub(super) number: Option<u64>,
    /// Method of a request or notification.
    pub(super) method: String,
    /// Revision declared by a request of the modern era.
    revision: Option<String>,
    /// Number of the request that a notification refers to.
    pub(super) related_number: Option<u64>,
}

impl OutgoingMessage {
    /// Parses a line; returns `None` if it is not a message.
    pub(super) fn parse(line: String) -> Option<Self> {
        let envelope = Envelope::parse(&line).ok()?;
        let kind = envelope.kind();
        let number = envelope.id.and_then(RawId::number);
        let revision = envelope
            .params
            .meta
            .protocol_version
            .and_then(RawJson::text);
        let related_number = envelope.params.request_id.and_then(RawId::number);
        let method = envelope.method.as_deref().unwrap_or_default().to_owned();
        let revision = revision.map(std::borrow::Cow::into_owned);
        Some(Self {
            kind,
            number: number.filter(|_| kind == MessageKind::Request),
            method,
            revision,
            related_number,
            line: line.into(),
        })
    }

    /// Returns true if its response is a stream that stays open for notifications.
    pub(super) fn is_listen(&self) -> bool {
        self.method == "subscriptions/listen"
    }

    /// Returns true if it is a handshake request.
    pub(super) fn is_handshake(&self) -> bool {
        matches!(self.method.as_str(), "initialize" | "server/discover")
    }

    /// Returns true if only the process that has begun a piece of work can continue it: the message is about a task, or
    /// repeats a call with the input or the state that the process has requested.
    pub(super) fn continues_work(&self) -> bool {
        let message = Members::of(str::from_utf8(&self.line).unwrap_or_default());
        let params = message.object("params");
        let marks = ["taskId", "inputResponses", "requestState"];
        marks.iter().any(|mark| params.get(mark).is_some())
    }

    /// Returns the time limit for the answer. Handshakes and lists are requests of the proxy itself; any other request
    /// may be a client's, and only the client knows how long to wait.
    pub(super) fn time_limit(&self) -> Option<Duration> {
        let is_own = self.is_handshake() || ListKind::of_method(&self.method).is_some();
        is_own.then_some(OWN_REQUEST_TIMEOUT)
    }
}

/// HTTP clients for one server.
pub(super) struct PeerClients {
    /// Reuses connections.
    pub(super) pooled: Client,
    /// Opens a connection for each request; `None` for a server that may be far away, where that takes long.
    pub(super) unpooled: Option<Client>,
}

/// Server at an address.
pub(super) struct Peer {
    clients: PeerClients,
    /// Address; replaced while the path of a server is searched.
    remote: Mutex<Arc<Remote>>,
    session: Mutex<HttpSession>,
    cookies: Mutex<Cookies>,
    /// Address to which messages are posted, if it differs from the configured one (transport of 2024-11-05). In that
    /// case all messages of the server arrive on one stream.
    endpoint: OnceLock<Url>,
    /// Tool arguments that are repeated in headers, by tool name.
    mirrors: Mutex<HashMap<String, Vec<MirroredArgument>>>,
    /// Proxy server in between, for display.
    proxy_server: Option<String>,
}

/// Result of the handshake.
#[derive(Debug, Default)]
struct HttpSession {
    id: Option<HeaderValue>,
    /// Protocol revision of a legacy server.
    revision: Option<HeaderValue>,
    modern: bool,
}

impl Peer {
    pub(super) fn new(remote: Remote, clients: PeerClients) -> Self {
        Self {
            proxy_server: proxy_server(&remote.url),
            clients,
            remote: Mutex::new(Arc::new(remote)),
            session: Mutex::default(),
            cookies: Mutex::default(),
            endpoint: OnceLock::new(),
            mirrors: Mutex::default(),
        }
    }

    pub(super) fn remote(&self) -> Arc<Remote> {
        locked(&self.remote).clone()
    }

    /// Returns the configured address.
    pub(super) fn url(&self) -> Url {
        self.remote().url.clone()
    }

    /// Sends later requests to another address.
    pub(super) fn move_to(&self, remote: Remote) {
        *locked(&self.remote) = Arc::new(remote);
    }

    /// Returns the address for display.
    pub(super) fn shown(&self) -> String {
        self.remote().shown.clone()
    }

    /// Returns true if the configuration declares the transport of revision 2024-11-05.
    pub(super) fn is_configured_as_2024(&self) -> bool {
        self.remote().is_sse_2024
    }

    /// Returns true if all messages of the server arrive on one stream.
    pub(super) fn has_one_stream(&self) -> bool {
        self.endpoint.get().is_some()
    }

    pub(super) fn set_endpoint(&self, endpoint: Url) {
        let _ = self.endpoint.set(endpoint);
    }

    /// Returns true if the server speaks the modern era.
    pub(super) fn is_modern(&self) -> bool {
        locked(&self.session).modern
    }

    pub(super) fn set_modern(&self) {
        *locked(&self.session) = HttpSession {
            modern: true,
            ..HttpSession::default()
        };
    }

    /// Returns the id of the session for requests.
    pub(super) fn session_id(&self) -> Option<HeaderValue> {
        locked(&self.session).id.clone()
    }

    pub(super) fn begin_session(&self, session: Option<HeaderValue>) {
        locked(&self.session).id = session;
    }

    /// Stores the revision from the result of `initialize`.
    pub(super) fn take_revision(&self, result: &str) {
        let result = Members::of(result);
        let revision = result.text("protocolVersion");
        locked(&self.session).revision =
            revision.and_then(|it| HeaderValue::from_str(&encode(&it)).ok());
    }

    /// Records the tool arguments to repeat in headers. Returns the tools that no client may offer, with the reason.
    pub(super) fn set_tools(&self, tools: &[Entry]) -> Vec<(String, String)> {
        let mut bad = Vec::new();
        let mut mirrors = HashMap::new();
        for tool in tools {
            match headers::mirrors(&tool.raw) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => drop(mirrors.insert(tool.name.clone(), found)),
                Err(error) => bad.push((tool.name.clone(), error.to_string())),
            }
        }
        *locked(&self.mirrors) = mirrors;
        bad
    }

    /// Sends a request and stores the cookies of its response.
    pub(super) async fn send(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        let response = request.send().await?;
        locked(&self.cookies).store(response.headers());
        Ok(response)
    }

    /// Builds the request that delivers a message to the server. If the server is busy with other requests, the message
    /// gets a connection of its own: a server whose only thread is blocked for seconds closes idle connections after that,
    /// before it reads a request on them.
    pub(super) fn post(&self, message: &OutgoingMessage, is_busy: bool) -> RequestBuilder {
        let mut headers = self.common(message.method != "initialize");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        if self.describe(message, &mut headers) {
            headers.remove(SESSION);
        }
        let url = self.endpoint.get().cloned();
        let url = url.unwrap_or_else(|| self.remote().url.clone());
        let mut client = &self.clients.pooled;
        if let (true, Some(unpooled)) = (is_busy, &self.clients.unpooled) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            client = unpooled;
        }
        let request = client.post(url);
        request.headers(headers).body(message.line.clone())
    }

    /// Builds the request for the server-initiated messages of a legacy server, or for the rest of a stream after the
    /// event `last`.
    pub(super) fn get(&self, last: Option<&str>) -> RequestBuilder {
        let mut headers = self.common(true);
        headers.insert(ACCEPT, STREAM);
        if let Some(last) = last.and_then(|it| HeaderValue::from_str(it).ok()) {
            headers.insert(LAST_EVENT, last);
        }
        self.clients
            .pooled
            .get(self.remote().url.clone())
            .headers(headers)
    }

    /// Builds the request that ends the session, if one exists.
    pub(super) fn delete(&self) -> Option<RequestBuilder> {
        self.session_id()?;
        let request = self.clients.pooled.delete(self.remote().url.clone());
        Some(request.headers(self.common(true)))
    }

    /// Returns the configured headers and, if `with_session`, those from the handshake.
    fn common(&self, with_session: bool) -> HeaderMap {
        let mut headers = self.remote().headers.clone();
        // Events must arrive one by one; compression would delay them.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        locked(&self.cookies).add_to(&mut headers);
        let session = locked(&self.session);
        if let (true, Some(session)) = (with_session, &session.id) {
            headers.insert(SESSION, session.clone());
        }
        if let (true, Some(revision)) = (with_session, &session.revision) {
            headers.insert(headers::REVISION, revision.clone());
        }
        headers
    }

    /// Repeats fields of a modern message's body in headers; returns false for a legacy one. The proxy may have rewritten
    /// the body.
    pub(super) fn describe(&self, message: &OutgoingMessage, headers: &mut HeaderMap) -> bool {
        let modern = message.revision.as_deref();
        let Some(revision) = modern.or_else(|| self.is_modern().then_some(MODERN)) else {
            return false;
        };
        let mut set = |name: &str, value: &str| {
            let name = HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        set(headers::REVISION, &encode(revision));
        set(headers::METHOD, &encode(&message.method));
        let members = Members::of(str::from_utf8(&message.line).unwrap_or_default());
        let params = members.get("params").unwrap_or("{}");
        let Some(name) = headers::name_of(&message.method, params) else {
            return true;
        };
        set(headers::NAME, &encode(&name));
        let mirrors = locked(&self.mirrors).get(&name).cloned();
        if let (Some(mirrors), "tools/call") = (mirrors, message.method.as_str()) {
            let arguments = Members::of(params);
            let arguments = arguments.get("arguments").unwrap_or("{}");
            for mirror in mirrors {
                if let Some(value) = mirror.render(arguments) {
                    set(&mirror.header, &value);
                }
            }
        }
        true
    }

    /// Returns the address and the proxy server in front of it, which may be the cause of an error.
    fn address(&self) -> String {
        match &self.proxy_server {
            Some(proxy) => format!(
                "{} through the proxy server {proxy} (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY; NO_PROXY names exceptions)",
                self.shown()
            ),
            None => self.shown(),
        }
    }

    /// Returns the error of a request that got no response at all.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> LinkError {
        let what = if error.is_connect() {
            "cannot be reached at"
        } else {
            "lost the connection at"
        };
        let text = format!("{what} {}: {}", self.address(), causes(error));
        self.remote().hide(&text).into()
    }

    /// Returns an error with the `status` of a response and the server's error text.
    pub(super) fn answered(&self, status: StatusCode, body: &str) -> LinkError {
        let code = status.as_u16();
        let reason = status.canonical_reason().unwrap_or_default();
        let address = match self.endpoint.get() {
            Some(endpoint) => {
                let endpoint = without_secrets(endpoint.clone());
                format!("{endpoint}, the address in its `endpoint` event")
            }
            None if status.is_success() => self.shown(),
            None => self.address(),
        };
        let mut text = format!("answered HTTP {code} {reason} at {address}");
        let words: String = body
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
            .take(SHOWN)
            .collect();
        if !words.trim().is_empty() && !words.trim_start().starts_with('<') {
            text = format!("{text}: {}", words.trim());
        }
        LinkError {
            status: Some(status),
            ..LinkError::from(self.remote().hide(&text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_of_the_proxy_have_a_time_limit() {
        for (method, is_limited) in [
            ("initialize", true),
            ("server/discover", true),
            ("tools/list", true),
            ("resources/templates/list", true),
            ("tools/call", false),
            ("prompts/get", false),
            ("resources/read", false),
            ("completion/complete", false),
            ("tasks/result", false),
            ("subscriptions/listen", false),
            ("vendor/report", false),
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
            let message = OutgoingMessage::parse(line).unwrap();
            assert_eq!(message.time_limit().is_some(), is_limited, "{method}");
        }
    }
}
