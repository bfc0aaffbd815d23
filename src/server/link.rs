//! Outgoing side of a connection: the pipe to a process, or the link to a server over HTTP.

use crate::transport::http::HttpLink;
use crate::transport::stream::{Cork, Outbox};

/// Sending side of a connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// Pipe to a process.
    Pipe(Outbox),
    /// Link to a process that serves HTTP.
    HttpProcess(HttpLink),
    /// Link to a remote server.
    Remote(HttpLink),
}

impl Link {
    /// Sends one message, made of `parts`. Never blocks.
    pub(crate) fn send(&self, parts: [&[u8]; 3]) {
        match self {
            Self::Pipe(outbox) => outbox.send(parts),
            Self::HttpProcess(link) | Self::Remote(link) => link.send(parts),
        }
    }

    /// Returns the number of bytes waiting to be sent.
    pub(crate) fn backlog(&self) -> usize {
        match self {
            Self::Pipe(outbox) => outbox.backlog(),
            Self::HttpProcess(link) | Self::Remote(link) => link.backlog(),
        }
    }

    /// Waits until most of the backlog is sent.
    pub(crate) async fn ready(&self) {
        match self {
            Self::Pipe(outbox) => outbox.ready().await,
            Self::HttpProcess(link) | Self::Remote(link) => link.ready().await,
        }
    }

    /// Collects messages until the cork is dropped; `None` over HTTP, where writes cannot be combined.
    pub(crate) fn cork(&self) -> Option<Cork> {
        match self {
            Self::Pipe(outbox) => Some(outbox.cork()),
            Self::HttpProcess(_) | Self::Remote(_) => None,
        }
    }

    /// Closes the pipe after the backlog is written. The session with a server over HTTP ends only in [`HttpLink::stop`].
    pub(crate) fn close(&self) {
        if let Self::Pipe(outbox) = self {
            outbox.close();
        }
    }

    /// Returns the link to a server over HTTP.
    pub(crate) fn http(&self) -> Option<&HttpLink> {
        match self {
            Self::Pipe(_) => None,
            Self::HttpProcess(link) | Self::Remote(link) => Some(link),
        }
    }
}
