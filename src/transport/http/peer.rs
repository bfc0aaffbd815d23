//! A server's address, what was agreed on with it, and what is therefore said with every request to it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::{causes, proxy_server};
use crate::config::Remote;
use crate::jsonrpc::{Envelope, Kind, Members, unquoted};
use crate::lock::locked;
use crate::mcp::headers::{self, Mirror, encode};
use crate::mcp::{Entry, MODERN};

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// So much is repeated of what a server says about an error, in characters.
const SHOWN: usize = 200;

/// One message on its way out.
#[derive(Debug)]
pub(super) struct Said {
    /// In UTF-8.
    line: Bytes,
    pub(super) kind: Kind,
    /// The number of a request.
    pub(super) number: Option<u64>,
    /// Of a request or notification.
    pub(super) method: String,
    /// The revision that a request of the modern era is made under.
    revision: Option<String>,
    /// The number of the request that a notification is about.
    pub(super) about: Option<u64>,
}

impl Said {
    /// Nothing of a line that is no message.
    pub(super) fn read(line: String) -> Option<Self> {
        let envelope = Envelope::parse(&line).ok()?;
        let kind = envelope.kind();
        let number = envelope.id.and_then(|id| id.parse().ok());
        let revision = envelope.params.meta.protocol_version.and_then(unquoted);
        let about = envelope.params.request_id.and_then(|id| id.parse().ok());
        let method = envelope.method.as_deref().unwrap_or_default().to_owned();
        let revision = revision.map(std::borrow::Cow::into_owned);
        Some(Self {
            kind,
            number: number.filter(|_| kind == Kind::Request),
            method,
            revision,
            about,
            line: line.into(),
        })
    }

    /// Whether its answer stays open for as long as the server has something to tell.
    pub(super) fn listens(&self) -> bool {
        self.method == "subscriptions/listen"
    }

    /// Whether it introduces the client.
    pub(super) fn introduces(&self) -> bool {
        matches!(self.method.as_str(), "initialize" | "server/discover")
    }
}

/// A server at an address.
#[derive(Debug)]
pub(super) struct Peer {
    client: Client,
    remote: Remote,
    agreed: Mutex<Agreed>,
    /// Where messages are posted to, if that is elsewhere: then all that the server says comes on one stream.
    endpoint: OnceLock<Url>,
    /// The arguments of tools that headers carry too, by the tools' names.
    mirrors: Mutex<HashMap<String, Vec<Mirror>>>,
    /// The proxy server between here and there, for people.
    proxy_server: Option<String>,
}

/// What the handshake settled.
#[derive(Debug, Default)]
struct Agreed {
    session: Option<HeaderValue>,
    /// The revision of a legacy server.
    revision: Option<HeaderValue>,
    modern: bool,
}

impl Peer {
    pub(super) fn new(remote: Remote, client: Client) -> Self {
        Self {
            proxy_server: proxy_server(&remote.url),
            client,
            remote,
            agreed: Mutex::default(),
            endpoint: OnceLock::new(),
            mirrors: Mutex::default(),
        }
    }

    /// The address, for people.
    pub(super) fn shown(&self) -> &str {
        &self.remote.shown
    }

    /// Whether the configuration says that the server has the transport of 2024-11-05.
    pub(super) fn is_said_to_be_old(&self) -> bool {
        self.remote.old
    }

    /// Whether all that the server says comes on one stream.
    pub(super) fn has_one_stream(&self) -> bool {
        self.endpoint.get().is_some()
    }

    pub(super) fn post_to(&self, endpoint: Url) {
        let _ = self.endpoint.set(endpoint);
    }

    /// Whether the server speaks the modern era.
    pub(super) fn is_modern(&self) -> bool {
        locked(&self.agreed).modern
    }

    pub(super) fn agree_on_modern(&self) {
        *locked(&self.agreed) = Agreed {
            modern: true,
            ..Agreed::default()
        };
    }

    /// The session that requests are made in.
    pub(super) fn session(&self) -> Option<HeaderValue> {
        locked(&self.agreed).session.clone()
    }

    pub(super) fn begin_session(&self, session: Option<HeaderValue>) {
        locked(&self.agreed).session = session;
    }

    /// Takes the revision from the raw result of `initialize`.
    pub(super) fn take_revision(&self, result: &str) {
        let result = Members::of(result);
        let revision = result.text("protocolVersion");
        locked(&self.agreed).revision =
            revision.and_then(|it| HeaderValue::from_str(&encode(&it)).ok());
    }

    /// Learns which arguments of which tools headers carry. Gives the tools that no client may offer, and why.
    pub(super) fn learn(&self, tools: &[Entry]) -> Vec<(String, String)> {
        let mut bad = Vec::new();
        let mut mirrors = HashMap::new();
        for tool in tools {
            match headers::mirrors(&tool.raw) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => drop(mirrors.insert(tool.name.clone(), found)),
                Err(reason) => bad.push((tool.name.clone(), reason)),
            }
        }
        *locked(&self.mirrors) = mirrors;
        bad
    }

    /// The request that brings a message to the server.
    pub(super) fn post(&self, said: &Said) -> RequestBuilder {
        let mut headers = self.common(said.method != "initialize");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        let modern = said.revision.as_deref();
        if let Some(revision) = modern.or_else(|| self.is_modern().then_some(MODERN)) {
            headers.remove(SESSION);
            self.describe(said, revision, &mut headers);
        }
        let url = self.endpoint.get().unwrap_or(&self.remote.url);
        let request = self.client.post(url.clone());
        request.headers(headers).body(said.line.clone())
    }

    /// The request for what a legacy server says of its own accord, or for the rest of what it said up to the
    /// event `last`.
    pub(super) fn get(&self, last: Option<&str>) -> RequestBuilder {
        let mut headers = self.common(true);
        headers.insert(ACCEPT, STREAM);
        if let Some(last) = last.and_then(|it| HeaderValue::from_str(it).ok()) {
            headers.insert(LAST_EVENT, last);
        }
        self.client.get(self.remote.url.clone()).headers(headers)
    }

    /// The request that ends the session, if there is one.
    pub(super) fn delete(&self) -> Option<RequestBuilder> {
        self.session()?;
        let request = self.client.delete(self.remote.url.clone());
        Some(request.headers(self.common(true)))
    }

    /// The headers of the configuration, and those of what was agreed on.
    fn common(&self, agreed: bool) -> HeaderMap {
        let mut headers = self.remote.headers.clone();
        // A stream of events is to arrive event by event, which compression would hold back.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let known = locked(&self.agreed);
        if let (true, Some(session)) = (agreed, &known.session) {
            headers.insert(SESSION, session.clone());
        }
        if let (true, Some(revision)) = (agreed, &known.revision) {
            headers.insert(headers::REVISION, revision.clone());
        }
        headers
    }

    /// Says in headers what the body of a message of the modern era says, which the proxy may have rewritten.
    fn describe(&self, said: &Said, revision: &str, headers: &mut HeaderMap) {
        let mut set = |name: &str, value: &str| {
            let name = HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        set(headers::REVISION, &encode(revision));
        set(headers::METHOD, &encode(&said.method));
        let message = Members::of(str::from_utf8(&said.line).unwrap_or_default());
        let params = message.get("params").unwrap_or("{}");
        let Some(name) = headers::name_of(&said.method, params) else {
            return;
        };
        set(headers::NAME, &encode(&name));
        let mirrors = locked(&self.mirrors).get(&name).cloned();
        if let (Some(mirrors), "tools/call") = (mirrors, said.method.as_str()) {
            let arguments = Members::of(params);
            let arguments = arguments.get("arguments").unwrap_or("{}");
            for mirror in mirrors {
                if let Some(value) = mirror.render(arguments) {
                    set(&mirror.header, &value);
                }
            }
        }
    }

    /// The address and, since it may be the one in trouble, the proxy server before it.
    fn place(&self) -> String {
        match &self.proxy_server {
            Some(proxy) => format!(
                "{} through the proxy server {proxy} (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY; NO_PROXY names exceptions)",
                self.shown()
            ),
            None => self.shown().to_owned(),
        }
    }

    /// A sentence fragment: what came of a request that got no answer at all.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> String {
        let what = if error.is_connect() {
            "cannot be reached at"
        } else {
            "broke off the connection at"
        };
        let text = format!("{what} {}: {}", self.place(), causes(error));
        self.remote.hide(&text)
    }

    /// A sentence fragment: that a server answered with `status`, and what it said with it.
    pub(super) fn answered(&self, status: StatusCode, said: &str) -> String {
        let code = status.as_u16();
        let reason = status.canonical_reason().unwrap_or_default();
        let place = if status.is_success() {
            self.shown().to_owned()
        } else {
            self.place()
        };
        let mut text = format!("answered HTTP {code} {reason} at {place}");
        let words: String = said
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
            .take(SHOWN)
            .collect();
        if !words.trim().is_empty() && !words.trim_start().starts_with('<') {
            text = format!("{text}: {}", words.trim());
        }
        self.remote.hide(&text)
    }
}
