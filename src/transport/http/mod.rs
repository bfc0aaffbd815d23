//! Servers that are reached over HTTP. [`HttpLink`] is to a remote server what the two pipes are to a process: it
//! takes lines and gives lines, each with the number of the request that it came on.
//!
//! `link` sends what goes out, in order; `exchange` is one request until its answer; `standing` the stream on which
//! a legacy server speaks of its own accord; `old` the transport before all that; `peer` the address, and what is said with every request to it; `sse`
//! reads events. Knows nothing of who waits for what: whatever happens is told as [`Incoming`].

mod exchange;
mod link;
mod old;
mod peer;
pub(crate) mod sse;
mod standing;

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode};

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

/// What all links send by: connections are kept for a moment, and what is trusted is read only once.
#[derive(Debug, Default)]
pub(crate) struct Sender(OnceLock<Client>);

impl Sender {
    /// An error says why there is none.
    fn client(&self) -> Result<Client, String> {
        if let Some(client) = self.0.get() {
            return Ok(client.clone());
        }
        let kept = [
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        let built = client(move |status| kept.contains(&status))
            .user_agent(concat!("mcp-proxy/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEPALIVE)
            .build()
            .map_err(|error| format!("cannot be reached: {}", causes(&error)))?;
        Ok(self.0.get_or_init(|| built).clone())
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
