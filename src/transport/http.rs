//! Connects to servers over HTTP. [`HttpLink`] takes the place of a process's two pipes: it accepts lines and returns
//! lines, each with the number of the request whose response carried it.
//!
//! `link` sends messages in order; `exchange` runs one request until its answer; `get_stream` reads the stream for
//! server-initiated messages of a legacy server; `http_sse_2024` implements the transport of revision 2024-11-05. They
//! share a `link_state` and report every outcome as [`LinkEvent`]. `peer` holds the address and the headers of every
//! request, and keeps its `cookies`; `response` reads everything of a response except its messages; `sse` parses events.
//! The module does not know its callers.

mod cookies;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod get_stream;
mod http_sse_2024;
mod link;
mod link_event;
mod link_state;
mod peer;
mod response;
pub(crate) mod sse;

use std::sync::OnceLock;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};

use crate::config::is_loopback;
use crate::error_chain;
pub(crate) use link::HttpLink;
pub(crate) use link_event::{Fate, LinkError, LinkEvent};
use peer::PeerClients;

/// Maximum number of redirects within a server's own origin.
const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// Time after which an idle connection is closed. Servers close idle connections after 5 s or more; a request sent at
/// that moment is lost.
const IDLE: Duration = Duration::from_secs(3);
/// TCP keepalive time; detects a connection whose other end has disappeared.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Returns a builder for a client with bundled TLS and the system's trusted certificates. The client follows only
/// redirects whose status satisfies `follow` and whose target has the same origin.
pub(crate) fn client(follow: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> ClientBuilder {
    // The first call succeeds; all calls install the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = Policy::custom(move |attempt| {
        let (from, to) = (attempt.previous().last(), attempt.url());
        let same = from.is_some_and(|from| from.origin() == to.origin());
        if same && follow(attempt.status()) && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    Client::builder()
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT)
        .redirect(policy)
}

/// HTTP clients shared by all links: idle connections are kept briefly, trusted certificates are loaded only once.
#[derive(Debug, Default)]
pub(crate) struct HttpClients {
    /// Uses the proxy server named in the environment.
    general: OnceLock<Client>,
    /// Uses no proxy server, since none can reach this machine's loopback interface.
    direct: OnceLock<Client>,
    /// Like `direct`, with a new connection for each request.
    unpooled: OnceLock<Client>,
}

impl HttpClients {
    /// Returns the clients for `url`.
    fn clients(&self, url: &Url) -> Result<PeerClients, LinkError> {
        if !is_loopback(url) {
            return Ok(PeerClients {
                pooled: shared(&self.general, |builder| builder)?,
                unpooled: None,
            });
        }
        let pooled = shared(&self.direct, ClientBuilder::no_proxy)?;
        let unpooled = shared(&self.unpooled, |builder| {
            builder.no_proxy().pool_max_idle_per_host(0)
        })?;
        Ok(PeerClients {
            pooled,
            unpooled: Some(unpooled),
        })
    }
}

/// Returns the client, which is built at first, with the settings of `configure`.
fn shared(
    client: &OnceLock<Client>,
    configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, LinkError> {
    if let Some(client) = client.get() {
        return Ok(client.clone());
    }
    let kept = [
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    let builder = self::client(move |status| kept.contains(&status))
        .user_agent(concat!("mcp-proxy/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEPALIVE);
    let built = configure(builder)
        .build()
        .map_err(|error| format!("cannot be reached: {}", causes(&error)))?;
    Ok(client.get_or_init(|| built).clone())
}

/// Returns the proxy server that [`HttpClients`] uses for `url`, without its password; `None` for a direct connection.
fn proxy_server(url: &Url) -> Option<String> {
    if is_loopback(url) {
        return None;
    }
    let uri = url.as_str().parse().ok()?;
    Some(Matcher::from_system().intercept(&uri)?.uri().to_string())
}

/// Returns the two innermost distinct causes, which name the problem; the outermost error repeats the URL. Adds the
/// remedy for a certificate that is not accepted.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = error_chain::causes(error)
        .map(ToString::to_string)
        .collect();
    texts.dedup();
    // The text of an outer error often contains that of the inner one.
    let outer: Vec<&String> = texts
        .iter()
        .enumerate()
        .filter(|(at, it)| {
            !texts[..*at]
                .iter()
                .any(|before| before.contains(it.as_str()))
        })
        .map(|(_, it)| it)
        .collect();
    let text = match outer[..] {
        [] => "it cannot be reached".to_owned(),
        [.., before, last] => format!("{before}: {last}"),
        [only] => only.clone(),
    };
    match certificate_remedy(&text) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// Returns the remedy for the TLS error `text`, which names only the fault of the server's certificate.
fn certificate_remedy(text: &str) -> Option<&'static str> {
    if text.contains("CaUsedAsEndEntity") {
        Some(
            "the server's certificate is one of an authority, as `openssl req -x509` creates by default: create it with \
             `-addext basicConstraints=critical,CA:FALSE`",
        )
    } else if text.contains("UnknownIssuer") {
        Some(
            "no authority that this machine trusts has signed the server's certificate: add the certificate of its \
             authority to the trusted ones (on Linux, `SSL_CERT_FILE` can name a file with them)",
        )
    } else {
        None
    }
}
