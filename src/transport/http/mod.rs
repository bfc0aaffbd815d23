//! Servers that are reached over HTTP. [`HttpLink`] is to a remote server what the two pipes are to a process: it
//! takes lines and gives lines, each with the number of the request that it came on.
//!
//! `link` sends what goes out, in order; `exchange` is one request until its answer; `standing` the stream on which
//! a legacy server speaks of its own accord; `old` the transport before all that; `peer` the address, and what is said with every request to it; `response` what is read
//! of a response besides its messages; `sse` reads events. Knows nothing of who waits for what: whatever happens is told as [`Incoming`].

mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod link;
mod old;
mod peer;
mod response;
pub(crate) mod sse;
mod standing;

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};

pub(crate) use link::{Fate, HttpLink, Incoming};

/// How often a server may send on to another address of its own.
const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// Servers close a connection that nobody uses after 5 s at the least; what is sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(3);
/// A connection whose other end has vanished without a word is noticed by this.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A client with the program's own TLS, which trusts what the system trusts. It follows only redirects of these
/// kinds, and only to the place that it was sent to.
pub(crate) fn client(follow: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> ClientBuilder {
    // The first caller wins; there is only one kind.
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

/// The clients that all links share: connections are kept for a moment, and what is trusted is read only once.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Uses the proxy server that the environment names.
    general: OnceLock<Client>,
    /// Uses none: a proxy server cannot reach what listens on this machine's loopback.
    direct: OnceLock<Client>,
}

impl Sender {
    /// The client for `url`. An error says why there is none.
    fn client(&self, url: &Url) -> Result<Client, String> {
        let direct = is_loopback(url);
        let shared = if direct { &self.direct } else { &self.general };
        if let Some(client) = shared.get() {
            return Ok(client.clone());
        }
        let kept = [
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        let builder = client(move |status| kept.contains(&status))
            .user_agent(concat!("mcp-proxy/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEPALIVE);
        let builder = if direct { builder.no_proxy() } else { builder };
        let built = builder
            .build()
            .map_err(|error| format!("cannot be reached: {}", causes(&error)))?;
        Ok(shared.get_or_init(|| built).clone())
    }
}

/// The proxy server by which [`Sender`] reaches `url`, without its password; nothing if it goes there directly.
fn proxy_server(url: &Url) -> Option<String> {
    if is_loopback(url) {
        return None;
    }
    let uri = url.as_str().parse().ok()?;
    Some(Matcher::from_system().intercept(&uri)?.uri().to_string())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => {
            let host = host.trim_matches(['[', ']']);
            let address = host.parse::<IpAddr>();
            host == "localhost"
                || host.ends_with(".localhost")
                || address.is_ok_and(|address| address.to_canonical().is_loopback())
        }
        None => false,
    }
}

/// The innermost causes say what is wrong; the outermost repeats the URL.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(it) = cause {
        texts.push(it.to_string());
        cause = it.source();
    }
    texts.dedup();
    // An outer text often has the inner one in it.
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
    match outer[..] {
        [] => "it cannot be reached".to_owned(),
        [.., before, last] => format!("{before}: {last}"),
        [only] => only.clone(),
    }
}
