//! Delivers the messages of a session to its client.

use std::fmt::Debug;

use crate::jsonrpc::{RawId, Reply, RequestId};
use crate::transport::stream::Outbox;

/// Request that a message other than a response belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelatedRequest<'a> {
    /// The client's request with this id, while it is in flight.
    Request(RawId<'a>),
    /// The client's listen request with this id.
    Listen(RawId<'a>),
    /// No request of the client.
    Nothing,
}

impl<'a> RelatedRequest<'a> {
    /// Returns the client's request with this id, if there is one.
    pub(super) fn of(id: Option<&'a RequestId>) -> Self {
        id.map_or(Self::Nothing, |id| Self::Request(id.as_raw()))
    }
}

/// Error for a request that cannot be delivered to the client and thus gets no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undelivered;

/// Way back to a client. Ids are those under which the session received the requests.
pub(crate) trait Delivery: Debug + Send + Sync {
    /// Delivers the response to the request `id`.
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>);

    /// Lets the client disconnect and fetch the response to the request `id` later, if the transport supports that.
    fn pause(&self, _id: RawId<'_>) {}

    /// Delivers a notification or a server's request; returns an error only for a request.
    fn send(&self, line: &str, related: RelatedRequest<'_>) -> Result<(), Undelivered>;

    /// Returns the one pipe that all messages go to. Without a pipe, each message must name its request, and not
    /// reading from the client cannot slow it down.
    fn pipe(&self) -> Option<&Outbox>;
}

impl Delivery for Outbox {
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        reply.with_id(id, |parts| Self::send(self, parts));
    }

    fn send(&self, line: &str, _related: RelatedRequest<'_>) -> Result<(), Undelivered> {
        Self::send(self, [line.as_bytes(), b"", b""]);
        Ok(())
    }

    fn pipe(&self) -> Option<&Outbox> {
        Some(self)
    }
}
