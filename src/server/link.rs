//! What a connection writes to: the pipe of a process, or the way to a remote server.

use crate::transport::http::HttpLink;
use crate::transport::stream::{Cork, Outbox};

/// The sending side of a connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// To a process.
    Pipe(Outbox),
    /// To a remote server.
    Http(HttpLink),
}

impl Link {
    /// Sends one message made of `parts`. Never blocks.
    pub(crate) fn send(&self, parts: [&[u8]; 3]) {
        match self {
            Self::Pipe(outbox) => outbox.send(parts),
            Self::Http(link) => link.send(parts),
        }
    }

    /// How many bytes wait for the other side.
    pub(crate) fn backlog(&self) -> usize {
        match self {
            Self::Pipe(outbox) => outbox.backlog(),
            Self::Http(link) => link.backlog(),
        }
    }

    /// Waits until the other side has taken most of what waits.
    pub(crate) async fn ready(&self) {
        match self {
            Self::Pipe(outbox) => outbox.ready().await,
            Self::Http(link) => link.ready().await,
        }
    }

    /// Gathers messages until the cork is dropped, where that is of use.
    pub(crate) fn cork(&self) -> Option<Cork> {
        match self {
            Self::Pipe(outbox) => Some(outbox.cork()),
            Self::Http(_) => None,
        }
    }

    /// Sends nothing any more once what waits is sent. A remote server hears of its end when it is stopped.
    pub(crate) fn close(&self) {
        if let Self::Pipe(outbox) = self {
            outbox.close();
        }
    }

    /// The way to a remote server, if it is one.
    pub(crate) fn http(&self) -> Option<&HttpLink> {
        match self {
            Self::Pipe(_) => None,
            Self::Http(link) => Some(link),
        }
    }
}
